/* A connection to the API for the verbs of each day: which server, which namespace, what kinds it serves. Threads: one. */
#pragma once

#include "cli/command.h"
#include "kube/client.h"
#include "kube/discovery.h"

struct error;

struct session_options {
	const char *kubeconfig, *ns, *data_dir;
	bool all_namespaces;
};

/** Lines of a command's option table, and of its help text. */
#define SESSION_OPTIONS(o)                                                                                             \
	{"kubeconfig", OPT_STRING, &(o).kubeconfig}, {"data-dir", OPT_STRING, &(o).data_dir},                          \
		{"namespace", OPT_STRING, &(o).ns},                                                                    \
	{                                                                                                              \
		"n", OPT_STRING, &(o).ns                                                                               \
	}
#define SESSION_USAGE                                                                                                      \
	"  -n, --namespace NAME   the namespace (default: the kubeconfig's)\n"                                             \
	"  --kubeconfig FILE      which cluster (default: $KUBECONFIG, else the one-machine cluster of --data-dir where\n" \
	"                         there is one, else ~/.kube/config)\n"                                                    \
	"  --data-dir DIR         where the one-machine cluster keeps everything (default /var/lib/sluice)\n"

struct session {
	struct kube_config *config;
	struct kube_client *client;
	struct discovery *discovery;
	const char *ns; /* borrowed of options or config; NULL: all namespaces */
};

/** Load and connect; nothing is asked of the server yet. */
int session_open(const struct session_options *o, struct session *ret, struct error *err);
/** Accepts a zeroed one. */
void session_close(struct session *s);
/** The resource that a user calls @word; -ENOENT says what to do. */
int session_resource(struct session *s, const char *word, const struct kube_resource **ret, struct error *err);
/** "dataset.data.fluid.io/demo" as kubectl names objects; malloc'ed, NULL on no memory. */
char *session_object_name(const struct kube_resource *r, const char *name);
/** The objects of a YAML file ("-": standard input): a new array. */
int session_read_file(const char *path, json_t **ret, struct error *err);
/** The resource of @obj by its apiVersion and kind, and the namespace it belongs to (NULL for cluster scope). */
int session_place(struct session *s, const json_t *obj, const struct kube_resource **ret, const char **ret_ns,
		  struct error *err);
