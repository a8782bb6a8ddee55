/*
 * libfuse 3.14 cannot offer passthrough, so its descriptor's reads and writes go through two functions here: the first sees in the
 * kernel's INIT whether passthrough is offered, the second accepts it in the answer that libfuse makes.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "reservoir/config.h"
#include "reservoir/fuse_internal.h"
#include "reservoir/mountpoint.h"
#include "uapi/fuse_passthrough.h"

#define WORKER_WAIT_NS   (30 * NSEC_PER_SEC)
#define GREETING_WAIT_NS (10 * NSEC_PER_SEC)
#define REPORT_NS        (2 * NSEC_PER_SEC)
#define BUNDLE_NS        (50 * NSEC_PER_MSEC)
#define THREADS_START    4
#define THREADS_IDLE_MIN 2
#define WAKE_SIGNAL      SIGUSR2
#define READ_AHEAD_KIB   4096

static void cond_wait(struct fuse_mount *m, int64_t until_ns)
{
	const struct timespec ts = {.tv_sec = until_ns / NSEC_PER_SEC, .tv_nsec = until_ns % NSEC_PER_SEC};
	(void)pthread_cond_timedwait(&m->changed, &m->lock, &ts); /* callers look again */
}

/* --- the kernel's greeting --- */

static void look_at_init(struct fuse_mount *m, const void *buf, size_t n)
{
	struct uapi_fuse_in_header h;
	struct uapi_fuse_init_in in;
	memcpy(&h, buf, sizeof h);
	if (h.opcode != UAPI_FUSE_INIT || n < sizeof h + sizeof in)
		return;
	memcpy(&in, (const char *)buf + sizeof h, sizeof in);
	const uint64_t flags = in.flags | ((in.flags & UAPI_FUSE_INIT_EXT) != 0 ? (uint64_t)in.flags2 << 32 : 0);
	m->init_unique = h.unique;
	m->offered = (flags & UAPI_FUSE_PASSTHROUGH) != 0;
}

static ssize_t dev_read(int fd, void *buf, size_t size, void *userdata)
{
	struct fuse_mount *m = userdata;
	const ssize_t n = read(fd, buf, size);
	if (n >= (ssize_t)sizeof(struct uapi_fuse_in_header) && !m->greeted)
		look_at_init(m, buf, (size_t)n);
	return n;
}

/* libfuse's answer to INIT, with passthrough accepted. */
static ssize_t write_init(struct fuse_mount *m, int fd, const struct iovec *iov)
{
	struct uapi_fuse_init_out out;
	memcpy(&out, iov[1].iov_base, sizeof out);
	out.flags |= (uint32_t)UAPI_FUSE_INIT_EXT;
	out.flags2 |= (uint32_t)(UAPI_FUSE_PASSTHROUGH >> 32);
	out.max_stack_depth = 1;
	struct iovec v[2] = {iov[0], {&out, sizeof out}};
	const ssize_t n = writev(fd, v, 2);
	if (n > 0)
		atomic_store_explicit(&m->passthrough, true, memory_order_relaxed);
	return n;
}

static ssize_t dev_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct fuse_mount *m = userdata;
	if (m->init_unique != 0 && iov[0].iov_len >= sizeof(struct uapi_fuse_out_header)) {
		struct uapi_fuse_out_header h;
		memcpy(&h, iov[0].iov_base, sizeof h);
		if (h.unique == m->init_unique) {
			m->init_unique = 0;
			if (h.error == 0 && count == 2 && iov[1].iov_len == sizeof(struct uapi_fuse_init_out) &&
			    m->offered && !m->o.no_passthrough)
				return write_init(m, fd, iov);
		}
	}
	return writev(fd, iov, count);
}

static const struct fuse_custom_io dev_io = {.read = dev_read, .writev = dev_writev};

/* --- threads --- */

static void *serve_main(void *arg);

/* The lock is held. */
static int add_thread(struct fuse_mount *m)
{
	if (m->n_threads == FUSE_THREADS_MAX || m->ending)
		return 0;
	const int r = -pthread_create(&m->threads[m->n_threads], NULL, serve_main, m);
	if (r == 0) {
		m->n_threads++;
		m->n_idle++;
	}
	return r;
}

