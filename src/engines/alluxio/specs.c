/* The specs of a pass, and what of them cannot take effect. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "engines/alluxio/alluxio.h"
#include "engines/alluxio/image.h"
#include "runtime/guard.h"
#include "runtime/mounts.h"
#include "json/json.h"
#include "json/quantity.h"

#define ARENA_LIMIT (4u << 20)

void alluxio_specs_clear(struct alluxio_specs *s)
{
	json_decref(s->mounts);
	s->mounts = NULL;
	tier_paths_clear(&s->tiers);
	arena_free(&s->arena);
}

static void look(struct alluxio_specs *s)
{
	const struct alluxio_runtime_spec *r = &s->runtime.spec;
	const struct string_list *modes = &s->dataset.spec.access_modes;
	size_t i;
	json_t *m;
	json_array_foreach (s->mounts, i, m)
		if (strcmp(json_str(m, "path", ""), "/") == 0)
			s->root = m;
	s->masters = r->master.replicas > 1 ? r->master.replicas : 1;
	s->host_ports = !str_same(r->master.network_mode, "ContainerNetwork") ||
			!str_same(r->worker.network_mode, "ContainerNetwork");
	s->read_only = modes->n == 0;
	for (i = 0; i < modes->n; i++)
		s->read_only = s->read_only || strcmp(modes->v[i], "ReadOnlyMany") == 0;
}

int alluxio_specs_load(const struct reconcile_ctx *ctx, struct alluxio_specs *ret, struct error *err)
{
	*ret = (struct alluxio_specs){.arena = ARENA_INIT(ARENA_LIMIT)};
	int rc = ctx->dataset != NULL
			 ? schema_decode(dataset_kind.schema, ctx->dataset, &ret->arena, &ret->dataset, err)
			 : 0;
	if (rc < 0)
		(void)error_wrap(err, rc, "Dataset");
	else if ((rc = schema_decode(alluxio_runtime_kind.schema, ctx->runtime, &ret->arena, &ret->runtime, err)) < 0)
		(void)error_wrap(err, rc, "AlluxioRuntime");
	else if ((rc = tier_paths(&ret->runtime.spec.tiered_store, &ret->tiers, err)) == 0)
		rc = mounts_resolve(ctx, &ret->mounts, err);
	if (rc < 0)
		alluxio_specs_clear(ret);
	else
		look(ret);
	return rc;
}

const struct alluxio_component *alluxio_component_of(const struct alluxio_specs *s, enum alluxio_part part)
{
	const struct alluxio_runtime_spec *r = &s->runtime.spec;
	const struct alluxio_component *const all[] = {&r->master, &r->job_master, &r->worker, &r->job_worker,
						       &r->api_gateway};
	return all[part];
}

const char *alluxio_part_name(enum alluxio_part part)
{
	static const char *const names[] = {"master", "jobMaster", "worker", "jobWorker", "apiGateway", "fuse"};
	return names[part];
}

int alluxio_tier_rank(const struct alluxio_specs *s, const char *medium)
{
	static const char *const order[] = {"MEM", "SSD", "HDD"};
	int rank = 0;
	for (size_t i = 0; i < ARRAY_LEN(order) && strcmp(order[i], medium) != 0; i++) {
		bool there = false;
		for (size_t k = 0; k < s->tiers.n; k++)
			there = there || str_same(s->tiers.v[k].medium, order[i]);
		rank += there;
	}
	return rank;
}

/* --- words: all of these pass through the scripts of Alluxio's image, which give them to a shell ------------------------------ */

static bool is_plain(const char *text, const char *also)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f || strchr("\"'`$\\", *text) != NULL ||
		    (*text == ' ' && strchr(also, ' ') == NULL))
			return false;
	return true;
}

static bool is_name(const char *text)
{
	if (*text == '\0' || *text == '-')
		return false;
	for (; *text != '\0'; text++)
		if (!isalnum((unsigned char)*text) && strchr("._-", *text) == NULL)
			return false;
	return true;
}

static int check_properties(const char *path, const struct string_map *m, struct error *err)
{
	for (size_t i = 0; i < m->n; i++) {
		if (!is_name(m->v[i].key))
			return error_set(err, -EINVAL, "%s[%s]: must be letters, digits, '.', '_' and '-'", path,
					 m->v[i].key);
		if (!is_plain(m->v[i].value, ""))
			return error_set(err, -EINVAL,
					 "%s[%s]: blanks, quotes, '$', '`' and '\\' do not reach Alluxio unchanged",
					 path, m->v[i].key);
	}
	return 0;
}

