/* The calls of CSI's Node service that the agent makes: messages in and out, deadlines, errors with the driver's words. Threads: any. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

struct error;

struct csi_volume {
	const char *handle, *staging, *target;
	const json_t *pv; /* file system, mount options, access modes */
	bool read_only;
	const json_t *context; /* string map */
	const json_t *secrets; /* a Secret's data (base64), or NULL */
};

/** -ENOENT, -ECONNREFUSED: no driver there; -ETIMEDOUT; -EREMOTEIO: it refuses. */
int csi_call_stages(const char *sock, bool *ret, struct error *err);
int csi_call_stage(const char *sock, const struct csi_volume *v, struct error *err);
int csi_call_publish(const char *sock, const struct csi_volume *v, struct error *err);
int csi_call_unpublish(const char *sock, const char *handle, const char *target, struct error *err);
int csi_call_unstage(const char *sock, const char *handle, const char *staging, struct error *err);
/** *@ret is malloc'ed. */
int csi_call_node_id(const char *sock, char **ret, struct error *err);
