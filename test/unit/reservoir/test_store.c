#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "reservoir/store.h"

#define BLOCK 65536u

struct fixture {
	char dir[64];
	struct tier_config tier;
	struct store *s;
};

static int setup(void **state)
{
	static struct fixture f;
	f = (struct fixture){.dir = "/tmp/test-store-XXXXXX"};
	if (mkdtemp(f.dir) == NULL)
		return -1;
	f.tier = (struct tier_config){.medium = "SSD", .path = f.dir, .quota_bytes = 64 * BLOCK, .high = 1, .low = 0.5};
	*state = &f;
	return store_open(&f.tier, 1, BLOCK, &f.s, NULL);
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	store_close(f->s);
	return file_remove_all(f->dir, NULL);
}

static void reopen(struct fixture *f)
{
	store_close(f->s);
	f->s = NULL;
	struct error err = {0};
	if (store_open(&f->tier, 1, BLOCK, &f->s, &err) < 0)
		fail_msg("%s", err.msg);
}

static struct store_file *acquire(struct fixture *f, const char *path, uint64_t size)
{
	struct store_file *sf = NULL;
	assert_int_equal(store_acquire(f->s, store_key_make("src", path, "v1"), size, &sf, NULL), 0);
	return sf;
}

static void fill(struct store_file *f, uint32_t block, uint32_t n, char c)
{
	char buf[BLOCK];
	memset(buf, c, sizeof buf);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t got;
		assert_int_equal(store_claim(f, block + i, 1, &got, NULL), STORE_CLAIMED);
		assert_int_equal(store_write(f, (uint64_t)(block + i) * BLOCK, buf, sizeof buf), 0);
		store_done(f, block + i);
	}
}

static uint64_t disk_used(const struct fixture *f)
{
	struct store_stats st;
	store_stats(f->s, &st);
	return st.used_bytes;
}

static void test_claim_states(void **state)
{
	struct fixture *f = *state;
	struct store_file *sf = acquire(f, "a", 10 * BLOCK - 5);
	uint32_t n;
	assert_int_equal(store_file_blocks(sf), 10);
	assert_int_equal(store_claim(sf, 2, 3, &n, NULL), STORE_CLAIMED);
	assert_int_equal(n, 3);
	assert_int_equal(store_claim(sf, 0, 10, &n, NULL), STORE_CLAIMED);
	assert_int_equal(n, 2); /* up to the run in flight */
	assert_int_equal(store_claim(sf, 1, 10, &n, NULL), STORE_BUSY);
	assert_int_equal(n, 4);
	store_done(sf, 2);
	assert_int_equal(store_claim(sf, 2, 10, &n, NULL), STORE_PRESENT);
	assert_int_equal(n, 1);
	const uint64_t seq = store_fail_seq(sf);
	store_fail(sf, 3, 2, -EIO, "the source is gone");
	store_fail(sf, 0, 2, -EIO, "the source is gone");
	struct error err = {0};
	assert_int_equal(store_wait(sf, 3, seq, INT64_MAX, &err), -EIO);
	assert_string_equal(err.msg, "the source is gone");
	assert_int_equal(store_wait(sf, 3, store_fail_seq(sf), INT64_MAX, NULL), -EAGAIN);
	assert_int_equal(store_wait(sf, 2, seq, INT64_MAX, NULL), 0);
	assert_int_equal(store_claim(sf, 3, 1, &n, NULL), STORE_CLAIMED);
	assert_int_equal(store_wait(sf, 3, seq, clock_mono_ns(), &err), -ETIMEDOUT);
	store_done(sf, 3);
	assert_int_equal(store_file_cached(sf), 2 * BLOCK);
	assert_int_equal(disk_used(f), 2 * BLOCK + 4096); /* what failed is given back */
	store_release(sf);
}

