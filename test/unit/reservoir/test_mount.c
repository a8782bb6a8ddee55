/*
 * The whole data path: a worker and a mount as processes of their own (this program, started again), read by threads here. Needs root
 * and /dev/fuse; without them the tests are skipped.
 */
#include "world.h"

static void test_tree(void **state)
{
	struct world *w = world_begin(state, "Never", 64 * KIB, 64 * MIB);
	char path[256], target[64] = "";
	make_file(w->source, "a", 1, 200001);
	make_file(w->source, "empty", 2, 0);
	(void)snprintf(path, sizeof path, "%s/d", w->source);
	assert_int_equal(mkdir(path, 0700), 0);
	for (uint64_t i = 0; i < 300; i++) {
		char name[64];
		(void)snprintf(name, sizeof name, "a name with blanks, # and %% %llu", (unsigned long long)i);
		make_file(path, name, i, i);
	}
	(void)snprintf(path, sizeof path, "%s/link", w->source);
	assert_int_equal(symlink("d/../a", path), 0);
	(void)snprintf(path, sizeof path, "%s/a", w->source);
	assert_int_equal(chmod(path, 0700), 0);
	start_worker(w);
	start_mount(w);

	check_whole(w, "a", 1, 200001);
	check_whole(w, "link", 1, 200001);
	check_whole(w, "empty", 2, 0);
	for (int round = 0; round < 2; round++) {
		(void)path_of(w, "d", path);
		DIR *d = opendir(path);
		assert_non_null(d);
		int n = 0;
		for (struct dirent *e; (e = readdir(d)) != NULL; n++)
			;
		(void)closedir(d);
		assert_int_equal(n, 302);
	}
	struct stat st;
	(void)path_of(w, "a", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0555);
	assert_int_equal(st.st_size, 200001);
	(void)path_of(w, "d", path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFDIR | 0555);
	(void)path_of(w, "link", path);
	assert_int_equal(readlink(path, target, sizeof target), 6);
	assert_string_equal(target, "d/../a");
	(void)path_of(w, "nothing", path);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(errno, ENOENT);
	assert_int_equal(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600), -1);
	assert_int_equal(errno, EROFS);
	assert_int_equal(cached_percent(w, "a"), 100);

	CLEANUP(free_p) char *info = NULL;
	assert_int_equal(file_read("/proc/self/mountinfo", 16 * MIB, &info, NULL, NULL), 0);
	const char *line = strstr(info, w->mnt);
	assert_non_null(line);
	assert_non_null(strstr(line, "fuse.reservoir-fuse reservoir:default/t"));
	end(&w->mount, 0);
	end(&w->worker, 0);
	assert_false(mounted(w));
}

static uint64_t du(const char *dir)
{
	uint64_t sum = 0;
	DIR *d = opendir(dir);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		struct stat st;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		    str_has_suffix(e->d_name, "l"))
			sum += (uint64_t)st.st_blocks * 512;
		else if (str_has_suffix(e->d_name, ".part") || str_has_suffix(e->d_name, ".map"))
			sum += (uint64_t)st.st_blocks * 512;
	}
	if (d != NULL)
		(void)closedir(d);
	return sum;
}

static void watch_quota(struct world *w)
{
	for (int i = 0; i < 50; i++) {
		const uint64_t used = du(w->cache);
		if (used > w->quota)
			fail_msg("the cache takes %llu bytes of a quota of %llu", (unsigned long long)used,
				 (unsigned long long)w->quota);
		(void)poll(NULL, 0, 40); /* sampling */
	}
}

/* Files complete under readers who reopen them all the time, while the quota forces eviction. */
static void test_eviction_under_readers(void **state)
{
	static const int modes[] = {3, 0, 1, 3, 2, 3, 0, 2};
	struct world *w = world_begin(state, "Never", 64 * KIB, 5 * MIB);
	make_files(w, 12, 1000003);
	start_worker(w);
	start_mount(w);
	run_readers(w, 8, 12, 1000003, modes, 8, watch_quota, 1000);
	run_readers(w, 16, 12, 1000003, modes, 8, NULL, 1500);
	end(&w->mount, 0);
	end(&w->worker, 0);
}

static void test_plain_under_readers(void **state)
{
	static const int modes[] = {0, 1, 2, 3};
	struct world *w = world_begin(state, "Never", 64 * KIB, 5 * MIB);
	w->plain = true;
	make_files(w, 12, 1000003);
	start_worker(w);
	start_mount(w);
	run_readers(w, 16, 12, 1000003, modes, 4, NULL, 2500);
	end(&w->mount, 0);
	end(&w->worker, 0);
}

static void kill_worker_often(struct world *w)
{
	for (int i = 0; i < 6; i++) {
		(void)poll(NULL, 0, 250); /* in the midst of the load */
		process_kill(&w->worker);
		start_worker(w);
	}
}

/* Readers only wait while the worker is killed and started again. */
static void test_worker_killed(void **state)
{
	static const int modes[] = {0, 1, 2, 3};
	struct world *w = world_begin(state, "TTL", 64 * KIB, 6 * MIB);
	make_files(w, 10, 1000003);
	start_worker(w);
	start_mount(w);
	run_readers(w, 8, 10, 1000003, modes, 4, kill_worker_often, 500);
	end(&w->mount, 0);
	end(&w->worker, 0);
}

