/* The methods: unpack, call, pack, and log what failed. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "csi/plugin_internal.h"
#include "net/proto/csi.pb-c.h"

#define MARGIN_NS (NSEC_PER_SEC / 2) /* so that the reason reaches the caller before it gives up */

void csi_reply(struct grpc_reply *reply, const void *message)
{
	const ProtobufCMessage *m = message;
	const size_t n = protobuf_c_message_get_packed_size(m);
	reply->data = malloc(n + 1);
	if (reply->data == NULL) {
		reply->code = GRPC_RESOURCE_EXHAUSTED;
		(void)str_copy(reply->message, sizeof reply->message, "out of memory"); /* fits */
		return;
	}
	reply->n = protobuf_c_message_pack(m, reply->data);
}

static enum grpc_code code_of(int rc)
{
	switch (rc) {
	case -EINVAL:
		return GRPC_INVALID_ARGUMENT;
	case -EBUSY:
		return GRPC_ABORTED;
	case -EPERM:
	case -EACCES:
		return GRPC_PERMISSION_DENIED;
	case -ETIMEDOUT:
		return GRPC_DEADLINE_EXCEEDED;
	case -ENOMEM:
		return GRPC_RESOURCE_EXHAUSTED;
	case -ECONNREFUSED:
	case -EHOSTUNREACH:
	case -ECONNRESET:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_INTERNAL;
	}
}

void csi_reply_error(struct grpc_reply *reply, int rc, const struct error *err)
{
	reply->code = code_of(rc);
	(void)str_copy(reply->message, sizeof reply->message, err->msg); /* cut is better than none */
}

void csi_reply_malformed(struct grpc_reply *reply)
{
	reply->code = GRPC_INVALID_ARGUMENT;
	(void)str_copy(reply->message, sizeof reply->message, "the request is not a message of this method"); /* fits */
}

static int64_t inner_deadline(int64_t deadline)
{
	const int64_t now = clock_mono_ns(), left = deadline - now;
	return left > 2 * MARGIN_NS ? deadline - MARGIN_NS : now + left / 2;
}

static void finish(const char *method, const char *volume, int rc, const struct error *err, int64_t begun,
		   const void *answer, struct grpc_reply *reply)
{
	const int64_t took = clock_mono_ns() - begun;
	if (rc == 0) {
		csi_reply(reply, answer);
		LOG(NULL, LOG_LVL_DEBUG, "call done", LOG_STR("method", method), LOG_STR("volume", volume),
		    LOG_DUR("duration", took));
		return;
	}
	csi_reply_error(reply, rc, err);
	LOG(NULL, LOG_LVL_WARN, "call failed", LOG_STR("method", method), LOG_STR("volume", volume),
	    LOG_INT("code", reply->code), LOG_STR("err", err->msg), LOG_DUR("duration", took));
}

/* One body for the four methods that work on a volume. */
#define VOLUME_METHOD(name_, verb_, Type_, type_)                                                                      \
	static void name_(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)          \
	{                                                                                                              \
		const int64_t begun = clock_mono_ns();                                                                 \
		struct error err = {0};                                                                                \
		Csi__V1__##Type_##Request *r = csi__v1__##type_##_request__unpack(NULL, n, in);                        \
		if (r == NULL) {                                                                                       \
			csi_reply_malformed(reply);                                                                    \
			return;                                                                                        \
		}                                                                                                      \
		const Csi__V1__##Type_##Response answer = CSI__V1__##verb_##__INIT;                                    \
		const int rc = csi_##name_(ctx, r, inner_deadline(deadline), &err);                                    \
		finish(#Type_, r->volume_id, rc, &err, begun, &answer, reply);                                         \
		csi__v1__##type_##_request__free_unpacked(r, NULL);                                                    \
	}

VOLUME_METHOD(stage, NODE_STAGE_VOLUME_RESPONSE, NodeStageVolume, node_stage_volume)
VOLUME_METHOD(unstage, NODE_UNSTAGE_VOLUME_RESPONSE, NodeUnstageVolume, node_unstage_volume)
VOLUME_METHOD(publish, NODE_PUBLISH_VOLUME_RESPONSE, NodePublishVolume, node_publish_volume)
VOLUME_METHOD(unpublish, NODE_UNPUBLISH_VOLUME_RESPONSE, NodeUnpublishVolume, node_unpublish_volume)

/* The others' requests are empty messages: whatever they hold is a newer version's. */

static void get_plugin_info(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	Csi__V1__GetPluginInfoResponse r = CSI__V1__GET_PLUGIN_INFO_RESPONSE__INIT;
	(void)ctx;
	(void)in;
	(void)n;
	(void)deadline;
	r.name = (char *)CSI_DRIVER_NAME;
	r.vendor_version = (char *)SLUICE_VERSION;
	csi_reply(reply, &r);
}

static void get_plugin_capabilities(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	/* None: there is no controller service; datasets' volumes are made by the controllers. */
	const Csi__V1__GetPluginCapabilitiesResponse r = CSI__V1__GET_PLUGIN_CAPABILITIES_RESPONSE__INIT;
	(void)ctx;
	(void)in;
	(void)n;
	(void)deadline;
	csi_reply(reply, &r);
}

static void probe(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	Csi__V1__BoolValue yes = CSI__V1__BOOL_VALUE__INIT;
	Csi__V1__ProbeResponse r = CSI__V1__PROBE_RESPONSE__INIT;
	(void)ctx;
	(void)in;
	(void)n;
	(void)deadline;
	yes.value = true;
	r.ready = &yes;
	csi_reply(reply, &r);
}

static void node_get_info(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	const struct csi_plugin *p = ctx;
	Csi__V1__NodeGetInfoResponse r = CSI__V1__NODE_GET_INFO_RESPONSE__INIT;
	(void)in;
	(void)n;
	(void)deadline;
	r.node_id = p->node_id;
	csi_reply(reply, &r);
}

static void node_get_capabilities(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	Csi__V1__NodeServiceCapability__RPC rpc = CSI__V1__NODE_SERVICE_CAPABILITY__RPC__INIT;
	Csi__V1__NodeServiceCapability capability = CSI__V1__NODE_SERVICE_CAPABILITY__INIT, *list[] = {&capability};
	Csi__V1__NodeGetCapabilitiesResponse r = CSI__V1__NODE_GET_CAPABILITIES_RESPONSE__INIT;
	(void)ctx;
	(void)in;
	(void)n;
	(void)deadline;
	rpc.type = CSI__V1__NODE_SERVICE_CAPABILITY__RPC__TYPE__STAGE_UNSTAGE_VOLUME;
	capability.rpc = &rpc;
	r.n_capabilities = 1;
	r.capabilities = list;
	csi_reply(reply, &r);
}

const struct grpc_method csi_methods[] = {
	{"/csi.v1.Identity/GetPluginInfo", get_plugin_info},
	{"/csi.v1.Identity/GetPluginCapabilities", get_plugin_capabilities},
	{"/csi.v1.Identity/Probe", probe},
	{"/csi.v1.Node/NodeStageVolume", stage},
	{"/csi.v1.Node/NodeUnstageVolume", unstage},
	{"/csi.v1.Node/NodePublishVolume", publish},
	{"/csi.v1.Node/NodeUnpublishVolume", unpublish},
	{"/csi.v1.Node/NodeGetInfo", node_get_info},
	{"/csi.v1.Node/NodeGetCapabilities", node_get_capabilities},
};
const size_t csi_n_methods = ARRAY_LEN(csi_methods);
