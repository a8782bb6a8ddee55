/* The kinds that are served. */
#include "local/api_registry.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "local/api_table.h"
#include "json/json.h"

#define CRD_ARENA_MAX (32u << 20)
#define KINDS_MAX     4096
#define COLUMNS_MAX   64

struct api_registry {
	pthread_rwlock_t lock; /* guards all below */
	struct api_kind **kinds;
	size_t n, cap;
	uint64_t generation;
};

struct api_kind *api_kind_ref(struct api_kind *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

struct api_kind *api_kind_unref(struct api_kind *k)
{
	if (k != NULL && atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) == 1) {
		json_decref(k->crd);
		arena_free(&k->arena);
		free(k);
	}
	return NULL;
}

static struct api_kind *kind_new(void)
{
	struct api_kind *k = calloc(1, sizeof *k);
	if (k == NULL)
		return NULL;
	atomic_init(&k->refs, 1);
	k->arena = ARENA_INIT(CRD_ARENA_MAX);
	return k;
}

/** Takes @k, also on failure. */
static int add_locked(struct api_registry *reg, struct api_kind *k)
{
	if (reg->n == reg->cap) {
		size_t cap = reg->cap > 0 ? reg->cap * 2 : 64;
		struct api_kind **p = cap <= KINDS_MAX ? reallocarray(reg->kinds, cap, sizeof *p) : NULL;
		if (p == NULL) {
			(void)api_kind_unref(k);
			return -ENOMEM;
		}
		reg->kinds = p;
		reg->cap = cap;
	}
	reg->kinds[reg->n++] = k;
	reg->generation++;
	return 0;
}

static int add_builtin(struct api_registry *reg, const struct kind *kind)
{
	struct api_kind *k = kind_new();
	if (k == NULL)
		return -ENOMEM;
	k->k = kind;
	/* Events are the same objects in both of their groups. */
	bool alias = strcmp(kind->resource.group, "events.k8s.io") == 0;
	k->stored_group = alias ? "" : kind->resource.group;
	k->storage_version = kind->resource.version;
	k->one_version = !alias;
	return add_locked(reg, k);
}

struct api_registry *api_registry_new(void)
{
	struct api_registry *reg = calloc(1, sizeof *reg);
	if (reg == NULL)
		return NULL;
	(void)pthread_rwlock_init(&reg->lock, NULL);
	bool crd_listed = false;
	int rc = 0;
	for (size_t i = 0; kubernetes_kinds[i] != NULL && rc == 0; i++) {
		crd_listed |= kubernetes_kinds[i] == &crd_kind;
		rc = add_builtin(reg, kubernetes_kinds[i]);
	}
	if (rc == 0 && !crd_listed)
		rc = add_builtin(reg, &crd_kind);
	if (rc < 0) {
		api_registry_free(reg);
		return NULL;
	}
	return reg;
}

void api_registry_free(struct api_registry *reg)
{
	if (reg == NULL)
		return;
	for (size_t i = 0; i < reg->n; i++)
		(void)api_kind_unref(reg->kinds[i]);
	free(reg->kinds);
	(void)pthread_rwlock_destroy(&reg->lock);
	free(reg);
}

static bool matches(const struct api_kind *k, const char *group, const char *version, const char *plural)
{
	const struct kube_resource *r = &k->k->resource;
	return strcmp(r->plural, plural) == 0 && strcmp(r->group, group) == 0 &&
	       strcmp(r->version, version != NULL ? version : k->storage_version) == 0;
}

struct api_kind *api_registry_find(struct api_registry *reg, const char *group, const char *version, const char *plural)
{
	struct api_kind *found = NULL;
	pthread_rwlock_rdlock(&reg->lock);
	for (size_t i = 0; i < reg->n && found == NULL; i++)
		if (matches(reg->kinds[i], group, version, plural))
			found = api_kind_ref(reg->kinds[i]);
	pthread_rwlock_unlock(&reg->lock);
	return found;
}

bool api_registry_serves(struct api_registry *reg, const char *group, const char *version)
{
	bool found = false;
	pthread_rwlock_rdlock(&reg->lock);
	for (size_t i = 0; i < reg->n && !found; i++)
		found = strcmp(reg->kinds[i]->k->resource.group, group) == 0 &&
			strcmp(reg->kinds[i]->k->resource.version, version) == 0;
	pthread_rwlock_unlock(&reg->lock);
	return found;
}

int api_registry_all(struct api_registry *reg, struct api_kind ***ret, size_t *ret_n)
{
	pthread_rwlock_rdlock(&reg->lock);
	struct api_kind **all = calloc(reg->n + 1, sizeof(struct api_kind *));
	for (size_t i = 0; i < reg->n && all != NULL; i++)
		all[i] = api_kind_ref(reg->kinds[i]);
	*ret_n = reg->n;
	pthread_rwlock_unlock(&reg->lock);
	if (all == NULL)
		return -ENOMEM;
	*ret = all;
	return 0;
}

void api_kinds_free(struct api_kind **kinds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		(void)api_kind_unref(kinds[i]);
	free(kinds);
}