static int check_jvm_options(const char *path, const struct string_list *l, struct error *err)
{
	for (size_t i = 0; i < l->n; i++)
		if (!is_plain(l->v[i], " "))
			return error_set(err, -EINVAL,
					 "%s[%zu]: quotes, '$', '`', '\\' and control characters do not reach Java "
					 "unchanged",
					 path, i);
	return 0;
}

/* --- the Dataset ---------------------------------------------------------------------------------------------------------------- */

static int check_source(const struct reconcile_ctx *ctx, const json_t *m, const char *path, struct error *err)
{
	const char *point = json_str(m, "mountPoint", "");
	char field[64];
	(void)snprintf(field, sizeof field, "%s.mountPoint", path); /* paths are short */
	if (str_has_prefix(point, "local://"))
		return guard_host_path(ctx->limits, field, point + strlen("local://"), err);
	if (strstr(point, "://") == NULL || str_has_prefix(point, "dataset://"))
		return error_set(err, -EOPNOTSUPP, "%s: '%s' is no source of Alluxio, SCHEME://...", field, point);
	if (!is_plain(point, ""))
		return error_set(err, -EINVAL, "%s: '%s' has characters that do not reach Alluxio unchanged", field,
				 point);
	return 0;
}

static int check_options(const json_t *m, const char *path, bool root, struct error *err)
{
	const char *key;
	json_t *v;
	json_object_foreach (json_object_get(m, "options"), key, v)
		if (!is_name(key) || (root && !is_plain(json_string_value(v), "")))
			return error_set(err, -EINVAL, "%s.options[%s]: has characters that do not reach Alluxio", path,
					 key);
	json_object_foreach (json_object_get(m, "secrets"), key, v) {
		if (!is_name(key))
			return error_set(err, -EINVAL, "%s.encryptOptions: '%s' is no name of a property", path, key);
		if (!root)
			return error_set(
				err, -EOPNOTSUPP,
				"%s.encryptOptions: '%s': Alluxio takes the options of a mount below '/' on a "
				"command line only, which others can read; a mount with secrets must have path '/'",
				path, key);
	}
	return 0;
}

static const json_t *root_of(const json_t *mounts)
{
	size_t i;
	json_t *m;
	json_array_foreach (mounts, i, m) {
		CLEANUP(free_p) char *path = mount_cache_path(m);
		if (path != NULL && strcmp(path, "/") == 0)
			return m;
	}
	return NULL;
}

/* Mounts below "/" come and go; the root and the pods' volumes are as the pods were started. */
static int check_mounts_change(const json_t *served, const json_t *wanted, struct error *err)
{
	const json_t *root = root_of(served);
	size_t i, k;
	json_t *m, *o;
	if ((root == NULL) != (root_of(wanted) == NULL) || (root != NULL && !json_same(root, root_of(wanted))))
		return error_set(err, -EOPNOTSUPP,
				 "spec.mounts: the mount with path '/' is Alluxio's root and cannot change; make a new "
				 "Dataset");
	json_array_foreach (served, i, m) {
		const char *point = json_str(m, "mountPoint", "");
		bool kept = !str_has_prefix(point, "local://") && !str_has_prefix(point, "pvc://");
		json_array_foreach (wanted, k, o)
			kept = kept || json_same(m, o);
		if (!kept)
			return error_set(err, -EOPNOTSUPP,
					 "spec.mounts: '%s' is a volume of the pods, which cannot come or go while "
					 "they run; make a new Dataset",
					 point);
	}
	return 0;
}

