/* How a kubelet finds the plug-in: a second socket in the directory that it watches tells it where the first one is. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "csi/plugin_internal.h"
#include "net/proto/registration.pb-c.h"

static void get_info(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	const struct csi_plugin *p = ctx;
	char *versions[] = {(char *)"1.0.0"};
	Pluginregistration__PluginInfo r = PLUGINREGISTRATION__PLUGIN_INFO__INIT;
	(void)in;
	(void)n;
	(void)deadline;
	r.type = (char *)"CSIPlugin";
	r.name = (char *)CSI_DRIVER_NAME;
	r.endpoint = p->socket;
	r.n_supported_versions = ARRAY_LEN(versions);
	r.supported_versions = versions;
	csi_reply(reply, &r);
}

/* The kubelet tries again by itself while the socket is there. */
static void notify_status(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	const struct csi_plugin *p = ctx;
	const Pluginregistration__RegistrationStatusResponse r = PLUGINREGISTRATION__REGISTRATION_STATUS_RESPONSE__INIT;
	Pluginregistration__RegistrationStatus *status = pluginregistration__registration_status__unpack(NULL, n, in);
	(void)deadline;
	if (status == NULL)
		return csi_reply_malformed(reply);
	if (status->plugin_registered)
		LOG(NULL, LOG_LVL_INFO, "registered with the kubelet", LOG_STR("node", p->node_id));
	else
		LOG(NULL, LOG_LVL_ERROR, "the kubelet did not register the plug-in", LOG_STR("node", p->node_id),
		    LOG_STR("err", status->error));
	pluginregistration__registration_status__free_unpacked(status, NULL);
	csi_reply(reply, &r);
}

static const struct grpc_method methods[] = {
	{"/pluginregistration.Registration/GetInfo", get_info},
	{"/pluginregistration.Registration/NotifyRegistrationStatus", notify_status},
};

int csi_registration_begin(struct csi_plugin *p, const char *dir, struct error *err)
{
	CLEANUP(free_p) char *socket = str_printf("%s/%s-reg.sock", dir, CSI_DRIVER_NAME);
	if (socket == NULL)
		return error_set(err, -ENOMEM, "registration: out of memory");
	const int rc = grpc_server_new(socket, methods, ARRAY_LEN(methods), p, &p->registration, err);
	return rc < 0 ? error_wrap(err, rc, "registration in '%s'", dir) : 0;
}
