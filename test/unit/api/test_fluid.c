/*
 * Our CRDs are Fluid's in everything a client can tell. fluid/<plural>.txt has the facts of each of its CRDs, one a line: names, scope,
 * columns, subresources, and of each field the path ("*": required), the type and all rules; a line with a "+" before it is ours alone.
 * Of Kubernetes' own types inside only the field itself is compared: Fluid's have an older Kubernetes' members.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "api/kind.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "json/json.h"

struct lines {
	char *v[1024];
	size_t n;
};

static void add(struct lines *l, char *line)
{
	assert_non_null(line);
	if (l->n == ARRAY_LEN(l->v))
		fail_msg("more than %zu lines", ARRAY_LEN(l->v));
	l->v[l->n++] = line;
}

static bool is_fragment(const char *name)
{
	static const char *const names[] = {"volumes",          "volumeMounts", "resources",     "tolerations",
					    "imagePullSecrets", "volumeSource", "cacheAffinity", "nodeAffinity",
					    "affinity",         "podSpec"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* What a schema says of its value, but for its type, its members and its description. */
static char *rules_text(const json_t *node)
{
	static const char *const apart[] = {"type",     "description", "properties",
					    "required", "items",       "additionalProperties"};
	JSON_AUTO rest = json_copy((json_t *)node);
	for (size_t i = 0; i < ARRAY_LEN(apart); i++)
		(void)json_object_del(rest, apart[i]); /* it may not be there */
	return json_dumps(rest, JSON_COMPACT | JSON_SORT_KEYS);
}

static bool is_required(const json_t *node, const char *name)
{
	size_t i;
	json_t *r;
	json_array_foreach (json_object_get(node, "required"), i, r)
		if (strcmp(json_string_value(r), name) == 0)
			return true;
	return false;
}

static void flatten(struct lines *l, const json_t *node, const char *path, const char *name, bool required,
		    unsigned depth)
{
	assert_true(depth < 16);
	CLEANUP(free_p) char *rules = rules_text(node);
	add(l, str_printf("%s%s %s %s", path, required ? "*" : "", json_str(node, "type", "-"), rules));
	/* A component's env is a map, a container's a list of Kubernetes' own. */
	if (is_fragment(name) || (strcmp(name, "env") == 0 && json_object_get(node, "items") != NULL))
		return;
	const char *key;
	json_t *sub;
	json_object_foreach (json_object_get(node, "properties"), key, sub) {
		CLEANUP(free_p) char *below = str_printf("%s%s%s", path, depth == 0 ? "" : ".", key);
		flatten(l, sub, below, key, is_required(node, key), depth + 1);
	}
	static const char *const lists[] = {"items", "additionalProperties"};
	static const char *const marks[] = {"[]", "{}"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		CLEANUP(free_p) char *below = str_printf("%s%s", path, marks[i]);
		const json_t *items = json_object_get(node, lists[i]);
		if (json_is_object(items))
			flatten(l, items, below, "", false, depth + 1);
	}
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *compact(const json_t *j)
{
	return json_dumps(j, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

static void facts(const json_t *crd, struct lines *l)
{
	const json_t *version = json_at(crd, "spec.versions[0]");
	flatten(l, json_at(version, "schema.openAPIV3Schema"), "", "", false, 0);
	qsort(l->v, l->n, sizeof l->v[0], compare);
	CLEANUP(free_p) char *names = compact(json_at(crd, "spec.names"));
	CLEANUP(free_p) char *sub = compact(json_object_get(version, "subresources"));
	add(l, str_printf("= %s %s %s %s %s", json_str(crd, "spec.group", ""), json_str(version, "name", ""),
			  json_str(crd, "spec.scope", ""), names, sub));
	size_t i;
	json_t *c;
	json_array_foreach (json_object_get(version, "additionalPrinterColumns"), i, c) {
		(void)json_object_del(c, "description"); /* ours alone has some */
		CLEANUP(free_p) char *column = compact(c);
		add(l, str_printf("= column %s", column));
	}
}

static void check_kind(const struct kind *k)
{
	CLEANUP(free_p) char *path = str_printf("%s/%s.txt", FACTS_DIR, k->resource.plural);
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0, line = 0;
	struct error err = {0};
	if (file_read(path, 1u << 20, &text, &n, &err) < 0)
		fail_msg("%s", err.msg);
	JSON_AUTO crd = kind_to_crd(k);
	struct lines ours = {.n = 0};
	facts(crd, &ours);
	struct str rest = {.p = text, .n = n}, want;
	while (str_split_next(&rest, '\n', &want) && want.n > 0) {
		if (want.p[0] == '+')
			want = (struct str){.p = want.p + 1, .n = want.n - 1};
		if (line == ours.n || strlen(ours.v[line]) != want.n || memcmp(ours.v[line], want.p, want.n) != 0)
			fail_msg("%s: Fluid has\n  %.*s\nand here is\n  %s", k->resource.kind, (int)want.n, want.p,
				 line == ours.n ? "nothing more" : ours.v[line]);
		line++;
	}
	if (line != ours.n)
		fail_msg("%s: Fluid has no\n  %s", k->resource.kind, ours.v[line]);
	for (size_t i = 0; i < ours.n; i++)
		free(ours.v[i]);
}

static void test_kinds(void **state)
{
	(void)state;
	check_kind(&dataset_kind);
	check_kind(&alluxio_runtime_kind);
	check_kind(&jindo_runtime_kind);
	check_kind(&data_load_kind);
	check_kind(&data_process_kind);
	check_kind(&data_backup_kind);
	check_kind(&data_migrate_kind);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_kinds)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
