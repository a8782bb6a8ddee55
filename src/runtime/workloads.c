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

int engine_default_should_setup_master(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)err;
	return e->ops->traits->master_suffix != NULL && *json_str(ctx->runtime_status, "masterPhase", "") == '\0';
}

int engine_default_setup_master(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)ctx;
	if (e->ops->traits->master_suffix == NULL)
		return 0;
	return error_set(err, -EOPNOTSUPP, "engine '%s' has masters but no setup_master", e->ops->name);
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
	return runtime_condition_set(ctx->runtime_status, type, strcmp(phase, "NotReady") != 0, reason, msg);
}

int engine_default_check_master_ready(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	const char *suffix = e->ops->traits->master_suffix;
	if (suffix == NULL) /* masterless: the required numbers are 0 */
		return put_numbers(ctx,
				   (const char *const[]){"desiredMasterNumberScheduled", "currentMasterNumberScheduled",
							 "masterNumberReady"},
				   (const int64_t[]){0, 0, 0}, 3) < 0 ||
				       json_put_str(ctx->runtime_status, "masterPhase", "Ready") < 0
			       ? error_set(err, -ENOMEM, "status: out of memory")
			       : 1;
	JSON_AUTO sts = workload_stateful_set(ctx, suffix);
	if (sts == NULL)
		return error_set(err, -ENOENT, "StatefulSet %s%s is gone", ctx->name, suffix);
	int64_t want = json_int(sts, "spec.replicas", 1), ready = json_int(sts, "status.readyReplicas", 0);
	const char *phase = workload_phase(want, ready);
	if (put_numbers(ctx,
			(const char *const[]){"desiredMasterNumberScheduled", "currentMasterNumberScheduled",
					      "masterNumberReady"},
			(const int64_t[]){want, json_int(sts, "status.replicas", 0), ready}, 3) < 0 ||
	    json_put_str(ctx->runtime_status, "masterPhase", phase) < 0 ||
	    put_ready_condition(ctx, "MasterReady", "Master is ready", "master", phase, "") < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	return strcmp(phase, "NotReady") != 0;
}

int engine_default_should_setup_workers(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e;
	(void)err;
	return *json_str(ctx->runtime_status, "workerPhase", "") == '\0';
}

static int put_fuse(struct engine *e, struct reconcile_ctx *ctx)
{
	JSON_AUTO ds = workload_daemon_set(ctx, e->ops->traits->fuse_suffix);
	const int64_t desired = json_int(ds, "status.desiredNumberScheduled", 0),
		      ready = json_int(ds, "status.numberReady", 0);
	if (put_numbers(ctx,
			(const char *const[]){"desiredFuseNumberScheduled", "currentFuseNumberScheduled",
					      "fuseNumberReady", "fuseNumberAvailable", "fuseNumberUnavailable"},
			(const int64_t[]){desired, json_int(ds, "status.currentNumberScheduled", 0), ready,
					  json_int(ds, "status.numberAvailable", 0),
					  json_int(ds, "status.numberUnavailable", 0)},
			5) < 0)
		return -ENOMEM;
	/* Fluid's is always Ready; here it tells the truth about the nodes where a volume is staged. */
	const char *phase = workload_phase(desired, ready);
	char trouble[400] = "";
	if (ready < desired)
		workload_trouble(ctx, e->ops->traits->fuse_role, trouble, sizeof trouble);
	if (json_put_str(ctx->runtime_status, "fusePhase", phase) < 0 ||
	    json_put_str(ctx->runtime_status, "fuseReason", trouble) < 0)
		return -ENOMEM;
	return put_ready_condition(ctx, "FusesReady", "Fuses are ready", "fuses", phase, trouble);
}

int engine_default_check_workers_ready(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	JSON_AUTO sts = workload_stateful_set(ctx, e->ops->traits->worker_suffix);
	int64_t want = json_int(sts, "spec.replicas", json_int(ctx->runtime, "spec.replicas", 1));
	int64_t ready = json_int(sts, "status.readyReplicas", 0), current = json_int(sts, "status.replicas", 0);
	const char *phase = sts != NULL ? workload_phase(want, ready) : "NotReady";
	char trouble[400] = "";
	if (sts == NULL)
		(void)snprintf(trouble, sizeof trouble, "StatefulSet %s%s is not there yet", ctx->name,
			       e->ops->traits->worker_suffix);
	else if (ready < want)
		workload_trouble(ctx, e->ops->traits->worker_role, trouble, sizeof trouble);
	if (put_numbers(ctx,
			(const char *const[]){"desiredWorkerNumberScheduled", "currentWorkerNumberScheduled",
					      "workerNumberReady", "workerNumberAvailable", "workerNumberUnavailable"},
			(const int64_t[]){want, current, ready, json_int(sts, "status.availableReplicas", ready),
					  want > ready ? want - ready : 0},
			5) < 0 ||
	    json_put_str(ctx->runtime_status, "workerPhase", phase) < 0 ||
	    json_put_str(ctx->runtime_status, "workerReason", trouble) < 0 ||
	    put_ready_condition(ctx, "WorkersReady", "Workers are ready", "workers", phase, trouble) < 0 ||
	    put_fuse(e, ctx) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	if (strcmp(phase, "NotReady") != 0)
		return 1;
	(void)error_set(err, -EAGAIN, "%lld of %lld workers are ready%s%s", (long long)ready, (long long)want,
			*trouble != '\0' ? ": " : "", trouble);
	return 0;
}

int engine_default_assign_nodes_to_cache(struct engine *e, struct reconcile_ctx *ctx, int desired, struct error *err)
{
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
	int n = placement_count(ctx, e->ops->traits, pod, why);
	if (n < 0)
		return error_set(err, n, "placement: out of memory");
	ctx->wait_for_nodes = n < desired;
	bool enough = n >= desired;
	if (runtime_condition_set(ctx->runtime_status, "WorkersInitialized", enough, "Workers are initialized",
				  enough ? "The workers are initialized." : why) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	return n;
}

int engine_default_check_runtime_healthy(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	const struct engine_traits *t = e->ops->traits;
	int master = e->ops->check_master_ready(e, ctx, err);
	if (master < 0)
		return master;
	JSON_AUTO sts = workload_stateful_set(ctx, t->worker_suffix);
	JSON_AUTO ds = workload_daemon_set(ctx, t->fuse_suffix);
	int workers = e->ops->check_workers_ready(e, ctx, err);
	if (workers < 0)
		return workers;
	if (sts == NULL || ds == NULL)
		return error_set(err, -ENOENT, "%s %s%s is gone", sts == NULL ? "StatefulSet" : "DaemonSet", ctx->name,
				 sts == NULL ? t->worker_suffix : t->fuse_suffix);
	if (master == 0)
		(void)error_set(err, -EAGAIN,
				"the master \"%s%s\" is not healthy, expect at least one replica is ready", ctx->name,
				t->master_suffix);
	return master > 0 && workers > 0;
}

int engine_default_sync_replicas(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	JSON_AUTO sts = workload_stateful_set(ctx, e->ops->traits->worker_suffix);
	if (sts == NULL)
		return 0; /* sync_runtime makes it again */
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
	if (runtime_condition_set(ctx->runtime_status, want < have ? "WorkersScaledIn" : "WorkersScaledOut", true,
				  want < have ? "Workers scaled in" : "Workers scaled out", msg) < 0)
		return error_set(err, -ENOMEM, "status: out of memory");
	ctx->api->event(ctx->api->ctx, ctx->runtime, "Normal", "Succeed",
			want < have ? "Runtime scaled in" : "Runtime scaled out");
	return 0;
}
