/* A Dataset and its ReservoirRuntime on a scripted API, with the reconciler that works on them. */
#pragma once

#include "runtime/fake_api.h"

#include "api/dataset.h"
#include "api/reservoir_runtime.h"
#include "engines/engines.h"
#include "engines/reservoir/reservoir.h"
#include "runtime/reconciler.h"

#define DATASET (&dataset_kind.resource)
#define RUNTIME (&reservoir_runtime_kind.resource)

struct fixture {
	struct fake_api *api;
	struct engine_limits limits;
	struct reconciler *r;
};

static inline int fixture_setup(void **state)
{
	static const char *const images[] = {"sluice.local/", NULL};
	static const char *const paths[] = {"/data", "/var/cache/sluice", "/dev/shm", NULL};
	struct fixture *x = calloc(1, sizeof *x);
	assert_non_null(x);
	x->api = fake_new();
	x->limits = (struct engine_limits){.mount_root = "/runtime-mnt",
					   .allowed_images = images,
					   .allowed_host_paths = paths,
					   .port_min = 20000,
					   .port_max = 26001};
	struct error err = {0};
	assert_int_equal(reconciler_new(&(struct reconciler_options){.runtime = &reservoir_runtime_controller,
								     .api = &x->api->ops,
								     .limits = &x->limits},
					&x->r, &err),
			 0);
	fake_put(x->api, &KUBE_NODE,
		 "{'kind':'Node','metadata':{'name':'n1','labels':{'kubernetes.io/hostname':'n1'}},"
		 "'status':{'conditions':[{'type':'Ready','status':'True'}]}}");
	*state = x;
	return 0;
}

static inline int fixture_teardown(void **state)
{
	struct fixture *x = *state;
	reconciler_free(x->r);
	fake_free(x->api);
	free(x);
	return 0;
}

static inline json_t *put_dataset(struct fixture *x, const char *spec)
{
	char text[2048];
	(void)snprintf(text, sizeof text,
		       "{'apiVersion':'data.fluid.io/"
		       "v1alpha1','kind':'Dataset','metadata':{'name':'demo','namespace':'default'},'spec':%s}",
		       spec);
	return fake_put(x->api, DATASET, text);
}

static inline json_t *put_runtime(struct fixture *x, const char *spec)
{
	char text[2048];
	(void)snprintf(
		text, sizeof text,
		"{'apiVersion':'data.fluid.io/"
		"v1alpha1','kind':'ReservoirRuntime','metadata':{'name':'demo','namespace':'default'},'spec':%s}",
		spec);
	return fake_put(x->api, RUNTIME, text);
}

#define SPEC_HTTP "{'mounts':[{'mountPoint':'https://example.org/pub/','name':'pub','path':'/'}],'placement':'Shared'}"
#define SPEC_MEM                                                                                                       \
	"{'replicas':1,'tieredstore':{'levels':[{'mediumtype':'SSD','path':'/var/cache/sluice','quota':'2Gi'}]}}"

static inline json_t *dataset(const struct fixture *x)
{
	return fake_live(x->api, DATASET, "default", "demo");
}

static inline json_t *runtime(const struct fixture *x)
{
	return fake_live(x->api, RUNTIME, "default", "demo");
}

static inline json_t *worker(const struct fixture *x)
{
	return fake_live(x->api, &KUBE_STATEFULSET, "default", "demo-worker");
}

static inline int pass(struct fixture *x, struct error *err)
{
	struct reconcile_result res = {0};
	return reconciler_reconcile(x->r, "default", "demo", &res, err);
}

/* Passes until one writes nothing; the number of those that did. */
static inline int settle(struct fixture *x)
{
	for (int i = 0; i < 20; i++) {
		size_t before = json_array_size(x->api->writes);
		struct error err = {0};
		int rc = pass(x, &err);
		if (rc < 0)
			fail_msg("pass %d: %s", i, err.msg);
		if (json_array_size(x->api->writes) == before)
			return i;
	}
	fail_msg("it never settles: %s",
		 json_string_value(json_array_get(x->api->writes, json_array_size(x->api->writes) - 1)));
	return -1;
}

/** The pod that removes the dataset's data from node n1, or NULL. */
static inline json_t *clean_pod(const struct fixture *x)
{
	const char *key;
	json_t *obj;
	json_object_foreach (x->api->objects, key, obj)
		if (strncmp(key, "pods/default/demo-clean-", 24) == 0)
			return obj;
	return NULL;
}

/* What the StatefulSet and DaemonSet controllers would do. */
static inline void worker_becomes_ready(struct fixture *x)
{
	fake_put(x->api, &KUBE_POD,
		 "{'kind':'Pod','metadata':{'name':'demo-worker-0','namespace':'default','labels':{'app':'reservoir','"
		 "release':'demo',"
		 "'role':'reservoir-worker','fluid.io/dataset-id':'default-demo','fluid.io/"
		 "dataset':'default-demo','fluid.io/dataset-placement':'Shared'},"
		 "'ownerReferences':[{'kind':'StatefulSet','name':'demo-worker','controller':true}]},"
		 "'spec':{'nodeName':'n1'},'status':{'phase':'Running','podIP':'127.0.0.1'}}");
	fake_set(x->api, worker(x), "status",
		 json_pack("{s:i,s:i,s:i}", "replicas", 1, "readyReplicas", 1, "availableReplicas", 1));
}
