#include "runtime/workloads.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "kube/client.h"
#include "runtime/nodes.h"
#include "runtime/objects.h"
#include "runtime/status.h"
#include "json/json.h"

char *workload_name(const struct reconcile_ctx *ctx, const char *suffix)
{
	return str_printf("%s%s", ctx->name, suffix);
}

static json_t *get_workload(struct reconcile_ctx *ctx, const struct kube_resource *r, const char *suffix)
{
	CLEANUP(free_p) char *name = workload_name(ctx, suffix);
	return name != NULL ? ctx->api->get(ctx->api->ctx, r, ctx->ns, name) : NULL;
}

json_t *workload_stateful_set(struct reconcile_ctx *ctx, const char *suffix)
{
	return get_workload(ctx, &KUBE_STATEFULSET, suffix);
}

json_t *workload_daemon_set(struct reconcile_ctx *ctx, const char *suffix)
{
	return get_workload(ctx, &KUBE_DAEMONSET, suffix);
}

json_t *workload_pods(struct reconcile_ctx *ctx, const char *role)
{
	JSON_AUTO pods = ctx->api->list(ctx->api->ctx, &KUBE_POD, ctx->ns, LABEL_RELEASE, ctx->name);
	if (pods == NULL)
		return NULL;
	for (size_t i = json_array_size(pods); i-- > 0;) {
		const json_t *pod = json_array_get(pods, i);
		if (!str_same(obj_label(pod, "role"), role) || obj_label(pod, LABEL_DATASET_ID) == NULL)
			(void)json_array_remove(pods, i); /* the index is in range */
	}
	return TAKE(pods);
}

static bool container_trouble(const json_t *pod, char *out, size_t size)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(pod, "status.containerStatuses"), i, c) {
		const char *reason = json_str(c, "state.waiting.reason", ""),
			   *message = json_str(c, "state.waiting.message", "");
		if (*message != '\0' || (*reason != '\0' && strcmp(reason, "ContainerCreating") != 0)) {
			const char *last = json_str(c, "lastState.terminated.message", "");
			(void)snprintf(out, size, "pod %s: %s: %s%s%s", obj_name(pod), reason, message,
				       *last != '\0' ? "; it ended with: " : "", last); /* a cut message is still one */
			return true;
		}
	}
	return false;
}

static bool condition_trouble(const json_t *pod, char *out, size_t size)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(pod, "status.conditions"), i, c) {
		const char *message = json_str(c, "message", "");
		if (strcmp(json_str(c, "status", ""), "False") == 0 && *message != '\0') {
			(void)snprintf(out, size, "pod %s: %s", obj_name(pod),
				       message); /* a cut message is still one */
			return true;
		}
	}
	return false;
}

void workload_trouble(struct reconcile_ctx *ctx, const char *role, char *out, size_t size)
{
	out[0] = '\0';
	JSON_AUTO pods = workload_pods(ctx, role);
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod)
		if (container_trouble(pod, out, size))
			return;
	json_array_foreach (pods, i, pod)
		if (condition_trouble(pod, out, size))
			return;
}

/* --- defaults of the contract that read workloads ------------------------------------------------------------------------------- */

int engine_default_parts(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)ctx, (void)err;
	return (e->ops->traits->master_suffix != NULL ? ENGINE_MASTER : 0) | ENGINE_WORKERS | ENGINE_FUSE;
}

int engine_default_should_setup_master(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int parts = e->ops->parts(e, ctx, err);
	if (parts < 0)
		return parts;
	return (parts & ENGINE_MASTER) && *json_str(ctx->runtime_status, "masterPhase", "") == '\0';
}

