#include "support.h"

#include "reservoir/index.h"

struct fixture {
	char dir[64], path[96];
	struct index *ix;
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.dir = "/tmp/test-index-XXXXXX"};
	if (mkdtemp(f.dir) == NULL)
		return -1;
	(void)snprintf(f.path, sizeof f.path, "%s/index", f.dir);
	*state = &f;
	return index_open(f.path, 7, &f.ix, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	index_close(f->ix);
	return file_remove_all(f->dir, NULL);
}

static void reopen(struct fixture *f, uint64_t fingerprint)
{
	index_close(f->ix);
	f->ix = NULL;
	assert_int_equal(index_open(f->path, fingerprint, &f->ix, NULL), 0);
}

static struct source_stat file_of(uint64_t size, const char *etag)
{
	struct source_stat st = {.type = SOURCE_FILE, .size = size, .mtime_ns = 5, .exact = true, .size_exact = true};
	(void)str_copy(st.etag, sizeof st.etag, etag);
	return st;
}

static const struct source_stat dir_stat = {.type = SOURCE_DIR, .exact = true, .size_exact = true};

static void test_names_survive(void **state)
{
	struct fixture *f = *state;
	const struct source_stat a = file_of(10, "\"e1\""),
				 link = {.type = SOURCE_LINK, .exact = true, .size_exact = true};
	const uint32_t d = index_add(f->ix, INDEX_ROOT, "dir", 0, false, &dir_stat, "");
	const uint32_t x = index_add(f->ix, d, "x", 0, false, &a, "");
	const uint32_t l = index_add(f->ix, d, "l", 0, false, &link, "../t");
	assert_true(d != 0 && x != 0 && l != 0);
	index_set_listed(f->ix, d, 99);
	const struct source_stat better = file_of(11, "\"e2\"");
	assert_int_equal(index_refine(f->ix, x, &better, 123), 0);
	const uint64_t epoch = index_epoch(f->ix);
	reopen(f, 7);
	assert_int_equal(index_epoch(f->ix), epoch);
	assert_int_equal(index_find(f->ix, INDEX_ROOT, "dir"), d);
	assert_int_equal(index_find(f->ix, d, "x"), x);
	assert_int_equal(index_find(f->ix, d, "y"), 0);
	assert_int_equal(index_get(f->ix, d)->listed_ns, 99);
	struct source_stat got;
	index_stat(f->ix, x, &got);
	assert_int_equal(got.size, 11);
	assert_string_equal(got.etag, "\"e2\"");
	assert_string_equal(index_extra(f->ix, l), "../t");
	char path[64];
	assert_int_equal(index_path(f->ix, x, path, sizeof path), 0);
	assert_string_equal(path, "dir/x");
	assert_int_equal(index_path(f->ix, x, path, 5), -ENAMETOOLONG);
	struct index_totals t;
	index_totals(f->ix, &t);
	assert_int_equal(t.files, 1);
	assert_int_equal(t.bytes, 11);
	assert_int_equal(t.dirs, 2);
}

static void test_removed_ids_are_not_reused(void **state)
{
	struct fixture *f = *state;
	const struct source_stat a = file_of(10, "");
	const uint32_t d = index_add(f->ix, INDEX_ROOT, "d", 0, false, &dir_stat, "");
	const uint32_t e = index_add(f->ix, d, "e", 0, false, &dir_stat, "");
	const uint32_t x = index_add(f->ix, e, "x", 0, false, &a, "");
	const uint32_t y = index_add(f->ix, INDEX_ROOT, "y", 0, false, &a, "");
	index_remove(f->ix, d);
	assert_true(index_get(f->ix, x)->dead);
	assert_int_equal(index_find(f->ix, INDEX_ROOT, "d"), 0);
	assert_int_equal(index_find(f->ix, INDEX_ROOT, "y"), y);
	struct index_totals t;
	index_totals(f->ix, &t);
	assert_int_equal(t.files, 1);
	assert_int_equal(t.dirs, 1);
	for (int i = 0; i < 2; i++) {
		const uint32_t again = index_add(f->ix, INDEX_ROOT, i == 0 ? "d" : "z", 0, false, &dir_stat, "");
		assert_true(again > y);
		reopen(f, 7);
	}
	assert_true(index_get(f->ix, x)->dead);
	assert_int_equal(index_get(f->ix, INDEX_ROOT)->first, y);
}

