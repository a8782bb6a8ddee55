/*
 * Dataset and Reservoir controllers on the real API server and workload controllers of this project. A stand-in for the node agent says
 * that pods run; a scripted worker answers /v1/status. Nothing but the pods' contents is missing.
 */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/dataset.h"
#include "api/kind.h"
#include "api/reservoir_runtime.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "controllers/dataset.h"
#include "engines/engines.h"
#include "kube/client.h"
#include "kube/event.h"
#include "kube/manager.h"
#include "local/api_server.h"
#include "local/workload.h"
#include "net/http_server.h"
#include "runtime/api.h"
#include "runtime/reconciler.h"
#include "json/json.h"

#define DATASET (&dataset_kind.resource)
#define RUNTIME (&reservoir_runtime_kind.resource)

static struct world {
	char dir[64];
	struct api_server *api;
	struct kube_client *c;
	struct event_recorder *events;
	struct manager *m;
	struct runtime_api *ra;
	struct informer *agent;
	struct http_server *worker;
	struct engine_limits limits;
	atomic_bool source_is_gone;
	atomic_long cached;
} w;

/* --- stand-ins ------------------------------------------------------------------------------------------------------------------ */

static void worker_answers(void *ctx, struct http_exchange *x)
{
	(void)ctx;
	const bool gone = atomic_load(&w.source_is_gone);
	CLEANUP(free_p)
	char *text = str_printf(
		"{\"ready\":%s,\"mounts\":[{\"path\":\"/\",\"source\":\"https://example.org/\",\"state\":\"%s\","
		"\"message\":\"%s\"}],\"ufs\":{\"bytes\":2048,\"files\":3,\"complete\":true},"
		"\"cache\":{\"capacityBytes\":1073741824,\"cachedBytes\":%ld},"
		"\"reads\":{\"hitBytes\":0,\"missBytes\":0,\"fetchedBytes\":0}}",
		gone ? "false" : "true", gone ? "Failed" : "Ready", gone ? "https://example.org/: 404 Not Found" : "",
		atomic_load(&w.cached));
	http_reply(x, 200, "application/json", text, strlen(text));
}

static void agent_step(void *ctx, enum informer_event ev, const json_t *old, const json_t *pod)
{
	(void)ctx, (void)old;
	if (ev == INFORMER_DELETED || *json_str(pod, "spec.nodeName", "") == '\0')
		return;
	if (obj_deleting(pod)) {
		(void)kube_delete(w.c, &KUBE_POD, obj_namespace(pod), obj_name(pod),
				  &(struct kube_delete_options){.grace_seconds = 0, .uid = obj_uid(pod)}, NULL);
		return;
	}
	if (*json_str(pod, "status.podIP", "") != '\0')
		return;
	const char *phase = str_same(obj_label(pod, "role"), "reservoir-clean") ? "Succeeded" : "Running";
	JSON_AUTO status = json_pack("{s:{s:s,s:s,s:[{s:s,s:s,s:s}]}}", "status", "phase", phase, "podIP", "127.0.0.1",
				     "conditions", "type", "Ready", "status", "True", "lastTransitionTime",
				     "2026-01-01T00:00:00Z");
	(void)kube_patch(w.c, &KUBE_POD, obj_namespace(pod), obj_name(pod), "status", KUBE_PATCH_STRATEGIC, status,
			 NULL, NULL);
}

/* --- helpers -------------------------------------------------------------------------------------------------------------------- */

