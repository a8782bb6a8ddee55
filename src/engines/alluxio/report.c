/* What Alluxio prints, in 2.9.3 and 2.9.6. Everything here is outside input: what is not understood is refused. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "engines/alluxio/alluxio.h"
#include "json/json.h"

/*
 * Digits, in groups of three where commas stand between them, and one point. No sign, so that "-1B" (unknown) is no number; nor is "7,77MB",
 * which is what a machine of another language would print for 7.77MB.
 */
static int read_number(const char **p, double *ret)
{
	char digits[40], *end;
	size_t n = 0, group = 0;
	bool grouped = false;
	for (; isdigit((unsigned char)**p) || **p == '.' || **p == ','; (*p)++) {
		if (n + 1 == sizeof digits)
			return -ERANGE;
		if (!isdigit((unsigned char)**p)) {
			if (grouped && group != 3)
				return -EINVAL;
			grouped = **p == ',';
			group = 0;
		} else {
			group++;
		}
		if (**p != ',')
			digits[n++] = **p;
	}
	digits[n] = '\0';
	if (n == 0 || !isdigit((unsigned char)digits[0]) || (grouped && group != 3))
		return -EINVAL;
	*ret = strtod(digits, &end);
	return *end == '\0' ? 0 : -EINVAL;
}

int alluxio_bytes(const char *text, int64_t *ret)
{
	static const char units[] = "KMGTPE";
	double v;
	int64_t plain;
	if (str_to_i64(text, &plain) == 0) { /* exact, where it is */
		*ret = plain;
		return plain >= 0 ? 0 : -EINVAL;
	}
	const char *p = text;
	int rc = read_number(&p, &v);
	if (rc < 0)
		return rc;
	while (*p == ' ')
		p++;
	const char *unit = *p != '\0' ? strchr(units, toupper((unsigned char)*p)) : NULL;
	if (unit != NULL) {
		p++;
		if (*p == 'i' || *p == 'I')
			p++;
		for (ptrdiff_t i = 0; i <= unit - units; i++)
			v *= 1024;
	}
	if (*p == 'b' || *p == 'B')
		p++;
	if (*p != '\0')
		return -EINVAL;
	if (v >= 9.2e18)
		return -ERANGE;
	*ret = (int64_t)(v + 0.5); /* v is not negative */
	return 0;
}

static struct str trimmed(struct str s)
{
	while (s.n > 0 && isspace((unsigned char)s.p[0]))
		s = (struct str){s.p + 1, s.n - 1};
	while (s.n > 0 && isspace((unsigned char)s.p[s.n - 1]))
		s.n--;
	return s;
}

static int bytes_of(struct str s, const char *what, int64_t *ret, struct error *err)
{
	char text[64];
	s = trimmed(s);
	if (s.n >= sizeof text)
		return error_set(err, -EINVAL, "%s: too long for a size", what);
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	int rc = alluxio_bytes(text, ret);
	return rc < 0 ? error_set(err, rc, "%s: '%s' is no size", what, text) : 0;
}

/* What follows @key at the beginning of a line of @text. */
static bool find_line(const char *text, const char *key, struct str *ret)
{
	struct str rest = str_from(text), line;
	const size_t n = strlen(key);
	while (str_split_next(&rest, '\n', &line)) {
		line = trimmed(line);
		if (line.n < n || memcmp(line.p, key, n) != 0)
			continue;
		*ret = (struct str){line.p + n, line.n - n};
		return true;
	}
	return false;
}

/* The value in "  (Type: COUNTER, Value: 7.77MB)"; a rate has "/MIN" behind it. */
static int metric_value(struct str rest, const char *key, int64_t *ret, struct error *err)
{
	static const char word[] = "Value:", minute[] = "/MIN";
	rest = trimmed(rest);
	const char *at = memmem(rest.p, rest.n, word, strlen(word));
	if (at == NULL || rest.p[rest.n - 1] != ')')
		return error_set(err, -EINVAL, "report metrics: %s has no value", key);
	at += strlen(word);
	struct str value = {at, (size_t)(rest.p + rest.n - 1 - at)};
	if (value.n >= strlen(minute) && memcmp(value.p + value.n - strlen(minute), minute, strlen(minute)) == 0)
		value.n -= strlen(minute);
	return bytes_of(value, key, ret, err);
}

/* What both forms of the metrics have, in this order. */
enum { CAPACITY, USED, RATE_LOCAL, RATE_REMOTE, RATE_UFS, READ_LOCAL, READ_REMOTE, READ_UFS, METRICS };
static const char *const metric_names[METRICS] = {
	"Cluster.CapacityTotal",
	"Cluster.CapacityUsed",
	"Cluster.BytesReadLocalThroughput",
	"Cluster.BytesReadRemoteThroughput",
	"Cluster.BytesReadUfsThroughput",
	"Cluster.BytesReadLocal",
	"Cluster.BytesReadRemote",
	"Cluster.BytesReadUfsAll",
};