static void test_other_fingerprint_begins_anew(void **state)
{
	struct fixture *f = *state;
	const uint64_t epoch = index_epoch(f->ix);
	(void)index_add(f->ix, INDEX_ROOT, "d", 0, false, &dir_stat, "");
	reopen(f, 8);
	assert_int_equal(index_find(f->ix, INDEX_ROOT, "d"), 0);
	assert_true(index_epoch(f->ix) != epoch);
}

/* Cut and damage the log at every place: what is loaded is a prefix of the truth, and adding goes on. */
static void test_damaged_log(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 20; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "f%d", i);
		const struct source_stat st = file_of((uint64_t)i, "\"e\"");
		(void)index_add(f->ix, INDEX_ROOT, name, 0, false, &st, "");
	}
	index_close(f->ix);
	f->ix = NULL;
	CLEANUP(free_p) char *good = NULL;
	size_t n;
	assert_int_equal(file_read(f->path, 1 << 20, &good, &n, NULL), 0);
	for (size_t at = 0; at < n; at += 7) {
		CLEANUP(free_p) char *bad = malloc(n);
		memcpy(bad, good, n);
		bad[at] = (char)(bad[at] ^ 0x55);
		assert_int_equal(file_write_atomic(f->path, 0600, bad, at % 2 == 0 ? n : at, NULL), 0);
		reopen(f, 7);
		for (int i = 0; i < 20; i++) {
			char name[16];
			(void)snprintf(name, sizeof name, "f%d", i);
			const uint32_t id = index_find(f->ix, INDEX_ROOT, name);
			if (id != 0) {
				assert_int_equal(id, i + 2);
				assert_int_equal(index_get(f->ix, id)->size, i);
			}
		}
		assert_true(index_add(f->ix, INDEX_ROOT, "more", 0, false, &dir_stat, "") != 0);
		reopen(f, 7);
		assert_true(index_find(f->ix, INDEX_ROOT, "more") != 0);
	}
}

static void test_many(void **state)
{
	struct fixture *f = *state;
	char name[64];
	uint32_t d = 0;
	for (unsigned i = 0; i < 100000; i++) {
		if (i % 1000 == 0) {
			(void)snprintf(name, sizeof name, "directory-%u", i);
			d = index_add(f->ix, INDEX_ROOT, name, 0, false, &dir_stat, "");
		}
		(void)snprintf(name, sizeof name, "training-sample-number-%06u.tfrecord", i);
		const struct source_stat st = file_of(i, "\"65f1c3a2-1c8f3\"");
		assert_true(index_add(f->ix, d, name, 0, false, &st, "") != 0);
	}
	struct index_totals t;
	index_totals(f->ix, &t);
	assert_int_equal(t.files, 100000);
	assert_true(t.memory < 50u * 1024 * 1024);
	assert_int_equal(index_commit(f->ix), 0);
	reopen(f, 7);
	index_totals(f->ix, &t);
	assert_int_equal(t.files, 100000);
	assert_true(t.memory < 50u * 1024 * 1024);
	assert_true(index_find(f->ix, d, "training-sample-number-099999.tfrecord") != 0);
}

/* A log that is mostly history is written anew, and no id comes back with another meaning. */
static void test_compaction(void **state)
{
	struct fixture *f = *state;
	const struct source_stat st = file_of(1, "\"some-etag-that-takes-room\"");
	uint32_t last = 0;
	for (int i = 0; i < 20000; i++) {
		last = index_add(f->ix, INDEX_ROOT, "the-same-name", 0, false, &st, "");
		assert_true(last != 0);
		index_remove(f->ix, last);
	}
	reopen(f, 7);
	struct stat before;
	assert_int_equal(stat(f->path, &before), 0);
	assert_true(before.st_size < 100000);
	assert_true(index_add(f->ix, INDEX_ROOT, "x", 0, false, &st, "") > last);
	reopen(f, 7);
	assert_null(index_get(f->ix, last));
	assert_true(index_find(f->ix, INDEX_ROOT, "x") > last);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_names_survive),
		T(test_removed_ids_are_not_reused),
		T(test_other_fingerprint_begins_anew),
		T(test_damaged_log),
		T(test_many),
		T(test_compaction),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
