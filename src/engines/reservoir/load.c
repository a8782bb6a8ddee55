/* What a DataLoad runs: `sluice preload` beside each worker, which it reaches by the socket in the run directory, as a mount does. */
#include <string.h>

#include "api/data_operation.h"
#include "base/str.h"
#include "engines/reservoir/reservoir.h"
#include "kube/client.h"
#include "runtime/objects.h"
#include "runtime/volume.h"
#include "json/json.h"
#include "json/quantity.h"

#define ARENA_LIMIT (4u << 20)
#define RATE_LIMIT  "rateLimit"
#define TERM        "requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchLabels"

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "DataLoad: out of memory");
}

/* A field takes effect or is refused. */
static int check_load(const struct data_load_spec *s, int64_t replicas, struct error *err)
{
	if (replicas < 1)
		return error_set(err, -EINVAL,
				 "spec.dataset.name: its runtime has spec.replicas 0, so no worker could load");
	for (size_t i = 0; i < s->target.n; i++)
		if (s->target.v[i].replicas > 1)
			return error_set(
				err, -EINVAL,
				"spec.target[%zu].replicas: a ReservoirRuntime has one copy in each worker's cache", i);
	for (size_t i = 0; i < s->options.n; i++) {
		int64_t rate;
		if (strcmp(s->options.v[i].key, RATE_LIMIT) != 0)
			return error_set(err, -EINVAL,
					 "spec.options.%s: is no option of ReservoirRuntime, which has " RATE_LIMIT,
					 s->options.v[i].key);
		if (quantity_parse(s->options.v[i].value, &rate, NULL) < 0 || rate < 1)
			return error_set(err, -EINVAL,
					 "spec.options." RATE_LIMIT ": '%s' is no number of bytes, like 100Mi",
					 s->options.v[i].value);
	}
	return 0;
}

/* The arguments that the skeleton does not have. */
static int add_arguments(const struct data_load_spec *s, json_t *container)
{
	int rc = json_push(container, "command", json_string(RESERVOIR_RUN_DIR "/cache.sock"));
	if (rc == 0 && s->load_metadata)
		rc = json_push(container, "command", json_string("--refresh"));
	for (size_t i = 0; i < s->options.n && rc == 0; i++) {
		rc = json_push(container, "command", json_string("--rate-limit"));
		if (rc == 0)
			rc = json_push(container, "command", json_string(s->options.v[i].value));
	}
	for (size_t i = 0; i < s->target.n && rc == 0; i++)
		rc = json_push(container, "command", json_string(s->target.v[i].path));
	return rc;
}

/* Each on the node of a worker, no two on one: a worker is filled by the loader beside it. */
static int place(const struct reconcile_ctx *ctx, const char *operation, json_t *pod)
{
	CLEANUP(free_p) char *release = str_printf("%s-loader", operation);
	json_t *with = json_at(pod, "spec.affinity.podAffinity." TERM);
	json_t *apart = json_at(pod, "spec.affinity.podAntiAffinity." TERM);
	if (release == NULL || json_object_set_new(with, LABEL_RELEASE, json_string(ctx->name)) < 0 ||
	    json_object_set_new(with, "role", json_string(reservoir_traits.worker_role)) < 0 ||
	    json_object_set_new(apart, LABEL_RELEASE, json_string(release)) < 0 ||
	    json_object_set_new(apart, "role", json_string("dataload-pod")) < 0)
		return -ENOMEM;
	return 0;
}

static int make_spec(const struct reconcile_ctx *ctx, const struct data_load_spec *s, const char *operation,
		     int64_t replicas, json_t **ret, struct error *err)
{
	JSON_AUTO pod = NULL;
	int rc = skeleton_load("reservoir/load.yaml", &pod, err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p) char *run = volume_mount_path(ctx, "run");
	json_t *c = json_at(pod, "spec.containers[name=dataloader]");
	if (run == NULL || json_put_str(c, "image", RESERVOIR_IMAGE) < 0 || add_arguments(s, c) < 0 ||
	    pod_host_path(pod, "run", run, "Directory") < 0 || place(ctx, operation, pod) < 0)
		return no_memory(err);
	*ret = json_pack("{s:I,s:I,s:{s:O,s:O}}", "parallelism", (json_int_t)replicas, "completions",
			 (json_int_t)replicas, "template", "metadata", json_object_get(pod, "metadata"), "spec",
			 json_object_get(pod, "spec"));
	return *ret != NULL ? 0 : no_memory(err);
}

int reservoir_load_spec(const struct reconcile_ctx *ctx, const json_t *operation, json_t **ret, struct error *err)
{
	struct data_load load;
	struct arena a = ARENA_INIT(ARENA_LIMIT);
	const int64_t replicas = json_int(ctx->runtime, "spec.replicas", 1);
	int rc = schema_decode(data_load_kind.schema, operation, &a, &load, err);
	if (rc == 0)
		rc = check_load(&load.spec, replicas, err);
	if (rc == 0)
		rc = make_spec(ctx, &load.spec, obj_name(operation), replicas, ret, err);
	arena_free(&a);
	return rc;
}
