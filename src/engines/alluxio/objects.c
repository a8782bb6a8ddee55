/* The objects of an Alluxio: skeletons of manifests/alluxio with what depends on the specs laid over them. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "engines/alluxio/alluxio.h"
#include "engines/alluxio/image.h"
#include "runtime/mounts.h"
#include "runtime/objects.h"
#include "runtime/workloads.h"
#include "json/json.h"
#include "json/quantity.h"

struct build {
	const struct reconcile_ctx *ctx;
	const struct engine_traits *t;
	const struct alluxio_specs *s;
	const struct alluxio_runtime_spec *r;
	json_t *env; /* of alluxio_environment() */
};

static int no_memory(struct error *err, const char *what)
{
	return error_set(err, -ENOMEM, "%s: out of memory", what);
}

static int put_copy(json_t *obj, const char *path, const json_t *value)
{
	json_t *copy = value != NULL ? json_deep_copy(value) : NULL;
	if (value == NULL)
		return 0;
	return copy != NULL ? json_put(obj, path, copy) : -ENOMEM;
}

static bool on_host_network(const char *mode)
{
	return !str_same(mode, "ContainerNetwork");
}

static int put_network(json_t *pod, const char *mode)
{
	if (!on_host_network(mode))
		return 0;
	return json_put_bool(pod, "spec.hostNetwork", true) < 0 ||
			       json_put_str(pod, "spec.dnsPolicy", "ClusterFirstWithHostNet") < 0
		       ? -ENOMEM
		       : 0;
}

static int put_image(json_t *c, const struct version_spec *v)
{
	CLEANUP(free_p) char *image = alluxio_image(v);
	const char *policy = v->image_pull_policy;
	return image == NULL || json_put_str(c, "image", image) < 0 ||
			       json_put_str(c, "imagePullPolicy",
					    policy != NULL && *policy != '\0' ? policy : "IfNotPresent") < 0
		       ? -ENOMEM
		       : 0;
}

static int add_port(const struct build *b, json_t *c, const char *name, enum alluxio_port port, bool host)
{
	json_t *p = b->s->ports[port] == 0 ? NULL
					   : json_pack("{s:s,s:i,s:s}", "name", name, "containerPort",
						       b->s->ports[port], "protocol", "TCP");
	if (b->s->ports[port] == 0)
		return 0;
	if (p != NULL && host && json_object_set_new(p, "hostPort", json_integer(b->s->ports[port])) < 0) {
		json_decref(p);
		return -ENOMEM;
	}
	return p != NULL ? json_push(c, "ports", p) : -ENOMEM;
}

static int add_field_env(json_t *c, const char *name, const char *path)
{
	json_t *e = json_pack("{s:s,s:{s:{s:s}}}", "name", name, "valueFrom", "fieldRef", "fieldPath", path);
	return e != NULL ? json_push(c, "env", e) : -ENOMEM;
}

static int add_env_from(const struct build *b, json_t *c)
{
	CLEANUP(free_p) char *name = workload_name(b->ctx, "-config");
	json_t *from = name != NULL ? json_pack("[{s:{s:s}}]", "configMapRef", "name", name) : NULL;
	return from != NULL ? json_put(c, "envFrom", from) : -ENOMEM;
}

/* --- volumes -------------------------------------------------------------------------------------------------------------------- */

static const struct tiered_store_level *level_of(const struct build *b, size_t tier)
{
	return &b->r->tiered_store.levels.v[b->s->tiers.v[tier].level];
}

static json_t *tier_volume(const struct build *b, size_t i, const char *name, const char *dir)
{
	const struct tier_path *t = &b->s->tiers.v[i];
	if (!str_same(level_of(b, i)->volume_type, "emptyDir"))
		return json_pack("{s:s,s:{s:s,s:s}}", "name", name, "hostPath", "path", dir, "type",
				 "DirectoryOrCreate");
	const json_t *user = json_object_get(level_of(b, i)->volume_source, "emptyDir");
	const char *usual = str_same(t->medium, "MEM") ? "Memory" : "";
	char size[32];
	quantity_format_binary(t->quota_bytes, size);
	return json_pack("{s:s,s:{s:s,s:s}}", "name", name, "emptyDir", "medium", json_str(user, "medium", usual),
			 "sizeLimit", json_str(user, "sizeLimit", size));
}

