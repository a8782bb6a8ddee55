#include "runtime/api.h"

#include <assert.h>
#include <string.h>

#include "api/dataset.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "kube/event.h"
#include "kube/exec.h"
#include "kube/manager.h"
#include "runtime/objects.h"
#include "runtime/ports.h"
#include "sluice/runtime.h"
#include "json/json.h"

#define MAX_INFORMERS 32
#define MAX_PORTS     64               /* of one StatefulSet */
#define INDEX_CLAIMS  "runtime/claims" /* namespace of pods that mount claims */
#define INDEX_CACHES  "runtime/caches" /* namespace and node of pods that hold a cache */
#define INDEX_LABELS  "runtime/labels" /* labels of nodes that say where a cache or a fuse is */

struct runtime_api {
	struct engine_api ops;
	struct manager *manager;
	struct event_recorder *recorder;
	struct ports *ports;
	struct logger *log;
	struct {
		const struct kube_resource *r;
		struct informer *inf;
	} informers[MAX_INFORMERS];
	size_t n;
};

/* Keep only these members of the object at @path (NULL: of itself). */
static void keep_only(json_t *obj, const char *path, const char *const *names)
{
	json_t *at = path != NULL ? json_at(obj, path) : obj;
	const char *key;
	json_t *v;
	void *tmp;
	json_object_foreach_safe (at, tmp, key, v) {
		bool wanted = false;
		for (size_t i = 0; names[i] != NULL; i++)
			wanted = wanted || strcmp(names[i], key) == 0;
		if (!wanted)
			(void)json_object_del(at, key); /* it is there */
	}
}

static void trim_pod(json_t *pod)
{
	keep_only(pod, "spec", (const char *const[]){"nodeName", "volumes", NULL});
	keep_only(pod, "status", (const char *const[]){"phase", "podIP", "conditions", "containerStatuses", NULL});
}

static void trim_node(json_t *node)
{
	keep_only(node, "spec", (const char *const[]){"taints", "unschedulable", NULL});
	keep_only(node, "status", (const char *const[]){"conditions", NULL});
	json_drop(node, "metadata.annotations");
}

static void trim_data(json_t *obj)
{
	json_drop(obj, "data");
	json_drop(obj, "binaryData");
}

static void trim_spec(json_t *obj)
{
	json_drop(obj, "spec");
}

/* What was applied is known by its hash; of the spec only the number of replicas and the ports are read. */
static void trim_stateful_set(json_t *sts)
{
	size_t i;
	json_t *c;
	keep_only(sts, "spec", (const char *const[]){"replicas", "template", NULL});
	keep_only(sts, "spec.template", (const char *const[]){"spec", NULL});
	keep_only(sts, "spec.template.spec", (const char *const[]){"containers", NULL});
	json_array_foreach (json_at(sts, "spec.template.spec.containers"), i, c)
		keep_only(c, NULL, (const char *const[]){"name", "ports", NULL});
}

static void trim_volume(json_t *pv)
{
	keep_only(pv, "spec", (const char *const[]){"claimRef", NULL});
}

static char *release_of(const json_t *obj)
{
	const char *release = obj_label(obj, LABEL_RELEASE);
	return release != NULL ? str_printf("%s/%s", obj_namespace(obj), release) : NULL;
}

static bool mounts_claims(const json_t *pod)
{
	size_t i;
	json_t *v;
	json_array_foreach (json_at(pod, "spec.volumes"), i, v)
		if (json_object_get(v, "persistentVolumeClaim") != NULL)
			return true;
	return false;
}

static char *claims_of(const json_t *pod)
{
	return mounts_claims(pod) ? strdup(obj_namespace(pod)) : NULL;
}

static char *caches_of(const json_t *pod)
{
	return obj_label(pod, LABEL_DATASET) != NULL
		       ? str_printf("%s/%s", obj_namespace(pod), json_str(pod, "spec.nodeName", ""))
		       : NULL;
}

/* "fluid.io/s-..." and "fluid.io/f-...", but not the sizes, "fluid.io/s-h-...". */
static bool is_place_label(const char *key)
{
	return (str_has_prefix(key, "fluid.io/s-") && !str_has_prefix(key, "fluid.io/s-h-")) ||
	       str_has_prefix(key, "fluid.io/f-");
}

