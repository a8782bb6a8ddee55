#include "local/agent_csi_call.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/grpc.h"
#include "net/proto/csi.pb-c.h"
#include "json/json.h"

#define MOUNT_TIMEOUT_NS   (120 * NSEC_PER_SEC)
#define UNMOUNT_TIMEOUT_NS (60 * NSEC_PER_SEC)
#define QUERY_TIMEOUT_NS   (5 * NSEC_PER_SEC)
#define REQUEST_MAX        (2u << 20)

/* Every map entry that protobuf-c generates has this layout; a test of the wire format sees to it. */
struct map_entry {
	ProtobufCMessage base;
	char *key, *value;
};
_Static_assert(sizeof(struct map_entry) == sizeof(Csi__V1__NodeStageVolumeRequest__SecretsEntry),
	       "map entries have changed");
_Static_assert(offsetof(struct map_entry, value) ==
		       offsetof(Csi__V1__NodePublishVolumeRequest__VolumeContextEntry, value),
	       "map entries have changed");

struct entries {
	struct map_entry **p;
	size_t n;
};

static int fill_entries(struct arena *a, const json_t *map, bool base64, void (*init)(void *entry), struct entries *ret,
			struct error *err)
{
	*ret = (struct entries){.p = arena_alloc_array(a, json_object_size(map) + 1, sizeof(struct map_entry *))};
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)map, key, v) {
		struct map_entry *e = ret->p != NULL ? arena_alloc(a, sizeof *e) : NULL;
		if (e == NULL)
			return error_set(err, -ENOMEM, "CSI request: out of memory or larger than %u MiB",
					 REQUEST_MAX >> 20);
		init(e);
		const char *text = json_string_value(v) ?: "";
		CLEANUP(free_p) char *raw = NULL;
		size_t n = 0;
		if (base64 && base64_decode(text, &raw, &n) < 0)
			return error_set(err, -EINVAL, "CSI request: secret's key '%s' is not valid base64", key);
		e->key = arena_strdup(a, key);
		e->value = arena_strdup(a, base64 ? raw : text);
		if (e->key == NULL || e->value == NULL)
			return error_set(err, -ENOMEM, "CSI request: out of memory or larger than %u MiB",
					 REQUEST_MAX >> 20);
		ret->p[ret->n++] = e;
	}
	return 0;
}

/* The messages' own functions, for entries whose type is known only as a pointer. */
static void stage_context(void *e)
{
	csi__v1__node_stage_volume_request__volume_context_entry__init(e);
}
static void stage_secret(void *e)
{
	csi__v1__node_stage_volume_request__secrets_entry__init(e);
}
static void publish_context(void *e)
{
	csi__v1__node_publish_volume_request__volume_context_entry__init(e);
}
static void publish_secret(void *e)
{
	csi__v1__node_publish_volume_request__secrets_entry__init(e);
}

struct capability {
	Csi__V1__VolumeCapability cap;
	Csi__V1__VolumeCapability__MountVolume mount;
	Csi__V1__VolumeCapability__AccessMode access;
};

static Csi__V1__VolumeCapability__AccessMode__Mode access_mode(const json_t *pv)
{
	static const struct {
		const char *name;
		Csi__V1__VolumeCapability__AccessMode__Mode mode;
	} modes[] = {
		{"ReadWriteMany", CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__MULTI_NODE_MULTI_WRITER},
		{"ReadOnlyMany", CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__MULTI_NODE_READER_ONLY},
		{"ReadWriteOncePod", CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__SINGLE_NODE_SINGLE_WRITER},
	};
	const json_t *list = json_at(pv, "spec.accessModes");
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		size_t k;
		const json_t *m;
		json_array_foreach (list, k, m)
			if (strcmp(json_string_value(m) ?: "", modes[i].name) == 0)
				return modes[i].mode;
	}
	return CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__MODE__SINGLE_NODE_WRITER;
}

static int fill_capability(struct arena *a, const json_t *pv, struct capability *c, struct error *err)
{
	const json_t *options = json_at(pv, "spec.mountOptions");
	csi__v1__volume_capability__init(&c->cap);
	csi__v1__volume_capability__mount_volume__init(&c->mount);
	csi__v1__volume_capability__access_mode__init(&c->access);
	c->cap.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
	c->cap.mount = &c->mount;
	c->cap.access_mode = &c->access;
	c->access.mode = access_mode(pv);
	c->mount.fs_type = arena_strdup(a, json_str(pv, "spec.csi.fsType", ""));
	c->mount.mount_flags = arena_alloc_array(a, json_array_size(options) + 1, sizeof(char *));
	if (c->mount.fs_type == NULL || c->mount.mount_flags == NULL)
		return error_set(err, -ENOMEM, "CSI request: out of memory");
	size_t i;
	const json_t *o;
	json_array_foreach (options, i, o) {
		char *flag = arena_strdup(a, json_string_value(o));
		if (flag == NULL)
			return error_set(err, -ENOMEM, "CSI request: out of memory");
		c->mount.mount_flags[c->mount.n_mount_flags++] = flag;
	}
	return 0;
}

