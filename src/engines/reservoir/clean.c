/*
 * What a Reservoir leaves on its nodes (cached data, the mount point, the run directory) goes with it. The directories lie on the nodes, so a
 * pod on each removes them; the node's labels are the memory of where that is still to be done.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "engines/reservoir/reservoir.h"
#include "kube/client.h"
#include "runtime/objects.h"
#include "runtime/workloads.h"
#include "json/json.h"

#define ROLE      "reservoir-clean"
#define CLEAN_DIR "/clean"

static char *pod_name(const struct reconcile_ctx *ctx, const char *node)
{
	return str_printf("%s-clean-%08" PRIx64, ctx->name, text_hash(node) & UINT64_C(0xffffffff));
}

/* The directory @parent, of which the pod removes the dataset's part. */
static int add_directory(json_t *pod, const struct reconcile_ctx *ctx, size_t i, const char *parent)
{
	char volume[32], at[48];
	(void)snprintf(volume, sizeof volume, "dir-%zu", i); /* at most 24 characters */
	(void)snprintf(at, sizeof at, CLEAN_DIR "/%zu", i);  /* at most 27 characters */
	CLEANUP(free_p)
	char *gone = str_printf("%s/%s", at, ctx->name); /* a name is a DNS label: it cannot lead elsewhere */
	json_t *container = json_at(pod, "spec.containers[name=clean]");
	if (gone == NULL || pod_host_path(pod, volume, parent, "DirectoryOrCreate") < 0 ||
	    container_mount(container, volume, at, false, NULL) < 0)
		return -ENOMEM;
	return json_push(container, "command", json_string(gone));
}

static int make_pod(const struct reconcile_ctx *ctx, const struct engine_traits *t, const struct reservoir_specs *s,
		    const char *node, const char *name, json_t **ret, struct error *err)
{
	JSON_AUTO pod = NULL;
	int rc = skeleton_load("reservoir/clean.yaml", &pod, err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p) char *mounts = str_printf("%s/%s/%s", ctx->limits->mount_root, ctx->runtime_type, ctx->ns);
	bool failed = mounts == NULL || object_identify(pod, ctx, t, name, ROLE) < 0 ||
		      json_put_str(pod, "spec.nodeName", node) < 0 ||
		      json_put_str(pod, "spec.containers[name=clean].image", RESERVOIR_IMAGE) < 0 ||
		      add_directory(pod, ctx, 0, mounts) < 0;
	for (size_t i = 0; i < s->tiers.n && !failed; i++) {
		CLEANUP(free_p) char *parent = str_printf("%s/%s", s->tiers.v[i].path, ctx->ns);
		failed = parent == NULL || add_directory(pod, ctx, i + 1, parent) < 0;
	}
	if (failed)
		return error_set(err, -ENOMEM, "clean-up of %s/%s: out of memory", ctx->ns, ctx->name);
	*ret = TAKE(pod);
	return 0;
}

static bool node_is_ready(const json_t *node)
{
	return strcmp(json_str(node, "status.conditions[type=Ready].status", "Unknown"), "True") == 0;
}

/* Whether nothing more is to be expected of @pod; why, when it did not do its work. */
static bool pod_is_over(const json_t *pod, const struct clean_cache_policy *policy, char *why, size_t size)
{
	const char *phase = json_str(pod, "status.phase", "");
	const int64_t restarts = json_int(pod, "status.containerStatuses[name=clean].restartCount", 0);
	const int64_t grace = policy->grace_period_seconds > 0 ? policy->grace_period_seconds : 60;
	int64_t created;
	bool late = clock_parse_rfc3339(json_str(pod, "metadata.creationTimestamp", ""), &created) == 0 &&
		    clock_wall_ns() - created > grace * NSEC_PER_SEC;
	why[0] = '\0';
	if (strcmp(phase, "Succeeded") == 0)
		return true;
	if (strcmp(phase, "Failed") == 0 || restarts >= policy->max_retry_attempts)
		(void)snprintf(why, size, "pod %s failed", obj_name(pod)); /* names are short */
	else if (late)
		(void)snprintf(why, size, "pod %s has not ended after %lld s", obj_name(pod), (long long)grace);
	return why[0] != '\0';
}

