/* /v1/status of a worker: asking for it, and reading the answer. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "engines/reservoir/reservoir.h"
#include "net/http_client.h"
#include "runtime/ask.h"
#include "json/json.h"

#define ANSWER_MAX (1u << 20)

static int field_error(struct error *err, const char *path, const char *want)
{
	return error_set(err, -EINVAL, "%s: must be %s", path, want);
}

static int get_bytes(const json_t *root, const char *path, int64_t *ret, struct error *err)
{
	const json_t *v = json_at(root, path);
	if (!json_is_integer(v) || json_integer_value(v) < 0)
		return field_error(err, path, "a whole number of 0 or more");
	*ret = json_integer_value(v);
	return 0;
}

static int get_bool(const json_t *root, const char *path, bool *ret, struct error *err)
{
	const json_t *v = json_at(root, path);
	if (!json_is_boolean(v))
		return field_error(err, path, "true or false");
	*ret = json_is_true(v);
	return 0;
}

static int get_mount(const json_t *m, struct figures_mount *ret, struct error *err)
{
	const char *path = json_str(m, "path", NULL), *source = json_str(m, "source", NULL),
		   *state = json_str(m, "state", NULL);
	if (path == NULL || source == NULL || state == NULL)
		return field_error(err, "mounts", "a list of objects with path, source and state");
	ret->failed = strcmp(state, "Failed") == 0;
	ret->listing = strcmp(state, "Listing") == 0;
	if (!ret->failed && !ret->listing && strcmp(state, "Ready") != 0)
		return field_error(err, "mounts[].state", "Ready, Listing or Failed");
	ret->path = strdup(path);
	ret->source = strdup(source);
	ret->message = strdup(json_str(m, "message", ""));
	return ret->path != NULL && ret->source != NULL && ret->message != NULL
		       ? 0
		       : error_set(err, -ENOMEM, "out of memory");
}

static int get_mounts(const json_t *root, struct engine_figures *ret, struct error *err)
{
	const json_t *list = json_object_get(root, "mounts");
	size_t n = json_array_size(list), i;
	json_t *m;
	if (!json_is_array(list) || n > ENGINE_MAX_MOUNTS)
		return field_error(err, "mounts", "a list of at most 256 mounts");
	ret->mounts = calloc(n + 1, sizeof *ret->mounts);
	if (ret->mounts == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	json_array_foreach (list, i, m) {
		ret->n_mounts = i + 1; /* a half-read one is freed too */
		int rc = get_mount(m, &ret->mounts[i], err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int reservoir_status_parse(const char *text, size_t n, struct engine_figures *ret, struct error *err)
{
	JSON_AUTO root = NULL;
	int rc = json_parse(text, n, &root, err);
	if (rc < 0)
		return rc;
	struct engine_figures f = {0};
	if ((rc = get_bool(root, "ready", &f.ready, err)) < 0 ||
	    (rc = get_bytes(root, "ufs.bytes", &f.ufs_bytes, err)) < 0 ||
	    (rc = get_bytes(root, "ufs.files", &f.ufs_files, err)) < 0 ||
	    (rc = get_bool(root, "ufs.complete", &f.ufs_complete, err)) < 0 ||
	    (rc = get_bytes(root, "cache.capacityBytes", &f.capacity_bytes, err)) < 0 ||
	    (rc = get_bytes(root, "cache.cachedBytes", &f.cached_bytes, err)) < 0 ||
	    (rc = get_bytes(root, "reads.hitBytes", &f.hit_bytes, err)) < 0 ||
	    (rc = get_bytes(root, "reads.missBytes", &f.miss_bytes, err)) < 0 || (rc = get_mounts(root, &f, err)) < 0) {
		engine_figures_clear(&f);
		return rc;
	}
	f.local_hit_bytes = f.hit_bytes; /* a mount reads the cache of its own node only */
	*ret = f;
	return 0;
}

int reservoir_query_figures(const struct engine_question *q, struct engine_figures *ret, struct error *err)
{
	struct http_answer a = {0};
	int rc = ask_http(q, &(struct http_call){.method = "GET", .url = q->target, .max_body = ANSWER_MAX}, 200, &a,
			  err);
	if (rc == 0 && (rc = reservoir_status_parse(a.body, a.body_n, ret, err)) < 0)
		(void)error_wrap(err, rc, "GET %s", q->target);
	http_answer_clear(&a);
	return rc;
}