/* The cache's directories, under the same paths in workers and mounts; those that are the worker's alone are not for mounts. */
static int add_tiers(const struct build *b, json_t *pod, json_t *c, json_t *init, bool mounts)
{
	const struct tier_path *v = b->s->tiers.v;
	for (size_t i = 0; i < b->s->tiers.n; i++) {
		size_t first = i;
		while (first > 0 && v[first - 1].level == v[i].level)
			first--;
		char name[48];
		const char *m = v[i].medium;
		const bool several = i + 1 < b->s->tiers.n && v[i + 1].level == v[i].level;
		(void)snprintf(name, sizeof name, "%c%c%c", tolower(m[0]), tolower(m[1]), tolower(m[2])); /* MEM... */
		if (several || first < i)
			(void)snprintf(name + 3, sizeof name - 3, "-%zu", i - first); /* at most 21 characters */
		if (mounts && str_same(level_of(b, i)->volume_type, "emptyDir"))
			continue;
		CLEANUP(free_p) char *dir = str_printf("%s/%s/%s", v[i].path, b->ctx->ns, b->ctx->name);
		json_t *volume = dir != NULL ? tier_volume(b, i, name, dir) : NULL;
		if (volume == NULL || json_push(pod, "spec.volumes", volume) < 0 ||
		    container_mount(c, name, dir, false, NULL) < 0 ||
		    (init != NULL && (container_mount(init, name, dir, false, NULL) < 0 ||
				      json_push(init, "command", json_string(dir)) < 0)))
			return -ENOMEM;
	}
	return 0;
}

static int add_default_tier(json_t *pod, json_t *c)
{
	json_t *v = json_pack("{s:s,s:{s:s,s:s}}", "name", "mem", "emptyDir", "medium", "Memory", "sizeLimit", "1Gi");
	return v == NULL || json_push(pod, "spec.volumes", v) < 0 ? -ENOMEM
								  : container_mount(c, "mem", "/dev/shm", false, NULL);
}

/* Where Alluxio finds local:// and pvc:// sources, or the empty directory that is its root when nothing else is. */
static int add_sources(const struct build *b, json_t *pod, json_t *c)
{
	if (b->s->root == NULL) {
		json_t *v = json_pack("{s:s,s:{}}", "name", "ufs-root", "emptyDir");
		if (v == NULL || json_push(pod, "spec.volumes", v) < 0 ||
		    container_mount(c, "ufs-root", MOUNT_NATIVE_DIR, false, NULL) < 0)
			return -ENOMEM;
	}
	if (b->r->hadoop_config != NULL && *b->r->hadoop_config != '\0') {
		json_t *v = json_pack("{s:s,s:{s:s}}", "name", "hdfs-confs", "configMap", "name", b->r->hadoop_config);
		if (v == NULL || json_push(pod, "spec.volumes", v) < 0 ||
		    container_mount(c, "hdfs-confs", "/hdfs-config", true, NULL) < 0)
			return -ENOMEM;
	}
	return mounts_native_volumes(b->s->mounts, pod, c);
}

/* Secrets of the root mount as files that are named as their options. */
static int add_secrets(const struct build *b, json_t *pod, json_t *master)
{
	json_t *secrets = json_object_get(b->s->root, "secrets"), *s;
	const char *option;
	if (json_object_size(secrets) == 0) {
		json_drop(pod, "spec.initContainers[name=mount-options]");
		return 0;
	}
	JSON_AUTO sources = json_array();
	json_object_foreach (secrets, option, s)
		if (json_array_append_new(sources, json_pack("{s:{s:s,s:[{s:s,s:s}]}}", "secret", "name",
							     json_str(s, "secret", ""), "items", "key",
							     json_str(s, "key", ""), "path", option)) < 0)
			return -ENOMEM;
	json_t *files = json_pack("{s:s,s:{s:i,s:O}}", "name", "root-options", "projected", "defaultMode", 0444,
				  "sources", sources);
	json_t *memory = json_pack("{s:s,s:{s:s}}", "name", "root-properties", "emptyDir", "medium", "Memory");
	int rc = files != NULL ? json_push(pod, "spec.volumes", files) : -ENOMEM;
	int rc2 = memory != NULL ? json_push(pod, "spec.volumes", memory) : -ENOMEM;
	if (rc < 0 || rc2 < 0 ||
	    put_image(json_at(pod, "spec.initContainers[name=mount-options]"), &b->r->alluxio_version) < 0)
		return -ENOMEM;
	return container_mount(master, "root-properties", "/run/alluxio", true, NULL);
}