static int check_mounts(const struct reconcile_ctx *ctx, const struct alluxio_specs *s, struct error *err)
{
	size_t i;
	json_t *m;
	if (json_array_size(s->mounts) > ENGINE_MAX_MOUNTS)
		return error_set(err, -EINVAL, "spec.mounts: more than %d", ENGINE_MAX_MOUNTS);
	json_array_foreach (s->mounts, i, m) {
		char path[48];
		(void)snprintf(path, sizeof path, "spec.mounts[%zu]", i); /* at most 34 characters */
		int rc = check_source(ctx, m, path, err);
		if (rc == 0)
			rc = check_options(m, path, m == s->root, err);
		if (rc < 0)
			return rc;
		const char *at = json_str(m, "path", "");
		if (strpbrk(at, " \t\r\n\v\f") != NULL || strstr(at, "//") != NULL)
			return error_set(err, -EINVAL, "%s.path: '%s' must be without blanks and '//'", path, at);
	}
	const json_t *served = json_object_get(ctx->dataset_status, "mounts"),
		     *wanted = json_at(ctx->dataset, "spec.mounts");
	if (served == NULL || ctx->dataset == NULL)
		return 0;
	int rc = check_mounts_change(served, wanted, err);
	return rc == 0 ? check_mounts_change(wanted, served, err) : rc;
}

/* --- the runtime ---------------------------------------------------------------------------------------------------------------- */

static int no_effect(const char *part, const char *field, const char *why, struct error *err)
{
	return error_set(err, -EOPNOTSUPP, "spec.%s.%s: %s", part, field, why);
}

/* Job masters and the gateway run in the masters' pods, job workers in the workers': what a pod has they have from there. */
static int check_beside(enum alluxio_part part, const struct alluxio_component *c, struct error *err)
{
	static const char why[] = "it runs in the pod of the masters or workers; set it there";
	const char *name = alluxio_part_name(part);
	if (c->node_selector.n > 0)
		return no_effect(name, "nodeSelector", why, err);
	if (c->network_mode != NULL && *c->network_mode != '\0')
		return no_effect(name, "networkMode", why, err);
	if (json_array_size(c->volume_mounts) > 0)
		return no_effect(name, "volumeMounts", why, err);
	if (c->pod_metadata.labels.n + c->pod_metadata.annotations.n > 0)
		return no_effect(name, "podMetadata", why, err);
	if (json_array_size(c->image_pull_secrets) > 0)
		return no_effect(name, "imagePullSecrets", why, err);
	return 0;
}

static int check_component(const struct alluxio_specs *s, enum alluxio_part part, struct error *err)
{
	const struct alluxio_component *c = alluxio_component_of(s, part);
	const char *name = alluxio_part_name(part);
	char path[48];
	int rc = 0;
	if (part != ALLUXIO_PART_MASTER && c->replicas > 1)
		return no_effect(name, "replicas", "counts for the masters alone; workers have spec.replicas", err);
	if (part != ALLUXIO_PART_MASTER && part != ALLUXIO_PART_WORKER)
		rc = check_beside(part, c, err);
	(void)snprintf(path, sizeof path, "spec.%s.properties", name); /* names are short */
	if (rc == 0)
		rc = check_properties(path, &c->properties, err);
	(void)snprintf(path, sizeof path, "spec.%s.jvmOptions", name); /* as above */
	if (rc == 0)
		rc = check_jvm_options(path, &c->jvm_options, err);
	(void)snprintf(path, sizeof path, "spec.%s.podMetadata", name); /* as above */
	return rc == 0 ? guard_labels(path, &c->pod_metadata, err) : rc;
}

static int check_level(const struct alluxio_specs *s, size_t i, struct error *err)
{
	const struct tiered_store_level *l = &s->runtime.spec.tiered_store.levels.v[i];
	const json_t *source = l->volume_source;
	const bool empty = str_same(l->volume_type, "emptyDir");
	for (size_t k = 0; k < i; k++)
		if (str_same(s->runtime.spec.tiered_store.levels.v[k].medium_type, l->medium_type))
			return error_set(err, -EINVAL,
					 "spec.tieredstore.levels[%zu].mediumtype: '%s' is level %zu's too; give one "
					 "level several paths",
					 i, l->medium_type, k);
	if (json_object_size(source) > (size_t)(json_object_get(source, "emptyDir") != NULL && empty))
		return error_set(err, -EOPNOTSUPP,
				 "spec.tieredstore.levels[%zu].volumeSource: only emptyDir, with volumeType emptyDir",
				 i);
	return 0;
}