static void create(const struct kube_resource *r, const char *text)
{
	json_t *obj = NULL;
	struct error err = {0};
	CLEANUP(free_p) char *copy = strdup(text);
	for (char *p = copy; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	if (json_parse(copy, strlen(copy), &obj, &err) < 0 || kube_create(w.c, r, "default", obj, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	json_decref(obj);
}

static void delete_it(const struct kube_resource *r, const char *name)
{
	struct error err = {0};
	if (kube_delete(w.c, r, "default", name, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

/* Until @path of the object is @want (NULL: until the object is gone). At most 30 s. */
static void await(const struct kube_resource *r, const char *name, const char *path, const char *want)
{
	const int64_t deadline = clock_mono_ns() + 30 * NSEC_PER_SEC;
	char have[512] = "absent";
	while (clock_mono_ns() < deadline) {
		JSON_AUTO obj = NULL;
		int rc = kube_get(w.c, r, "default", name, &obj, NULL);
		if (want == NULL ? rc == -ENOENT : rc == 0 && strcmp(json_str(obj, path, ""), want) == 0)
			return;
		if (obj != NULL && path != NULL)
			(void)snprintf(have, sizeof have, "%s", json_str(obj, path, ""));
		(void)poll(NULL, 0, 20);
	}
	fail_msg("%s %s: %s is '%s', not '%s'", r->kind, name, path != NULL ? path : "it", have,
		 want != NULL ? want : "gone");
}

static void create_demo(void)
{
	create(DATASET,
	       "{'apiVersion':'data.fluid.io/v1alpha1','kind':'Dataset','metadata':{'name':'demo'},"
	       "'spec':{'placement':'Shared','mounts':[{'mountPoint':'https://example.org/','name':'x','path':'/'}]}}");
	create(RUNTIME, "{'apiVersion':'data.fluid.io/v1alpha1','kind':'ReservoirRuntime','metadata':{'name':'demo'},"
			"'spec':{'tieredstore':{'levels':[{'mediumtype':'SSD','path':'/data','quota':'1Gi'}]}}}");
	await(DATASET, "demo", "status.phase", "Bound");
}

static void all_is_gone(void)
{
	await(&KUBE_STATEFULSET, "demo-worker", NULL, NULL);
	await(&KUBE_DAEMONSET, "demo-fuse", NULL, NULL);
	await(&KUBE_CONFIGMAP, "demo-config", NULL, NULL);
	await(&KUBE_POD, "demo-worker-0", NULL, NULL);
	await(&KUBE_PVC, "demo", NULL, NULL);
	await(&KUBE_PV, "default-demo", NULL, NULL);
	JSON_AUTO node = NULL;
	struct error err = {0};
	assert_int_equal(kube_get(w.c, &KUBE_NODE, NULL, "n1", &node, &err), 0);
	const char *key;
	json_t *v;
	json_object_foreach (json_at(node, "metadata.labels"), key, v)
		if (strstr(key, "fluid") != NULL)
			fail_msg("the node keeps the label %s", key);
}

/* --- tests ---------------------------------------------------------------------------------------------------------------------- */

static void figures_come_and_change(void **state)
{
	(void)state;
	create_demo();
	await(DATASET, "demo", "status.ufsTotal", "2.00KiB");
	await(DATASET, "demo", "status.fileNum", "3");
	await(DATASET, "demo", "status.cacheStates.cachedPercentage", "0.0%");
	await(&KUBE_PVC, "demo", "status.phase", "Bound");
	atomic_store(&w.cached, 1024);
	await(DATASET, "demo", "status.cacheStates.cached", "1.00KiB");
	await(RUNTIME, "demo", "status.cacheStates.cachedPercentage", "50.0%");

	atomic_store(&w.source_is_gone, true);
	await(DATASET, "demo", "status.conditions[type=MountsReady].message",
	      "mount /: https://example.org/: 404 Not Found");
	await(DATASET, "demo", "status.phase", "Bound"); /* what is cached can be read on */
	atomic_store(&w.source_is_gone, false);
	await(DATASET, "demo", "status.conditions[type=MountsReady].status", "True");
}

static void runtime_goes_first(void **state)
{
	(void)state;
	delete_it(RUNTIME, "demo");
	await(RUNTIME, "demo", NULL, NULL);
	await(DATASET, "demo", "status.phase", "NotBound");
	all_is_gone();
	delete_it(DATASET, "demo");
	await(DATASET, "demo", NULL, NULL);
}

static void dataset_goes_first(void **state)
{
	(void)state;
	create_demo();
	delete_it(DATASET, "demo");
	await(DATASET, "demo", NULL, NULL);
	await(RUNTIME, "demo", NULL, NULL); /* by the garbage collector */
	all_is_gone();
}

static void reader_holds_the_dataset(void **state)
{
	(void)state;
	create_demo();
	create(&KUBE_POD, "{'apiVersion':'v1','kind':'Pod','metadata':{'name':'reader'},'spec':{'containers':[{'name':'"
			  "c','image':'i'}],"
			  "'volumes':[{'name':'d','persistentVolumeClaim':{'claimName':'demo'}}]}}");
	await(&KUBE_POD, "reader", "status.phase", "Running");
	delete_it(DATASET, "demo");
	await(DATASET, "demo", "status.conditions[type=DeletionBlocked].message",
	      "Failed to delete dataset because err: can not delete dataset because Pod reader in Namespace default is "
	      "using it");
	delete_it(&KUBE_POD, "reader");
	await(DATASET, "demo", NULL, NULL);
	await(RUNTIME, "demo", NULL, NULL);
	all_is_gone();
}

/* --- the world ------------------------------------------------------------------------------------------------------------------ */

static int install_kinds(struct error *err)
{
	for (size_t i = 0; sluice_kinds[i] != NULL; i++) {
		JSON_AUTO crd = kind_to_crd(sluice_kinds[i]);
		int rc = kube_apply(w.c, &KUBE_CRD, NULL, obj_name(crd), NULL, crd, NULL, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int start_controllers(struct error *err)
{
	struct dataset_controller *d = NULL;
	struct reconciler *r = NULL;
	int rc = manager_new(&(struct manager_options){.client = w.c, .log = log_root()}, &w.m, err);
	if (rc == 0)
		rc = workload_controllers_register(w.m, &(struct workload_options){.node_grace_ns = 600 * NSEC_PER_SEC},
						   err);
	if (rc == 0)
		rc = runtime_api_new(w.m, w.events, &w.limits, log_root(), &w.ra, err);
	if (rc == 0)
		rc = runtime_api_add(w.ra, &reservoir_runtime_controller, err);
	if (rc == 0)
		rc = dataset_controller_new(&(struct dataset_controller_options){.api = runtime_api_ops(w.ra)}, &d,
					    err);
	if (rc == 0)
		rc = dataset_controller_register(d, w.m, 2, err);
	if (rc == 0)
		rc = reconciler_new(&(struct reconciler_options){.runtime = &reservoir_runtime_controller,
								 .api = runtime_api_ops(w.ra),
								 .limits = &w.limits,
								 .log = log_root(),
								 .ask_figures = true},
				    &r, err);
	if (rc == 0)
		rc = reconciler_register(r, w.m, 2, err);
	return rc == 0 ? manager_start(w.m, -1, err) : rc;
}

static int start_stand_ins(struct error *err)
{
	static const char *const images[] = {"sluice.local/", NULL}, *const paths[] = {"/data", NULL};
	int rc = http_server_new(&(struct http_server_options){.address = "127.0.0.1", .handler = worker_answers},
				 &w.worker, err);
	if (rc < 0)
		return rc;
	/* The one port that workers may get is the one where the scripted worker listens. */
	const int port = http_server_port(w.worker);
	w.limits = (struct engine_limits){.mount_root = "/runtime-mnt",
					  .allowed_images = images,
					  .allowed_host_paths = paths,
					  .port_min = port,
					  .port_max = port + 1};
	rc = informer_new(w.c, &KUBE_POD, NULL, &w.agent, err);
	if (rc == 0)
		rc = informer_add_handler(w.agent, agent_step, NULL);
	return rc == 0 ? informer_start(w.agent, err) : rc;
}

static int world_begin(void **state)
{
	(void)state;
	struct error err = {0};
	struct kube_config *cfg = NULL;
	char kubeconfig[96];
	(void)snprintf(w.dir, sizeof w.dir, "/tmp/test-reservoir-api-XXXXXX");
	if (mkdtemp(w.dir) == NULL)
		return -1;
	(void)snprintf(kubeconfig, sizeof kubeconfig, "%s/kubeconfig", w.dir);
	int rc = api_server_new(
		&(struct api_server_options){.data_dir = w.dir, .address = "127.0.0.1", .kubeconfig = kubeconfig},
		&w.api, &err);
	if (rc == 0)
		rc = kube_config_load(kubeconfig, NULL, &cfg, &err);
	if (rc == 0)
		rc = kube_client_new(cfg, NULL, &w.c, &err);
	kube_config_free(cfg);
	if (rc == 0)
		rc = event_recorder_new(w.c, "test", &w.events, &err);
	if (rc == 0)
		rc = install_kinds(&err);
	if (rc == 0)
		rc = start_stand_ins(&err);
	if (rc == 0)
		rc = start_controllers(&err);
	if (rc < 0) {
		(void)fprintf(stderr, "set up: %s\n", err.msg);
		return -1;
	}
	create(&KUBE_NODE,
	       "{'apiVersion':'v1','kind':'Node','metadata':{'name':'n1','labels':{'kubernetes.io/hostname':'n1'}}}");
	JSON_AUTO ready =
		json_pack("{s:{s:[{s:s,s:s,s:s,s:s}]}}", "status", "conditions", "type", "Ready", "status", "True",
			  "lastTransitionTime", "2026-01-01T00:00:00Z", "lastHeartbeatTime", "2026-01-01T00:00:00Z");
	return kube_patch(w.c, &KUBE_NODE, NULL, "n1", "status", KUBE_PATCH_STRATEGIC, ready, NULL, &err);
}

static int world_end(void **state)
{
	(void)state;
	if (w.m != NULL)
		manager_stop(w.m);
	event_recorder_free(w.events);
	manager_free(w.m);
	runtime_api_free(w.ra);
	informer_free(w.agent);
	http_server_free(w.worker);
	kube_client_free(w.c);
	api_server_free(w.api);
	return file_remove_all(w.dir, NULL);
}

int main(void)
{
	log_init(2, LOG_LVL_WARN, "test");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures_come_and_change),
		cmocka_unit_test(runtime_goes_first),
		cmocka_unit_test(dataset_goes_first),
		cmocka_unit_test(reader_holds_the_dataset),
	};
	return cmocka_run_group_tests_name("engines/reservoir_api", tests, world_begin, world_end);
}