/* A request is in hand: somebody else must wait for the next, or a slow source would stop everything. */
static void became_busy(struct fuse_mount *m)
{
	pthread_mutex_lock(&m->lock);
	m->n_idle--;
	/* the greeting comes first, and alone */
	if (m->greeted && m->n_idle < THREADS_IDLE_MIN)
		(void)add_thread(m); /* without it requests wait for each other, no more */
	pthread_mutex_unlock(&m->lock);
}

static bool became_idle(struct fuse_mount *m)
{
	pthread_mutex_lock(&m->lock);
	m->n_idle++;
	const bool go_on = !m->ending;
	pthread_mutex_unlock(&m->lock);
	return go_on;
}

static void end_by_kernel(struct fuse_mount *m)
{
	pthread_mutex_lock(&m->lock);
	const bool tell = !m->ended && !m->ending;
	m->ended = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	if (tell && m->o.on_end != NULL)
		m->o.on_end(m->o.ctx);
}

static void *serve_main(void *arg)
{
	struct fuse_mount *m = arg;
	struct fuse_buf buf = {0};
	for (;;) {
		const int n = fuse_session_receive_buf(m->session, &buf);
		if (n == -EINTR || n == -EAGAIN) {
			became_busy(m);
			if (!became_idle(m))
				break;
			continue;
		}
		if (n <= 0) {
			end_by_kernel(m);
			break;
		}
		became_busy(m);
		fuse_session_process_buf(m->session, &buf);
		if (!became_idle(m))
			break;
	}
	free(buf.mem);
	fuse_file_thread_end();
	return NULL;
}

/* --- what was read --- */

static void report(struct fuse_mount *m)
{
	const struct rv_count in = {
		.hit_bytes = atomic_exchange_explicit(&m->hit_bytes, 0, memory_order_relaxed),
		.miss_bytes = atomic_exchange_explicit(&m->miss_bytes, 0, memory_order_relaxed),
	};
	char text[RV_TEXT_MAX];
	if (in.hit_bytes == 0 && in.miss_bytes == 0)
		return;
	if (client_call(m->client, &(struct client_request){RV_COUNT, &in, sizeof in, NULL}, text, sizeof text, NULL,
			NULL) < 0) {
		atomic_fetch_add_explicit(&m->hit_bytes, in.hit_bytes, memory_order_relaxed);
		atomic_fetch_add_explicit(&m->miss_bytes, in.miss_bytes, memory_order_relaxed);
	}
}

static void believe(struct fuse_mount *m)
{
	struct rv_welcome w;
	if (client_welcome(m->client, &w, NULL) < 0)
		return;
	m->entry_timeout = (double)w.entry_ns / (double)NSEC_PER_SEC;
	m->attr_timeout = (double)w.attr_ns / (double)NSEC_PER_SEC;
}

static void *report_main(void *arg)
{
	struct fuse_mount *m = arg;
	int64_t next = 0;
	pthread_mutex_lock(&m->lock);
	while (!m->ending && !m->ended) {
		const bool due = clock_mono_ns() >= next;
		pthread_mutex_unlock(&m->lock);
		(void)fuse_files_tell_released(m);
		if (due) {
			believe(m); /* again and again: another worker may have been told otherwise */
			report(m);
			next = clock_mono_ns() + REPORT_NS;
		}
		pthread_mutex_lock(&m->lock);
		while (!m->ending && !m->ended && m->n_released == 0 && clock_mono_ns() < next)
			cond_wait(m, next);
		/* the first of a bundle was closed: a moment for the others */
		const int64_t bundle = clock_mono_ns() + BUNDLE_NS;
		while (!m->ending && !m->ended && m->n_released > 0 && clock_mono_ns() < bundle)
			cond_wait(m, bundle);
	}
	pthread_mutex_unlock(&m->lock);
	return NULL;
}

/* --- beginning and end --- */

static void on_wake(int sig)
{
	(void)sig; /* it only interrupts a read */
}