static int put_numbers(struct reconcile_ctx *ctx, const char *const keys[], const int64_t values[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (json_put_int(ctx->runtime_status, keys[i], values[i]) < 0)
			return -ENOMEM;
	return 0;
}

static const char *ready_words(const char *phase)
{
	return strcmp(phase, "Ready") == 0          ? "ready"
	       : strcmp(phase, "PartialReady") == 0 ? "partially ready"
						    : "not ready";
}

static int put_ready_condition(struct reconcile_ctx *ctx, const char *type, const char *reason, const char *who,
			       const char *phase, const char *trouble)
{
	char msg[512];
	(void)snprintf(msg, sizeof msg, "The %s %s %s.%s%s", who, strcmp(who, "master") == 0 ? "is" : "are",
		       ready_words(phase), *trouble != '\0' ? " " : "", trouble); /* a cut message is still one */
	return runtime_condition_set(ctx, type, strcmp(phase, "NotReady") != 0, reason, msg);
}

static int put_master_numbers(struct reconcile_ctx *ctx, int64_t want, int64_t current, int64_t ready,
			      const char *phase)
{
	static const char *const keys[] = {"desiredMasterNumberScheduled", "currentMasterNumberScheduled",
					   "masterNumberReady"};
	return put_numbers(ctx, keys, (const int64_t[]){want, current, ready}, ARRAY_LEN(keys)) < 0 ||
			       json_put_str(ctx->runtime_status, "masterPhase", phase) < 0
		       ? -ENOMEM
		       : 0;
}

/* Written once: the objects have been made. */
static int put_initialized(struct reconcile_ctx *ctx, const char *type, const char *reason, const char *message)
{
	return condition_get(ctx->runtime_status, type) != NULL
		       ? 0
		       : runtime_condition_set(ctx, type, true, reason, message);
}

int engine_default_check_master_ready(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	const struct engine_traits *t = e->ops->traits;
	int parts = e->ops->parts(e, ctx, err);
	if (parts < 0)
		return parts;
	if (!(parts & ENGINE_MASTER)) /* masterless: the required numbers are 0 */
		return put_master_numbers(ctx, 0, 0, 0, "Ready") < 0 ? error_set(err, -ENOMEM, "status: out of memory")
								     : 1;
	JSON_AUTO sts = workload_stateful_set(ctx, t->master_suffix);
	int64_t want = json_int(sts, "spec.replicas", 1), ready = json_int(sts, "status.readyReplicas", 0);
	const char *phase = sts != NULL ? workload_phase(want, ready) : "NotReady";
	char trouble[400] = "";
	if (sts == NULL)
		(void)snprintf(trouble, sizeof trouble, "StatefulSet %s%s is not there yet", ctx->name,
			       t->master_suffix);
	else if (ready < want)
		workload_trouble(ctx, t->master_role, trouble, sizeof trouble);
	if (put_master_numbers(ctx, want, json_int(sts, "status.replicas", 0), ready, phase) < 0 ||
	    json_put_str(ctx->runtime_status, "masterReason", trouble) < 0 ||
	    put_initialized(ctx, "MasterInitialized", "Master is initialized", "The master is initialized.") < 0 ||
	    put_ready_condition(ctx, "MasterReady", "Master is ready", "master", phase, trouble) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	if (strcmp(phase, "NotReady") != 0)
		return 1;
	(void)error_set(err, -EAGAIN, "%lld of %lld masters are ready%s%s", (long long)ready, (long long)want,
			*trouble != '\0' ? ": " : "", trouble);
	return 0;
}

int engine_default_should_setup_workers(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	(void)err;
	return *json_str(ctx->runtime_status, "workerPhase", "") == '\0';
}

static int put_fuse(struct engine *e, struct reconcile_ctx *ctx, bool wanted)
{
	static const char *const keys[] = {"desiredFuseNumberScheduled", "currentFuseNumberScheduled",
					   "fuseNumberReady", "fuseNumberAvailable", "fuseNumberUnavailable"};
	JSON_AUTO ds = wanted ? workload_daemon_set(ctx, e->ops->traits->fuse_suffix) : NULL;
	const int64_t desired = json_int(ds, "status.desiredNumberScheduled", 0),
		      ready = json_int(ds, "status.numberReady", 0);
	const int64_t values[] = {desired, json_int(ds, "status.currentNumberScheduled", 0), ready,
				  json_int(ds, "status.numberAvailable", 0),
				  json_int(ds, "status.numberUnavailable", 0)};
	/* Fluid's is always Ready; here it tells the truth about the nodes where a volume is staged. */
	const char *phase = workload_phase(desired, ready);
	char trouble[400] = "";
	if (ready < desired)
		workload_trouble(ctx, e->ops->traits->fuse_role, trouble, sizeof trouble);
	if (put_numbers(ctx, keys, values, ARRAY_LEN(keys)) < 0 ||
	    json_put_str(ctx->runtime_status, "fusePhase", phase) < 0 ||
	    json_put_str(ctx->runtime_status, "fuseReason", trouble) < 0)
		return -ENOMEM;
	return wanted ? put_ready_condition(ctx, "FusesReady", "Fuses are ready", "fuses", phase, trouble) : 0;
}

/* Numbers of the workers' StatefulSet as it is (NULL: not there), or of none wanted. */
static int put_workers(struct reconcile_ctx *ctx, const json_t *sts, int64_t want, const char *phase,
		       const char *trouble)
{
	static const char *const keys[] = {"desiredWorkerNumberScheduled", "currentWorkerNumberScheduled",
					   "workerNumberReady", "workerNumberAvailable", "workerNumberUnavailable"};
	const int64_t ready = json_int(sts, "status.readyReplicas", 0);
	const int64_t values[] = {want, json_int(sts, "status.replicas", 0), ready,
				  json_int(sts, "status.availableReplicas", ready), want > ready ? want - ready : 0};
	return put_numbers(ctx, keys, values, ARRAY_LEN(keys)) < 0 ||
			       json_put_str(ctx->runtime_status, "workerPhase", phase) < 0 ||
			       json_put_str(ctx->runtime_status, "workerReason", trouble) < 0
		       ? -ENOMEM
		       : 0;
}

static int no_workers(struct engine *e, struct reconcile_ctx *ctx, int parts, struct error *err)
{
	return put_workers(ctx, NULL, 0, "Ready", "") < 0 || put_fuse(e, ctx, parts & ENGINE_FUSE) < 0
		       ? error_set(err, -ENOMEM, "status: out of memory")
		       : 1;
}

int engine_default_check_workers_ready(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	const struct engine_traits *t = e->ops->traits;
	int parts = e->ops->parts(e, ctx, err);
	if (parts < 0)
		return parts;
	if (!(parts & ENGINE_WORKERS))
		return no_workers(e, ctx, parts, err);
	JSON_AUTO sts = workload_stateful_set(ctx, t->worker_suffix);
	int64_t want = json_int(sts, "spec.replicas", json_int(ctx->runtime, "spec.replicas", 1));
	int64_t ready = json_int(sts, "status.readyReplicas", 0);
	const char *phase = sts != NULL ? workload_phase(want, ready) : "NotReady";
	char trouble[400] = "";
	if (sts == NULL)
		(void)snprintf(trouble, sizeof trouble, "StatefulSet %s%s is not there yet", ctx->name,
			       t->worker_suffix);
	else if (ready < want)
		workload_trouble(ctx, t->worker_role, trouble, sizeof trouble);
	if (put_workers(ctx, sts, want, phase, trouble) < 0 ||
	    put_ready_condition(ctx, "WorkersReady", "Workers are ready", "workers", phase, trouble) < 0 ||
	    put_fuse(e, ctx, parts & ENGINE_FUSE) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	if (strcmp(phase, "NotReady") != 0)
		return 1;
	(void)error_set(err, -EAGAIN, "%lld of %lld workers are ready%s%s", (long long)ready, (long long)want,
			*trouble != '\0' ? ": " : "", trouble);
	return 0;
}

int engine_default_assign_nodes_to_cache(struct engine *e, struct reconcile_ctx *ctx, int desired, struct error *err)
{
	(void)e;
	JSON_AUTO affinity = placement_affinity(ctx);
	JSON_AUTO pod = json_object();
	if (affinity == NULL || pod == NULL || json_object_set(pod, "affinity", affinity) < 0)
		return error_set(err, -ENOMEM, "placement: out of memory");
	json_t *selector = json_at(ctx->runtime, "spec.worker.nodeSelector");
	if (selector != NULL && json_object_set(pod, "nodeSelector", selector) < 0)
		return error_set(err, -ENOMEM, "placement: out of memory");
	if (list_append(pod, "tolerations", json_at(ctx->dataset, "spec.tolerations")) < 0 ||
	    list_append(pod, "tolerations", json_at(ctx->runtime, "spec.worker.tolerations")) < 0)
		return error_set(err, -ENOMEM, "placement: out of memory");
	char why[256];
	int n = placement_count(ctx, pod, desired, why);
	if (n < 0)
		return error_set(err, n, "placement: out of memory");
	ctx->wait_for_nodes = n < desired;
	bool enough = n >= desired;
	if (runtime_condition_set(ctx, "WorkersInitialized", enough, "Workers are initialized",
				  enough ? "The workers are initialized." : why) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	return n;
}

/* The name of a workload of @parts that does not exist (any more), or NULL: malloc'ed. */
static char *workload_missing(const struct engine_traits *t, struct reconcile_ctx *ctx, int parts)
{
	const struct {
		int part;
		const struct kube_resource *r;
		const char *suffix;
	} all[] = {{ENGINE_MASTER, &KUBE_STATEFULSET, t->master_suffix},
		   {ENGINE_WORKERS, &KUBE_STATEFULSET, t->worker_suffix},
		   {ENGINE_FUSE, &KUBE_DAEMONSET, t->fuse_suffix}};
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		JSON_AUTO live = parts & all[i].part ? get_workload(ctx, all[i].r, all[i].suffix) : NULL;
		if ((parts & all[i].part) && live == NULL)
			return str_printf("%s %s%s", all[i].r->kind, ctx->name, all[i].suffix);
	}
	return NULL;
}

int engine_default_check_runtime_healthy(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int parts = e->ops->parts(e, ctx, err);
	int master = parts < 0 ? parts : e->ops->check_master_ready(e, ctx, err);
	if (master < 0)
		return master;
	int workers = e->ops->check_workers_ready(e, ctx, err);
	if (workers < 0)
		return workers;
	CLEANUP(free_p) char *missing = workload_missing(e->ops->traits, ctx, parts);
	if (missing != NULL)
		return error_set(err, -ENOENT, "%s is gone", missing);
	if (master == 0)
		(void)error_set(err, -EAGAIN,
				"the master \"%s%s\" is not healthy, expect at least one replica is ready", ctx->name,
				e->ops->traits->master_suffix);
	return master > 0 && workers > 0;
}

int engine_default_sync_replicas(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	int parts = e->ops->parts(e, ctx, err);
	JSON_AUTO sts = parts > 0 && (parts & ENGINE_WORKERS)
				? workload_stateful_set(ctx, e->ops->traits->worker_suffix)
				: NULL;
	if (sts == NULL)
		return parts < 0 ? parts : 0; /* sync_runtime makes it again */
	int64_t want = json_int(ctx->runtime, "spec.replicas", 1), have = json_int(sts, "spec.replicas", 1);
	if (want == have)
		return 0;
	int rc = e->ops->assign_nodes_to_cache(e, ctx, (int)want, err);
	if (rc < 0)
		return rc;
	JSON_AUTO patch = json_pack("{s:{s:s},s:{s:I}}", "metadata", "resourceVersion", obj_resource_version(sts),
				    "spec", "replicas", (json_int_t)want);
	if (patch == NULL)
		return error_set(err, -ENOMEM, "scale: out of memory");
	rc = ctx->api->patch(ctx->api->ctx, &KUBE_STATEFULSET, ctx->ns, obj_name(sts), NULL, patch, err);
	if (rc < 0)
		return rc;
	const char *dir = want < have ? "in" : "out";
	char msg[128];
	(void)snprintf(msg, sizeof msg, "Workers scaled %s from %lld replicas to %lld replicas.", dir, (long long)have,
		       (long long)want);
	if (runtime_condition_set(ctx, want < have ? "WorkersScaledIn" : "WorkersScaledOut", true,
				  want < have ? "Workers scaled in" : "Workers scaled out", msg) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	ctx->api->event(ctx->api->ctx, ctx->runtime, "Normal", "Succeed",
			want < have ? "Runtime scaled in" : "Runtime scaled out");
	return 0;
}
