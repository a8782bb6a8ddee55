/* The whole life of a Dataset on ReservoirRuntime, against a scripted API. */
#include "engines/reservoir_fixture.h"

#include "base/clock.h"

static void test_life(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, SPEC_HTTP);
	put_runtime(x, SPEC_MEM);
	(void)settle(x);

	/* Setup: owner, finalizer, labels, objects; not ready, and it says why. */
	assert_true(obj_has_finalizer(runtime(x), "reservoir-runtime-controller-finalizer"));
	assert_string_equal(json_str(runtime(x), "metadata.ownerReferences[0].uid", ""), obj_uid(dataset(x)));
	assert_string_equal(obj_label(dataset(x), "fluid.io/dataset-id"), "default-demo");
	assert_non_null(worker(x));
	assert_non_null(fake_live(x->api, &KUBE_DAEMONSET, "default", "demo-fuse"));
	assert_non_null(fake_live(x->api, &KUBE_CONFIGMAP, "default", "demo-config"));
	assert_string_equal(json_str(runtime(x), "status.workerPhase", ""), "NotReady");
	assert_string_equal(fake_condition(dataset(x), "NotReady", "True"), "0 of 1 workers are ready");
	assert_null(fake_live(x->api, &KUBE_PVC, "default", "demo"));

	/* Ready: bound, with its volume, and the node's labels. */
	worker_becomes_ready(x);
	(void)settle(x);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
	assert_string_equal(fake_condition(dataset(x), "Ready", "True"), "The ddc runtime is ready.");
	assert_string_equal(fake_condition(dataset(x), "NotReady", "True"), "");
	assert_string_equal(json_str(dataset(x), "status.runtimes[0].type", ""), "reservoir");
	assert_string_equal(json_str(dataset(x), "status.ufsTotal", ""), "[Calculating]");
	json_t *pv = fake_live(x->api, &KUBE_PV, "", "default-demo");
	assert_string_equal(json_str(pv, "spec.csi.volumeAttributes.fluid_path", ""),
			    "/runtime-mnt/reservoir/default/demo/reservoir-fuse");
	assert_string_equal(json_str(pv, "spec.csi.volumeAttributes.mount_type", ""), "fuse.reservoir-fuse");
	assert_string_equal(json_str(fake_live(x->api, &KUBE_PVC, "default", "demo"), "spec.volumeName", ""),
			    "default-demo");
	json_t *node = fake_live(x->api, &KUBE_NODE, "", "n1");
	assert_string_equal(obj_label(node, "fluid.io/s-reservoir-default-demo"), "true");
	assert_string_equal(obj_label(node, "fluid.io/s-h-reservoir-d-default-demo"), "2GiB");
	assert_string_equal(obj_label(node, "fluid.io/dataset-num"), "1");
	assert_null(obj_label(node, "fluid_exclusive")); /* Shared */

	/* Steady: a pass writes nothing. */
	assert_int_equal(settle(x), 0);
}

static void bind_demo(struct fixture *x)
{
	put_dataset(x, SPEC_HTTP);
	put_runtime(x, SPEC_MEM);
	(void)settle(x);
	worker_becomes_ready(x);
	(void)settle(x);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
}

