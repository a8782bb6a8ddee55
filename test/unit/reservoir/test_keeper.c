/*
 * The mount keeper: servers of a mount are killed and replaced under readers, who must not notice more than a wait. Needs root and
 * /dev/fuse, and a kernel that repeats requests (6.9); without them the tests are skipped. KEEPER_ROUNDS kills instead of 20.
 */
#include "world.h"

#include <sys/utsname.h>

static bool kernel_repeats(void)
{
	struct utsname u;
	int major = 0, minor = 0;
	return uname(&u) == 0 && sscanf(u.release, "%d.%d", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 9));
}

static bool keeper_listens(void *ctx)
{
	const struct world *w = ctx;
	return access(w->keeper, F_OK) == 0;
}

static void start_keeper(struct world *w)
{
	CLEANUP(free_p) char *self = file_self_exe();
	(void)unlink(w->keeper); /* of one that was killed */
	spawn(&w->keeping, (const char *const[]){self, "keeper", w->keeper, NULL});
	assert_true(wait_until(keeper_listens, w, 20));
}

static struct world *kept_world(void **state, uint64_t quota)
{
	struct world *w = world_begin(state, "Never", 64 * KIB, quota);
	if (!kernel_repeats())
		skip();
	(void)snprintf(w->keeper, sizeof w->keeper, "%.64s/k", w->dir);
	start_keeper(w);
	return w;
}

static void spawn_mount(const struct world *w, struct process *p)
{
	CLEANUP(free_p) char *self = file_self_exe();
	spawn(p, (const char *const[]){self, "mount", w->config, w->mnt, w->keeper, NULL});
}

static int rounds(void)
{
	const char *text = getenv("KEEPER_ROUNDS");
	int64_t n = 20;
	return text == NULL || (str_to_i64(text, &n) == 0 && n > 0) ? (int)n : 20;
}

static void kill_mount_often(struct world *w)
{
	const int n = rounds();
	for (int i = 0; i < n; i++) {
		(void)alarm(60);
		/* in the midst of the load; every third while it may still be taking over */
		if (i % 3 != 0)
			assert_true(wait_until(mounted, w, 30));
		(void)poll(NULL, 0, (int)(mix((uint64_t)i) % (i % 3 == 0 ? 300 : 100)));
		process_kill(&w->mount);
		spawn_mount(w, &w->mount);
	}
	assert_true(wait_until(mounted, w, 30));
}

/* Sequential, random and mapped readers, of files that come, stay and are evicted. */
static void test_killed_under_readers(void **state)
{
	static const int modes[] = {0, 1, 2};
	struct world *w = kept_world(state, 5 * MIB);
	make_files(w, 10, 1000003);
	start_worker(w);
	start_mount(w);
	run_readers(w, 3, 10, 1000003, modes, 3, kill_mount_often, 100);
	end(&w->mount, 0);
	assert_false(mounted(w));
	end(&w->worker, 0);
	end(&w->keeping, 0);
}

/* Everything is in the cache, and open passthrough where there is such a thing; readers open and close all the time. */
static void test_killed_when_cached(void **state)
{
	static const int modes[] = {0, 1, 2, 3, 3};
	struct world *w = kept_world(state, 64 * MIB);
	make_files(w, 4, 1000003);
	start_worker(w);
	start_mount(w);
	for (unsigned i = 0; i < 4; i++) {
		char name[8];
		(void)snprintf(name, sizeof name, "f%u", i);
		check_whole(w, name, i, 1000003);
	}
	run_readers(w, 5, 4, 1000003, modes, 5, kill_mount_often, 100);
	end(&w->mount, 0);
	end(&w->worker, 0);
	end(&w->keeping, 0);
}

static void upgrade(struct world *w)
{
	for (int i = 0; i < 5; i++) {
		struct process next;
		(void)alarm(60);
		assert_true(wait_until(mounted, w, 30));
		spawn_mount(w, &next);
		int status;
		/* nobody tells the first but the keeper */
		assert_int_equal(process_wait(&w->mount, clock_mono_ns() + 30 * NSEC_PER_SEC, &status), 0);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
		w->mount = next;
	}
	assert_true(wait_until(mounted, w, 30));
}

static void test_upgrade_in_place(void **state)
{
	static const int modes[] = {0, 1, 2, 3};
	struct world *w = kept_world(state, 5 * MIB);
	make_files(w, 10, 1000003);
	start_worker(w);
	start_mount(w);
	run_readers(w, 4, 10, 1000003, modes, 4, upgrade, 100);
	end(&w->mount, 0);
	end(&w->worker, 0);
	end(&w->keeping, 0);
}

static void check_at(int fd, uint64_t seed, size_t off)
{
	unsigned char buf[4096];
	assert_int_equal(pread(fd, buf, sizeof buf, (off_t)off), sizeof buf);
	assert_true(content_is(seed, off, buf, sizeof buf));
}

