/*
 * The whole data path: a worker and a mount as processes of their own (this program, started again), read by threads here. Needs root
 * and /dev/fuse; without them the tests are skipped.
 */
#include "support.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "base/random.h"
#include "reservoir/config.h"
#include "reservoir/fuse.h"
#include "reservoir/worker.h"
#include "json/json.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

/* --- the two roles --- */

static int role_worker(const char *path)
{
	struct reservoir_config config;
	struct worker *w;
	struct error err = {0};
	sigset_t set;
	int sig;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	log_init(2, LOG_LVL_WARN, "worker");
	if (reservoir_config_load(path, &config, &err) < 0 || worker_new(&config, &w, &err) < 0) {
		(void)fprintf(stderr, "worker: %s\n", err.msg);
		return 1;
	}
	(void)sigwait(&set, &sig);
	worker_free(w);
	reservoir_config_clear(&config);
	return 0;
}

static int role_mount(const char *path, const char *dir, bool plain)
{
	struct reservoir_config config;
	struct fuse_mount *m;
	struct error err = {0};
	sigset_t set;
	int sig;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	log_init(2, LOG_LVL_ERROR, "mount");
	if (reservoir_config_load(path, &config, &err) < 0) {
		(void)fprintf(stderr, "mount: %s\n", err.msg);
		return 1;
	}
	const struct fuse_mount_options o = {.config = &config, .dir = dir, .no_passthrough = plain};
	if (fuse_mount_new(&o, &m, &err) < 0) {
		(void)fprintf(stderr, "mount: %s\n", err.msg);
		reservoir_config_clear(&config);
		return 1;
	}
	(void)sigwait(&set, &sig);
	fuse_mount_free(m);
	reservoir_config_clear(&config);
	return 0;
}

/* --- the fixture --- */

struct world {
	char dir[64], source[96], cache[96], mnt[96], config[96];
	struct process worker, mount;
	const char *freshness;
	uint64_t quota;
	uint32_t block;
	bool plain;
};

static char world_mnt[96]; /* for the alarm: a test that hangs must not leave its mount */

static void on_alarm(int sig)
{
	(void)sig;
	static const char text[] = "a FUSE test hangs; detaching its mount\n";
	if (write(2, text, sizeof text - 1) < 0)
		_exit(3);
	(void)umount2(world_mnt, MNT_DETACH);
	_exit(3);
}

static void write_config(struct world *w)
{
	char text[2048];
	const int n = snprintf(
		text, sizeof text,
		"{\"dataset\":{\"namespace\":\"default\",\"name\":\"t\"},\"mounts\":[{\"path\":\"/"
		"\",\"source\":\"file://%s\"}],"
		"\"tiers\":[{\"medium\":\"SSD\",\"path\":\"%s\",\"quotaBytes\":%llu}],\"blockSizeBytes\":%u,"
		"\"readAheadBytes\":%u,\"freshness\":{\"mode\":\"%s\",\"ttlSeconds\":1},\"socket\":\"%s/s\","
		"\"fetch\":{\"retries\":1,\"timeoutSeconds\":5}}",
		w->source, w->cache, (unsigned long long)w->quota, w->block, 4 * w->block, w->freshness, w->dir);
	assert_int_equal(file_write_atomic(w->config, 0600, text, (size_t)n, NULL), 0);
}

static void spawn(struct process *p, const char *const *argv)
{
	struct error err = {0};
	const struct process_options o = {
		.argv = argv, .fd_in = -1, .fd_out = -1, .fd_err = -1, .die_with_parent = true};
	if (process_spawn(&o, p, &err) < 0)
		fail_msg("%s", err.msg);
}

static void start_worker(struct world *w)
{
	CLEANUP(free_p) char *self = file_self_exe();
	spawn(&w->worker, (const char *const[]){self, "worker", w->config, NULL});
}

static bool mounted(void *ctx)
{
	struct world *w = ctx;
	struct statfs st;
	return statfs(w->mnt, &st) == 0 && st.f_type == 0x65735546 && access(w->mnt, R_OK) == 0;
}

static void start_mount(struct world *w)
{
	CLEANUP(free_p) char *self = file_self_exe();
	spawn(&w->mount, (const char *const[]){self, w->plain ? "plain" : "mount", w->config, w->mnt, NULL});
	assert_true(wait_until(mounted, w, 20));
}

