/*
 * A container's environment and command line: values from the pod, ConfigMaps and Secrets, with $(NAME) expanded.
 * Threads: any, as far as the lookup allows.
 */
#pragma once

#include <jansson.h>

struct error;

/** Fetches a ConfigMap or Secret of the pod's namespace: a new tree, or -ENOENT. */
typedef int (*env_lookup)(void *ctx, const char *kind, const char *name, json_t **ret, struct error *err);

struct env_input {
	const json_t *pod, *container;
	const char *node_name, *address; /* of this machine */
	const char *path;                /* PATH when the container sets none */
	const char *hostname;
	env_lookup lookup;
	void *ctx;
};

/** *@ret: new list of "NAME=value". -ENOENT and -EINVAL are the pod's fault (CreateContainerConfigError). */
int env_build(const struct env_input *in, json_t **ret, struct error *err);
/** *@ret: new list of words: command (or nothing) and args, expanded with @env. -EINVAL when there is no command. */
int env_command(const json_t *container, const json_t *env, json_t **ret, struct error *err);
/**
 * @text with $(NAME) replaced by the value in @env (a list of "NAME=value"); unknown names stay, $$ is $. malloc'ed, or NULL on
 * no memory or more than 1 MiB.
 */
char *env_expand(const char *text, const json_t *env);
/** Text of a downward API field ("metadata.labels['a']", "status.podIP"), malloc'ed; -EINVAL for one that is not offered. */
int env_field(const json_t *pod, const char *path, const char *node_name, const char *address, char **ret,
	      struct error *err);
