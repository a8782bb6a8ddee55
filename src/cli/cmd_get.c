/* `sluice get`: objects as the server prints them. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/print.h"
#include "cli/session.h"
#include "cli/table.h"
#include "json/json.h"

struct get {
	struct session_options session;
	const char *output, *selector;
	bool wide;
	char **names; /* of objects; NULL-terminated */
};

/* One object, or a list: with several names a List of them. */
static int fetch(struct session *s, const struct get *g, const struct kube_resource *r, json_t **ret, struct error *err)
{
	const struct kube_list_options o = {.label_selector = g->selector};
	if (g->names[0] == NULL)
		return kube_list(s->client, r, s->ns, &o, ret, err);
	if (g->names[1] == NULL)
		return kube_get(s->client, r, s->ns, g->names[0], ret, err);
	JSON_AUTO list = json_pack("{s:s, s:s, s:[]}", "apiVersion", "v1", "kind", "List", "items");
	for (size_t i = 0; g->names[i] != NULL; i++) {
		json_t *one = NULL;
		const int rc = kube_get(s->client, r, s->ns, g->names[i], &one, err);
		if (rc != 0)
			return rc;
		if (json_array_append_new(json_object_get(list, "items"), one) != 0)
			return error_set(err, -ENOMEM, "out of memory");
	}
	*ret = TAKE(list);
	return 0;
}

static int print_names(const struct kube_resource *r, const json_t *tree, struct error *err)
{
	const json_t *items = json_at(tree, "items"), *one;
	const size_t n = items != NULL ? json_array_size(items) : 1;
	for (size_t i = 0; i < n; i++) {
		one = items != NULL ? json_array_get(items, i) : tree;
		CLEANUP(free_p) char *name = session_object_name(r, obj_name(one));
		if (name == NULL)
			return error_set(err, -ENOMEM, "out of memory");
		(void)puts(name);
	}
	return 0;
}

static int print_table(struct session *s, const struct get *g, const struct kube_resource *r, bool prefixed,
		       size_t *rows, struct error *err)
{
	CLEANUP(free_p) char *prefix = prefixed ? session_object_name(r, "") : NULL;
	const struct kube_list_options o = {.label_selector = g->selector};
	JSON_AUTO all = NULL;
	int rc = 0;
	for (size_t i = 0; rc == 0 && (i == 0 || (g->names[0] != NULL && g->names[i] != NULL)); i++) {
		JSON_AUTO table = NULL;
		rc = kube_get_table(s->client, r, s->ns, g->names[i], &o, &table, err);
		if (rc == 0 && all == NULL)
			all = json_incref(table);
		else if (rc == 0 && json_array_extend(json_at(all, "rows"), json_at(table, "rows")) != 0)
			rc = error_set(err, -ENOMEM, "out of memory");
	}
	const size_t n = json_array_size(json_at(all, "rows"));
	if (rc != 0 || n == 0)
		return rc;
	if (*rows > 0)
		(void)putchar('\n');
	*rows += n;
	rc = table_print_answer(all, g->wide, s->ns == NULL && r->namespaced, prefix);
	return rc < 0 ? error_set(err, rc, "print %s: %s", r->plural,
				  rc == -EPROTO ? "the server makes no table of them" : strerror(-rc))
		      : 0;
}

static int get_kind(struct session *s, const struct get *g, const char *word, bool prefixed, size_t *rows,
		    struct error *err)
{
	const struct kube_resource *r = NULL;
	int rc = session_resource(s, word, &r, err);
	if (rc != 0)
		return rc;
	if (g->output == NULL || g->wide)
		return print_table(s, g, r, prefixed, rows, err);
	JSON_AUTO tree = NULL;
	rc = fetch(s, g, r, &tree, err);
	if (rc != 0)
		return rc;
	++*rows;
	if (strcmp(g->output, "name") == 0)
		return print_names(r, tree, err);
	const enum print_format format = strcmp(g->output, "json") == 0 ? PRINT_JSON : PRINT_YAML;
	return print_object(tree, format, *rows == 1) ? 0 : error_set(err, -EIO, CANNOT_PRINT);
}

static int get_all(const struct get *g, const char *kinds, struct error *err)
{
	struct session s = {0};
	int rc = session_open(&g->session, &s, err);
	size_t rows = 0;
	struct str rest = str_from(kinds), word;
	const bool several = strchr(kinds, ',') != NULL;
	while (rc == 0 && str_split_next(&rest, ',', &word)) {
		char one[256];
		(void)snprintf(one, sizeof one, "%.*s", (int)(word.n < sizeof one ? word.n : sizeof one - 1), word.p);
		rc = get_kind(&s, g, one, several, &rows, err);
	}
	if (rc == 0 && rows == 0)
		(void)fprintf(stderr, s.ns != NULL ? "nothing found in namespace %s\n" : "nothing found\n", s.ns);
	session_close(&s);
	return rc;
}

static bool output_is_known(const char *o)
{
	return o == NULL || strcmp(o, "wide") == 0 || strcmp(o, "json") == 0 || strcmp(o, "yaml") == 0 ||
	       strcmp(o, "name") == 0;
}

static int get_run(int argc, char **argv)
{
	struct get g = {0};
	const struct option_spec specs[] = {
		SESSION_OPTIONS(g.session),
		{"all-namespaces", OPT_FLAG, &g.session.all_namespaces},
		{"A", OPT_FLAG, &g.session.all_namespaces},
		{"l", OPT_STRING, &g.selector},
		{"o", OPT_STRING, &g.output},
		{0},
	};
	int words = 0;
	const int parsed = options_parse(&cmd_get, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	const char *wrong = words == 0                                  ? "one KIND is wanted, dataset say"
			    : !output_is_known(g.output)                ? "-o: wide, yaml, json and name are known here"
			    : words > 1 && g.selector                   ? "-l: goes with no NAME"
			    : words > 1 && g.session.all_namespaces     ? "-A: goes with no NAME"
			    : words > 1 && strchr(argv[1], ',') != NULL ? "NAME: goes with one KIND"
									: NULL;
	if (wrong != NULL) {
		(void)fprintf(stderr, "sluice get: %s; 'sluice help get' says how it is used\n", wrong);
		return 2;
	}
	g.wide = g.output != NULL && strcmp(g.output, "wide") == 0;
	argv[words + 1] = NULL;
	g.names = argv + 2;
	struct error err = {0};
	const int rc = get_all(&g, argv[1], &err);
	if (rc != 0)
		(void)fprintf(stderr, "sluice get: %s\n", err.msg);
	return rc == 0 && fflush(stdout) == 0 ? 0 : 1;
}

const struct command cmd_get = {
	.name = "get",
	.summary = "Show objects: datasets, runtimes, pods and all others",
	.usage =
		"Usage: sluice get KIND[,KIND...] [NAME...] [-n NAMESPACE] [-A] [-l SELECTOR] [-o wide|yaml|json|name]\n\n"
		"Shows objects of the one-machine cluster, or of any cluster by its kubeconfig, as kubectl does. KIND is what\n"
		"kubectl takes: dataset, datasets.data.fluid.io, pods, sts.\n\n"
		"  -A, --all-namespaces   of all namespaces\n"
		"  -l SELECTOR            only those with these labels (a=b,c)\n"
		"  -o FORMAT              wide|yaml|json|name (default: a table)\n" SESSION_USAGE,
	.run = get_run,
};