static void end(struct process *p, int want)
{
	int status;
	if (p->pid == 0)
		return;
	(void)process_signal(p, SIGTERM);
	assert_int_equal(process_wait(p, clock_mono_ns() + 30 * NSEC_PER_SEC, &status), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), want);
}

static struct world *world_begin(void **state, const char *freshness, uint32_t block, uint64_t quota)
{
	static struct world w;
	if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0)
		skip();
	w = (struct world){.dir = "/tmp/test-mount-XXXXXX",
			   .freshness = freshness,
			   .block = block,
			   .quota = quota,
			   .worker = PROCESS_NONE,
			   .mount = PROCESS_NONE};
	assert_non_null(mkdtemp(w.dir));
	(void)snprintf(w.source, sizeof w.source, "%s/src", w.dir);
	(void)snprintf(w.cache, sizeof w.cache, "%s/cache", w.dir);
	(void)snprintf(w.mnt, sizeof w.mnt, "%s/mnt", w.dir);
	(void)snprintf(w.config, sizeof w.config, "%s/config.json", w.dir);
	(void)snprintf(world_mnt, sizeof world_mnt, "%s", w.mnt);
	assert_int_equal(mkdir(w.source, 0755), 0);
	write_config(&w);
	*state = &w;
	(void)alarm(100);
	return &w;
}

static int teardown(void **state)
{
	struct world *w = *state;
	(void)alarm(0);
	if (w == NULL || w->dir[0] == '\0')
		return 0;
	process_kill(&w->mount);
	process_kill(&w->worker);
	while (umount2(w->mnt, MNT_DETACH) == 0)
		;
	const int r = file_remove_all(w->dir, NULL);
	w->dir[0] = '\0';
	return r;
}

static int path_of(const struct world *w, const char *name, char out[static 256])
{
	return snprintf(out, 256, "%s/%s", w->mnt, name);
}