static void test_deletion(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	bind_demo(x);
	fake_set(x->api, fake_live(x->api, &KUBE_NODE, "", "n1"), "metadata.labels[\"fluid.io/f-default-demo\"]",
		 json_string("true"));
	/* The claim is protected while a pod uses it. */
	fake_set(x->api, fake_live(x->api, &KUBE_PVC, "default", "demo"), "metadata.finalizers",
		 json_pack("[s]", "kubernetes.io/pvc-protection"));
	json_t *reader = fake_put(x->api, &KUBE_POD,
				  "{'kind':'Pod','metadata':{'name':'reader','namespace':'default'},"
				  "'spec':{'volumes':[{'name':'d','persistentVolumeClaim':{'claimName':'demo'}}]},'"
				  "status':{'phase':'Running'}}");
	(void)reader;
	assert_int_equal(x->api->ops.remove(x->api, RUNTIME, "default", "demo", &err), 0);
	char now[32];
	clock_format_rfc3339(clock_wall_ns(), now);
	fake_set(x->api, runtime(x), "metadata.deletionTimestamp", json_string(now));
	(void)settle(x);
	assert_non_null(strstr(fake_condition(runtime(x), "Deleted", "False"), "is in use by pod reader"));
	assert_non_null(worker(x));

	/* The reader is gone, and with it the protection; the worker's pod takes its time. */
	(void)json_object_del(x->api->objects, "pods/default/reader");
	(void)json_object_del(x->api->objects, "persistentvolumeclaims/default/demo");
	(void)settle(x);
	assert_null(worker(x));
	assert_null(fake_live(x->api, &KUBE_PV, "", "default-demo"));
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");

	(void)json_object_del(x->api->objects, "pods/default/demo-worker-0");
	(void)settle(x);
	json_t *clean = clean_pod(x);
	assert_non_null(clean);
	assert_string_equal(json_str(clean, "spec.nodeName", ""), "n1");
	const json_t *command = json_at(clean, "spec.containers[name=clean].command");
	static const char *const want[] = {"rm", "-rf", "--one-file-system", "--", "/clean/0/demo", "/clean/1/demo"};
	assert_int_equal(json_array_size(command), ARRAY_LEN(want));
	for (size_t i = 0; i < ARRAY_LEN(want); i++)
		assert_string_equal(json_string_value(json_array_get(command, i)), want[i]);
	assert_string_equal(json_str(clean, "spec.volumes[name=dir-0].hostPath.path", ""),
			    "/runtime-mnt/reservoir/default");
	assert_string_equal(json_str(clean, "spec.volumes[name=dir-1].hostPath.path", ""), "/var/cache/sluice/default");
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");

	fake_set(x->api, clean, "status.phase", json_string("Succeeded"));
	(void)settle(x);
	assert_null(runtime(x));
	assert_null(clean_pod(x));
	assert_false(fake_has_event(x->api, "CacheNotCleaned"));
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "NotBound");
	assert_null(json_at(dataset(x), "status.runtimes"));
	assert_int_equal(json_array_size(json_at(dataset(x), "status.conditions")), 0);
	json_t *labels = json_at(fake_live(x->api, &KUBE_NODE, "", "n1"), "metadata.labels");
	assert_int_equal(json_object_size(labels), 1); /* its own host name */
}

static void test_pods_that_never_end_do_not_hold_for_ever(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	bind_demo(x);
	assert_int_equal(x->api->ops.remove(x->api, RUNTIME, "default", "demo", &err), 0);
	/* The fake's deletionTimestamp lies long in the past: patience is over, although the worker's pod is still there. */
	(void)settle(x);
	assert_non_null(clean_pod(x));
	fake_set(x->api, clean_pod(x), "metadata.creationTimestamp", json_string("2026-01-02T03:04:05Z"));
	(void)settle(x);
	assert_null(runtime(x));
	assert_true(fake_has_event(
		x->api,
		"Warning CacheNotCleaned on ReservoirRuntime: cached data may be left on node n1: pod demo-clean-"));
	assert_true(fake_has_event(x->api, "has not ended after 60 s"));
}

static void test_node_that_is_gone_is_not_waited_for(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	bind_demo(x);
	fake_set(x->api, fake_live(x->api, &KUBE_NODE, "", "n1"), "status.conditions[type=Ready].status",
		 json_string("Unknown"));
	(void)json_object_del(x->api->objects, "pods/default/demo-worker-0");
	assert_int_equal(x->api->ops.remove(x->api, RUNTIME, "default", "demo", &err), 0);
	(void)settle(x);
	assert_null(runtime(x));
	assert_true(fake_has_event(x->api, "cached data may be left on node n1: the node is not ready"));
}

