#include "csi/guarded.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"

#define LEFT_BEHIND_MAX 64
#define STACK_BYTES     ((size_t)128 * 1024)

struct job {
	atomic_uint refs; /* the caller's and the thread's */
	enum { JOB_OPEN, JOB_UMOUNT } what;
	int fd, flags;
	bool no_links;
	char path[PATH_MAX];
	pthread_mutex_t lock; /* guards the rest */
	pthread_cond_t changed;
	bool done, abandoned;
	int result;
};

static atomic_uint running;

static void job_unref(struct job *j)
{
	if (atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (j->fd >= 0)
		(void)close(j->fd); /* O_PATH or a directory: nothing to lose */
	pthread_cond_destroy(&j->changed);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

static int stat_fd(int fd)
{
	struct statx st;
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) == 0 ? 0 : -errno;
}

static int open_without_links(int dirfd, const char *rel, int flags)
{
	const struct open_how how = {.flags = (uint64_t)flags | O_CLOEXEC,
				     .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
	const long fd = syscall(SYS_openat2, dirfd, rel, &how, sizeof how);
	return fd < 0 ? -errno : (int)fd;
}

static int do_open(const struct job *j)
{
	const int flags = O_PATH | O_DIRECTORY;
	const int fd =
		j->no_links ? open_without_links(j->fd, j->path, flags) : file_open_beneath(j->fd, j->path, flags, 0);
	const int rc = fd < 0 ? fd : stat_fd(fd);
	if (rc < 0 && fd >= 0)
		(void)close(fd); /* the stat's error is the answer */
	return rc < 0 ? rc : fd;
}

/* Only through the directory's descriptor, whatever the path to it may be by now. */
static int do_umount(const struct job *j)
{
	char path[PATH_MAX + 32];
	(void)snprintf(path, sizeof path, "/proc/self/fd/%d/%s", j->fd, j->path);
	return umount2(path, j->flags | UMOUNT_NOFOLLOW) == 0 ? 0 : -errno;
}

static int perform(const struct job *j)
{
	return j->what == JOB_OPEN ? do_open(j) : do_umount(j);
}

static void *job_main(void *arg)
{
	struct job *j = arg;
	int rc = perform(j);
	pthread_mutex_lock(&j->lock);
	j->done = true;
	j->result = rc;
	if (j->abandoned && j->what == JOB_OPEN && rc >= 0)
		(void)close(rc); /* nobody waits for it any more */
	pthread_cond_signal(&j->changed);
	pthread_mutex_unlock(&j->lock);
	job_unref(j);
	atomic_fetch_sub_explicit(&running, 1, memory_order_relaxed);
	return NULL;
}

static int job_new(int fd, const char *path, struct job **ret)
{
	struct job *j = calloc(1, sizeof *j);
	if (j == NULL)
		return -ENOMEM;
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&j->lock, NULL);
	atomic_init(&j->refs, 1);
	j->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int rc = j->fd < 0 ? -errno : str_copy(j->path, sizeof j->path, path);
	if (rc < 0) {
		job_unref(j);
		return rc;
	}
	*ret = j;
	return 0;
}

static int job_start(struct job *j)
{
	if (atomic_fetch_add_explicit(&running, 1, memory_order_relaxed) >= LEFT_BEHIND_MAX) {
		atomic_fetch_sub_explicit(&running, 1, memory_order_relaxed);
		return -EBUSY;
	}
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigset_t all, before; /* signals are the main thread's */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	atomic_fetch_add_explicit(&j->refs, 1, memory_order_relaxed);
	const int rc = -pthread_create(&thread, &attr, job_main, j);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (rc < 0) {
		atomic_fetch_sub_explicit(&running, 1, memory_order_relaxed);
		job_unref(j);
	}
	return rc;
}

static int job_wait(struct job *j, int64_t deadline)
{
	/* The condition runs on the kernel's clock; what is left is measured on ours. */
	const int64_t left = deadline - clock_mono_ns();
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail */
	if (left > 0) {
		until.tv_sec += left / NSEC_PER_SEC;
		until.tv_nsec += left % NSEC_PER_SEC;
		until.tv_sec += until.tv_nsec / NSEC_PER_SEC;
		until.tv_nsec %= NSEC_PER_SEC;
	}
	pthread_mutex_lock(&j->lock);
	int rc = 0;
	while (!j->done && rc == 0)
		rc = pthread_cond_timedwait(&j->changed, &j->lock, &until);
	j->abandoned = !j->done;
	const int result = j->done ? j->result : -ETIMEDOUT;
	pthread_mutex_unlock(&j->lock);
	return result;
}

static int run(struct job *j, int64_t deadline)
{
	int rc = job_start(j);
	if (rc == 0)
		rc = job_wait(j, deadline);
	job_unref(j);
	return rc;
}

int guarded_open(int dirfd, const char *rel, bool no_links, int64_t deadline)
{
	struct job *j = NULL;
	const int rc = job_new(dirfd, rel, &j);
	if (rc < 0)
		return rc;
	j->what = JOB_OPEN;
	j->no_links = no_links;
	return run(j, deadline);
}

int guarded_umount(int dirfd, const char *name, int flags, int64_t deadline)
{
	struct job *j = NULL;
	const int rc = job_new(dirfd, name, &j);
	if (rc < 0)
		return rc;
	j->what = JOB_UMOUNT;
	j->flags = flags;
	return run(j, deadline);
}