static void test_last_block_and_restart(void **state)
{
	struct fixture *f = *state;
	struct store_file *part = acquire(f, "part", 4 * BLOCK), *whole = acquire(f, "whole", BLOCK + 7);
	fill(part, 1, 1, 'p');
	fill(whole, 0, 1, 'w');
	uint32_t n;
	assert_int_equal(store_claim(whole, 1, 9, &n, NULL), STORE_CLAIMED);
	assert_int_equal(store_write(whole, BLOCK, "1234567", 7), 0);
	store_done(whole, 1);
	assert_true(store_file_complete(whole));
	assert_int_equal(store_file_cached(whole), BLOCK + 7);
	store_release(part);
	store_release(whole);
	reopen(f);

	struct store_stats st;
	store_stats(f->s, &st);
	assert_int_equal(st.files, 2);
	assert_int_equal(st.cached_bytes, 2 * BLOCK + 7);
	assert_int_equal(st.used_bytes, 2 * BLOCK + 4096 + 4096);
	part = acquire(f, "part", 4 * BLOCK);
	whole = acquire(f, "whole", BLOCK + 7);
	assert_true(store_file_complete(whole));
	assert_int_equal(store_claim(part, 1, 1, &n, NULL), STORE_PRESENT);
	assert_int_equal(store_claim(part, 0, 4, &n, NULL), STORE_CLAIMED);
	assert_int_equal(n, 1);
	store_fail(part, 0, 1, -EIO, "x");
	const int fd = store_file_open_fd(whole);
	char buf[8] = {0};
	assert_int_equal(pread(fd, buf, 7, BLOCK), 7);
	assert_string_equal(buf, "1234567");
	assert_int_equal(pread(fd, buf, 7, BLOCK + 7), 0);
	assert_int_equal(write(fd, buf, 1), -1); /* readers cannot write */
	(void)close(fd);
	store_release(part);
	store_release(whole);
	/* another size under the same key is refused */
	struct store_file *other = NULL;
	assert_int_equal(store_acquire(f->s, store_key_make("src", "whole", "v1"), 5, &other, NULL), -EIO);
}

/* Kill the process at each stage: marks must never claim bytes that are not there. */
static void test_damaged_marks(void **state)
{
	struct fixture *f = *state;
	struct store_file *sf = acquire(f, "m", 8 * BLOCK);
	fill(sf, 0, 5, 'm');
	store_release(sf);
	store_flush(f->s);
	const struct store_key k = store_key_make("src", "m", "v1");
	char path[160];
	(void)snprintf(path, sizeof path, "%s/%016llx%016llx.map", f->dir, (unsigned long long)k.hi,
		       (unsigned long long)k.lo);
	const int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	store_close(f->s);
	f->s = NULL;
	assert_int_equal(pwrite(fd, "\xff", 1, 32), 1); /* a bit too many: the checksum tells */
	(void)close(fd);
	reopen(f);
	sf = acquire(f, "m", 8 * BLOCK);
	assert_int_equal(store_file_cached(sf), 0);
	assert_int_equal(disk_used(f), 4096); /* the unmarked blocks were given back to the disk */
	struct stat st;
	const int data = store_file_open_fd(sf);
	assert_int_equal(fstat(data, &st), 0);
	assert_true(st.st_blocks * 512 < BLOCK);
	(void)close(data);
	store_release(sf);
}

static void test_eviction_order(void **state)
{
	struct fixture *f = *state;
	char name[16];
	for (int i = 0; i < 7; i++) { /* 7 of 8 blocks each: 56 + overhead below 64 */
		(void)snprintf(name, sizeof name, "f%d", i);
		struct store_file *sf = acquire(f, name, 8 * BLOCK);
		fill(sf, 0, 8, 'e');
		store_release(sf);
	}
	struct store_file *kept = acquire(f, "f0", 8 * BLOCK); /* the oldest, but open */
	struct store_file *used = acquire(f, "f1", 8 * BLOCK);
	store_release(used); /* now the newest */
	struct store_file *more = acquire(f, "new", 12 * BLOCK);
	fill(more, 0, 12, 'n');
	store_release(more);
	assert_int_equal(store_file_cached(kept), 8 * BLOCK);
	assert_int_equal(store_cached_of(f->s, store_key_make("src", "f1", "v1")), 8 * BLOCK);
	assert_int_equal(store_cached_of(f->s, store_key_make("src", "f2", "v1")), 0);
	assert_true(disk_used(f) <= f->tier.quota_bytes);
	store_release(kept);
}