static void test_deletion_before_it_was_ever_ready(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	put_dataset(x, SPEC_HTTP);
	put_runtime(x, SPEC_MEM);
	(void)settle(x);
	worker_becomes_ready(x);
	fake_set(x->api, worker(x), "status.readyReplicas", json_integer(0));
	(void)settle(x);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "");
	/* The Dataset goes first, and the worker's pod: what it left is still found. */
	(void)json_object_del(x->api->objects, "datasets/default/demo");
	(void)json_object_del(x->api->objects, "pods/default/demo-worker-0");
	assert_int_equal(x->api->ops.remove(x->api, RUNTIME, "default", "demo", &err), 0);
	(void)settle(x);
	assert_non_null(clean_pod(x));
	fake_set(x->api, clean_pod(x), "status.phase", json_string("Succeeded"));
	(void)settle(x);
	assert_null(runtime(x));
}

static void test_scaling(void **state)
{
	struct fixture *x = *state;
	bind_demo(x);
	fake_set(x->api, runtime(x), "spec.replicas", json_integer(2));
	(void)settle(x);
	assert_int_equal(json_int(worker(x), "spec.replicas", 0), 2);
	assert_string_equal(fake_condition(runtime(x), "WorkersScaledOut", "True"),
			    "Workers scaled out from 1 replicas to 2 replicas.");
	assert_true(fake_has_event(x->api, "Normal Succeed on ReservoirRuntime: Runtime scaled out"));
	assert_non_null(
		strstr(fake_condition(runtime(x), "WorkersInitialized", "False"), "1/1 nodes can take a worker"));
	assert_string_equal(json_str(runtime(x), "status.workerPhase", ""), "PartialReady");
	/* A second node comes: the condition tells of now. */
	fake_put(x->api, &KUBE_NODE, "{'kind':'Node','metadata':{'name':'n2'}}");
	(void)settle(x);
	assert_string_equal(fake_condition(runtime(x), "WorkersInitialized", "True"), "The workers are initialized.");
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
}

static void test_lost_workload_comes_back(void **state)
{
	struct fixture *x = *state;
	bind_demo(x);
	(void)json_object_del(x->api->objects, "statefulsets/default/demo-worker");
	(void)settle(x);
	assert_non_null(worker(x));
	(void)json_object_del(x->api->objects, "daemonsets/default/demo-fuse");
	(void)settle(x);
	assert_non_null(fake_live(x->api, &KUBE_DAEMONSET, "default", "demo-fuse"));
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
}

static void test_change_of_mounts(void **state)
{
	struct fixture *x = *state;
	bind_demo(x);
	char *before = strdup(json_str(worker(x), "spec.template.metadata.annotations[\"sluice.io/config\"]", ""));
	fake_set(x->api, dataset(x), "spec.mounts[0].mountPoint", json_string("https://example.org/other/"));
	(void)settle(x);
	assert_string_not_equal(json_str(worker(x), "spec.template.metadata.annotations[\"sluice.io/config\"]", ""),
				before);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Updating");
	free(before);
}

static void test_refused_spec_stands_until_it_changes(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, "{'mounts':[{'mountPoint':'ftp://bucket/','name':'b'}]}");
	put_runtime(x, SPEC_MEM);
	(void)settle(x);
	assert_non_null(
		strstr(fake_condition(dataset(x), "NotReady", "True"), "spec.mounts[0].mountPoint: 'ftp://bucket/'"));
	assert_true(fake_has_event(x->api, "Warning ErrorValidateSpecFields on ReservoirRuntime"));
	assert_null(worker(x));
	fake_set(x->api, dataset(x), "spec.mounts[0].mountPoint", json_string("https://example.org/"));
	(void)settle(x);
	assert_non_null(worker(x));
	assert_string_equal(fake_condition(runtime(x), "SpecValid", "False"), "");
}