uint64_t api_registry_generation(struct api_registry *reg)
{
	pthread_rwlock_rdlock(&reg->lock);
	uint64_t g = reg->generation;
	pthread_rwlock_unlock(&reg->lock);
	return g;
}

static const char *const *string_list(struct arena *a, const json_t *list)
{
	size_t n = json_array_size(list);
	const char **out = n > 0 ? arena_alloc_array(a, n + 1, sizeof *out) : NULL;
	for (size_t i = 0; i < n && out != NULL; i++) {
		const char *s = json_string_value(json_array_get(list, i));
		out[i] = s != NULL ? s : "";
	}
	return out;
}

static const char *column_text(const json_t *c, const char *key)
{
	const char *s = json_string_value(json_object_get(c, key));
	return s != NULL ? s : "";
}

static int read_columns(struct api_kind *k, struct kind *out, const json_t *version, struct error *err)
{
	const json_t *list = json_object_get(version, "additionalPrinterColumns");
	size_t n = json_array_size(list);
	if (n == 0)
		return 0;
	if (n > COLUMNS_MAX)
		return error_set(err, -EINVAL,
				 "spec.versions.additionalPrinterColumns: Too many: %zu: must have at most %d items", n,
				 COLUMNS_MAX);
	struct column *cols = arena_alloc_array(&k->arena, n + 1, sizeof *cols);
	if (cols == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		const json_t *c = json_array_get(list, i);
		cols[i] = (struct column){.name = column_text(c, "name"),
					  .type = column_text(c, "type"),
					  .format = column_text(c, "format"),
					  .doc = column_text(c, "description"),
					  .json_path = column_text(c, "jsonPath"),
					  .priority = (int)json_integer_value(json_object_get(c, "priority"))};
		if (!api_json_path_valid(cols[i].json_path))
			return error_set(err, -EINVAL,
					 "spec.versions.additionalPrinterColumns[%zu].jsonPath: Invalid value: \"%s\": "
					 "must be a simple json path starting with .",
					 i, cols[i].json_path);
	}
	out->columns = cols;
	return 0;
}

static void read_subresources(struct kind *out, const json_t *version)
{
	const json_t *sub = json_object_get(version, "subresources");
	if (json_is_object(json_object_get(sub, "status")))
		out->subresources |= SUB_STATUS;
	const json_t *scale = json_object_get(sub, "scale");
	if (!json_is_object(scale))
		return;
	out->subresources |= SUB_SCALE;
	out->scale_spec_path = json_string_value(json_object_get(scale, "specReplicasPath"));
	out->scale_status_path = json_string_value(json_object_get(scale, "statusReplicasPath"));
	out->scale_selector_path = json_string_value(json_object_get(scale, "labelSelectorPath"));
}

/** @root with the members that every object has, so that they are neither pruned nor unknown. */
static const struct schema *with_metadata(struct arena *a, const struct schema *root)
{
	static const struct schema text = {.type = SCHEMA_STRING};
	static const struct field own[] = {
		{.name = "apiVersion", .schema = &text, .offset = FIELD_NO_OFFSET},
		{.name = "kind", .schema = &text, .offset = FIELD_NO_OFFSET},
		{.name = "metadata", .schema = &object_meta_schema, .offset = FIELD_NO_OFFSET},
	};
	size_t n = 0;
	bool object = root->type == SCHEMA_OBJECT;
	while (object && root->fields != NULL && root->fields[n].name != NULL)
		n++;
	struct field *fields = arena_alloc_array(a, n + ARRAY_LEN(own) + 1, sizeof *fields);
	struct schema *s = arena_alloc(a, sizeof *s);
	if (fields == NULL || s == NULL)
		return NULL;
	memcpy(fields, own, sizeof own);
	size_t at = ARRAY_LEN(own);
	for (size_t i = 0; i < n; i++) {
		const char *name = root->fields[i].name;
		if (strcmp(name, "apiVersion") != 0 && strcmp(name, "kind") != 0 && strcmp(name, "metadata") != 0)
			fields[at++] = root->fields[i];
	}
	*s = *root;
	s->type = SCHEMA_OBJECT;
	s->fields = fields;
	s->items = NULL;
	s->preserve_unknown |= !object;
	return s;
}