static char *place_labels_of(const json_t *node)
{
	struct strbuf b = STRBUF_INIT(1 << 20);
	const char *key;
	json_t *v;
	json_object_foreach (json_at(node, "metadata.labels"), key, v)
		if (is_place_label(key))
			strbuf_addf(&b, "%s\n", key);
	char *lines = NULL;
	return strbuf_take(&b, &lines) < 0 ? NULL : lines;
}

static struct informer *find(const struct runtime_api *a, const struct kube_resource *r)
{
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->informers[i].r->plural, r->plural) == 0 &&
		    strcmp(a->informers[i].r->group, r->group) == 0)
			return a->informers[i].inf;
	return NULL;
}

static json_t *api_get(void *ctx, const struct kube_resource *r, const char *ns, const char *name)
{
	struct runtime_api *a = ctx;
	struct informer *inf = find(a, r);
	if (inf != NULL)
		return informer_get(inf, ns, name);
	json_t *obj = NULL;
	return kube_get(manager_client(a->manager), r, ns, name, &obj, NULL) == 0 ? obj : NULL;
}

/* The objects that may have the label, by an index where there is one. */
static json_t *candidates(struct runtime_api *a, const struct kube_resource *r, const char *ns, const char *label,
			  const char *value)
{
	struct informer *inf = find(a, r);
	if (inf == NULL) {
		JSON_AUTO list = NULL;
		if (kube_list(manager_client(a->manager), r, ns, NULL, &list, NULL) < 0)
			return NULL;
		return json_incref(json_object_get(list, "items"));
	}
	if (r == &KUBE_POD && ns != NULL && strcmp(label, ENGINE_LIST_CLAIMS) == 0)
		return informer_list_by(inf, INDEX_CLAIMS, ns);
	if (r == &KUBE_NODE && is_place_label(label))
		return informer_list_by(inf, INDEX_LABELS, label);
	const bool caches = r == &KUBE_POD && ns != NULL && value != NULL && strcmp(label, ENGINE_LIST_CACHES) == 0;
	if (!caches && (!r->namespaced || ns == NULL || value == NULL || strcmp(label, LABEL_RELEASE) != 0))
		return informer_list(inf, ns);
	CLEANUP(free_p) char *key = str_printf("%s/%s", ns, value);
	return key != NULL ? informer_list_by(inf, caches ? INDEX_CACHES : LABEL_RELEASE, key) : NULL;
}

static json_t *api_list(void *ctx, const struct kube_resource *r, const char *ns, const char *label, const char *value)
{
	JSON_AUTO all = candidates(ctx, r, ns, label != NULL ? label : "", value);
	if (all == NULL || label == NULL || strcmp(label, ENGINE_LIST_CLAIMS) == 0 ||
	    strcmp(label, ENGINE_LIST_CACHES) == 0)
		return TAKE(all);
	JSON_AUTO out = json_array();
	size_t i;
	json_t *obj;
	json_array_foreach (all, i, obj) {
		const char *have = obj_label(obj, label);
		if (have != NULL && (value == NULL || strcmp(have, value) == 0) && json_array_append(out, obj) < 0)
			return NULL;
	}
	return TAKE(out);
}

static int api_visit(void *ctx, const struct kube_resource *r, bool (*fn)(void *arg, const json_t *obj), void *arg)
{
	struct informer *inf = find(ctx, r);
	return inf != NULL ? informer_visit(inf, fn, arg) : -ENOMEM; /* engines visit nodes, and these are cached */
}

static int api_exec(void *ctx, const struct engine_question *q, const struct engine_exec *x, struct engine_output *ret,
		    struct error *err)
{
	struct runtime_api *a = ctx;
	struct kube_exec_result got = {0};
	const int64_t left = q->deadline_mono_ns - clock_mono_ns();
	if (left <= 0)
		return error_set(err, -ETIMEDOUT, "exec in pod %s/%s: no time is left", x->ns, x->pod);
	int rc = kube_exec(manager_client(a->manager),
			   &(struct kube_exec_options){.ns = x->ns,
						       .pod = x->pod,
						       .container = x->container,
						       .argv = x->argv,
						       .max_output = x->max_output,
						       .timeout_ns = left,
						       .cancel = q->cancel},
			   &got, err);
	if (rc < 0)
		return rc;
	*ret = (struct engine_output){
		.status = got.status, .out = got.out, .err = got.err, .out_n = got.out_n, .err_n = got.err_n};
	return 0;
}