/* --- users ---------------------------------------------------------------------------------------------------------------------- */

static int mount_users(const struct build *b, json_t *c)
{
	static const char *const files[] = {"passwd", "group"};
	for (size_t i = 0; b->r->run_as != NULL && i < ARRAY_LEN(files); i++) {
		json_t *m = json_pack("{s:s,s:o,s:s,s:b}", "name", "users", "mountPath",
				      json_sprintf("/etc/%s", files[i]), "subPath", files[i], "readOnly", 1);
		if (m == NULL || json_push(c, "volumeMounts", m) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Root, whatever the image says, or the user of the spec, who must own the directories of the host that the servers write to. */
static int put_users(const struct build *b, json_t *pod, json_t **ret_init)
{
	static const struct user root = {0};
	const struct user *u = b->r->run_as != NULL ? b->r->run_as : &root;
	json_t *init = json_at(pod, "spec.initContainers[name=init-users]");
	json_t *who = json_pack("{s:I,s:I}", "runAsUser", (json_int_t)u->uid, "runAsGroup", (json_int_t)u->gid);
	if (who == NULL || json_put(pod, "spec.securityContext", who) < 0)
		return -ENOMEM;
	if (b->r->run_as == NULL) {
		json_drop(pod, "spec.initContainers[name=init-users]");
		return 0;
	}
	CLEANUP(free_p) char *cm = workload_name(b->ctx, "-users");
	CLEANUP(free_p) char *owner = str_printf("%" PRId64 ":%" PRId64, u->uid, u->gid);
	json_t *v = cm != NULL ? json_pack("{s:s,s:{s:s}}", "name", "users", "configMap", "name", cm) : NULL;
	const struct version_spec *image =
		b->r->init_users.version.image != NULL ? &b->r->init_users.version : &b->r->alluxio_version;
	if (v == NULL || json_push(pod, "spec.volumes", v) < 0 || owner == NULL ||
	    json_push(init, "command", json_string(owner)) < 0 ||
	    json_put_int(pod, "spec.securityContext.fsGroup", u->gid) < 0 || put_image(init, image) < 0 ||
	    container_env(init, &b->r->init_users.env) < 0 ||
	    put_copy(init, "resources", b->r->init_users.resources) < 0)
		return -ENOMEM;
	*ret_init = init;
	return 0;
}

static int make_users(const struct build *b, json_t **ret, struct error *err)
{
	const struct user *u = b->r->run_as;
	JSON_AUTO cm = NULL;
	int rc = skeleton_load("alluxio/config.yaml", &cm, err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p) char *name = workload_name(b->ctx, "-users");
	CLEANUP(free_p)
	char *passwd =
		str_printf("%s%s:x:%" PRId64 ":%" PRId64 "::/home/%s:/bin/sh\n",
			   u->uid != 0 ? "root:x:0:0:root:/root:/bin/sh\n" : "", u->user, u->uid, u->gid, u->user);
	CLEANUP(free_p)
	char *group = str_printf("%s%s:x:%" PRId64 ":\n", u->gid != 0 ? "root:x:0:\n" : "", u->group, u->gid);
	json_t *data =
		passwd != NULL && group != NULL ? json_pack("{s:s,s:s}", "passwd", passwd, "group", group) : NULL;
	if (name == NULL || data == NULL || json_put(cm, "data", data) < 0 ||
	    object_identify(cm, b->ctx, b->t, name, "alluxio-users") < 0)
		return no_memory(err, "ConfigMap");
	*ret = TAKE(cm);
	return 0;
}

/* --- pods ----------------------------------------------------------------------------------------------------------------------- */

/* What each server's container gets from the specs. */
static int server(const struct build *b, json_t *c, enum alluxio_part part)
{
	const struct alluxio_component *x = alluxio_component_of(b->s, part);
	return put_image(c, &b->r->alluxio_version) < 0 || add_env_from(b, c) < 0 || container_env(c, &x->env) < 0 ||
			       put_copy(c, "resources", x->resources) < 0 || mount_users(b, c) < 0
		       ? -ENOMEM
		       : 0;
}

static int put_pod(const struct build *b, json_t *pod, const struct pod_metadata *own, const json_t *pull)
{
	const json_t *secrets = json_array_size(pull) > 0 ? pull : b->r->image_pull_secrets;
	return pod_merge_metadata(pod, &b->r->pod_metadata) < 0 || pod_merge_metadata(pod, own) < 0 ||
			       put_copy(pod, "spec.imagePullSecrets", secrets) < 0
		       ? -ENOMEM
		       : 0;
}

static int master_affinity(const struct build *b, json_t *pod)
{
	size_t i;
	json_t *m;
	bool local = false;
	json_array_foreach (b->s->mounts, i, m)
		local = local || str_has_prefix(json_str(m, "mountPoint", ""), "local://");
	return local ? put_copy(pod, "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution",
				json_at(b->ctx->dataset, "spec.nodeAffinity.required"))
		     : 0;
}

static int master_containers(const struct build *b, json_t *pod)
{
	json_t *master = json_at(pod, "spec.containers[name=alluxio-master]"),
	       *job = json_at(pod, "spec.containers[name=alluxio-job-master]"),
	       *gateway = json_at(pod, "spec.containers[name=api-gateway]");
	const bool host = on_host_network(b->r->master.network_mode);
	const char *name = b->s->masters > 1 ? "metadata.name" : "status.podIP";
	if (add_field_env(master, "ALLUXIO_MASTER_HOSTNAME", name) < 0 ||
	    add_field_env(job, "ALLUXIO_MASTER_HOSTNAME", name) < 0 || server(b, master, ALLUXIO_PART_MASTER) < 0 ||
	    server(b, job, ALLUXIO_PART_JOB_MASTER) < 0 || add_port(b, master, "rpc", ALLUXIO_MASTER_RPC, host) < 0 ||
	    add_port(b, master, "web", ALLUXIO_MASTER_WEB, host) < 0 ||
	    add_port(b, master, "embedded", ALLUXIO_MASTER_JOURNAL, host) < 0 ||
	    add_port(b, job, "job-rpc", ALLUXIO_JOB_MASTER_RPC, host) < 0 ||
	    add_port(b, job, "job-web", ALLUXIO_JOB_MASTER_WEB, host) < 0 ||
	    add_port(b, job, "job-embedded", ALLUXIO_JOB_MASTER_JOURNAL, host) < 0)
		return -ENOMEM;
	if (!b->r->api_gateway.enabled) {
		json_drop(pod, "spec.containers[name=api-gateway]");
		return 0;
	}
	return server(b, gateway, ALLUXIO_PART_GATEWAY) < 0 || add_port(b, gateway, "rest", ALLUXIO_PROXY_WEB, host) < 0
		       ? -ENOMEM
		       : 0;
}

static int make_master(const struct build *b, json_t **ret, struct error *err)
{
	JSON_AUTO sts = NULL;
	int rc = skeleton_load("alluxio/master.yaml", &sts, err);
	if (rc < 0)
		return rc;
	const struct alluxio_component *m = &b->r->master;
	json_t *pod = json_at(sts, "spec.template"), *c = json_at(pod, "spec.containers[name=alluxio-master]"),
	       *init = NULL;
	CLEANUP(free_p) char *name = workload_name(b->ctx, b->t->master_suffix);
	if (name == NULL || object_identify(sts, b->ctx, b->t, name, b->t->master_role) < 0 ||
	    object_label(sts, "name", name) < 0 || json_put_str(sts, "spec.serviceName", name) < 0 ||
	    json_put_int(sts, "spec.replicas", b->s->masters) < 0 ||
	    put_pod(b, pod, &m->pod_metadata, m->image_pull_secrets) < 0 || put_network(pod, m->network_mode) < 0 ||
	    pod_put_pairs(pod, "spec.nodeSelector", &m->node_selector) < 0 || master_affinity(b, pod) < 0 ||
	    list_append(pod, "spec.tolerations", json_at(b->ctx->dataset, "spec.tolerations")) < 0 ||
	    put_users(b, pod, &init) < 0 || master_containers(b, pod) < 0 || add_secrets(b, pod, c) < 0 ||
	    add_sources(b, pod, c) < 0)
		return no_memory(err, "StatefulSet");
	if (init != NULL && (container_mount(init, "alluxio-journal", "/journal", false, NULL) < 0 ||
			     json_push(init, "command", json_string("/journal")) < 0))
		return no_memory(err, "StatefulSet");
	if (json_array_size(json_at(pod, "spec.initContainers")) == 0)
		json_drop(pod, "spec.initContainers");
	rc = pod_user_volumes(pod, c, b->r->volumes, m->volume_mounts, "spec.master.volumeMounts", err);
	if (rc == 0)
		*ret = TAKE(sts);
	return rc;
}

static int64_t memory_quota(const struct build *b)
{
	int64_t sum = 0;
	for (size_t i = 0; i < b->s->tiers.n; i++)
		if (str_same(b->s->tiers.v[i].medium, "MEM"))
			sum += b->s->tiers.v[i].quota_bytes; /* alluxio_check() has seen that the sum is one */
	return sum;
}

/* A cache in memory is the worker's memory: ask for it. */
static int put_worker_memory(const struct build *b, json_t *c)
{
	const int64_t need = memory_quota(b);
	int64_t have = 0;
	char text[32];
	const char *asked = json_str(c, "resources.requests.memory", NULL);
	if (need == 0 || (asked != NULL && quantity_parse(asked, &have, NULL) == 0 && have >= need))
		return 0;
	quantity_format_binary(need, text);
	return json_put_str(c, "resources.requests.memory", text);
}

static int worker_containers(const struct build *b, json_t *pod)
{
	json_t *worker = json_at(pod, "spec.containers[name=alluxio-worker]"),
	       *job = json_at(pod, "spec.containers[name=alluxio-job-worker]");
	const bool host = on_host_network(b->r->worker.network_mode);
	if (!host && (add_field_env(worker, "ALLUXIO_WORKER_CONTAINER_HOSTNAME", "status.podIP") < 0 ||
		      add_field_env(job, "ALLUXIO_WORKER_CONTAINER_HOSTNAME", "status.podIP") < 0))
		return -ENOMEM;
	return server(b, worker, ALLUXIO_PART_WORKER) < 0 || server(b, job, ALLUXIO_PART_JOB_WORKER) < 0 ||
			       add_port(b, worker, "rpc", ALLUXIO_WORKER_RPC, host) < 0 ||
			       add_port(b, worker, "web", ALLUXIO_WORKER_WEB, host) < 0 ||
			       add_port(b, job, "job-rpc", ALLUXIO_JOB_WORKER_RPC, host) < 0 ||
			       add_port(b, job, "job-data", ALLUXIO_JOB_WORKER_DATA, host) < 0 ||
			       add_port(b, job, "job-web", ALLUXIO_JOB_WORKER_WEB, host) < 0 ||
			       put_worker_memory(b, worker) < 0
		       ? -ENOMEM
		       : 0;
}

static int make_worker(const struct build *b, json_t **ret, struct error *err)
{
	JSON_AUTO sts = NULL;
	int rc = skeleton_load("alluxio/worker.yaml", &sts, err);
	if (rc < 0)
		return rc;
	const struct alluxio_component *w = &b->r->worker;
	json_t *pod = json_at(sts, "spec.template"), *c = json_at(pod, "spec.containers[name=alluxio-worker]"),
	       *init = NULL;
	if (workload_worker_set(sts, b->ctx, b->t, b->r->replicas, &w->node_selector, NULL) < 0 ||
	    put_pod(b, pod, &w->pod_metadata, w->image_pull_secrets) < 0 || put_network(pod, w->network_mode) < 0 ||
	    put_users(b, pod, &init) < 0 || worker_containers(b, pod) < 0 ||
	    (b->s->tiers.n == 0 ? add_default_tier(pod, c) : add_tiers(b, pod, c, init, false)) < 0 ||
	    add_sources(b, pod, c) < 0)
		return no_memory(err, "StatefulSet");
	if (b->s->tiers.n == 0) /* nothing on the host is to be given away */
		json_drop(pod, "spec.initContainers[name=init-users]");
	if (json_array_size(json_at(pod, "spec.initContainers")) == 0)
		json_drop(pod, "spec.initContainers");
	rc = pod_user_volumes(pod, c, b->r->volumes, w->volume_mounts, "spec.worker.volumeMounts", err);
	if (rc == 0)
		*ret = TAKE(sts);
	return rc;
}

/* --- mounts --------------------------------------------------------------------------------------------------------------------- */

static char *fuse_options(const struct build *b)
{
	const struct user *o = b->s->dataset.spec.owner;
	CLEANUP(free_p)
	char *owner = o != NULL ? str_printf(",uid=%" PRId64 ",gid=%" PRId64, o->uid, o->gid) : strdup("");
	if (owner == NULL)
		return NULL;
	return str_printf("--fuse-opts=kernel_cache,%s%s,allow_other",
			  b->s->read_only ? "ro,attr_timeout=7200,entry_timeout=7200" : "rw", owner);
}

static int fuse_args(const struct build *b, json_t *c, const char *mount)
{
	const struct string_list *own = &b->r->fuse.args;
	CLEANUP(free_p) char *options = fuse_options(b);
	int rc = options != NULL ? 0 : -ENOMEM;
	for (size_t i = 0; i < own->n && rc == 0; i++) {
		const bool ours =
			i == 1 && str_has_prefix(own->v[i], "--fuse-opts=") && strstr(own->v[i], "allow_other") == NULL;
		rc = json_push(c, "args", json_sprintf("%s%s", own->v[i], ours ? ",allow_other" : ""));
	}
	if (rc == 0 && own->n == 0 &&
	    (json_push(c, "args", json_string("fuse")) < 0 || json_push(c, "args", json_string(options)) < 0))
		rc = -ENOMEM;
	if (rc < 0)
		return rc;
	if (!alluxio_image_takes_mount_point(&b->r->fuse.version)) {
		const struct string_pair at = {"MOUNT_POINT", mount};
		return container_env(c, &(struct string_map){.v = &at, .n = 1});
	}
	return json_push(c, "args", json_string(mount)) < 0 || json_push(c, "args", json_string("/")) < 0 ? -ENOMEM : 0;
}

/* What the worker keeps in memory is mapped by its readers too. */
static int fuse_resources(const struct build *b, json_t *c)
{
	int64_t limit, sum;
	char out[32];
	const char *text = json_str(b->r->fuse.resources, "limits.memory", NULL);
	if (put_copy(c, "resources", b->r->fuse.resources) < 0)
		return -ENOMEM;
	if (text == NULL || memory_quota(b) == 0 || quantity_parse(text, &limit, NULL) < 0 ||
	    __builtin_add_overflow(limit, memory_quota(b), &sum))
		return 0;
	quantity_format_binary(sum, out);
	return json_put_str(c, "resources.limits.memory", out);
}

static int make_fuse(const struct build *b, json_t **ret, struct error *err)
{
	JSON_AUTO ds = NULL;
	int rc = skeleton_load("alluxio/fuse.yaml", &ds, err);
	if (rc < 0)
		return rc;
	const struct alluxio_fuse *f = &b->r->fuse;
	json_t *pod = json_at(ds, "spec.template"), *c = json_at(pod, "spec.containers[name=alluxio-fuse]");
	const struct string_pair facts[] = {{"FLUID_RUNTIME_NS", b->ctx->ns}, {"FLUID_RUNTIME_NAME", b->ctx->name}};
	CLEANUP(free_p) char *mount = NULL;
	if (workload_fuse_set(ds, b->ctx, b->t, c, &mount) < 0 || fuse_args(b, c, mount) < 0 ||
	    json_push(c, "lifecycle.preStop.exec.command", json_string(mount)) < 0 ||
	    pod_put_pairs(pod, "spec.nodeSelector", &f->node_selector) < 0 || put_network(pod, f->network_mode) < 0 ||
	    put_pod(b, pod, &f->pod_metadata, f->image_pull_secrets) < 0 || put_image(c, &f->version) < 0 ||
	    add_env_from(b, c) < 0 || container_env(c, &(struct string_map){.v = facts, .n = ARRAY_LEN(facts)}) < 0 ||
	    container_env(c, &f->env) < 0 || fuse_resources(b, c) < 0 || add_tiers(b, pod, c, NULL, true) < 0)
		return no_memory(err, "DaemonSet");
	rc = pod_user_volumes(pod, c, b->r->volumes, f->volume_mounts, "spec.fuse.volumeMounts", err);
	if (rc == 0)
		*ret = TAKE(ds);
	return rc;
}

/* --- the rest ------------------------------------------------------------------------------------------------------------------- */

static int make_config(const struct build *b, json_t **ret, struct error *err)
{
	JSON_AUTO cm = NULL;
	int rc = skeleton_load("alluxio/config.yaml", &cm, err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p) char *name = workload_name(b->ctx, "-config");
	if (name == NULL || object_identify(cm, b->ctx, b->t, name, "alluxio-config") < 0 ||
	    put_copy(cm, "data", b->env) < 0)
		return no_memory(err, "ConfigMap");
	*ret = TAKE(cm);
	return 0;
}

static int add_service_port(const struct build *b, json_t *svc, const char *name, enum alluxio_port port)
{
	if (b->s->ports[port] == 0)
		return 0;
	json_t *p = json_pack("{s:s,s:i,s:i,s:s}", "name", name, "port", b->s->ports[port], "targetPort",
			      b->s->ports[port], "protocol", "TCP");
	return p != NULL ? json_push(svc, "spec.ports", p) : -ENOMEM;
}

static int make_service(const struct build *b, int i, json_t **ret, struct error *err)
{
	JSON_AUTO svc = NULL;
	int rc = skeleton_load("alluxio/service.yaml", &svc, err);
	if (rc < 0)
		return rc;
	CLEANUP(free_p) char *name = str_printf("%s%s-%d", b->ctx->name, b->t->master_suffix, i);
	json_t *selector = name == NULL
				   ? NULL
				   : json_pack("{s:s,s:s,s:s,s:s}", "app", b->t->app, LABEL_RELEASE, b->ctx->name,
					       "role", b->t->master_role, "statefulset.kubernetes.io/pod-name", name);
	if (selector == NULL || json_put(svc, "spec.selector", selector) < 0 ||
	    object_identify(svc, b->ctx, b->t, name, b->t->master_role) < 0 ||
	    (!b->r->disable_prometheus && object_label(svc, "monitor", "alluxio_runtime_metrics") < 0) ||
	    add_service_port(b, svc, "rpc", ALLUXIO_MASTER_RPC) < 0 ||
	    add_service_port(b, svc, "web", ALLUXIO_MASTER_WEB) < 0 ||
	    add_service_port(b, svc, "job-rpc", ALLUXIO_JOB_MASTER_RPC) < 0 ||
	    add_service_port(b, svc, "job-web", ALLUXIO_JOB_MASTER_WEB) < 0 ||
	    add_service_port(b, svc, "rest", ALLUXIO_PROXY_WEB) < 0 ||
	    add_service_port(b, svc, "embedded", ALLUXIO_MASTER_JOURNAL) < 0 ||
	    add_service_port(b, svc, "job-embedded", ALLUXIO_JOB_MASTER_JOURNAL) < 0)
		return no_memory(err, "Service");
	*ret = TAKE(svc);
	return 0;
}

static int add_made(json_t *list, int rc, json_t *obj, struct error *err)
{
	if (rc < 0)
		return rc;
	return json_array_append_new(list, obj) < 0 ? no_memory(err, "objects") : 0;
}

static int make_master_objects(const struct build *b, json_t *list, struct error *err)
{
	json_t *obj = NULL;
	int rc = make_config(b, &obj, err);
	rc = add_made(list, rc, obj, err);
	if (rc == 0 && b->r->run_as != NULL) {
		rc = make_users(b, &obj, err);
		rc = add_made(list, rc, obj, err);
	}
	for (int i = 0; i < b->s->masters && rc == 0; i++) {
		rc = make_service(b, i, &obj, err);
		rc = add_made(list, rc, obj, err);
	}
	if (rc < 0)
		return rc;
	rc = make_master(b, &obj, err);
	return add_made(list, rc, obj, err);
}

int alluxio_objects(const struct reconcile_ctx *ctx, const struct engine_traits *t, const struct alluxio_specs *s,
		    int parts, json_t **ret, struct error *err)
{
	JSON_AUTO env = NULL;
	JSON_AUTO list = json_array();
	json_t *obj = NULL;
	int rc = alluxio_environment(ctx, s, &env, err);
	const struct build b = {.ctx = ctx, .t = t, .s = s, .r = &s->runtime.spec, .env = env};
	if (rc == 0 && (parts & ENGINE_MASTER))
		rc = make_master_objects(&b, list, err);
	if (rc == 0 && (parts & ENGINE_WORKERS)) {
		rc = make_worker(&b, &obj, err);
		rc = add_made(list, rc, obj, err);
	}
	if (rc == 0 && (parts & ENGINE_FUSE)) {
		rc = make_fuse(&b, &obj, err);
		rc = add_made(list, rc, obj, err);
	}
	if (rc == 0)
		*ret = TAKE(list);
	return rc;
}