static void test_full_when_all_in_use(void **state)
{
	struct fixture *f = *state;
	struct store_file *a = acquire(f, "a", 60 * BLOCK), *b = acquire(f, "b", 8 * BLOCK);
	fill(a, 0, 60, 'a');
	uint32_t n;
	struct error err = {0};
	/* 64 blocks minus 60 minus marks: 3 are left */
	assert_int_equal(store_claim(b, 0, 8, &n, &err), STORE_CLAIMED);
	assert_true(n >= 1 && n <= 3);
	for (uint32_t i = 0; i < n; i++)
		store_done(b, i);
	int r;
	uint32_t at = n;
	while ((r = store_claim(b, at, 8, &n, &err)) == STORE_CLAIMED)
		for (uint32_t i = 0; i < n; i++)
			store_done(b, at++);
	assert_int_equal(r, -ENOSPC);
	assert_non_null(strstr(err.msg, "the cache is full"));
	assert_true(disk_used(f) <= f->tier.quota_bytes);
	store_release(a);
	assert_int_equal(store_claim(b, at, 8, &n, &err), STORE_CLAIMED); /* a may go now */
	store_fail(b, at, n, -EIO, "x");
	assert_int_equal(store_cached_of(f->s, store_key_make("src", "a", "v1")), 0);
	store_release(b);
}

/* Somebody still has the file mapped although nobody told the store. */
static void test_mapped_is_not_evicted(void **state)
{
	struct fixture *f = *state;
	struct store_file *a = acquire(f, "a", 40 * BLOCK);
	fill(a, 0, 40, 'a');
	const int fd = store_file_open_fd(a);
	char *map = mmap(NULL, 40 * BLOCK, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(map, MAP_FAILED);
	(void)close(fd);
	store_release(a);

	struct store_file *b = acquire(f, "b", 40 * BLOCK);
	uint32_t n;
	int r;
	uint32_t at = 0;
	while ((r = store_claim(b, at, 8, &n, NULL)) == STORE_CLAIMED)
		for (uint32_t i = 0; i < n; i++)
			store_done(b, at++);
	assert_int_equal(r, -ENOSPC);
	assert_int_equal(map[39 * BLOCK], 'a');
	assert_int_equal(store_cached_of(f->s, store_key_make("src", "a", "v1")), 40 * BLOCK);
	(void)munmap(map, 40 * BLOCK);
	/* nobody tells the store: it looks again by itself */
	const int64_t deadline = clock_mono_ns() + 10 * NSEC_PER_SEC;
	while ((r = store_claim(b, at, 8, &n, NULL)) == -ENOSPC && clock_mono_ns() < deadline)
		(void)poll(NULL, 0, 10);
	assert_int_equal(r, STORE_CLAIMED);
	store_fail(b, at, n, -EIO, "x");
	store_release(b);
}

static void test_two_workers(void **state)
{
	struct fixture *f = *state;
	struct store *second = NULL;
	struct error err = {0};
	assert_true(store_open(&f->tier, 1, BLOCK, &second, &err) < 0);
	assert_non_null(strstr(err.msg, "used by another worker"));
}

static void test_smaller_quota(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 6; i++) {
		char name[16];
		(void)snprintf(name, sizeof name, "f%d", i);
		struct store_file *sf = acquire(f, name, 8 * BLOCK);
		fill(sf, 0, 8, 'q');
		store_release(sf);
	}
	f->tier.quota_bytes = 20 * BLOCK;
	reopen(f);
	assert_true(disk_used(f) <= 20 * BLOCK);
	assert_int_equal(store_cached_of(f->s, store_key_make("src", "f5", "v1")), 8 * BLOCK);
	assert_int_equal(store_cached_of(f->s, store_key_make("src", "f0", "v1")), 0);
}

int main(void)
{
	(void)signal(SIGIO, SIG_IGN); /* the kernel's word that a lease is asked back */
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_claim_states),   T(test_last_block_and_restart), T(test_damaged_marks),
		T(test_eviction_order), T(test_full_when_all_in_use),   T(test_mapped_is_not_evicted),
		T(test_two_workers),    T(test_smaller_quota),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