static void test_mount_killed(void **state)
{
	struct world *w = world_begin(state, "Never", 64 * KIB, 64 * MIB);
	make_files(w, 4, 3000000);
	start_worker(w);
	for (int i = 0; i < 3; i++) {
		start_mount(w);
		check_whole(w, "f0", 0, 3000000);
		check_whole(w, i == 1 ? "f1" : "f2", i == 1 ? 1 : 2, 3000000);
		const int fd = open_in(w, "f3"); /* dies with something open */
		process_kill(&w->mount);
		assert_false(mounted(w));
		close_fd((int[]){fd});
	}
	/* what the dead mounts had open may be evicted: nothing else explains a cache that takes a fresh set of files */
	start_mount(w);
	check_whole(w, "f3", 3, 3000000);
	end(&w->mount, 0);
	end(&w->worker, 0);
}

static void test_both_killed_keeps_cache(void **state)
{
	struct world *w = world_begin(state, "Never", 64 * KIB, 64 * MIB);
	make_files(w, 2, 3000000);
	start_worker(w);
	start_mount(w);
	check_whole(w, "f0", 0, 3000000);
	(void)poll(NULL, 0, 2500); /* the store writes its marks every two seconds */
	process_kill(&w->worker);
	process_kill(&w->mount);
	char path[256];
	(void)snprintf(path, sizeof path, "%s/f0", w->source);
	assert_int_equal(unlink(path), 0); /* freshness Never, and every byte is here */
	start_worker(w);
	start_mount(w);
	check_whole(w, "f0", 0, 3000000);
	end(&w->mount, 0);
	end(&w->worker, 0);
}

static void test_new_version(void **state)
{
	struct world *w = world_begin(state, "OnOpen", 64 * KIB, 64 * MIB);
	make_file(w->source, "v", 1, 500000);
	start_worker(w);
	start_mount(w);
	check_whole(w, "v", 1, 500000);
	const uint64_t ino = status_of(w, "v");
	CLEANUP(close_fd) int old = open_in(w, "v");
	assert_true(old >= 0);
	char path[256], fresh[256];
	(void)snprintf(path, sizeof path, "%s/v", w->source);
	(void)snprintf(fresh, sizeof fresh, "%s/v.new", w->source);
	make_file(w->source, "v.new", 7, 600000);
	assert_int_equal(rename(fresh, path), 0);

	check_whole(w, "v", 7, 600000); /* the next open sees it */
	assert_true(status_of(w, "v") != ino);
	unsigned char buf[4096];
	for (size_t off = 0; off + sizeof buf < 500000; off += sizeof buf) { /* the open one stays what it was */
		assert_int_equal(pread(old, buf, sizeof buf, (off_t)off), sizeof buf);
		assert_true(content_is(1, off, buf, sizeof buf));
	}
	end(&w->worker, 0);
}

/* The source changes while a file of it is open and not yet whole: an error, never a mixture. */
static void test_changed_while_open(void **state)
{
	struct world *w = world_begin(state, "Never", 64 * KIB, 64 * MIB);
	make_file(w->source, "v", 1, 5000000);
	start_worker(w);
	start_mount(w);
	CLEANUP(close_fd) int fd = open_in(w, "v");
	unsigned char buf[4096];
	assert_int_equal(pread(fd, buf, sizeof buf, 0), sizeof buf);
	assert_true(content_is(1, 0, buf, sizeof buf));
	make_file(w->source, "v", 9, 5000000);
	int good = 0, failed = 0;
	for (size_t off = 0; off + sizeof buf <= 5000000; off += 64 * KIB) {
		const ssize_t n = pread(fd, buf, sizeof buf, (off_t)off);
		if (n < 0) {
			assert_int_equal(errno, EIO);
			failed++;
			continue;
		}
		assert_true(content_is(1, off, buf, (size_t)n));
		good++;
	}
	assert_true(good >= 1);
	assert_true(failed >= 1);
	end(&w->worker, 0);
}

static void test_no_worker(void **state)
{
	struct world *w = world_begin(state, "Never", 64 * KIB, 64 * MIB);
	make_file(w->source, "a", 1, 1000);
	CLEANUP(free_p) char *self = file_self_exe();
	spawn(&w->mount, (const char *const[]){self, "mount", w->config, w->mnt, "", NULL});
	(void)poll(NULL, 0, 300); /* the mount waits; whether it is early or late does not matter */
	start_worker(w);
	assert_true(wait_until(mounted, w, 20));
	check_whole(w, "a", 1, 1000);
	/* a second mount at the same place is refused */
	struct process second;
	int status;
	spawn(&second, (const char *const[]){self, "mount", w->config, w->mnt, "", NULL});
	assert_int_equal(process_wait(&second, clock_mono_ns() + 20 * NSEC_PER_SEC, &status), 0);
	assert_int_equal(WEXITSTATUS(status), 1);
	check_whole(w, "a", 1, 1000);
	end(&w->mount, 0);
	end(&w->worker, 0);
}

int main(int argc, char **argv)
{
	if (argc > 2)
		return role(argc, argv);
	if (argc == 2)
		cmocka_set_test_filter(argv[1]);
	(void)sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL); /* fails only for bad arguments */
#define T(fn) cmocka_unit_test_teardown(fn, teardown)
	const struct CMUnitTest tests[] = {
		T(test_tree),          T(test_eviction_under_readers), T(test_plain_under_readers),
		T(test_worker_killed), T(test_mount_killed),           T(test_both_killed_keeps_cache),
		T(test_new_version),   T(test_changed_while_open),     T(test_no_worker),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