#define LOG_TIMEOUT_NS (5 * NSEC_PER_SEC)

static int add_to_line(void *ctx, const void *data, size_t n)
{
	struct strbuf *b = ctx;
	strbuf_add(b, data, n);
	return b->failed ? -EFBIG : 0;
}

static int api_last_line(void *ctx, const char *ns, const char *pod, size_t max, char **ret, struct error *err)
{
	struct runtime_api *a = ctx;
	struct strbuf b = STRBUF_INIT(max + 1);
	int rc = kube_pod_log(manager_client(a->manager), ns, pod,
			      &(struct kube_log_options){.tail_lines = 1,
							 .limit_bytes = (int64_t)max,
							 .timeout_ns = LOG_TIMEOUT_NS,
							 .on_data = add_to_line,
							 .ctx = &b},
			      err);
	if (rc == 0 && b.n > 0 && b.p[b.n - 1] == '\n')
		b.p[--b.n] = '\0';
	if (rc == 0 && strbuf_take(&b, ret) < 0)
		rc = error_set(err, -ENOMEM, "log of pod %s/%s: out of memory", ns, pod);
	strbuf_clear(&b);
	return rc;
}

static int api_apply(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const json_t *obj,
		     struct error *err)
{
	struct runtime_api *a = ctx;
	return kube_apply(manager_client(a->manager), r, ns, name, NULL, obj, NULL, err);
}

static int api_patch(void *ctx, const struct kube_resource *r, const char *ns, const char *name, const char *sub,
		     const json_t *patch, struct error *err)
{
	struct runtime_api *a = ctx;
	return kube_patch(manager_client(a->manager), r, ns, name, sub, KUBE_PATCH_MERGE, patch, NULL, err);
}

static int api_remove(void *ctx, const struct kube_resource *r, const char *ns, const char *name, struct error *err)
{
	struct runtime_api *a = ctx;
	int rc = kube_delete(manager_client(a->manager), r, ns, name,
			     &(struct kube_delete_options){.grace_seconds = -1, .propagation = "Background"}, err);
	return rc == -ENOENT ? 0 : rc;
}

static void api_event(void *ctx, const json_t *obj, const char *type, const char *reason, const char *message)
{
	struct runtime_api *a = ctx;
	event_emit(a->recorder, obj, type, reason, "%s", message);
}

/* --- caches --------------------------------------------------------------------------------------------------------------------- */

static void (*transform_of(const struct kube_resource *r))(json_t *obj)
{
	const struct {
		const struct kube_resource *r;
		void (*transform)(json_t *obj);
	} all[] = {
		{&KUBE_POD, trim_pod},
		{&KUBE_NODE, trim_node},
		{&KUBE_CONFIGMAP, trim_data},
		{&KUBE_SERVICE, trim_spec},
		{&KUBE_STATEFULSET, trim_stateful_set},
		{&KUBE_DAEMONSET, trim_spec},
		{&KUBE_PV, trim_volume},
		{&KUBE_PVC, trim_spec},
		{&KUBE_JOB, trim_spec},
		{&KUBE_CRONJOB, trim_spec},
	};
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (all[i].r == r)
			return all[i].transform;
	return NULL;
}

int runtime_api_cache(struct runtime_api *a, const struct kube_resource *r, struct error *err)
{
	if (find(a, r) != NULL)
		return 0;
	assert(a->n < MAX_INFORMERS);
	struct informer *inf = manager_informer_with(
		a->manager, r, &(struct informer_options){.transform = transform_of(r), .log = a->log});
	if (inf == NULL)
		return error_set(err, -ENOMEM, "cache of %s: out of memory", r->plural);
	int rc = r->namespaced ? informer_add_index(inf, LABEL_RELEASE, release_of) : 0;
	if (rc < 0)
		return error_set(err, rc, "cache of %s: no index", r->plural);
	a->informers[a->n].r = r;
	a->informers[a->n++].inf = inf;
	return 0;
}

