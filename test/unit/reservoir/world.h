/* A worker and a mount as processes of their own (the test program, started again), and readers that check what they read. */
#pragma once

#include "support.h"

#include <dirent.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "base/log.h"
#include "base/random.h"
#include "reservoir/config.h"
#include "reservoir/fuse.h"
#include "reservoir/keeper.h"
#include "reservoir/mountpoint.h"
#include "reservoir/worker.h"
#include "json/json.h"

#define KIB 1024u
#define MIB (1024u * 1024u)

/* --- the two roles --- */

static UNUSED int role_worker(const char *path)
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

static UNUSED void on_end(void *ctx, bool left)
{
	if (left)
		(void)eventfd_write(*(const int *)ctx, 1);
}

/* Without @keeper or with "": nobody keeps the mount. */
static UNUSED int role_mount(const char *path, const char *dir, const char *keeper, bool plain)
{
	struct reservoir_config config;
	struct fuse_mount *m;
	struct error err = {0};
	sigset_t set;
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	log_init(2, getenv("WORLD_LOG") != NULL ? LOG_LVL_INFO : LOG_LVL_ERROR, "mount");
	if (reservoir_config_load(path, &config, &err) < 0) {
		(void)fprintf(stderr, "mount: %s\n", err.msg);
		return 1;
	}
	const int ended = eventfd(0, EFD_CLOEXEC), stop = signalfd(-1, &set, SFD_CLOEXEC);
	const struct fuse_mount_options o = {.config = &config,
					     .dir = dir,
					     .keeper = *keeper != '\0' ? keeper : NULL,
					     .no_passthrough = plain,
					     .on_end = on_end,
					     .ctx = (void *)&ended};
	if (fuse_mount_new(&o, &m, &err) < 0) {
		(void)fprintf(stderr, "mount: %s\n", err.msg);
		reservoir_config_clear(&config);
		return 1;
	}
	struct pollfd p[2] = {{.fd = stop, .events = POLLIN}, {.fd = ended, .events = POLLIN}};
	(void)poll(p, 2, -1);
	(void)fuse_mount_free(m);
	reservoir_config_clear(&config);
	(void)close(ended);
	(void)close(stop);
	return 0;
}

static UNUSED int role_keeper(const char *socket)
{
	sigset_t set;
	struct error err = {0};
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	log_init(2, LOG_LVL_WARN, "keeper");
	const int stop = signalfd(-1, &set, SFD_CLOEXEC);
	const int r = keeper_run(&(struct keeper_options){.socket = socket, .stop_fd = stop}, NULL, &err);
	if (r < 0)
		(void)fprintf(stderr, "keeper: %s\n", err.msg);
	(void)close(stop);
	return r < 0 ? 1 : 0;
}

static UNUSED int role(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "worker") == 0)
		return role_worker(argv[2]);
	if (argc == 3 && strcmp(argv[1], "keeper") == 0)
		return role_keeper(argv[2]);
	if (argc == 5)
		return role_mount(argv[2], argv[3], argv[4], strcmp(argv[1], "plain") == 0);
	return 2;
}

/* --- the fixture --- */

struct world {
	char dir[64], source[96], cache[96], mnt[96], config[96];
	char keeper[96]; /* "": none */
	struct process worker, mount, keeping;
	const char *freshness;
	uint64_t quota;
	uint32_t block;
	bool plain;
};

static char world_mnt[96]; /* for the alarm: a test that hangs must not leave its mount */

static UNUSED void on_alarm(int sig)
{
	(void)sig;
	static const char text[] = "a FUSE test hangs; detaching its mount\n";
	if (write(2, text, sizeof text - 1) < 0)
		_exit(3);
	(void)umount2(world_mnt, MNT_DETACH);
	_exit(3);
}

static UNUSED void write_config(struct world *w)
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

