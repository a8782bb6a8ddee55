/*
 * conformance FILE...: run files of cases against the API server of $KUBECONFIG and print TAP. docs: test/conformance/README.md.
 * ONLY=TEXT runs the cases whose name holds the text.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/map.h"
#include "base/str.h"
#include "client/match.h"
#include "client/run.h"

struct tap {
	const struct server *server;
	const char *only; /* NULL: all */
	size_t number, failed;
};

/* A case of one file; the setup's variables are seen by all. */
struct file {
	struct tap *tap;
	const char *path, *name;
	struct map *vars; /* of the setup; NULL: none yet */
	struct made made; /* by the setup */
};

static struct map *copy_vars(const struct map *from)
{
	struct map *m = map_new(free);
	size_t pos = 0;
	const char *key;
	void *value;
	while (m != NULL && from != NULL && map_next(from, &pos, &key, &value))
		(void)vars_set(m, key, value); /* a missing one is found by the case that uses it */
	return m;
}

static void report(struct tap *t, const struct file *f, const char *name, const char *row, const char *skip,
		   const struct error *err)
{
	const bool bad = err != NULL;
	t->failed += bad;
	printf("%sok %zu - %s: %s%s%s%s%s%s\n", bad ? "not " : "", ++t->number, f->name, name, row == NULL ? "" : " [",
	       row == NULL ? "" : row, row == NULL ? "" : "]", skip == NULL ? "" : " # skip needs ",
	       skip == NULL ? "" : skip);
	if (bad)
		printf("# %s: %s\n", f->path, err->msg);
	(void)fflush(stdout);
}

/* The cells of a row become variables; they may speak of those that are there. */
static int set_row(struct map *vars, const struct table *t, size_t row, struct error *err)
{
	for (size_t i = 0; i < t->n_columns; i++) {
		CLEANUP(free_p) char *value = NULL;
		int rc = vars_fill(vars, t->rows[row][i], &value, err);
		if (rc == 0)
			rc = vars_set(vars, t->columns[i], value);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static const char *cell(const struct table *t, size_t row, const char *column)
{
	for (size_t i = 0; i < t->n_columns; i++)
		if (strcmp(t->columns[i], column) == 0)
			return t->rows[row][i];
	return "";
}

static int perform(const struct file *f, const struct test_case *c, const struct table *t, size_t row,
		   struct error *err)
{
	struct made made = {0};
	struct map *vars = copy_vars(f->vars);
	if (vars == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = 0;
	for (size_t i = 0; rc == 0 && t != NULL && i < t->n_columns; i++)
		rc = case_prepare(f->tap->server, t->rows[row][i], vars, &made, err);
	if (rc == 0)
		rc = case_prepare(f->tap->server, c->text, vars, &made, err);
	if (rc == 0 && t != NULL)
		rc = set_row(vars, t, row, err);
	if (rc == 0)
		rc = case_run(f->tap->server, c, vars, &made, err);
	made_remove(f->tap->server, &made);
	map_free(vars);
	return rc;
}

/* What a row of "skips" asks of the server, or NULL: it runs. */
static const char *row_lacks(const struct server *s, const struct test_case *c, const struct table *t, size_t row)
{
	const char *lacks = server_lacks(s, cell(t, row, "needs"));
	const size_t n = strlen(t->rows[row][0]);
	if (lacks != NULL || c->skips == NULL || strncmp(c->skips, t->rows[row][0], n) != 0 || c->skips[n] != ' ')
		return lacks;
	return server_lacks(s, c->skips + n) == NULL ? "another version" : NULL;
}

static void run_one(const struct file *f, const struct test_case *c, const struct table *t, size_t row)
{
	struct error err = {0};
	const char *lacks = c->needs == NULL ? NULL : server_lacks(f->tap->server, c->needs);
	if (lacks == NULL && t != NULL)
		lacks = row_lacks(f->tap->server, c, t, row);
	int rc = 0, tries = lacks != NULL ? 0 : c->tries > 0 ? c->tries : 1;
	do
		rc = tries > 0 ? perform(f, c, t, row, &err) : 0;
	while (rc < 0 && --tries > 0);
	report(f->tap, f, c->name, t == NULL ? NULL : t->rows[row][0], lacks, rc < 0 ? &err : NULL);
}

static int run_case(const struct file *f, struct script *s, const struct test_case *c, struct error *err)
{
	struct table t = {0};
	if (f->tap->only != NULL && strstr(c->name, f->tap->only) == NULL)
		return 0;
	if (c->table == NULL) {
		run_one(f, c, NULL, 0);
		return 0;
	}
	CLEANUP(free_p) char *copy = strdup(f->path);
	CLEANUP(free_p) char *path = copy == NULL ? NULL : str_printf("%s/%s", dirname(copy), c->table);
	const int rc = path == NULL ? -ENOMEM : table_read(path, &s->arena, &t, err);
	for (size_t i = 0; rc == 0 && i < t.n_rows; i++)
		run_one(f, c, &t, i);
	return rc;
}

static int run_setup(struct file *f, const struct test_case *c, struct error *err)
{
	const char *lacks = c->needs == NULL ? NULL : server_lacks(f->tap->server, c->needs);
	f->vars = map_new(free);
	if (lacks != NULL || f->vars == NULL) {
		report(f->tap, f, "all of it", NULL, lacks, NULL);
		return 1;
	}
	int rc = case_prepare(f->tap->server, c->text, f->vars, &f->made, err);
	if (rc == 0)
		rc = case_run(f->tap->server, c, f->vars, &f->made, err);
	if (rc < 0)
		report(f->tap, f, c->name, NULL, NULL, err);
	return rc;
}

static int run_file(struct tap *tap, const char *path, struct error *err)
{
	struct file f = {.tap = tap, .path = path, .name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1};
	struct script s;
	int rc = script_read(path, &s, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; rc == 0 && i < s.n_cases; i++)
		rc = strcmp(s.cases[i].name, "setup") == 0 ? run_setup(&f, &s.cases[i], err)
							   : run_case(&f, &s, &s.cases[i], err);
	made_remove(tap->server, &f.made);
	map_free(f.vars);
	script_clear(&s);
	return rc < 0 ? rc : 0;
}

int main(int argc, char **argv)
{
	struct server server;
	struct error err = {0};
	if (argc < 2) {
		(void)fprintf(
			stderr,
			"usage: conformance FILE...   (KUBECONFIG names the server, ONLY=TEXT some of the cases)\n");
		return 2;
	}
	if (server_open(&server, &err) < 0) {
		(void)fprintf(stderr, "conformance: %s\n", err.msg);
		return 2;
	}
	struct tap tap = {.server = &server, .only = getenv("ONLY")};
	printf("TAP version 13\n# server 1.%ld%s%s\n", (long)server.minor, server.core ? ", core kinds" : "",
	       server.cluster ? ", controllers" : "");
	for (int i = 1; i < argc; i++) {
		if (run_file(&tap, argv[i], &err) < 0) {
			report(&tap, &(struct file){.path = argv[i], .name = argv[i]}, "the file", NULL, NULL, &err);
		}
	}
	printf("1..%zu\n", tap.number);
	server_close(&server);
	return tap.failed > 0;
}
