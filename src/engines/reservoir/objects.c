/* The objects of a Reservoir: skeletons of manifests/reservoir with what depends on the specs laid over them. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "engines/reservoir/reservoir.h"
#include "runtime/objects.h"
#include "runtime/volume.h"
#include "runtime/workloads.h"
#include "json/json.h"

#define WORKER "containers[name=reservoir-worker]"
#define FUSE   "containers[name=reservoir-fuse]"

struct build {
	const struct reconcile_ctx *ctx;
	const struct engine_traits *t;
	const struct reservoir_specs *s;
	int port;
	json_t *config; /* reservoir.json */
	char config_hash[17];
};

static int no_memory(struct error *err, const char *what)
{
	return error_set(err, -ENOMEM, "%s: out of memory", what);
}

static int make_config_map(const struct build *b, json_t **ret, struct error *err)
{
	JSON_AUTO cm = NULL;
	int rc = skeleton_load("reservoir/config.yaml", &cm, err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p) char *name = str_printf("%s-config", b->ctx->name);
	CLEANUP(free_p) char *text = json_to_text_indent(b->config, 2);
	if (name == NULL || text == NULL || object_identify(cm, b->ctx, b->t, name, "reservoir-config") < 0 ||
	    json_object_set_new(json_at(cm, "data"), "reservoir.json", json_string(text)) < 0)
		return no_memory(err, "ConfigMap");
	*ret = TAKE(cm);
	return 0;
}