static UNUSED void spawn(struct process *p, const char *const *argv)
{
	struct error err = {0};
	const struct process_options o = {
		.argv = argv, .fd_in = -1, .fd_out = -1, .fd_err = -1, .die_with_parent = true};
	if (process_spawn(&o, p, &err) < 0)
		fail_msg("%s", err.msg);
}

static UNUSED void start_worker(struct world *w)
{
	CLEANUP(free_p) char *self = file_self_exe();
	spawn(&w->worker, (const char *const[]){self, "worker", w->config, NULL});
}

static UNUSED bool mounted(void *ctx)
{
	struct world *w = ctx;
	struct statfs st;
	return statfs(w->mnt, &st) == 0 && st.f_type == 0x65735546 && access(w->mnt, R_OK) == 0;
}

static UNUSED void start_mount(struct world *w)
{
	CLEANUP(free_p) char *self = file_self_exe();
	spawn(&w->mount, (const char *const[]){self, w->plain ? "plain" : "mount", w->config, w->mnt, w->keeper, NULL});
	assert_true(wait_until(mounted, w, 20));
}

static UNUSED void end(struct process *p, int want)
{
	int status;
	if (p->pid == 0)
		return;
	(void)process_signal(p, SIGTERM);
	assert_int_equal(process_wait(p, clock_mono_ns() + 30 * NSEC_PER_SEC, &status), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), want);
}

static UNUSED struct world *world_begin(void **state, const char *freshness, uint32_t block, uint64_t quota)
{
	static struct world w;
	if (geteuid() != 0 || access("/dev/fuse", R_OK | W_OK) != 0)
		skip();
	w = (struct world){.dir = "/tmp/test-mount-XXXXXX",
			   .freshness = freshness,
			   .block = block,
			   .quota = quota,
			   .worker = PROCESS_NONE,
			   .mount = PROCESS_NONE,
			   .keeping = PROCESS_NONE};
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

static UNUSED int teardown(void **state)
{
	struct world *w = *state;
	(void)alarm(0);
	if (w == NULL || w->dir[0] == '\0')
		return 0;
	process_kill(&w->mount);
	process_kill(&w->worker);
	process_kill(&w->keeping);
	while (umount2(w->mnt, MNT_DETACH) == 0)
		;
	const int r = file_remove_all(w->dir, NULL);
	w->dir[0] = '\0';
	return r;
}

static UNUSED int path_of(const struct world *w, const char *name, char out[static 256])
{
	return snprintf(out, 256, "%s/%s", w->mnt, name);
}

static UNUSED int open_in(const struct world *w, const char *name)
{
	char path[256];
	(void)path_of(w, name, path);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static UNUSED void check_whole(const struct world *w, const char *name, uint64_t seed, size_t size)
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

static UNUSED uint64_t status_of(const struct world *w, const char *name)
{
	struct stat st;
	char path[256];
	(void)path_of(w, name, path);
	return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

static UNUSED int cached_percent(const struct world *w, const char *name)
{
	char path[256], value[16] = "";
	(void)path_of(w, name, path);
	const ssize_t n = getxattr(path, "user.sluice.cached", value, sizeof value - 1);
	int64_t v = -1;
	return n > 0 && str_to_i64(value, &v) == 0 ? (int)v : -1;
}

/* --- readers --- */

static UNUSED void make_files(struct world *w, unsigned n, size_t size)
{
	for (unsigned i = 0; i < n; i++) {
		char name[32];
		(void)snprintf(name, sizeof name, "f%u", i);
		make_file(w->source, name, i, size);
	}
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

static UNUSED bool read_piece(struct reader *r, int fd, unsigned file, size_t off, size_t n)
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

static UNUSED bool read_mapped(struct reader *r, int fd, unsigned file)
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

static UNUSED bool read_file_by_mode(struct reader *r, int *fd, unsigned file)
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

static UNUSED void *reader_main(void *arg)
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

static UNUSED void run_readers(struct world *w, unsigned n, unsigned files, size_t size, const int *modes,
			       size_t n_modes, void (*meanwhile)(struct world *w), int64_t ms)
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
