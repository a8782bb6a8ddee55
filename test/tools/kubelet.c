/*
 * A scripted kubelet: nodes that are always well, and pods that run without running anything. What a pod does is written in its annotations, so
 * that a test says it in the spec of a Runtime (podMetadata) and changes it there:
 *
 *   script/state    "" or ready: runs and is ready. image: its image cannot be pulled. crash: its container ends again and again.
 *                   unready: runs, and its probe fails.
 *   script/answer   what a Reservoir worker answers on its port: "" or good; hang: nothing, ever; garbage: no JSON; gone: its source is gone
 *   script/ending   stuck: it does not end when it is deleted
 *
 * Pods that clean up succeed at once, unless their node has the annotation script/clean: never. usage: scripted-kubelet KUBECONFIG NODES     ends with SIGTERM; prints "ready: kubelet"
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/informer.h"
#include "net/http_server.h"
#include "json/json.h"

#define HEARTBEAT_MS 5000

static struct kube_client *client;
static struct map *workers; /* "ns/pod" → struct answering; the informer's thread alone uses it */

/* A worker's port, and what it says there. */
struct answering {
	struct http_server *server;
	char *mode;
	int port;
};

static void answering_free(void *p)
{
	struct answering *a = p;
	http_server_free(a->server);
	free(a->mode);
	free(a);
}

static void die(const char *what, const struct error *err)
{
	(void)fprintf(stderr, "scripted-kubelet: %s: %s\n", what, err->msg);
	exit(1);
}

static void answer(void *ctx, struct http_exchange *x)
{
	static const char good[] =
		"{\"ready\":true,\"mounts\":[],\"ufs\":{\"bytes\":2048,\"files\":3,\"complete\":true},"
		"\"cache\":{\"capacityBytes\":1073741824,\"cachedBytes\":1024},"
		"\"reads\":{\"hitBytes\":0,\"missBytes\":0,\"fetchedBytes\":0}}";
	static const char gone[] =
		"{\"ready\":false,\"mounts\":[{\"path\":\"/\",\"source\":\"x\",\"state\":\"Failed\","
		"\"message\":\"404 Not Found\"}],\"ufs\":{\"bytes\":0,\"files\":0,\"complete\":false},"
		"\"cache\":{\"capacityBytes\":1073741824,\"cachedBytes\":0},"
		"\"reads\":{\"hitBytes\":0,\"missBytes\":0,\"fetchedBytes\":0}}";
	const struct answering *a = ctx;
	if (strcmp(a->mode, "hang") == 0)
		return; /* cut when the server ends */
	const char *text = strcmp(a->mode, "garbage") == 0 ? "\x01{[not json"
			   : strcmp(a->mode, "gone") == 0  ? gone
							   : good;
	http_reply(x, 200, "application/json", text, strlen(text));
}

static void stop_answering(const json_t *pod)
{
	char key[512];
	(void)snprintf(key, sizeof key, "%s/%s", obj_namespace(pod), obj_name(pod));
	(void)map_remove(workers, key);
}

static void start_answering(const json_t *pod)
{
	int port = (int)json_int(pod, "spec.containers[name=reservoir-worker].ports[name=http].containerPort", 0);
	const char *mode = obj_annotation(pod, "script/answer");
	char key[512];
	struct error err = {0};
	(void)snprintf(key, sizeof key, "%s/%s", obj_namespace(pod), obj_name(pod));
	const struct answering *have = map_get(workers, key);
	if (port == 0 || (have != NULL && have->port == port && strcmp(have->mode, mode != NULL ? mode : "") == 0))
		return;
	(void)map_remove(workers, key);
	struct answering *a = calloc(1, sizeof *a);
	if (a == NULL)
		exit(1);
	a->mode = strdup(mode != NULL ? mode : "");
	a->port = port;
	if (http_server_new(&(struct http_server_options){.address = "127.0.0.1",
							  .port = (uint16_t)port,
							  .workers = 1,
							  .stop_timeout_ns = 10 * NSEC_PER_MSEC,
							  .handler = answer,
							  .ctx = a},
			    &a->server, &err) < 0)
		(void)fprintf(stderr, "scripted-kubelet: %s: %s\n", key,
			      err.msg); /* somebody else's: it stays silent */
	if (map_set(workers, key, a) < 0)
		exit(1);
}

