/* Talking to Alluxio: its metrics over HTTP, and commands in a master's pod. Everything here runs on a pool and may wait. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "engines/alluxio/alluxio.h"
#include "net/http_client.h"
#include "runtime/ask.h"
#include "json/json.h"

#define ANSWER_MAX (4u << 20)
#define WORDS_MAX  512

/* The first line of what it printed that says something: Alluxio tells errors on stdout. */
static void first_line(const struct engine_output *o, char out[static 160])
{
	const char *text = o->out_n > 0 ? o->out : o->err;
	while (*text == '\n' || *text == ' ')
		text++;
	(void)snprintf(out, 160, "%.*s", (int)strcspn(text, "\n"), text); /* cut is fine */
}

/* `alluxio WORDS...` to a good end; what it says is to be cleared. */
static int run(const struct engine_question *q, const char *pod, const char *const *words, struct engine_output *ret,
	       struct error *err)
{
	const char *argv[WORDS_MAX] = {"alluxio"};
	size_t n = 1;
	for (; *words != NULL; words++) {
		if (n + 1 == WORDS_MAX)
			return error_set(err, -E2BIG, "alluxio %s %s: too many words", argv[1], argv[2]);
		argv[n++] = *words;
	}
	const struct engine_exec x = {
		.ns = q->ns, .pod = pod, .container = ALLUXIO_MASTER, .argv = argv, .max_output = ANSWER_MAX};
	int rc = q->api->exec(q->api->ctx, q, &x, ret, err);
	if (rc < 0)
		return rc;
	if (ret->status == 0)
		return 0;
	char line[160];
	first_line(ret, line);
	rc = error_set(err, -EREMOTEIO, "alluxio %s %s ended with %d: %s", argv[1], n > 2 ? argv[2] : "", ret->status,
		       line);
	engine_output_clear(ret);
	return rc;
}

/* The same for those whose words are of no interest. */
static int run_only(const struct engine_question *q, const char *pod, const char *const *words, struct error *err)
{
	struct engine_output o = {0};
	int rc = run(q, pod, words, &o, err);
	if (rc == 0)
		engine_output_clear(&o);
	return rc;
}

/* --- figures -------------------------------------------------------------------------------------------------------------------- */

static int ask_metrics(const struct engine_question *q, const char *url, int64_t timeout_ns, struct engine_figures *ret,
		       struct error *err)
{
	struct http_answer a = {0};
	int rc = ask_http(
		q, &(struct http_call){.method = "GET", .url = url, .timeout_ns = timeout_ns, .max_body = ANSWER_MAX},
		200, &a, err);
	if (rc == 0 && (rc = alluxio_read_metrics_json(a.body, a.body_n, ret, err)) < 0)
		(void)error_wrap(err, rc, "GET %s", url);
	http_answer_clear(&a);
	return rc;
}

static int ask_command(const struct engine_question *q, const char *pod, struct engine_figures *ret, struct error *err)
{
	static const char *const words[] = {"fsadmin", "report", "metrics", NULL};
	struct engine_output o = {0};
	int rc = run(q, pod, words, &o, err);
	if (rc < 0)
		return rc;
	rc = alluxio_read_metrics(o.out, ret, err);
	engine_output_clear(&o);
	return rc;
}

/* "URL POD": over HTTP, which costs nothing; a controller that does not reach the pods' network runs a command (a second of Java). */
int alluxio_query_figures(const struct engine_question *q, struct engine_figures *ret, struct error *err)
{
	char url[160];
	const char *space = strchr(q->target, ' '); /* alluxio_figures_targets() wrote it */
	if (space == NULL || space - q->target >= (ptrdiff_t)sizeof url)
		return error_set(err, -EINVAL, "figures: '%s' is no target", q->target);
	(void)snprintf(url, sizeof url, "%.*s", (int)(space - q->target), q->target);
	const int64_t left = q->deadline_mono_ns - clock_mono_ns();
	if (left <= 0)
		return error_set(err, -ETIMEDOUT, "GET %s: no time left", url);
	struct error why = {0};
	int rc = ask_metrics(q, url, left / 2, ret, &why);
	if (rc < 0 && (q->cancel == NULL || !atomic_load(q->cancel)))
		rc = ask_command(q, space + 1, ret, err);
	return rc;
}

/* --- mounts --------------------------------------------------------------------------------------------------------------------- */

static int list_mounts(const struct engine_question *q, const char *pod, json_t **ret, struct error *err)
{
	static const char *const words[] = {"fs", "mount", NULL};
	struct engine_output o = {0};
	int rc = run(q, pod, words, &o, err);
	if (rc < 0)
		return rc;
	rc = alluxio_read_mounts(o.out, ret, err);
	engine_output_clear(&o);
	return rc;
}

static int unmount(const struct engine_question *q, const char *pod, const char *path, struct error *err)
{
	int rc = run_only(q, pod, (const char *const[]){"fs", "unmount", path, NULL}, err);
	return rc < 0 ? error_wrap(err, rc, "unmount %s", path) : 0;
}