static void test_bound_elsewhere(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, SPEC_HTTP);
	put_runtime(x, SPEC_MEM);
	fake_set(x->api, dataset(x), "status",
		 json_pack("{s:s,s:[],s:[{s:s,s:s,s:s,s:s}]}", "phase", "Bound", "conditions", "runtimes", "name",
			   "demo", "namespace", "default", "category", "Accelerate", "type", "alluxio"));
	(void)settle(x);
	assert_true(fake_has_event(x->api, "already bound to another runtime alluxio default/demo"));
	assert_null(worker(x));
}

static void test_without_dataset(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	put_runtime(x, SPEC_MEM);
	(void)settle(x);
	assert_true(fake_has_event(x->api, "No dataset can be bound to the runtime, waiting."));
	/* It never got a finalizer, so it goes at once. */
	assert_int_equal(x->api->ops.remove(x->api, RUNTIME, "default", "demo", &err), 0);
	assert_null(runtime(x));
	(void)settle(x);
}

static void test_conflicts_are_not_errors_that_stay(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, SPEC_HTTP);
	put_runtime(x, SPEC_MEM);
	for (int i = 0; i < 12; i++) {
		struct error err = {0};
		x->api->conflicts = 1;
		int rc = pass(x, &err);
		if (rc < 0 && rc != -ESTALE)
			fail_msg("pass %d: %s", i, err.msg);
		x->api->conflicts = 0;
		(void)pass(x, &err);
	}
	worker_becomes_ready(x);
	(void)settle(x);
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
	assert_int_equal(json_array_size(json_at(runtime(x), "metadata.finalizers")), 1);
	assert_int_equal(json_array_size(json_at(runtime(x), "metadata.ownerReferences")), 1);
	assert_false(fake_has_event(x->api, "scripted conflict"));
}

static void test_new_dataset_of_the_same_name(void **state)
{
	struct fixture *x = *state;
	bind_demo(x);
	(void)json_object_del(x->api->objects, "datasets/default/demo");
	put_dataset(x, SPEC_HTTP);
	(void)settle(x);
	assert_int_equal(json_array_size(json_at(runtime(x), "metadata.ownerReferences")), 1);
	assert_string_equal(json_str(runtime(x), "metadata.ownerReferences[0].uid", ""), obj_uid(dataset(x)));
	assert_string_equal(json_str(dataset(x), "status.phase", ""), "Bound");
}

static void test_foreign_claim_is_told(void **state)
{
	struct fixture *x = *state;
	put_dataset(x, SPEC_HTTP);
	put_runtime(x, SPEC_MEM);
	fake_put(x->api, &KUBE_PVC,
		 "{'kind':'PersistentVolumeClaim','metadata':{'name':'demo','namespace':'default'}}");
	(void)settle(x);
	worker_becomes_ready(x);
	struct error err = {0};
	for (int i = 0; i < 5; i++)
		(void)pass(x, &err);
	assert_int_equal(pass(x, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "exists and was not made for the Dataset; rename it or the Dataset"));
	assert_true(fake_has_event(x->api, "Failed to setup volume due to error"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
		T(test_life),
		T(test_deletion),
		T(test_pods_that_never_end_do_not_hold_for_ever),
		T(test_node_that_is_gone_is_not_waited_for),
		T(test_deletion_before_it_was_ever_ready),
		T(test_scaling),
		T(test_lost_workload_comes_back),
		T(test_change_of_mounts),
		T(test_refused_spec_stands_until_it_changes),
		T(test_bound_elsewhere),
		T(test_without_dataset),
		T(test_conflicts_are_not_errors_that_stay),
		T(test_new_dataset_of_the_same_name),
		T(test_foreign_claim_is_told),
	};
	return cmocka_run_group_tests_name("engines/reservoir", tests, NULL, NULL);
}