static int check_tiers(const struct reconcile_ctx *ctx, const struct alluxio_specs *s, struct error *err)
{
	const struct tiered_store *ts = &s->runtime.spec.tiered_store;
	int64_t memory = 0, limit;
	for (size_t i = 0; i < ts->levels.n; i++) {
		int rc = check_level(s, i, err);
		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < s->tiers.n; i++) {
		const struct tier_path *t = &s->tiers.v[i];
		char path[64];
		(void)snprintf(path, sizeof path, "spec.tieredstore.levels[%zu].path", t->level); /* it fits */
		if (!is_plain(t->path, "") || strpbrk(t->path, ",:") != NULL)
			return error_set(err, -EINVAL, "%s: '%s' has characters that do not reach Alluxio", path,
					 t->path);
		int rc = str_same(ts->levels.v[t->level].volume_type, "emptyDir")
				 ? 0
				 : guard_host_path(ctx->limits, path, t->path, err);
		if (rc < 0)
			return rc;
		if (str_same(t->medium, "MEM") && __builtin_add_overflow(memory, t->quota_bytes, &memory))
			return error_set(err, -ERANGE, "%s: more memory than can be", path);
	}
	const char *text = json_str(s->runtime.spec.worker.resources, "limits.memory", NULL);
	if (text != NULL && quantity_parse(text, &limit, NULL) == 0 && memory > limit)
		return error_set(err, -EINVAL,
				 "spec.worker.resources.limits.memory: '%s' is less than the quota of the tiers in "
				 "memory",
				 text);
	return 0;
}

static int check_user(const struct alluxio_runtime_spec *r, struct error *err)
{
	const struct user *u = r->run_as;
	if (u == NULL &&
	    (r->init_users.version.image != NULL || r->init_users.env.n > 0 || r->init_users.resources != NULL))
		return error_set(err, -EOPNOTSUPP, "spec.initUsers: has work only with spec.runAs");
	if (u == NULL)
		return 0;
	if (u->uid < 0 || u->gid < 0)
		return error_set(err, -EINVAL, "spec.runAs: uid and gid must be 0 or more");
	if (!is_name(u->user) || !is_name(u->group)) /* they become lines of /etc/passwd and /etc/group */
		return error_set(err, -EINVAL, "spec.runAs: user and group must be letters, digits, '.', '_' and '-'");
	return 0;
}

static int check_fuse(const struct reconcile_ctx *ctx, const struct alluxio_specs *s, struct error *err)
{
	const struct alluxio_fuse *f = &s->runtime.spec.fuse;
	int rc = check_properties("spec.fuse.properties", &f->properties, err);
	if (rc == 0)
		rc = check_jvm_options("spec.fuse.jvmOptions", &f->jvm_options, err);
	if (rc == 0)
		rc = guard_labels("spec.fuse.podMetadata", &f->pod_metadata, err);
	CLEANUP(free_p) char *image = alluxio_image(&f->version);
	if (image == NULL)
		return error_set(err, -ENOMEM, "spec.fuse: out of memory");
	return rc == 0 ? guard_image(ctx->limits, "spec.fuse.image", image, err) : rc;
}

static int check_runtime(const struct reconcile_ctx *ctx, const struct alluxio_specs *s, struct error *err)
{
	const struct alluxio_runtime_spec *r = &s->runtime.spec;
	if (r->data.pin)
		return error_set(err, -EOPNOTSUPP, "spec.data.pin: pinning is not there yet; leave it out");
	int rc = check_properties("spec.properties", &r->properties, err);
	if (rc == 0)
		rc = check_jvm_options("spec.jvmOptions", &r->jvm_options, err);
	if (rc == 0)
		rc = guard_labels("spec.podMetadata", &r->pod_metadata, err);
	for (int part = 0; part < ALLUXIO_PART_FUSE && rc == 0; part++)
		rc = check_component(s, (enum alluxio_part)part, err);
	if (rc == 0)
		rc = check_fuse(ctx, s, err);
	if (rc == 0)
		rc = check_tiers(ctx, s, err);
	if (rc == 0)
		rc = guard_volumes(ctx->limits, r->volumes, err);
	return rc == 0 ? check_user(r, err) : rc;
}

int alluxio_check(const struct reconcile_ctx *ctx, const struct alluxio_specs *s, struct error *err)
{
	if (s->dataset.spec.data_restore_location != NULL)
		return error_set(err, -EOPNOTSUPP,
				 "spec.dataRestoreLocation: restoring is not there yet; leave it out");
	int rc = check_mounts(ctx, s, err);
	return rc == 0 ? check_runtime(ctx, s, err) : rc;
}
