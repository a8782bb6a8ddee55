/* Run a command in a container: the pods' exec subresource over a WebSocket (v5.channel.k8s.io, v4.channel.k8s.io). */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct kube_client;

struct kube_exec_options {
	const char *ns, *pod;
	const char *container;   /* NULL: the pod's only or default one */
	const char *const *argv; /* NULL-terminated; no shell is involved */
	const void *in;          /* for its stdin; NULL: it has none. Needs v5, which alone can say where it ends */
	size_t in_n;
	size_t max_output;         /* of stdout and stderr each; more: -EFBIG. 0: 1 MiB */
	int64_t timeout_ns;        /* of everything; 0: 30 s */
	const atomic_bool *cancel; /* seen within 200 ms; may be NULL */
};

struct kube_exec_result {
	int status;      /* exit status; 0: success */
	char *out, *err; /* malloc'ed, NUL-terminated: kube_exec_result_clear() */
	size_t out_n, err_n;
};

/**
 * Run it to its end. 0 whenever the command ran, whatever its exit status. -ETIMEDOUT and -ECANCELED leave it running where it is (the
 * server ends it when the connection goes); other errors as in client.h, -EPROTO when the server speaks no exec over WebSockets.
 */
int kube_exec(struct kube_client *c, const struct kube_exec_options *o, struct kube_exec_result *ret,
	      struct error *err);
/** Accepts a cleared one. */
void kube_exec_result_clear(struct kube_exec_result *r);