static void tell_left_over(struct reconcile_ctx *ctx, const json_t *node, const char *why)
{
	char msg[512];
	(void)snprintf(msg, sizeof msg, "cached data may be left on node %s: %s", obj_name(node),
		       why); /* a cut message is still one */
	ctx->api->event(ctx->api->ctx, ctx->runtime, "Warning", "CacheNotCleaned", msg);
}

/* 1 when the node is done, 0 while its pod works. */
static int clean_node(struct reconcile_ctx *ctx, const struct engine_traits *t, const struct reservoir_specs *s,
		      const json_t *node, struct error *err)
{
	CLEANUP(free_p) char *name = pod_name(ctx, obj_name(node));
	if (name == NULL)
		return error_set(err, -ENOMEM, "clean-up of %s/%s: out of memory", ctx->ns, ctx->name);
	JSON_AUTO live = ctx->api->get(ctx->api->ctx, &KUBE_POD, ctx->ns, name);
	char why[400] = "the node is not ready";
	bool over = !node_is_ready(node);
	if (!over && live != NULL)
		over = pod_is_over(live, &s->runtime.spec.management.clean_cache_policy, why, sizeof why);
	if (over) {
		if (why[0] != '\0')
			tell_left_over(ctx, node, why);
		int rc = nodes_clear_one(ctx, node, err);
		return rc < 0 ? rc : 1;
	}
	(void)error_set(err, -EBUSY, "waiting for pod %s to remove cached data from node %s", name, obj_name(node));
	reconcile_again(ctx, 5 * NSEC_PER_SEC); /* grace ends without an event */
	if (live != NULL)
		return 0;
	JSON_AUTO pod = NULL;
	int rc = make_pod(ctx, t, s, obj_name(node), name, &pod, err);
	if (rc == 0)
		rc = ctx->api->apply(ctx->api->ctx, &KUBE_POD, ctx->ns, name, pod, err);
	if (rc == 0)
		(void)error_set(err, -EBUSY, "waiting for pod %s to remove cached data from node %s", name,
				obj_name(node));
	return rc;
}

/* Pods whose work is done, also those of an earlier pass. 1 when none is left. */
static int remove_pods(struct reconcile_ctx *ctx, struct error *err)
{
	JSON_AUTO pods = workload_pods(ctx, ROLE);
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod) {
		int rc =
			obj_deleting(pod) ? 0 : ctx->api->remove(ctx->api->ctx, &KUBE_POD, ctx->ns, obj_name(pod), err);
		if (rc < 0)
			return rc;
	}
	return 1; /* the garbage collector has them too: they are the runtime's */
}

int reservoir_clean_nodes(struct reconcile_ctx *ctx, const struct engine_traits *t, struct error *err)
{
	struct reservoir_specs s;
	JSON_AUTO nodes = NULL;
	int rc = nodes_labelled(ctx, &nodes, err);
	if (rc < 0)
		return rc;
	struct error why = {0};
	if (reservoir_specs_load(ctx, &s, &why) < 0)
		return 1; /* such specs were never served: nothing is there */
	int done = 1;
	size_t i;
	json_t *node;
	if (reservoir_check_tiers(ctx, &s, &why) < 0) {
		json_array_foreach (nodes, i, node)
			tell_left_over(ctx, node, why.msg);
	} else {
		json_array_foreach (nodes, i, node) {
			rc = clean_node(ctx, t, &s, node, err);
			if (rc < 0)
				break;
			done = done && rc > 0;
		}
	}
	reservoir_specs_clear(&s);
	if (rc < 0)
		return rc;
	return done ? remove_pods(ctx, err) : 0;
}