/* The volumes that worker and mount share: configuration, run directory, the cache's directories under the same paths in both. */
static int shared_volumes(const struct build *b, json_t *pod, json_t *container)
{
	const struct reconcile_ctx *ctx = b->ctx;
	CLEANUP(free_p) char *cm = str_printf("%s-config", ctx->name);
	CLEANUP(free_p) char *run = volume_mount_path(ctx, "run");
	JSON_AUTO config = cm != NULL ? json_pack("{s:s,s:{s:s}}", "name", "config", "configMap", "name", cm) : NULL;
	if (config == NULL || run == NULL || json_push(pod, "spec.volumes", TAKE(config)) < 0 ||
	    pod_host_path(pod, "run", run, "DirectoryOrCreate") < 0)
		return -ENOMEM;
	for (size_t i = 0; i < b->s->tiers.n; i++) {
		char volume[32];
		(void)snprintf(volume, sizeof volume, "tier-%zu", i); /* at most 25 characters */
		CLEANUP(free_p) char *dir = str_printf("%s/%s/%s", b->s->tiers.v[i].path, ctx->ns, ctx->name);
		if (dir == NULL || pod_host_path(pod, volume, dir, "DirectoryOrCreate") < 0 ||
		    container_mount(container, volume, dir, false, NULL) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Directories, claims and secrets of the sources: the worker alone reads them. */
static int source_volumes(const struct build *b, json_t *pod, json_t *container)
{
	JSON_AUTO mounts = NULL;
	int rc = reservoir_mounts(b->ctx, &mounts, NULL);
	if (rc == 0)
		rc = mounts_native_volumes(mounts, pod, container);
	return rc == 0 ? mounts_secret_volumes(mounts, "reservoir-secret-", pod, container) : rc;
}

static int put_json(json_t *obj, const char *path, const json_t *value)
{
	json_t *copy = value != NULL ? json_deep_copy(value) : NULL;
	if (value == NULL)
		return 0;
	return copy != NULL ? json_put(obj, path, copy) : -ENOMEM;
}

/* What every pod of the runtime gets from the specs. */
static int common_pod(const struct build *b, json_t *pod, json_t *container, const struct pod_metadata *own,
		      const json_t *resources, const struct string_map *env, const json_t *mounts, const char *path,
		      struct error *err)
{
	const struct reservoir_runtime_spec *r = &b->s->runtime.spec;
	if (pod_merge_metadata(pod, &r->pod_metadata) < 0 || pod_merge_metadata(pod, own) < 0 ||
	    json_put_str(container, "image", RESERVOIR_IMAGE) < 0 ||
	    json_put_str(container, "imagePullPolicy", "IfNotPresent") < 0 ||
	    put_json(container, "resources", resources) < 0 || container_env(container, env) < 0 ||
	    put_json(pod, "spec.imagePullSecrets", r->image_pull_secrets) < 0 || shared_volumes(b, pod, container) < 0)
		return no_memory(err, path);
	return pod_user_volumes(pod, container, r->volumes, mounts, path, err);
}

static int put_port(const struct build *b, json_t *pod, json_t *container)
{
	json_t *port = json_pack("{s:s,s:i,s:i,s:s}", "name", "http", "containerPort", b->port, "hostPort", b->port,
				 "protocol", "TCP");
	if (port == NULL || json_push(container, "ports", port) < 0 ||
	    json_put_int(container, "livenessProbe.httpGet.port", b->port) < 0 ||
	    json_put_int(container, "readinessProbe.httpGet.port", b->port) < 0)
		return -ENOMEM;
	if (b->s->runtime.spec.disable_prometheus)
		return 0;
	char text[16];
	(void)snprintf(text, sizeof text, "%d", b->port); /* at most 5 digits */
	json_t *a = json_at(pod, "metadata.annotations");
	return json_object_set_new(a, "prometheus.io/scrape", json_string("true")) < 0 ||
			       json_object_set_new(a, "prometheus.io/port", json_string(text)) < 0 ||
			       json_object_set_new(a, "prometheus.io/path", json_string("/metrics")) < 0
		       ? -ENOMEM
		       : 0;
}

static int make_worker(const struct build *b, json_t **ret, struct error *err)
{
	JSON_AUTO sts = NULL;
	int rc = skeleton_load("reservoir/worker.yaml", &sts, err);
	if (rc < 0)
		return rc;
	const struct reservoir_worker *w = &b->s->runtime.spec.worker;
	json_t *pod = json_at(sts, "spec.template"), *container = json_at(pod, "spec." WORKER);
	rc = common_pod(b, pod, container, &w->pod_metadata, w->resources, &w->env, w->volume_mounts,
			"spec.worker.volumeMounts", err);
	if (rc < 0)
		return rc;
	if (workload_worker_set(sts, b->ctx, b->t, b->s->runtime.spec.replicas, &w->node_selector, w->tolerations) <
		    0 ||
	    put_port(b, pod, container) < 0 || source_volumes(b, pod, container) < 0 ||
	    json_object_set_new(json_at(pod, "metadata.annotations"), ANNOTATION_CONFIG, json_string(b->config_hash)) <
		    0)
		return no_memory(err, "StatefulSet");
	*ret = TAKE(sts);
	return 0;
}

static int make_fuse(const struct build *b, json_t **ret, struct error *err)
{
	JSON_AUTO ds = NULL;
	int rc = skeleton_load("reservoir/fuse.yaml", &ds, err);
	if (rc < 0)
		return rc;
	const struct reservoir_fuse *f = &b->s->runtime.spec.fuse;
	json_t *pod = json_at(ds, "spec.template"), *container = json_at(pod, "spec." FUSE);
	/* where the node's mount keeper listens, which belongs to the node plug-in and not to this pod: it stays when the pod ends */
	CLEANUP(free_p) char *keeper = str_printf("%s/.keeper", b->ctx->limits->mount_root);
	if (keeper == NULL || pod_host_path(pod, "keeper", keeper, "DirectoryOrCreate") < 0)
		return no_memory(err, "DaemonSet");
	rc = common_pod(b, pod, container, &f->pod_metadata, f->resources, &f->env, f->volume_mounts,
			"spec.fuse.volumeMounts", err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p) char *mount = NULL;
	if (workload_fuse_set(ds, b->ctx, b->t, container, &mount) < 0 ||
	    json_push(container, "command", json_string(mount)) < 0 ||
	    pod_put_pairs(pod, "spec.nodeSelector", &f->node_selector) < 0 ||
	    list_append(pod, "spec.tolerations", f->tolerations) < 0)
		return no_memory(err, "DaemonSet");
	*ret = TAKE(ds);
	return 0;
}

int reservoir_objects(const struct reconcile_ctx *ctx, const struct engine_traits *t, const struct reservoir_specs *s,
		      int port, json_t **ret, struct error *err)
{
	struct build b = {.ctx = ctx, .t = t, .s = s, .port = port};
	JSON_AUTO config = NULL;
	JSON_AUTO cm = NULL;
	JSON_AUTO sts = NULL;
	JSON_AUTO ds = NULL;
	int rc = reservoir_config(ctx, s, port, &config, err);
	if (rc < 0)
		return rc;
	b.config = config;
	if (json_hash(config, b.config_hash) < 0)
		return no_memory(err, "reservoir.json");
	if ((rc = make_config_map(&b, &cm, err)) < 0 || (rc = make_worker(&b, &sts, err)) < 0 ||
	    (rc = make_fuse(&b, &ds, err)) < 0)
		return rc;
	*ret = json_pack("[O,O,O]", cm, sts, ds);
	return *ret != NULL ? 0 : no_memory(err, "objects");
}