static int start_session(struct fuse_mount *m, struct error *err)
{
	char program[] = "sluice-fuse";
	char *argv[] = {program, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	m->session = fuse_session_new(&args, &fuse_mount_ops, sizeof fuse_mount_ops, m);
	fuse_opt_free_args(&args);
	if (m->session == NULL)
		return error_set(err, -ENOMEM, "FUSE: out of memory");
	CLEANUP(free_p) char *source = str_printf("reservoir:%s/%s", m->o.config->namespace_, m->o.config->name);
	if (source == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	m->dev = mountpoint_mount(m->dir, source, err);
	if (m->dev < 0)
		return m->dev;
	const int r = fuse_session_custom_io(m->session, &dev_io, m->dev);
	if (r < 0)
		return error_set(err, r, "FUSE: this libfuse has no custom I/O: %s", strerror(-r));
	return 0;
}

static int start_threads(struct fuse_mount *m, struct error *err)
{
	struct sigaction sa = {.sa_handler = on_wake};
	(void)sigaction(WAKE_SIGNAL, &sa, NULL); /* without SA_RESTART, so that a read ends */
	const int64_t deadline = clock_mono_ns() + GREETING_WAIT_NS;
	pthread_mutex_lock(&m->lock);
	int r = add_thread(m);
	while (r == 0 && !m->greeted && !m->ended && clock_mono_ns() < deadline)
		cond_wait(m, deadline);
	if (r == 0 && !m->greeted)
		r = -EIO;
	for (int i = 1; r == 0 && i < THREADS_START; i++)
		r = add_thread(m);
	if (r == 0 && (r = -pthread_create(&m->reporter, NULL, report_main, m)) == 0)
		m->reporting = true;
	pthread_mutex_unlock(&m->lock);
	return r < 0 ? error_set(err, r, "FUSE at '%s' does not start: %s", m->dir, strerror(-r)) : 0;
}

int fuse_mount_new(const struct fuse_mount_options *o, struct fuse_mount **ret, struct error *err)
{
	struct fuse_mount *m = calloc(1, sizeof *m);
	if (m == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	m->o = *o;
	m->dev = -1;
	m->block_size = o->config->block_size;
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&m->lock, NULL);
	(void)pthread_mutex_init(&m->table_lock, NULL);
	(void)pthread_cond_init(&m->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	m->dir = strdup(o->dir);
	int r = m->dir != NULL ? client_new(o->config->socket, WORKER_WAIT_NS, &m->client, err)
			       : error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = start_session(m, err);
	if (r == 0)
		r = start_threads(m, err);
	if (r < 0) {
		fuse_mount_free(m);
		return r;
	}
	mountpoint_set_read_ahead(m->dir, READ_AHEAD_KIB);
	*ret = m;
	return 0;
}

bool fuse_mount_passthrough(const struct fuse_mount *m)
{
	return atomic_load_explicit(&m->passthrough, memory_order_relaxed);
}

/* Wake each thread until it has ended: it may just have been about to read. */
static void join_threads(struct fuse_mount *m)
{
	for (size_t i = 0; i < m->n_threads; i++)
		for (;;) {
			const int64_t until = clock_wall_ns() + 20 * NSEC_PER_MSEC;
			const struct timespec ts = {.tv_sec = until / NSEC_PER_SEC, .tv_nsec = until % NSEC_PER_SEC};
			(void)pthread_kill(m->threads[i], WAKE_SIGNAL);
			if (pthread_timedjoin_np(m->threads[i], NULL, &ts) == 0)
				break;
		}
}

void fuse_mount_free(struct fuse_mount *m)
{
	if (m == NULL)
		return;
	pthread_mutex_lock(&m->lock);
	const bool mounted = m->dev >= 0 && !m->ended;
	m->ending = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	if (mounted && mountpoint_unmount(m->dir) == -EBUSY)
		LOG(NULL, LOG_LVL_WARN, "the mount was in use: detached, its readers get errors",
		    LOG_STR("dir", m->dir));
	if (m->client != NULL) {
		/* Both may be told to end at one time: a worker that has gone already is not waited for. */
		client_hurry(m->client);
		if (client_connected(m->client))
			report(m);
		client_stop(m->client);
	}
	if (m->reporting)
		(void)pthread_join(m->reporter, NULL);
	join_threads(m);
	fuse_files_clear(m);
	if (m->session != NULL)
		fuse_session_destroy(m->session); /* closes the descriptor once custom I/O has it */
	client_free(m->client);
	(void)pthread_cond_destroy(&m->changed);
	(void)pthread_mutex_destroy(&m->table_lock);
	(void)pthread_mutex_destroy(&m->lock);
	free(m->dir);
	free(m);
}
