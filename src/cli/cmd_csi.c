/* `sluice csi`: the node's storage plug-in, which a kubelet (or the node agent) calls over a unix socket. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "cli/command.h"
#include "csi/plugin.h"
#include "kube/client.h"

#define DEFAULT_KUBELET_ROOT "/var/lib/kubelet"
#define DEFAULT_MOUNT_ROOT   "/runtime-mnt"

static const char *environment(const char *name, const char *dflt)
{
	const char *value = getenv(name);
	return value == NULL || *value == '\0' ? dflt : value;
}

static int publish_method(enum publish_method *ret)
{
	const char *method = environment("NODEPUBLISH_METHOD", "bindMount");
	if (strcmp(method, "symlink") == 0)
		*ret = PUBLISH_SYMLINK;
	else if (strcmp(method, "bindMount") == 0)
		*ret = PUBLISH_BIND;
	else
		return -EINVAL;
	return 0;
}

static int serve(const struct csi_options *o, int signals, struct error *err)
{
	struct csi_plugin *p = NULL;
	const int rc = csi_plugin_new(o, &p, err);
	if (rc < 0)
		return rc;
	(void)printf("ready: csi unix://%s\n", csi_plugin_socket(p));
	(void)fflush(stdout);
	(void)stop_signal_wait(signals);
	csi_plugin_free(p);
	return 0;
}

static int start(struct csi_options *o, const char *kubeconfig, struct error *err)
{
	struct kube_config *cfg = NULL;
	struct kube_client *client = NULL;
	CLEANUP(close_fd) int signals = stop_signal_fd();
	if (signals < 0)
		return error_set(err, signals, "wait for signals: %s", strerror(-signals));
	int rc = kube_config_load(kubeconfig, NULL, &cfg, err);
	if (rc == 0)
		rc = kube_client_new(cfg, "sluice-csi", &client, err);
	if (cfg != NULL)
		kube_config_free(cfg);
	if (rc < 0)
		return rc;
	o->api = csi_api_of(client);
	rc = serve(o, signals, err);
	kube_client_free(client);
	return rc;
}

static int csi_run(int argc, char **argv)
{
	const char *endpoint = NULL, *node_id = NULL, *kubeconfig = NULL;
	struct csi_options o = {.kubelet_root = environment("KUBELET_ROOTDIR", DEFAULT_KUBELET_ROOT),
				.mount_root = environment("MOUNT_ROOT", DEFAULT_MOUNT_ROOT)};
	struct error err = {0};
	int words = 0;
	const struct option_spec specs[] = {
		{"endpoint", OPT_STRING, &endpoint},
		{"nodeid", OPT_STRING, &node_id},
		{"kubeconfig", OPT_STRING, &kubeconfig},
		{"kubelet-root", OPT_STRING, &o.kubelet_root},
		{"registration-dir", OPT_STRING, &o.registration_dir},
		{0},
	};
	const int rc = options_parse(&cmd_csi, argc, argv, specs, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	if (words > 0 || endpoint == NULL || node_id == NULL) {
		(void)fputs(
			"sluice csi: --endpoint and --nodeid are needed, and no other words; see 'sluice help csi'\n",
			stderr);
		return 2;
	}
	if (publish_method(&o.publish_method) < 0) {
		(void)fputs("sluice csi: NODEPUBLISH_METHOD must be bindMount or symlink\n", stderr);
		return 2;
	}
	o.endpoint = endpoint;
	o.node_id = node_id;
	log_init(STDERR_FILENO, LOG_LVL_INFO, "csi");
	if (start(&o, kubeconfig, &err) < 0) {
		(void)fprintf(stderr, "sluice csi: %s\n", err.msg);
		return 1;
	}
	return 0;
}

const struct command cmd_csi = {
	.name = "csi",
	.summary = "Serve datasets' volumes on a node (CSI)",
	.usage =
		"Usage: sluice csi --endpoint unix:///PATH --nodeid NAME [--kubeconfig FILE] [--kubelet-root DIR]\n"
		"\n"
		"The node plug-in of the CSI driver " CSI_DRIVER_NAME
		": a kubelet calls it over the socket PATH when a pod uses a\n"
		"dataset's volume. Needs root and Linux 5.12 or newer.\n"
		"\n"
		"  --endpoint unix:///PATH  the socket to serve on; its directory is made\n"
		"  --nodeid NAME            the name of this Node\n"
		"  --kubeconfig FILE        how to reach the API (default: $KUBECONFIG, ~/.kube/config or the pod's "
		"service account)\n"
		"  --kubelet-root DIR       the kubelet's directory (default: $KUBELET_ROOTDIR or " DEFAULT_KUBELET_ROOT
		")\n"
		"  --registration-dir DIR   where a kubelet looks for plug-ins, usually plugins_registry below its own; the "
		"node\n"
		"                           agent of `sluice up` needs none\n"
		"\n"
		"Environment: MOUNT_ROOT, the directory below which fuse pods mount (default " DEFAULT_MOUNT_ROOT ");\n"
		"NODEPUBLISH_METHOD, bindMount (default) or symlink, for volumes that do not choose.\n",
	.hidden = true,
	.run = csi_run,
};