static int call(const char *sock, const char *method, const ProtobufCMessage *m, int64_t timeout_ns, uint8_t **ret,
		size_t *ret_n, struct error *err)
{
	const size_t n = protobuf_c_message_get_packed_size(m);
	CLEANUP(free_p) uint8_t *out = malloc(n + 1);
	if (out == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", method);
	(void)protobuf_c_message_pack(m, out);
	char path[80];
	(void)snprintf(path, sizeof path, "/csi.v1.Node/%s", method);
	struct error why = {0};
	const int rc = grpc_call(sock, path, out, n, timeout_ns, ret, ret_n, &why);
	if (rc < 0)
		return error_set(err, rc, "%s: %s", method, why.msg);
	return 0;
}

/* A call whose answer says nothing but that it was done. */
static int call_plain(const char *sock, const char *method, const ProtobufCMessage *m, int64_t timeout_ns,
		      struct error *err)
{
	uint8_t *answer = NULL;
	size_t n = 0;
	const int rc = call(sock, method, m, timeout_ns, &answer, &n, err);
	free(answer);
	return rc;
}

int csi_call_stage(const char *sock, const struct csi_volume *v, struct error *err)
{
	CLEANUP(arena_free) struct arena a = ARENA_INIT(REQUEST_MAX);
	Csi__V1__NodeStageVolumeRequest r = CSI__V1__NODE_STAGE_VOLUME_REQUEST__INIT;
	struct capability cap;
	struct entries context = {0}, secrets = {0};
	int rc = fill_capability(&a, v->pv, &cap, err);
	rc = rc ?: fill_entries(&a, v->context, false, stage_context, &context, err);
	rc = rc ?: fill_entries(&a, v->secrets, true, stage_secret, &secrets, err);
	if (rc < 0)
		return rc;
	r.volume_id = (char *)v->handle;
	r.staging_target_path = (char *)v->staging;
	r.volume_capability = &cap.cap;
	r.volume_context = (void *)context.p;
	r.n_volume_context = context.n;
	r.secrets = (void *)secrets.p;
	r.n_secrets = secrets.n;
	return call_plain(sock, "NodeStageVolume", &r.base, MOUNT_TIMEOUT_NS, err);
}

int csi_call_publish(const char *sock, const struct csi_volume *v, struct error *err)
{
	CLEANUP(arena_free) struct arena a = ARENA_INIT(REQUEST_MAX);
	Csi__V1__NodePublishVolumeRequest r = CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__INIT;
	struct capability cap;
	struct entries context = {0}, secrets = {0};
	int rc = fill_capability(&a, v->pv, &cap, err);
	rc = rc ?: fill_entries(&a, v->context, false, publish_context, &context, err);
	rc = rc ?: fill_entries(&a, v->secrets, true, publish_secret, &secrets, err);
	if (rc < 0)
		return rc;
	r.volume_id = (char *)v->handle;
	r.staging_target_path = (char *)v->staging;
	r.target_path = (char *)v->target;
	r.volume_capability = &cap.cap;
	r.readonly = v->read_only;
	r.volume_context = (void *)context.p;
	r.n_volume_context = context.n;
	r.secrets = (void *)secrets.p;
	r.n_secrets = secrets.n;
	return call_plain(sock, "NodePublishVolume", &r.base, MOUNT_TIMEOUT_NS, err);
}

int csi_call_unpublish(const char *sock, const char *handle, const char *target, struct error *err)
{
	Csi__V1__NodeUnpublishVolumeRequest r = CSI__V1__NODE_UNPUBLISH_VOLUME_REQUEST__INIT;
	r.volume_id = (char *)handle;
	r.target_path = (char *)target;
	return call_plain(sock, "NodeUnpublishVolume", &r.base, UNMOUNT_TIMEOUT_NS, err);
}

int csi_call_unstage(const char *sock, const char *handle, const char *staging, struct error *err)
{
	Csi__V1__NodeUnstageVolumeRequest r = CSI__V1__NODE_UNSTAGE_VOLUME_REQUEST__INIT;
	r.volume_id = (char *)handle;
	r.staging_target_path = (char *)staging;
	return call_plain(sock, "NodeUnstageVolume", &r.base, UNMOUNT_TIMEOUT_NS, err);
}

int csi_call_stages(const char *sock, bool *ret, struct error *err)
{
	Csi__V1__NodeGetCapabilitiesRequest r = CSI__V1__NODE_GET_CAPABILITIES_REQUEST__INIT;
	CLEANUP(free_p) uint8_t *in = NULL;
	size_t n = 0;
	const int rc = call(sock, "NodeGetCapabilities", &r.base, QUERY_TIMEOUT_NS, &in, &n, err);
	if (rc < 0)
		return rc;
	Csi__V1__NodeGetCapabilitiesResponse *a = csi__v1__node_get_capabilities_response__unpack(NULL, n, in);
	if (a == NULL)
		return error_set(err, -EPROTO, "NodeGetCapabilities: the driver's answer is not what it should be");
	*ret = false;
	for (size_t i = 0; i < a->n_capabilities; i++)
		if (a->capabilities[i]->rpc != NULL &&
		    a->capabilities[i]->rpc->type == CSI__V1__NODE_SERVICE_CAPABILITY__RPC__TYPE__STAGE_UNSTAGE_VOLUME)
			*ret = true;
	csi__v1__node_get_capabilities_response__free_unpacked(a, NULL);
	return 0;
}

int csi_call_node_id(const char *sock, char **ret, struct error *err)
{
	Csi__V1__NodeGetInfoRequest r = CSI__V1__NODE_GET_INFO_REQUEST__INIT;
	CLEANUP(free_p) uint8_t *in = NULL;
	size_t n = 0;
	const int rc = call(sock, "NodeGetInfo", &r.base, QUERY_TIMEOUT_NS, &in, &n, err);
	if (rc < 0)
		return rc;
	Csi__V1__NodeGetInfoResponse *a = csi__v1__node_get_info_response__unpack(NULL, n, in);
	if (a == NULL)
		return error_set(err, -EPROTO, "NodeGetInfo: the driver's answer is not what it should be");
	*ret = strdup(a->node_id);
	csi__v1__node_get_info_response__free_unpacked(a, NULL);
	return *ret != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}