static int set_figures(const int64_t v[METRICS], struct engine_figures *ret, struct error *err)
{
	int64_t hit, rate;
	if (__builtin_add_overflow(v[READ_LOCAL], v[READ_REMOTE], &hit) ||
	    __builtin_add_overflow(v[RATE_LOCAL], v[RATE_REMOTE], &rate))
		return error_set(err, -ERANGE, "metrics: more bytes than can be");
	*ret = (struct engine_figures){.ready = true,
				       .ufs_bytes = -1,
				       .ufs_files = -1,
				       .capacity_bytes = v[CAPACITY],
				       .cached_bytes = v[USED],
				       .hit_bytes = hit,
				       .local_hit_bytes = v[READ_LOCAL],
				       .miss_bytes = v[READ_UFS],
				       .has_rates = true,
				       .hit_rate = rate,
				       .local_hit_rate = v[RATE_LOCAL],
				       .miss_rate = v[RATE_UFS]};
	return 0;
}

int alluxio_read_metrics(const char *text, struct engine_figures *ret, struct error *err)
{
	int64_t v[METRICS];
	for (size_t i = 0; i < METRICS; i++) {
		char key[64];
		struct str rest;
		/* The blank ends the name: BytesReadLocalThroughput is another one. */
		(void)snprintf(key, sizeof key, "%s ", metric_names[i]); /* names are short */
		if (!find_line(text, key, &rest))
			return error_set(err, -EINVAL, "report metrics: no line of %s", key);
		int rc = metric_value(rest, key, &v[i], err);
		if (rc < 0)
			return rc;
	}
	return set_figures(v, ret, err);
}

int alluxio_read_metrics_json(const char *text, size_t n, struct engine_figures *ret, struct error *err)
{
	JSON_AUTO root = NULL;
	int64_t v[METRICS];
	int rc = json_parse(text, n, &root, err);
	for (size_t i = 0; i < METRICS && rc == 0; i++) {
		const bool gauge = i < READ_LOCAL;
		const json_t *list = json_object_get(root, gauge ? "gauges" : "counters");
		const json_t *x = json_object_get(json_object_get(list, metric_names[i]), gauge ? "value" : "count");
		if (!json_is_integer(x) || json_integer_value(x) < 0)
			return error_set(err, -EINVAL, "metrics: %s is no whole number", metric_names[i]);
		v[i] = json_integer_value(x);
	}
	return rc == 0 ? set_figures(v, ret, err) : rc;
}

/* The next word of @rest. */
static bool next_word(struct str *rest, struct str *ret)
{
	*rest = trimmed(*rest);
	size_t n = 0;
	while (n < rest->n && !isspace((unsigned char)rest->p[n]))
		n++;
	*ret = (struct str){rest->p, n};
	*rest = (struct str){rest->p + n, rest->n - n};
	return n > 0;
}

static int count_of(struct str word, int64_t *ret)
{
	char text[24];
	if (word.n >= sizeof text)
		return -ERANGE;
	memcpy(text, word.p, word.n);
	text[word.n] = '\0';
	int rc = str_to_i64(text, ret);
	return rc == 0 && *ret < 0 ? -EINVAL : rc;
}

/* A line of exactly three numbers, below the heading: what comes before them may be a warning of Java's. */
int alluxio_read_count(const char *text, int64_t *ret_files, int64_t *ret_bytes, struct error *err)
{
	struct str rest = str_from(text), line, word;
	while (str_split_next(&rest, '\n', &line)) {
		int64_t v[3];
		size_t n = 0;
		while (n < 3 && next_word(&line, &word) && count_of(word, &v[n]) == 0)
			n++;
		if (n < 3 || next_word(&line, &word))
			continue;
		*ret_files = v[0];
		*ret_bytes = v[2];
		return 0;
	}
	return error_set(err, -EINVAL, "fs count: no line of files, folders and bytes");
}

/* "SOURCE  on  PATH  (kind, capacity=..., ...)"; other lines are none of a mount. */
int alluxio_read_mounts(const char *text, json_t **ret, struct error *err)
{
	struct str rest = str_from(text), line, source, on, path;
	JSON_AUTO found = json_object();
	while (str_split_next(&rest, '\n', &line)) {
		if (!next_word(&line, &source) || !next_word(&line, &on) || !next_word(&line, &path) ||
		    !str_eq(on, "on") || path.p[0] != '/' || !str_is_utf8(path.p, path.n) ||
		    !str_is_utf8(source.p, source.n) || memchr(path.p, '\0', path.n) != NULL)
			continue;
		json_t *value = json_stringn(source.p, source.n);
		if (value == NULL || json_object_setn_new(found, path.p, path.n, value) < 0)
			return error_set(err, -ENOMEM, "fs mount: out of memory");
		if (json_object_size(found) > 4 * ENGINE_MAX_MOUNTS)
			return error_set(err, -E2BIG, "fs mount: too many mounts");
	}
	if (json_object_get(found, "/") == NULL)
		return error_set(err, -EINVAL, "fs mount: the answer has no mount of '/'");
	*ret = TAKE(found);
	return 0;
}
