/* The reference pages under docs/ are what the tables say. SLUICE_GOLDEN_UPDATE=1 writes them anew. */
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

static void check_page(const struct kind *k)
{
	struct strbuf page = STRBUF_INIT(1u << 20);
	assert_int_equal(kind_to_markdown(k, &page), 0);
	CLEANUP(free_p) char *path = str_printf("%s/%s.md", REFERENCE_DIR, k->singular);
	struct error err = {0};
	if (getenv("SLUICE_GOLDEN_UPDATE") != NULL && file_write_atomic(path, 0644, page.p, page.n, &err) < 0)
		fail_msg("%s", err.msg);
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	if (file_read(path, 1u << 20, &text, &n, &err) < 0)
		fail_msg("%s; SLUICE_GOLDEN_UPDATE=1 writes the pages", err.msg);
	if (n != page.n || memcmp(text, page.p, n) != 0)
		fail_msg("docs/reference/%s.md is not what the table of %s says; SLUICE_GOLDEN_UPDATE=1 writes it anew",
			 k->singular, k->resource.kind);
	strbuf_clear(&page);
}

static void test_pages(void **state)
{
	(void)state;
	for (const struct kind *const *k = sluice_kinds; *k != NULL; k++)
		check_page(*k);
}

/* A page is for reading: each field and each column says what it is. */
static void check_docs(const struct schema *s, const char *where, unsigned depth)
{
	if (s->items != NULL)
		check_docs(s->items, where, depth);
	if (depth > 8 || schema_is_native(s) || s == &object_meta_schema)
		return;
	for (const struct field *f = s->fields; f != NULL && f->name != NULL; f++) {
		const bool known = strcmp(f->name, "apiVersion") == 0 || strcmp(f->name, "kind") == 0 ||
				   f->schema == &object_meta_schema;
		if (!known && (f->doc == NULL || f->doc[strlen(f->doc) - 1] != '.'))
			fail_msg("%s: %s has no sentence that describes it", where, f->name);
		check_docs(f->schema, s->name != NULL ? s->name : where, depth + 1);
	}
}

static void test_docs(void **state)
{
	(void)state;
	for (const struct kind *const *k = sluice_kinds; *k != NULL; k++) {
		assert_non_null((*k)->doc);
		check_docs((*k)->schema, (*k)->resource.kind, 0);
		for (const struct column *c = (*k)->columns; c->name != NULL; c++)
			if (c->doc == NULL || c->json_path == NULL)
				fail_msg("%s: column %s has no description or no path", (*k)->resource.kind, c->name);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_docs),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