/* A file that is open keeps its mode: the kernel refuses to mix. What was closed meanwhile is not open for ever. */
static void test_open_files_go_on(void **state)
{
	struct world *w = kept_world(state, 64 * MIB);
	make_files(w, 3, 3000000);
	start_worker(w);
	start_mount(w);
	/* twice: the first close of a file that was given to the kernel asks the server whether closing matters, and the child that
	 * becomes the next server closes its copies */
	check_whole(w, "f0", 0, 3000000);
	check_whole(w, "f0", 0, 3000000);
	const int whole = open_in(w, "f0"), part = open_in(w, "f1");
	check_at(part, 1, 0);
	for (int i = 0; i < 3; i++) {
		process_kill(&w->mount);
		start_mount(w);
		check_at(whole, 0, 1000000);
		check_at(part, 1, 500000 * (size_t)i);
		check_whole(w, "f0", 0, 3000000); /* opens beside the old ones */
		check_whole(w, "f1", 1, 3000000);
		assert_int_equal(cached_percent(w, "f1"), 100);
	}
	close_fd((int[]){whole});
	close_fd((int[]){part});
	check_whole(w, "f1", 1, 3000000); /* complete now, and nobody has it open as it was */
	end(&w->mount, 0);
	end(&w->worker, 0);
	end(&w->keeping, 0);
}

static bool unmounted(void *ctx)
{
	const struct world *w = ctx;
	unsigned major, minor;
	return !mountpoint_device(w->mnt, &major, &minor);
}

/* A server that ends takes the mount along, but not from under a pod; and when the pod has gone too, the keeper ends it. */
static void test_end_of_a_mount(void **state)
{
	struct world *w = kept_world(state, 64 * MIB);
	char pod[128];
	make_file(w->source, "a", 1, 300000);
	(void)snprintf(pod, sizeof pod, "%s/pod", w->dir);
	assert_int_equal(mkdir(pod, 0755), 0);
	start_worker(w);
	start_mount(w);
	end(&w->mount, 0);
	assert_true(unmounted(w));

	start_mount(w);
	assert_int_equal(mount(w->mnt, pod, NULL, MS_BIND, NULL), 0);
	CLEANUP(close_fd) int fd = open_in(w, "a");
	end(&w->mount, 0);
	assert_false(unmounted(w));
	start_mount(w);
	check_at(fd, 1, 100000);
	check_whole(w, "a", 1, 300000);
	end(&w->mount, 0);
	assert_false(unmounted(w));
	(void)close(TAKE_FD(fd));
	assert_int_equal(umount2(pod, 0), 0);
	assert_true(wait_until(unmounted, w, 20));

	start_mount(w);
	check_whole(w, "a", 1, 300000);
	end(&w->mount, 0);
	assert_true(unmounted(w));
	end(&w->worker, 0);
	end(&w->keeping, 0);
}

/* Somebody else unmounts while no server is there: the next one begins anew. */
static void test_unmounted_meanwhile(void **state)
{
	struct world *w = kept_world(state, 64 * MIB);
	make_file(w->source, "a", 1, 300000);
	start_worker(w);
	start_mount(w);
	process_kill(&w->mount);
	assert_int_equal(umount2(w->mnt, MNT_DETACH), 0);
	start_mount(w);
	check_whole(w, "a", 1, 300000);
	end(&w->mount, 0);
	end(&w->worker, 0);
	end(&w->keeping, 0);
}

static bool kept_again(void *ctx)
{
	/* who asks as a third one makes the server leave, but only when the keeper knows it */
	struct world *w = ctx;
	int status;
	struct process next;
	spawn_mount(w, &next);
	if (process_wait(&w->mount, clock_mono_ns() + 10 * NSEC_PER_SEC, &status) < 0) {
		process_kill(&next);
		return false;
	}
	w->mount = next;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A keeper that dies harms nobody who runs, and the next one is given what they have. */
static void test_keeper_killed(void **state)
{
	struct world *w = kept_world(state, 64 * MIB);
	make_file(w->source, "a", 1, 300000);
	start_worker(w);
	start_mount(w);
	CLEANUP(close_fd) int fd = open_in(w, "a");
	process_kill(&w->keeping);
	check_at(fd, 1, 0);
	start_keeper(w);
	(void)poll(NULL, 0, 1500); /* it is looked for once a second */
	assert_true(kept_again(w));
	check_at(fd, 1, 200000);
	process_kill(&w->mount);
	start_mount(w);
	check_at(fd, 1, 4096);
	end(&w->mount, 0);
	end(&w->worker, 0);
	end(&w->keeping, 0);
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
		T(test_killed_under_readers), T(test_killed_when_cached), T(test_upgrade_in_place),
		T(test_open_files_go_on),     T(test_end_of_a_mount),     T(test_unmounted_meanwhile),
		T(test_keeper_killed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
