#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "runtime/nodes.h"
#include "json/quantity.h"

static int parse_share(const char *text, double dflt, double *ret)
{
	if (text == NULL || *text == '\0') {
		*ret = dflt;
		return 0;
	}
	char *end;
	*ret = strtod(text, &end);
	return *end == '\0' && *ret > 0 && *ret <= 1 ? 0 : -EINVAL;
}

static int add_path(struct tier_paths *ret, const struct tiered_store_level *l, size_t level, struct str path,
		    struct error *err)
{
	while (path.n > 1 && path.p[path.n - 1] == '/')
		path.n--;
	if (path.n == 0 || path.p[0] != '/')
		return error_set(err, -EINVAL, "spec.tieredstore.levels[%zu].path: '%.*s' must be an absolute path",
				 level, (int)path.n, path.p);
	if (ret->n == TIER_MAX_PATHS)
		return error_set(err, -EINVAL, "spec.tieredstore: more than %d paths", TIER_MAX_PATHS);
	struct tier_path *t = &ret->v[ret->n];
	*t = (struct tier_path){.medium = l->medium_type, .level = level, .path = strndup(path.p, path.n)};
	if (t->path == NULL)
		return error_set(err, -ENOMEM, "spec.tieredstore: out of memory");
	ret->n++;
	for (size_t i = 0; i + 1 < ret->n; i++)
		if (strcmp(ret->v[i].path, t->path) == 0)
			return error_set(err, -EINVAL, "spec.tieredstore.levels[%zu].path: '%s' is named twice", level,
					 t->path);
	return 0;
}

static int quota_of_list(struct tier_paths *ret, size_t first, const char *list, size_t level, struct error *err)
{
	struct str rest = str_from(list), part;
	size_t i = first;
	for (; str_split_next(&rest, ',', &part); i++) {
		if (i >= ret->n) {
			i++;
			break;
		}
		char one[64];
		(void)snprintf(one, sizeof one, "%.*s", (int)part.n, part.p); /* cut text is no quantity either */
		int rc = quantity_parse(one, &ret->v[i].quota_bytes, err);
		if (rc < 0)
			return error_wrap(err, rc, "spec.tieredstore.levels[%zu].quotaList", level);
	}
	if (i != ret->n)
		return error_set(
			err, -EINVAL,
			"spec.tieredstore.levels[%zu].quotaList: must have one quantity for each of the %zu paths",
			level, ret->n - first);
	return 0;
}

static int quota_shared(struct tier_paths *ret, size_t first, const char *quota, size_t level, struct error *err)
{
	int64_t bytes;
	int rc = quantity_parse(quota, &bytes, err);
	if (rc < 0)
		return error_wrap(err, rc, "spec.tieredstore.levels[%zu].quota", level);
	for (size_t i = first; i < ret->n; i++)
		ret->v[i].quota_bytes = bytes / (int64_t)(ret->n - first);
	return 0;
}

static int add_level(struct tier_paths *ret, const struct tiered_store_level *l, size_t level, struct error *err)
{
	size_t first = ret->n;
	struct str rest = str_from(l->path), part;
	int rc = l->path == NULL || *l->path == '\0'
			 ? error_set(err, -EINVAL, "spec.tieredstore.levels[%zu].path: must name a directory", level)
			 : 0;
	while (rc == 0 && str_split_next(&rest, ',', &part))
		rc = add_path(ret, l, level, part, err);
	if (rc < 0)
		return rc;
	if (l->quota_list != NULL && *l->quota_list != '\0')
		rc = quota_of_list(ret, first, l->quota_list, level, err);
	else if (l->quota != NULL)
		rc = quota_shared(ret, first, l->quota, level, err);
	else
		rc = error_set(err, -EINVAL, "spec.tieredstore.levels[%zu]: either quota or quotaList must be set",
			       level);
	if (rc < 0)
		return rc;
	double high, low;
	if (parse_share(l->high, 0.95, &high) < 0 || parse_share(l->low, high < 0.8 ? high : 0.8, &low) < 0 ||
	    low > high)
		return error_set(err, -EINVAL,
				 "spec.tieredstore.levels[%zu]: high and low must be numbers with 0 < low <= high <= 1",
				 level);
	for (size_t i = first; i < ret->n; i++) {
		ret->v[i].high = high;
		ret->v[i].low = low;
		if (ret->v[i].quota_bytes <= 0)
			return error_set(err, -EINVAL, "spec.tieredstore.levels[%zu].quota: must be more than 0",
					 level);
	}
	return 0;
}

int tier_paths(const struct tiered_store *ts, struct tier_paths *ret, struct error *err)
{
	struct tier_paths p = {.n = 0};
	for (size_t i = 0; i < ts->levels.n; i++) {
		int rc = add_level(&p, &ts->levels.v[i], i, err);
		if (rc < 0) {
			tier_paths_clear(&p);
			return rc;
		}
	}
	*ret = p;
	return 0;
}

void tier_paths_clear(struct tier_paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->v[i].path);
	*p = (struct tier_paths){.n = 0};
}

int tier_totals(const struct tiered_store *ts, struct tier_totals *ret, struct error *err)
{
	struct tier_paths p;
	int rc = tier_paths(ts, &p, err);
	if (rc < 0)
		return rc;
	struct tier_totals t = {0};
	for (size_t i = 0; i < p.n; i++) {
		bool memory = str_same(p.v[i].medium, "MEM");
		int64_t *sum = memory ? &t.memory_bytes : &t.disk_bytes;
		if (__builtin_add_overflow(*sum, p.v[i].quota_bytes, sum))
			*sum = INT64_MAX;
		t.has_memory = t.has_memory || memory;
		t.has_disk = t.has_disk || !memory;
	}
	tier_paths_clear(&p);
	*ret = t;
	return 0;
}

void bytes_format_short(int64_t bytes, char out[static 32])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	size_t u = 0;
	for (; v >= 1024 && u + 1 < ARRAY_LEN(units); u++)
		v /= 1024;
	(void)snprintf(out, 32, "%.4g%s", v, units[u]); /* at most 13 characters */
}
