#include "support.h"

#include <sys/mman.h>

#include "reservoir/open_table.h"

static struct open_table *new_table(int fd)
{
	struct open_table *t;
	struct error err = {0};
	if (open_table_new(fd, &t, &err) < 0)
		fail_msg("%s", err.msg);
	return t;
}

static uint64_t add(struct open_table *t, uint64_t id, uint64_t unique)
{
	const uint64_t handle = open_table_add(t, &(struct open_entry){.id = id, .unique = unique, .backing_id = 3});
	assert_int_not_equal(handle, 0);
	return handle;
}

/* What one server wrote the next one reads, and goes on with. */
static void test_next_server(void **state)
{
	(void)state;
	struct open_table *first = new_table(-1);
	open_table_head(first)->major = 7;
	const uint64_t a = add(first, 100, 1), b = add(first, 101, 3), c = add(first, 100, 5);
	open_table_remove(first, open_table_get(first, b));
	open_table_closing(open_table_get(first, c));

	struct open_table *next = new_table(open_table_fd(first));
	open_table_free(first);
	assert_int_equal(open_table_head(next)->major, 7);
	assert_int_equal(open_table_get(next, a)->id, 100);
	assert_int_equal(open_table_find(next, 1), a);
	assert_null(open_table_get(next, b));
	assert_int_equal(open_table_find(next, 3), 0);
	assert_null(open_table_get(next, c));

	unsigned used = 0, closing = 0;
	for (struct open_entry *e = NULL; (e = open_table_next(next, e)) != NULL;) {
		used += open_entry_state(e) == OPEN_USED;
		closing += open_entry_state(e) == OPEN_CLOSING;
		assert_int_equal(e->backing_id, 3);
	}
	assert_int_equal(used, 1);
	assert_int_equal(closing, 1);
	open_table_free(next);
}

/* A place is used again, a handle never: a close that comes twice must not hit the next open. */
static void test_handles(void **state)
{
	(void)state;
	struct open_table *t = new_table(-1);
	static const uint64_t none[] = {0, 1, 99, UINT64_MAX, UINT64_C(1) << 32};
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (open_table_get(t, none[i]) != NULL)
			fail_msg("handle %" PRIu64 " is open in an empty table", none[i]);
	uint64_t last = 0;
	for (int i = 0; i < 5; i++) {
		const uint64_t handle = add(t, 1, 10 + (uint64_t)i);
		struct open_entry *e = open_table_get(t, handle);
		assert_int_equal(open_table_place(t, e), 0);
		assert_int_not_equal(handle, last);
		assert_null(open_table_get(t, last));
		open_table_remove(t, e);
		assert_null(open_table_get(t, handle));
		last = handle;
	}
	open_table_free(t);
}

static void test_full(void **state)
{
	(void)state;
	struct open_table *t = new_table(-1);
	uint64_t last = 0;
	for (size_t i = 0; i < OPEN_TABLE_MAX; i++)
		last = add(t, i, i);
	assert_int_equal(open_table_add(t, &(struct open_entry){.id = 1}), 0);
	open_table_remove(t, open_table_get(t, last));
	assert_int_not_equal(add(t, 1, 1), last);
	open_table_free(t);
}

static void test_other_version(void **state)
{
	(void)state;
	struct open_table *t = NULL;
	struct error err = {0};
	CLEANUP(close_fd) int fd = memfd_create("t", MFD_CLOEXEC);
	assert_int_equal(open_table_new(fd, &t, &err), -EPROTO);
	assert_string_equal(err.msg, "the table of open files is of another version");
	struct open_table *good = new_table(-1);
	struct stat st;
	assert_int_equal(fstat(open_table_fd(good), &st), 0);
	open_table_free(good);
	assert_int_equal(ftruncate(fd, st.st_size), 0); /* as large, but nobody's */
	assert_int_equal(open_table_new(fd, &t, &err), -EPROTO);
	assert_null(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next_server),
		cmocka_unit_test(test_handles),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_other_version),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
