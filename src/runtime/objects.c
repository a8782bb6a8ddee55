#include "runtime/objects.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "kube/client.h"
#include "json/json.h"
#include "json/yaml.h"

static const struct skeleton *plugin_skeletons;

void skeletons_use(const struct skeleton *list)
{
	plugin_skeletons = list;
}

static const struct skeleton *skeleton_find(const struct skeleton *list, const char *name)
{
	for (const struct skeleton *s = list; s != NULL && s->name != NULL; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

/* Skeletons never change, so each is parsed once; who asks gets a copy. */
static pthread_mutex_t parsed_lock = PTHREAD_MUTEX_INITIALIZER; /* guards parsed */
static json_t *parsed;                                          /* name → object, for the life of the process */

static int skeleton_parse(const char *name, json_t **ret, struct error *err)
{
	const struct skeleton *s = skeleton_find(plugin_skeletons, name);
	if (s == NULL)
		s = skeleton_find(skeletons, name);
	if (s == NULL)
		return error_set(err, -ENOENT,
				 "manifests/%s: not compiled in; it must stand among the manifests of meson.build",
				 name);
	JSON_AUTO docs = NULL;
	int rc = yaml_parse(s->text, strlen(s->text), &docs, err);
	if (rc < 0)
		return error_wrap(err, rc, "manifests/%s", name);
	if (json_array_size(docs) != 1)
		return error_set(err, -EINVAL, "manifests/%s: must hold one object", name);
	*ret = json_incref(json_array_get(docs, 0));
	return 0;
}

static json_t *skeleton_copy_locked(const char *name)
{
	const json_t *have = json_object_get(parsed, name);
	return have != NULL ? json_deep_copy(have) : NULL;
}

int skeleton_load(const char *name, json_t **ret, struct error *err)
{
	pthread_mutex_lock(&parsed_lock);
	json_t *copy = skeleton_copy_locked(name);
	pthread_mutex_unlock(&parsed_lock);
	if (copy == NULL) {
		int rc = skeleton_parse(name, &copy, err);
		if (rc < 0)
			return rc;
		JSON_AUTO kept = json_deep_copy(copy);
		pthread_mutex_lock(&parsed_lock);
		if (parsed == NULL)
			parsed = json_object();
		if (parsed != NULL && kept != NULL)
			(void)json_object_set(parsed, name, kept); /* without memory it is parsed again next time */
		pthread_mutex_unlock(&parsed_lock);
	}
	*ret = copy;
	return 0;
}

char *dataset_id(const char *ns, const char *name, const char *uid)
{
	if (strlen(ns) + 1 + strlen(name) < 63 || *uid == '\0')
		return str_printf("%s-%s", ns, name);
	return strdup(uid);
}

char *dataset_label_key(const char *prefix, const char *ns, const char *name, const char *uid)
{
	char *key = str_printf("fluid.io/%s%s-%s", prefix, ns, name);
	if (key == NULL || strlen(key) < 63 || *uid == '\0')
		return key;
	free(key);
	return str_printf("fluid.io/%s%s", prefix, uid);
}

const char *dataset_uid(const struct reconcile_ctx *ctx)
{
	if (ctx->dataset != NULL)
		return obj_uid(ctx->dataset);
	size_t i;
	json_t *ref;
	json_array_foreach (json_at(ctx->runtime, "metadata.ownerReferences"), i, ref)
		if (strcmp(json_str(ref, "kind", ""), "Dataset") == 0)
			return json_str(ref, "uid", "");
	return "";
}

static int put_label(json_t *obj, const char *key, const char *value)
{
	json_t *labels = json_at(obj, "metadata.labels");
	if (labels == NULL) {
		if (json_put(obj, "metadata.labels", json_object()) < 0)
			return -ENOMEM;
		labels = json_at(obj, "metadata.labels");
	}
	return json_object_set_new(labels, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

int object_label(json_t *obj, const char *key, const char *value)
{
	if (put_label(obj, key, value) < 0)
		return -ENOMEM;
	json_t *pod = json_at(obj, "spec.template");
	return pod != NULL ? put_label(pod, key, value) : 0;
}

static int put_owner(json_t *obj, const struct reconcile_ctx *ctx)
{
	char version[128];
	json_t *owner =
		json_pack("[{s:s,s:s,s:s,s:s,s:b,s:b}]", "apiVersion", kube_api_version(ctx->runtime_resource, version),
			  "kind", ctx->runtime_resource->kind, "name", ctx->name, "uid", obj_uid(ctx->runtime),
			  "controller", 1, "blockOwnerDeletion", 0);
	return owner != NULL ? json_put(obj, "metadata.ownerReferences", owner) : -ENOMEM;
}

int object_identify(json_t *obj, const struct reconcile_ctx *ctx, const struct engine_traits *t, const char *name,
		    const char *role)
{
	CLEANUP(free_p) char *id = dataset_id(ctx->ns, ctx->name, dataset_uid(ctx));
	if (id == NULL)
		return -ENOMEM;
	const struct {
		const char *key, *value;
	} labels[] = {
		{"app", t->app},
		{LABEL_RELEASE, ctx->name},
		{"role", role},
		{"app.kubernetes.io/name", t->app},
		{"app.kubernetes.io/instance", ctx->name},
		{"app.kubernetes.io/managed-by", "sluice"},
		{LABEL_MANAGED_BY, "fluid"},
		{LABEL_DATASET_ID, id},
	};
	int rc = json_put_str(obj, "metadata.name", name);
	if (rc == 0)
		rc = json_put_str(obj, "metadata.namespace", ctx->ns);
	for (size_t i = 0; i < ARRAY_LEN(labels) && rc == 0; i++)
		rc = object_label(obj, labels[i].key, labels[i].value);
	if (rc == 0 && json_at(obj, "spec.template") != NULL) {
		json_t *selector = json_pack("{s:{s:s,s:s,s:s}}", "matchLabels", "app", t->app, LABEL_RELEASE,
					     ctx->name, "role", role);
		rc = selector != NULL ? json_put(obj, "spec.selector", selector) : -ENOMEM;
	}
	return rc == 0 ? put_owner(obj, ctx) : rc;
}

int pod_put_pairs(json_t *pod, const char *path, const struct string_map *m)
{
	if (m->n == 0)
		return 0;
	if (json_at(pod, path) == NULL && json_put(pod, path, json_object()) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < m->n; i++)
		if (json_object_set_new(json_at(pod, path), m->v[i].key, json_string(m->v[i].value)) < 0)
			return -ENOMEM;
	return 0;
}

int pod_merge_metadata(json_t *pod, const struct pod_metadata *m)
{
	int rc = pod_put_pairs(pod, "metadata.labels", &m->labels);
	return rc == 0 ? pod_put_pairs(pod, "metadata.annotations", &m->annotations) : rc;
}

int container_env(json_t *c, const struct string_map *env)
{
	for (size_t i = 0; i < env->n; i++) {
		json_t *list = json_object_get(c, "env");
		for (size_t k = json_array_size(list); k-- > 0;)
			if (strcmp(json_str(json_array_get(list, k), "name", ""), env->v[i].key) == 0)
				(void)json_array_remove(list, k); /* the index is in range */
		json_t *var = json_pack("{s:s,s:s}", "name", env->v[i].key, "value", env->v[i].value);
		if (var == NULL || json_push(c, "env", var) < 0)
			return -ENOMEM;
	}
	return 0;
}

int container_mount(json_t *c, const char *volume, const char *path, bool read_only, const char *propagation)
{
	JSON_AUTO m = json_pack("{s:s,s:s}", "name", volume, "mountPath", path);
	if (m == NULL || (read_only && json_object_set_new(m, "readOnly", json_true()) < 0) ||
	    (propagation != NULL && json_object_set_new(m, "mountPropagation", json_string(propagation)) < 0))
		return -ENOMEM;
	return json_push(c, "volumeMounts", TAKE(m));
}

int pod_host_path(json_t *pod, const char *volume, const char *path, const char *type)
{
	json_t *v = json_pack("{s:s,s:{s:s,s:s}}", "name", volume, "hostPath", "path", path, "type", type);
	return v != NULL ? json_push(pod, "spec.volumes", v) : -ENOMEM;
}

int list_append(json_t *obj, const char *path, const json_t *extra)
{
	size_t i;
	json_t *item;
	json_array_foreach (extra, i, item) {
		json_t *copy = json_deep_copy(item);
		if (copy == NULL || json_push(obj, path, copy) < 0)
			return -ENOMEM;
	}
	return 0;
}

int pod_user_volumes(json_t *pod, json_t *c, const json_t *volumes, const json_t *mounts, const char *path,
		     struct error *err)
{
	size_t i, k;
	json_t *m, *v;
	json_array_foreach (mounts, i, m) {
		const char *want = json_str(m, "name", "");
		const json_t *found = NULL;
		json_array_foreach (volumes, k, v)
			if (strcmp(json_str(v, "name", ""), want) == 0)
				found = v;
		if (found == NULL)
			return error_set(err, -EINVAL,
					 "%s[%zu].name: '%s' is not in spec.volumes; add the volume there", path, i,
					 want);
		bool there = false;
		json_array_foreach (json_at(pod, "spec.volumes"), k, v)
			there = there || strcmp(json_str(v, "name", ""), want) == 0;
		json_t *copy = there ? NULL : json_deep_copy(found);
		if (!there && (copy == NULL || json_push(pod, "spec.volumes", copy) < 0))
			return error_set(err, -ENOMEM, "%s: out of memory", path);
	}
	return list_append(c, "volumeMounts", mounts) < 0 ? error_set(err, -ENOMEM, "%s: out of memory", path) : 0;
}

uint64_t text_hash(const char *s)
{
	uint64_t h = UINT64_C(14695981039346656037);
	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return h ^ h >> 29; /* FNV's low bits mix badly over short tails */
}

int json_hash(const json_t *j, char out[static 17])
{
	CLEANUP(free_p) char *text = json_to_text(j, NULL);
	if (text == NULL)
		return -ENOMEM;
	(void)snprintf(out, 17, "%016" PRIx64, text_hash(text)); /* always 16 digits */
	return 0;
}

int object_apply(struct reconcile_ctx *ctx, const struct kube_resource *r, const json_t *obj, struct error *err)
{
	const char *ns = r->namespaced ? ctx->ns : "";
	char hash[17];
	if (json_hash(obj, hash) < 0)
		return error_set(err, -ENOMEM, "apply %s %s: out of memory", r->kind, obj_name(obj));
	JSON_AUTO live = ctx->api->get(ctx->api->ctx, r, ns, obj_name(obj));
	const char *applied = live != NULL && !obj_deleting(live) ? obj_annotation(live, ANNOTATION_APPLIED) : NULL;
	if (applied != NULL && strcmp(applied, hash) == 0)
		return 0;
	if (live != NULL && obj_deleting(live))
		return error_set(err, -EAGAIN, "%s %s is still being deleted; waiting until it is gone", r->kind,
				 obj_name(obj));
	JSON_AUTO marked = json_deep_copy(obj);
	if (marked == NULL ||
	    (json_at(marked, "metadata.annotations") == NULL &&
	     json_put(marked, "metadata.annotations", json_object()) < 0) ||
	    json_object_set_new(json_at(marked, "metadata.annotations"), ANNOTATION_APPLIED, json_string(hash)) < 0)
		return error_set(err, -ENOMEM, "apply %s %s: out of memory", r->kind, obj_name(obj));
	int rc = ctx->api->apply(ctx->api->ctx, r, ns, obj_name(obj), marked, err);
	return rc < 0 ? rc : 1;
}