static int read_schema(struct api_kind *k, struct kind *out, const json_t *version, struct error *err)
{
	const json_t *open = json_at(version, "schema.openAPIV3Schema");
	if (!json_is_object(open))
		return error_set(err, -EINVAL,
				 "spec.versions[%s].schema.openAPIV3Schema: Required value: schemas are required",
				 column_text(version, "name"));
	const struct schema *root = NULL;
	int rc = schema_from_openapi(open, &k->arena, &root, err);
	if (rc < 0)
		return rc;
	out->schema = with_metadata(&k->arena, root);
	if (out->schema == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	out->doc = out->schema->doc;
	return 0;
}

/** The kind of one version of @crd. The json it points into is the kind's own copy. */
static int build_kind(const json_t *crd, size_t version_at, const char *storage, bool one_version,
		      struct api_kind **ret, struct error *err)
{
	CLEANUP(api_kind_unref_p) struct api_kind *k = kind_new();
	if (k == NULL || (k->crd = json_deep_copy(crd)) == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	const json_t *spec = json_object_get(k->crd, "spec"), *names = json_object_get(spec, "names");
	const json_t *version = json_array_get(json_object_get(spec, "versions"), version_at);
	struct kind *out = arena_alloc(&k->arena, sizeof *out);
	if (out == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	out->resource = (struct kube_resource){
		.group = column_text(spec, "group"),
		.version = column_text(version, "name"),
		.kind = column_text(names, "kind"),
		.plural = column_text(names, "plural"),
		.namespaced = strcmp(column_text(spec, "scope"), "Cluster") != 0,
	};
	out->list_kind = column_text(names, "listKind");
	out->singular = column_text(names, "singular");
	out->short_names = string_list(&k->arena, json_object_get(names, "shortNames"));
	out->categories = string_list(&k->arena, json_object_get(names, "categories"));
	out->verbs = VERBS_ALL;
	read_subresources(out, version);
	int rc = read_columns(k, out, version, err);
	if (rc == 0)
		rc = read_schema(k, out, version, err);
	if (rc < 0)
		return rc;
	k->k = out;
	k->custom = true;
	k->one_version = one_version;
	k->stored_group = out->resource.group;
	k->storage_version = arena_strdup(&k->arena, storage);
	if (k->storage_version == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = TAKE(k);
	return 0;
}

/** All served versions of @crd. */
static int build_kinds(const json_t *crd, struct api_kind ***ret, size_t *ret_n, struct error *err)
{
	const json_t *versions = json_at(crd, "spec.versions");
	const char *storage = "";
	size_t n = json_array_size(versions), count = 0;
	for (size_t i = 0; i < n; i++)
		if (json_bool(json_array_get(versions, i), "storage", false))
			storage = json_str(json_array_get(versions, i), "name", "");
	struct api_kind **kinds = calloc(n + 1, sizeof(struct api_kind *));
	int rc = kinds != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n && rc == 0; i++)
		if (json_bool(json_array_get(versions, i), "served", false))
			rc = build_kind(crd, i, storage, n == 1, &kinds[count++], err);
	if (rc < 0) {
		api_kinds_free(kinds, kinds != NULL ? count : 0);
		return rc;
	}
	*ret = kinds;
	*ret_n = count;
	return 0;
}

int api_registry_check_crd(const json_t *crd, struct error *err)
{
	struct api_kind **kinds = NULL;
	size_t n = 0;
	int rc = build_kinds(crd, &kinds, &n, err);
	if (rc == 0)
		api_kinds_free(kinds, n);
	return rc;
}

static void remove_locked(struct api_registry *reg, const char *group, const char *plural)
{
	size_t kept = 0;
	for (size_t i = 0; i < reg->n; i++) {
		struct api_kind *k = reg->kinds[i];
		if (k->custom && strcmp(k->k->resource.group, group) == 0 && strcmp(k->k->resource.plural, plural) == 0)
			(void)api_kind_unref(k);
		else
			reg->kinds[kept++] = k;
	}
	if (kept != reg->n)
		reg->generation++;
	reg->n = kept;
}

/** Equal in all that counts here: the name, the spec, and whether it is going. */
static bool same_definition(const json_t *a, const json_t *b)
{
	return strcmp(json_str(a, "metadata.name", ""), json_str(b, "metadata.name", "")) == 0 &&
	       (json_at(a, "metadata.deletionTimestamp") == NULL) ==
		       (json_at(b, "metadata.deletionTimestamp") == NULL) &&
	       json_same(json_object_get(a, "spec"), json_object_get(b, "spec"));
}

/** Whether @crd is served already as it is now: most writes of a definition are of its status. */
static bool is_served(struct api_registry *reg, const json_t *crd)
{
	bool same = false;
	pthread_rwlock_rdlock(&reg->lock);
	for (size_t i = 0; i < reg->n && !same; i++)
		same = reg->kinds[i]->custom && same_definition(reg->kinds[i]->crd, crd);
	pthread_rwlock_unlock(&reg->lock);
	return same;
}

int api_registry_add_crd(struct api_registry *reg, const json_t *crd, struct error *err)
{
	if (is_served(reg, crd))
		return 0;
	struct api_kind **kinds = NULL;
	size_t n = 0;
	int rc = build_kinds(crd, &kinds, &n, err);
	if (rc < 0)
		return rc;
	pthread_rwlock_wrlock(&reg->lock);
	remove_locked(reg, json_str(crd, "spec.group", ""), json_str(crd, "spec.names.plural", ""));
	for (size_t i = 0; i < n; i++)
		if (add_locked(reg, kinds[i]) < 0)
			rc = error_set(err, -ENOMEM, "out of memory, or more than %d kinds", KINDS_MAX);
	pthread_rwlock_unlock(&reg->lock);
	free(kinds);
	return rc;
}

void api_registry_remove_crd(struct api_registry *reg, const char *group, const char *plural)
{
	pthread_rwlock_wrlock(&reg->lock);
	remove_locked(reg, group, plural);
	pthread_rwlock_unlock(&reg->lock);
}