/* --- pods ----------------------------------------------------------------------------------------------------------------------- */

static json_t *waiting(const char *name, const char *reason, const char *message)
{
	return json_pack("{s:s,s:b,s:i,s:s,s:s,s:{s:{s:s,s:s}}}", "name", name, "ready", 0, "restartCount", 3, "image",
			 "x", "imageID", "", "state", "waiting", "reason", reason, "message", message);
}

static json_t *running(const char *name, bool ready)
{
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	return json_pack("{s:s,s:b,s:i,s:s,s:s,s:{s:{s:s}}}", "name", name, "ready", (int)ready, "restartCount", 0,
			 "image", "x", "imageID", "", "state", "running", "startedAt", now);
}

static bool cleans_for_ever(const json_t *pod)
{
	JSON_AUTO node = NULL;
	return kube_get(client, &KUBE_NODE, NULL, json_str(pod, "spec.nodeName", ""), &node, NULL) == 0 &&
	       str_same(obj_annotation(node, "script/clean"), "never");
}

static json_t *status_of(const json_t *pod)
{
	const char *state = obj_annotation(pod, "script/state"), *role = obj_label(pod, "role");
	const char *name = json_str(json_array_get(json_at(pod, "spec.containers"), 0), "name", "c");
	state = state != NULL ? state : "";
	bool clean = role != NULL && str_has_suffix(role, "-clean") && !cleans_for_ever(pod);
	bool ready = !clean && (*state == '\0' || strcmp(state, "ready") == 0);
	json_t *container = strcmp(state, "image") == 0 ? waiting(name, "ImagePullBackOff", "no such image")
			    : strcmp(state, "crash") == 0
				    ? waiting(name, "CrashLoopBackOff", "back-off 10s restarting failed container")
				    : running(name, ready);
	return json_pack("{s:{s:s,s:s,s:[{s:s,s:s,s:s,s:s}],s:[o]}}", "status", "phase",
			 clean                         ? "Succeeded"
			 : strcmp(state, "image") == 0 ? "Pending"
						       : "Running",
			 "podIP", "127.0.0.1", "conditions", "type", "Ready", "status", ready ? "True" : "False",
			 "message", ready || clean ? "" : "containers with unready status", "lastTransitionTime",
			 "2026-01-01T00:00:00Z", "containerStatuses", container);
}

static void on_pod(void *ctx, enum informer_event ev, const json_t *old, const json_t *pod)
{
	(void)ctx, (void)old;
	if (ev == INFORMER_DELETED || obj_deleting(pod))
		stop_answering(pod);
	if (ev == INFORMER_DELETED || *json_str(pod, "spec.nodeName", "") == '\0')
		return;
	const char *ending = obj_annotation(pod, "script/ending");
	if (obj_deleting(pod)) {
		if (ending == NULL || strcmp(ending, "stuck") != 0)
			(void)kube_delete(client, &KUBE_POD, obj_namespace(pod), obj_name(pod),
					  &(struct kube_delete_options){.grace_seconds = 0, .uid = obj_uid(pod)},
					  NULL); /* gone already is fine */
		return;
	}
	JSON_AUTO want = status_of(pod);
	if (json_bool(json_at(want, "status.containerStatuses[name=reservoir-worker]"), "ready", false))
		start_answering(pod);
	/* Once for each change of the script: what was said is remembered in the status' message. */
	CLEANUP(free_p)
	char *said = str_printf("script %s",
				obj_annotation(pod, "script/state") != NULL ? obj_annotation(pod, "script/state") : "");
	if (str_same(json_str(pod, "status.message", NULL), said))
		return;
	struct error err = {0};
	if (json_put_str(want, "status.message", said) < 0 ||
	    kube_patch(client, &KUBE_POD, obj_namespace(pod), obj_name(pod), "status", KUBE_PATCH_STRATEGIC, want, NULL,
		       &err) < 0)
		(void)fprintf(stderr, "scripted-kubelet: %s\n", err.msg); /* it went meanwhile, or the server did */
}

