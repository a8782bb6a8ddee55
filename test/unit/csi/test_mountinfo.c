#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "csi/mountinfo.h"

static void test_lines(void **state)
{
	static const struct {
		const char *name, *line;
		size_t n;
		uint64_t id;
		unsigned minor;
		const char *root, *path, *type, *source;
	} cases[] = {
		{"plain", "22 27 0:21 / /proc rw,relatime - proc proc rw", 1, 22, 21, "/", "/proc", "proc", "proc"},
		{"optional fields",
		 "5 1 8:3 /a /b rw shared:1 master:2 propagate_from:3 unbindable - ext4 /dev/sda3 rw", 1, 5, 3, "/a",
		 "/b", "ext4", "/dev/sda3"},
		{"escapes", "5 1 0:3 / /a\\040b\\011c\\012d\\134e rw - fuse.x a\\040b rw", 1, 5, 3, "/",
		 "/a b\tc\nd\\e", "fuse.x", "a b"},
		{"no escape", "5 1 0:3 / /a\\9\\04\\400 rw - fuse x rw", 1, 5, 3, "/", "/a\\9\\04\\400", "fuse", "x"},
		{"a dash as a name", "5 1 0:3 / /- rw shared:1 - fuse - rw", 1, 5, 3, "/", "/-", "fuse", "-"},
		{"empty", "", 0, 0, 0, NULL, NULL, NULL, NULL},
		{"cut behind the dash", "22 27 0:21 / /proc rw -", 0, 0, 0, NULL, NULL, NULL, NULL},
		{"without a dash", "22 27 0:21 / /proc rw shared:1 proc proc rw", 0, 0, 0, NULL, NULL, NULL, NULL},
		{"no number", "x 27 0:21 / /proc rw - proc proc rw", 0, 0, 0, NULL, NULL, NULL, NULL},
		{"no device", "22 27 021 / /proc rw - proc proc rw", 0, 0, 0, NULL, NULL, NULL, NULL},
		{"relative path", "22 27 0:21 / proc rw - proc proc rw", 0, 0, 0, NULL, NULL, NULL, NULL},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct mount_table t = {0};
		assert_int_equal(mount_table_parse(cases[i].line, &t), 0);
		const struct mount_entry *e = t.entries;
		if (t.n != cases[i].n ||
		    (t.n == 1 && (e->id != cases[i].id || e->minor != cases[i].minor ||
				  strcmp(e->root, cases[i].root) != 0 || strcmp(e->path, cases[i].path) != 0 ||
				  strcmp(e->type, cases[i].type) != 0 || strcmp(e->source, cases[i].source) != 0)))
			fail_msg("case '%s'", cases[i].name);
		mount_table_clear(&t);
	}
}

static void test_table(void **state)
{
	struct mount_table t = {0};
	(void)state;
	assert_int_equal(
		mount_table_parse(
			"1 0 0:1 / / rw - a a rw\nnonsense\n2 1 0:2 / /m rw - b b rw\n3 1 0:3 / /m rw - c c rw\n", &t),
		0);
	assert_int_equal(t.n, 3);
	assert_string_equal(mount_table_by_id(&t, 3)->type, "c");
	assert_null(mount_table_by_id(&t, 4));
	mount_table_clear(&t);
}

static void test_own(void **state)
{
	struct mount_table t = {0};
	struct error err = {0};
	(void)state;
	assert_int_equal(mount_table_read(&t, &err), 0);
	bool proc = false;
	for (size_t i = 0; i < t.n; i++)
		proc |= strcmp(t.entries[i].path, "/proc") == 0 && strcmp(t.entries[i].type, "proc") == 0;
	assert_true(proc);
	mount_table_clear(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_table),
					   cmocka_unit_test(test_own)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