static int open_in(const struct world *w, const char *name)
{
	char path[256];
	(void)path_of(w, name, path);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static void check_whole(const struct world *w, const char *name, uint64_t seed, size_t size)
{
	CLEANUP(close_fd) int fd = open_in(w, name);
	if (fd < 0)
		fail_msg("open %s: %s", name, strerror(errno));
	CLEANUP(free_p) unsigned char *buf = malloc(256 * KIB);
	for (size_t off = 0; off < size;) {
		const size_t n = size - off < 256 * KIB ? size - off : 256 * KIB;
		const ssize_t got = file_pread_full(fd, buf, n, (off_t)off);
		if (got != (ssize_t)n || !content_is(seed, off, buf, n))
			fail_msg("%s at %zu: got %zd of %zu (%s), or wrong bytes", name, off, got, n,
				 strerror(got < 0 ? (int)-got : 0));
		off += n;
	}
	char one;
	assert_int_equal(pread(fd, &one, 1, (off_t)size), 0);
}

static uint64_t status_of(const struct world *w, const char *name)
{
	struct stat st;
	char path[256];
	(void)path_of(w, name, path);
	return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static int cached_percent(const struct world *w, const char *name)
{
	char path[256], value[16] = "";
	(void)path_of(w, name, path);
	const ssize_t n = getxattr(path, "user.sluice.cached", value, sizeof value - 1);
	int64_t v = -1;
	return n > 0 && str_to_i64(value, &v) == 0 ? (int)v : -1;
}

/* --- tests --- */

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

struct reader {
	struct world *w;
	pthread_t thread;
	unsigned seed;
	unsigned files;
	size_t size;
	int mode; /* 0 sequential, 1 random, 2 mmap; 3 opens and closes all the time */
	atomic_bool *stop;
	uint64_t reads;
	char failure[200];
};

static bool read_piece(struct reader *r, int fd, unsigned file, size_t off, size_t n)
{
	unsigned char buf[64 * KIB];
	if (n > sizeof buf)
		n = sizeof buf;
	if (n > r->size - off)
		n = r->size - off;
	const ssize_t got = file_pread_full(fd, buf, n, (off_t)off);
	if (got != (ssize_t)n || !content_is(file, off, buf, n)) {
		(void)snprintf(r->failure, sizeof r->failure, "file %u at %zu: got %zd of %zu (%s), or wrong bytes",
			       file, off, got, n, strerror(got < 0 ? (int)-got : 0));
		return false;
	}
	r->reads++;
	return true;
}

static bool read_mapped(struct reader *r, int fd, unsigned file)
{
	const unsigned char *p = mmap(NULL, r->size, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		(void)snprintf(r->failure, sizeof r->failure, "mmap: %s", strerror(errno));
		return false;
	}
	(void)close(fd);
	bool ok = true;
	for (size_t i = 0; ok && i < 16; i++) {
		const size_t off = mix(r->seed * 31 + r->reads + i) % (r->size - 64);
		ok = content_is(file, off, p + off, 64);
		if (!ok)
			(void)snprintf(r->failure, sizeof r->failure, "file %u mapped at %zu: wrong bytes", file, off);
	}
	r->reads++;
	(void)munmap((void *)p, r->size);
	return ok;
}

static bool read_file_by_mode(struct reader *r, int *fd, unsigned file)
{
	switch (r->mode) {
	case 0:
		for (size_t off = 0; off < r->size; off += 64 * KIB)
			if (!read_piece(r, *fd, file, off, 64 * KIB))
				return false;
		return true;
	case 1:
		for (int i = 0; i < 20; i++)
			if (!read_piece(r, *fd, file, mix(r->seed + r->reads * 7919) % r->size, 5000))
				return false;
		return true;
	case 2: {
		const int mapped = *fd;
		*fd = -1;
		return read_mapped(r, mapped, file);
	}
	default:
		return read_piece(r, *fd, file, mix(r->seed + r->reads) % r->size, 512);
	}
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	for (uint64_t i = 0; !atomic_load(r->stop); i++) {
		const unsigned file = (unsigned)(mix(r->seed * 977 + i) % r->files);
		char name[32];
		(void)snprintf(name, sizeof name, "f%u", file);
		int fd = open_in(r->w, name);
		if (fd < 0) {
			(void)snprintf(r->failure, sizeof r->failure, "open %s: %s", name, strerror(errno));
			break;
		}
		const bool ok = read_file_by_mode(r, &fd, file);
		close_fd(&fd);
		if (!ok)
			break;
	}
	return NULL;
}

static void run_readers(struct world *w, unsigned n, unsigned files, size_t size, const int *modes, size_t n_modes,
			void (*meanwhile)(struct world *w), int64_t ms)
{
	struct reader r[32];
	atomic_bool stop = false;
	for (unsigned i = 0; i < n; i++) {
		r[i] = (struct reader){
			.w = w, .seed = i + 1, .files = files, .size = size, .mode = modes[i % n_modes], .stop = &stop};
		assert_int_equal(pthread_create(&r[i].thread, NULL, reader_main, &r[i]), 0);
	}
	if (meanwhile != NULL)
		meanwhile(w);
	(void)poll(NULL, 0, (int)ms); /* the length of the load, nothing that is waited for */
	atomic_store(&stop, true);
	uint64_t reads = 0;
	for (unsigned i = 0; i < n; i++) {
		(void)pthread_join(r[i].thread, NULL);
		reads += r[i].reads;
	}
	for (unsigned i = 0; i < n; i++)
		if (r[i].failure[0] != '\0')
			fail_msg("reader %u: %s", i, r[i].failure);
	assert_true(reads > n);
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

static void make_files(struct world *w, unsigned n, size_t size)
{
	for (unsigned i = 0; i < n; i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "f%u", i);
		make_file(w->source, name, i, size);
	}
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
	spawn(&w->mount, (const char *const[]){self, "mount", w->config, w->mnt, NULL});
	(void)poll(NULL, 0, 300); /* the mount waits; whether it is early or late does not matter */
	start_worker(w);
	assert_true(wait_until(mounted, w, 20));
	check_whole(w, "a", 1, 1000);
	/* a second mount at the same place is refused */
	struct process second;
	int status;
	spawn(&second, (const char *const[]){self, "mount", w->config, w->mnt, NULL});
	assert_int_equal(process_wait(&second, clock_mono_ns() + 20 * NSEC_PER_SEC, &status), 0);
	assert_int_equal(WEXITSTATUS(status), 1);
	check_whole(w, "a", 1, 1000);
	end(&w->mount, 0);
	end(&w->worker, 0);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "worker") == 0)
		return role_worker(argv[2]);
	if (argc == 4 && strcmp(argv[1], "mount") == 0)
		return role_mount(argv[2], argv[3], false);
	if (argc == 4 && strcmp(argv[1], "plain") == 0)
		return role_mount(argv[2], argv[3], true);
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