/* --- nodes ---------------------------------------------------------------------------------------------------------------------- */

static void make_node(int i)
{
	char name[16];
	struct error err = {0};
	(void)snprintf(name, sizeof name, "n%d", i + 1);
	JSON_AUTO node = json_pack("{s:s,s:s,s:{s:s,s:{s:s}}}", "apiVersion", "v1", "kind", "Node", "metadata", "name",
				   name, "labels", "kubernetes.io/hostname", name);
	JSON_AUTO status = json_pack("{s:{s:{s:s,s:s,s:s},s:{s:s,s:s,s:s},s:[{s:s,s:s}]}}", "status", "capacity", "cpu",
				     "64", "memory", "256Gi", "pods", "10000", "allocatable", "cpu", "64", "memory",
				     "256Gi", "pods", "10000", "conditions", "type", "Ready", "status", "True");
	int rc = kube_create(client, &KUBE_NODE, NULL, node, NULL, &err);
	if ((rc < 0 && rc != -EEXIST) ||
	    kube_patch(client, &KUBE_NODE, NULL, name, "status", KUBE_PATCH_STRATEGIC, status, NULL, &err) < 0)
		die(name, &err);
}

static void beat(int i)
{
	char name[16], now[32];
	(void)snprintf(name, sizeof name, "n%d", i + 1);
	clock_format_rfc3339(clock_wall_ns(), now);
	char micro[40];
	(void)snprintf(micro, sizeof micro, "%.19s.000000Z", now);
	JSON_AUTO lease = json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:s,s:i,s:s}}", "apiVersion", "coordination.k8s.io/v1",
				    "kind", "Lease", "metadata", "name", name, "namespace", "kube-node-lease", "spec",
				    "holderIdentity", name, "leaseDurationSeconds", 40, "renewTime", micro);
	(void)kube_apply(client, &KUBE_LEASE, "kube-node-lease", name, NULL, lease, NULL,
			 NULL); /* the next one may do */
}

int main(int argc, char **argv)
{
	struct error err = {0};
	struct kube_config *cfg = NULL;
	struct informer *pods = NULL;
	sigset_t stop;
	if (argc != 3) {
		(void)fputs("usage: scripted-kubelet KUBECONFIG NODES\n", stderr);
		return 2;
	}
	int nodes = (int)strtol(argv[2], NULL, 10);
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigaddset(&stop, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &stop, NULL); /* before threads start: they inherit it */
	(void)signal(SIGPIPE, SIG_IGN);
	workers = map_new(answering_free);
	if (workers == NULL || kube_config_load(argv[1], NULL, &cfg, &err) < 0 ||
	    kube_client_new(cfg, "scripted-kubelet", &client, &err) < 0)
		die("connect", &err);
	JSON_AUTO ns = json_pack("{s:s,s:s,s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata", "name",
				 "kube-node-lease");
	(void)kube_create(client, &KUBE_NAMESPACE, NULL, ns, NULL, &err); /* there already is fine */
	for (int i = 0; i < nodes; i++) {
		make_node(i);
		beat(i);
	}
	if (informer_new(client, &KUBE_POD, NULL, &pods, &err) < 0 || informer_add_handler(pods, on_pod, NULL) < 0 ||
	    informer_start(pods, &err) < 0)
		die("pods", &err);
	(void)puts("ready: kubelet");
	(void)fflush(stdout);
	const struct timespec pause = {.tv_sec = HEARTBEAT_MS / 1000};
	while (sigtimedwait(&stop, NULL, &pause) < 0)
		for (int i = 0; i < nodes; i++)
			beat(i);
	informer_free(pods);
	map_free(workers);
	kube_client_free(client);
	kube_config_free(cfg);
	return 0;
}