static int mount_one(const struct engine_question *q, const char *pod, const json_t *m, struct error *err)
{
	const char *words[WORDS_MAX] = {"fs", "mount"}, *key;
	const char *path = json_str(m, "path", "");
	size_t n = 2;
	json_t *v;
	JSON_AUTO options = json_array(); /* owns the words KEY=VALUE */
	if (json_bool(m, "readOnly", false))
		words[n++] = "--readonly";
	if (json_bool(m, "shared", false))
		words[n++] = "--shared";
	json_object_foreach (json_object_get(m, "options"), key, v) {
		if (json_array_append_new(options, json_sprintf("%s=%s", key, json_string_value(v))) < 0)
			return error_set(err, -ENOMEM, "mount %s: out of memory", path);
		if (n + 5 >= WORDS_MAX)
			return error_set(err, -E2BIG, "mount %s: too many options", path);
		words[n++] = "--option";
		words[n++] = json_string_value(json_array_get(options, json_array_size(options) - 1));
	}
	words[n++] = path;
	words[n++] = json_str(m, "source", "");
	int rc = run_only(q, pod, words, err);
	return rc < 0 ? error_wrap(err, rc, "mount %s", path) : 0;
}

static bool is_among(const json_t *paths, const char *path)
{
	size_t i;
	json_t *p;
	json_array_foreach (paths, i, p)
		if (str_same(json_string_value(p), path))
			return true;
	return false;
}

/* Sources are the same but for slashes at their end, which Alluxio keeps or takes away. */
static bool same_source(const char *a, const char *b)
{
	size_t n = strlen(a), k = strlen(b);
	while (n > 1 && a[n - 1] == '/')
		n--;
	while (k > 1 && b[k - 1] == '/')
		k--;
	return n == k && memcmp(a, b, n) == 0;
}

static const json_t *wanted_at(const json_t *mounts, const char *path)
{
	size_t i;
	json_t *m;
	json_array_foreach (mounts, i, m)
		if (strcmp(json_str(m, "path", ""), path) == 0)
			return m;
	return NULL;
}

/* A mount that should not be, or not so, the one deepest below others first; NULL: none. Borrowed. */
static const char *next_wrong(const json_t *have, const json_t *mounts, const json_t *renew)
{
	const char *path, *deepest = NULL;
	json_t *source;
	json_object_foreach ((json_t *)have, path, source) {
		const json_t *want = wanted_at(mounts, path);
		const bool right = want != NULL && !is_among(renew, path) &&
				   same_source(json_str(want, "source", ""), json_string_value(source));
		if (!right && strcmp(path, "/") != 0 && (deepest == NULL || strlen(path) > strlen(deepest)))
			deepest = path;
	}
	return deepest;
}

/* What is mounted and should not be, or not so, goes; then what should be comes. Done again, it does nothing. */
int alluxio_run_mount(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err)
{
	const char *pod = json_str(args, "pod", ""), *path;
	const json_t *mounts = json_object_get(args, "mounts"), *renew = json_object_get(args, "renew");
	JSON_AUTO have = NULL;
	json_t *m;
	size_t i;
	(void)ret;
	int rc = list_mounts(q, pod, &have, err);
	while (rc == 0 && (path = next_wrong(have, mounts, renew)) != NULL) {
		rc = unmount(q, pod, path, err);
		(void)json_object_del(have, path); /* it is there */
	}
	json_array_foreach (rc == 0 ? mounts : NULL, i, m)
		if (json_object_get(have, json_str(m, "path", "")) == NULL && (rc = mount_one(q, pod, m, err)) < 0)
			return rc;
	return rc;
}

/* --- metadata, the end ---------------------------------------------------------------------------------------------------------- */

static int count(const struct engine_question *q, const char *pod, int64_t *files, int64_t *bytes, struct error *err)
{
	struct engine_output o = {0};
	int rc = run(q, pod, (const char *const[]){"fs", "count", "/", NULL}, &o, err);
	if (rc < 0)
		return rc;
	rc = alluxio_read_count(o.out, files, bytes, err);
	engine_output_clear(&o);
	return rc;
}

int alluxio_run_metadata(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err)
{
	const char *pod = json_str(args, "pod", "");
	int64_t files = 0, bytes = 0;
	int rc = run_only(q, pod, (const char *const[]){"fs", "loadMetadata", "-R", "/", NULL}, err);
	if (rc == 0)
		rc = count(q, pod, &files, &bytes, err);
	if (rc < 0)
		return rc;
	*ret = json_pack("{s:I,s:I}", "files", (json_int_t)files, "bytes", (json_int_t)bytes);
	return *ret != NULL ? 0 : error_set(err, -ENOMEM, "metadata: out of memory");
}

int alluxio_run_version(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err)
{
	struct engine_output o = {0};
	int rc = run(q, json_str(args, "pod", ""), (const char *const[]){"getConf", "alluxio.underfs.version", NULL},
		     &o, err);
	if (rc < 0)
		return rc;
	const size_t n = strcspn(o.out, " \r\n");
	*ret = str_is_utf8(o.out, n) ? json_stringn(o.out, n) : json_string("");
	engine_output_clear(&o);
	return *ret != NULL ? 0 : error_set(err, -ENOMEM, "version: out of memory");
}

int alluxio_run_free(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err)
{
	(void)ret;
	return run_only(q, json_str(args, "pod", ""), (const char *const[]){"fs", "free", "-f", "/", NULL}, err);
}
