/*
 * Credential plug-ins of kubeconfig ("exec", client.authentication.k8s.io/v1 and v1beta1): a program that prints a token.
 * Threads: any; a plug-in's description is immutable and shared.
 */
#pragma once

#include <jansson.h>
#include <stdint.h>

struct error;
struct exec_credential;

/**
 * From a user's "exec" member. @config_path: what a command with a '/' is relative to. @cluster: the cluster's member, given to the plug-in
 * when it wants that. One reference. -ENOTSUP for other API versions and for plug-ins that need a terminal.
 */
int exec_credential_parse(const json_t *exec, const json_t *cluster, const char *config_path,
			  struct exec_credential **ret, struct error *err);
/**
 * Run it (at most @timeout_ns, 64 KiB of output; its stderr is ours). *@ret_token is malloc'ed, *@ret_expires wall clock ns (INT64_MAX: does
 * not expire). The command's absence is -ENOENT with the plug-in's own hint.
 */
int exec_credential_run(const struct exec_credential *x, int64_t timeout_ns, char **ret_token, int64_t *ret_expires,
			struct error *err);
/** Accept NULL. */
struct exec_credential *exec_credential_ref(struct exec_credential *x);
void exec_credential_unref(struct exec_credential *x);