const struct permission runtime_api_permissions[] = {
	/* what runtime_api_new() keeps copies of; what engines make is watched beside that */
	{"", "pods,nodes,persistentvolumes,persistentvolumeclaims", "list,watch"},
	{"apps", "statefulsets", "list,watch"},
	{SLUICE_GROUP, "datasets", "list,watch"},
	/* what volumes, node labels and status write */
	{"", "persistentvolumes,persistentvolumeclaims", "create,patch,delete"},
	{"", "nodes", "patch"},
	{SLUICE_GROUP, "datasets,datasets/status", "patch"},
	{.resources = NULL},
};

/* What a StatefulSet of a Dataset uses, told to the one who gives ports out. */
static void stateful_set_seen(void *ctx, enum informer_event ev, const json_t *old, const json_t *sts)
{
	(void)old;
	struct runtime_api *a = ctx;
	const char *release = obj_label(sts, LABEL_RELEASE);
	if (release == NULL || !str_same(obj_label(sts, LABEL_MANAGED_BY), "fluid"))
		return;
	CLEANUP(free_p) char *key = str_printf("%s/%s", obj_namespace(sts), release);
	CLEANUP(free_p) char *object = str_printf("%s/%s", obj_namespace(sts), obj_name(sts));
	int found[MAX_PORTS];
	size_t n = 0, i, k;
	json_t *c, *p;
	json_array_foreach (json_at(sts, "spec.template.spec.containers"), i, c)
		json_array_foreach (json_object_get(c, "ports"), k, p)
			if (n < MAX_PORTS && ev != INFORMER_DELETED)
				found[n++] = (int)json_int(p, "containerPort", 0);
	if (key != NULL && object != NULL)
		ports_seen(a->ports, key, object, found, n);
}

int runtime_api_new(struct manager *m, struct event_recorder *recorder, const struct engine_limits *limits,
		    struct logger *log, struct runtime_api **ret, struct error *err)
{
	static const struct kube_resource *const read[] = {&KUBE_POD, &KUBE_NODE, &KUBE_STATEFULSET,
							   &KUBE_PV,  &KUBE_PVC,  &dataset_kind.resource};
	struct runtime_api *a = calloc(1, sizeof *a);
	if (a == NULL || (a->ports = ports_new(limits->port_min, limits->port_max)) == NULL) {
		free(a);
		return error_set(err, -ENOMEM, "runtime framework: out of memory");
	}
	a->manager = m;
	a->recorder = recorder;
	a->log = log;
	a->ops = (struct engine_api){.get = api_get,
				     .list = api_list,
				     .apply = api_apply,
				     .patch = api_patch,
				     .remove = api_remove,
				     .event = api_event,
				     .exec = api_exec,
				     .visit = api_visit,
				     .last_line = api_last_line,
				     .ctx = a};
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(read) && rc == 0; i++)
		rc = runtime_api_cache(a, read[i], err);
	if (rc == 0 && (informer_add_index(find(a, &KUBE_POD), INDEX_CLAIMS, claims_of) < 0 ||
			informer_add_index(find(a, &KUBE_POD), INDEX_CACHES, caches_of) < 0 ||
			informer_add_index(find(a, &KUBE_NODE), INDEX_LABELS, place_labels_of) < 0 ||
			informer_add_handler(find(a, &KUBE_STATEFULSET), stateful_set_seen, a) < 0))
		rc = error_set(err, -ENOMEM, "runtime framework: out of memory");
	if (rc < 0) {
		runtime_api_free(a);
		return rc;
	}
	*ret = a;
	return 0;
}

int runtime_api_add(struct runtime_api *a, const struct runtime_controller *rt, struct error *err)
{
	int rc = runtime_api_cache(a, rt->resource, err);
	for (size_t i = 0; rt->kinds[i] != NULL && rc == 0; i++)
		rc = runtime_api_cache(a, rt->kinds[i], err);
	return rc;
}

struct ports *runtime_api_ports(const struct runtime_api *a)
{
	return a->ports;
}

const struct engine_api *runtime_api_ops(const struct runtime_api *a)
{
	return &a->ops;
}

void runtime_api_free(struct runtime_api *a)
{
	if (a == NULL)
		return;
	ports_free(a->ports);
	free(a);
}
