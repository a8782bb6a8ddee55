/*
 * libfuse 3.14 cannot offer passthrough, so its descriptor's reads and writes go through two functions here: the first sees in the
 * kernel's INIT whether passthrough is offered, the second accepts it in the answer that libfuse makes. The greeting is written down:
 * a server that takes over is greeted with it once more, by itself, and its answer is dropped.
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

/* The first bytes of a read buffer are touched before the kernel writes there: a fault in a process that is being killed would fail the
 * copy, and with it the reader's request. */
#define TOUCH 8192u

static _Thread_local uint64_t request_unique;
static _Thread_local void *touched;

uint64_t fuse_request_unique(void)
{
	return request_unique;
}

static void look_at_init(struct fuse_mount *m, const void *buf, size_t n)
{
	struct uapi_fuse_in_header h;
	struct uapi_fuse_init_in in;
	struct open_head *head = open_table_head(m->opens);
	memcpy(&h, buf, sizeof h);
	if (h.opcode != UAPI_FUSE_INIT || n < sizeof h + sizeof in || n > sizeof head->init)
		return;
	memcpy(&in, (const char *)buf + sizeof h, sizeof in);
	m->init_unique = h.unique;
	m->offered = in.flags | ((in.flags & UAPI_FUSE_INIT_EXT) != 0 ? (uint64_t)in.flags2 << 32 : 0);
	memmove(head->init, buf, n);
	head->init_n = (uint32_t)n;
}

static ssize_t dev_read(int fd, void *buf, size_t size, void *userdata)
{
	struct fuse_mount *m = userdata;
	if (touched != buf)
		memset(buf, 0, size < TOUCH ? size : TOUCH);
	touched = buf;
	const ssize_t n = read(fd, buf, size);
	struct uapi_fuse_in_header h;
	if (n < (ssize_t)sizeof h)
		return n;
	memcpy(&h, buf, sizeof h);
	request_unique = h.unique;
	if (!m->greeted)
		look_at_init(m, buf, (size_t)n);
	return n;
}

/* libfuse's answer to INIT, with passthrough accepted. */
static ssize_t write_init(struct fuse_mount *m, int fd, const struct iovec *iov)
{
	struct uapi_fuse_init_out out;
	memcpy(&out, iov[1].iov_base, sizeof out);
	const bool passthrough = (m->offered & UAPI_FUSE_PASSTHROUGH) != 0 && !m->o.no_passthrough;
	if (passthrough) {
		out.flags |= (uint32_t)UAPI_FUSE_INIT_EXT;
		out.flags2 |= (uint32_t)(UAPI_FUSE_PASSTHROUGH >> 32);
		out.max_stack_depth = 1;
	}
	open_table_head(m->opens)->flags = out.flags | (uint64_t)out.flags2 << 32;
	struct iovec v[2] = {iov[0], {&out, sizeof out}};
	const ssize_t n = writev(fd, v, 2);
	if (n > 0)
		atomic_store_explicit(&m->passthrough, passthrough, memory_order_relaxed);
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
			if (m->adopted)
				return h.len; /* the kernel has an answer */
			if (h.error == 0 && count == 2 && iov[1].iov_len == sizeof(struct uapi_fuse_init_out))
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
		m->o.on_end(m->o.ctx, false);
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
	if (m->adopted)
		fuse_files_open_adopted(m);
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

static int new_session(struct fuse_mount *m, struct error *err)
{
	char program[] = "sluice-fuse";
	char *argv[] = {program, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);
	m->session = fuse_session_new(&args, &fuse_mount_ops, sizeof fuse_mount_ops, m);
	fuse_opt_free_args(&args);
	return m->session != NULL ? 0 : error_set(err, -ENOMEM, "FUSE: out of memory");
}

static int mount_anew(struct fuse_mount *m, struct error *err)
{
	CLEANUP(free_p) char *source = str_printf("reservoir:%s/%s", m->o.config->namespace_, m->o.config->name);
	if (source == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	const int r = open_table_new(-1, &m->opens, err);
	if (r < 0)
		return r;
	m->dev = mountpoint_mount(m->dir, source, err);
	if (m->dev < 0)
		return m->dev;
	struct open_head *head = open_table_head(m->opens);
	head->block_size = m->block_size;
	/* somebody may have unmounted it again: then its end is found out soon */
	(void)mountpoint_device(m->dir, &head->major, &head->minor);
	return 0;
}

/* The mount as the server before us left it. Anything but 0: it cannot be served on by us. */
static int adopt_mount(struct fuse_mount *m, int fds[KEEPER_FDS], struct error *err)
{
	int r = open_table_new(fds[KEEPER_TABLE], &m->opens, err);
	if (r < 0)
		return r;
	const struct open_head *head = open_table_head(m->opens);
	unsigned major, minor;
	if (!mountpoint_device(m->dir, &major, &minor) || major != head->major || minor != head->minor)
		r = error_set(err, -ENOTCONN, "it was unmounted");
	else if (head->init_n == 0 || head->block_size != m->block_size)
		r = error_set(err, -EPROTO, "it has another block size");
	if (r < 0) {
		open_table_free(TAKE(m->opens));
		return r;
	}
	m->adopted = true;
	m->dev = TAKE_FD(fds[KEEPER_DEV]);
	return 0;
}

/* The mount that the keeper has, or a new one. */
static int get_mount(struct fuse_mount *m, struct error *err)
{
	int fds[KEEPER_FDS] = {-1, -1};
	struct error why = {0};
	int r = m->o.keeper != NULL ? keeper_link_new(m->o.keeper, m->dir, &m->link, fds, err) : 0;
	if (r < 0)
		return r;
	const bool kept = fds[KEEPER_DEV] >= 0;
	if (!kept || adopt_mount(m, fds, &why) < 0) {
		unsigned major, minor;
		if (kept)
			LOG(NULL, LOG_LVL_WARN, "the mount is made anew: readers of the old one get errors",
			    LOG_STR("dir", m->dir), LOG_STR("err", why.msg));
		if (kept && mountpoint_device(m->dir, &major, &minor))
			mountpoint_detach_device(m->dir, major, minor); /* nobody else serves it: it was given to us */
		r = mount_anew(m, err);
	}
	for (size_t i = 0; i < KEEPER_FDS; i++)
		close_fd(&fds[i]);
	return r;
}

static int start_session(struct fuse_mount *m, struct error *err)
{
	int r = new_session(m, err);
	if (r == 0)
		r = get_mount(m, err);
	if (r < 0)
		return r;
	m->files = calloc(OPEN_TABLE_MAX, sizeof(struct fuse_file *)); /* pages that are not used take no memory */
	if (m->files == NULL || fuse_files_adopt(m) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	r = fuse_session_custom_io(m->session, &dev_io, m->dev);
	return r < 0 ? error_set(err, r, "FUSE: this libfuse has no custom I/O: %s", strerror(-r)) : 0;
}

/* What was said between the kernel and the first server, to libfuse. */
static void greet_again(struct fuse_mount *m)
{
	struct open_head *head = open_table_head(m->opens);
	unsigned char request[sizeof head->init];
	memcpy(request, head->init, sizeof request);
	struct fuse_buf buf = {.size = head->init_n, .mem = request};
	struct uapi_fuse_in_header h;
	memcpy(&h, request, sizeof h);
	look_at_init(m, request, head->init_n);
	fuse_session_process_buf(m->session, &buf);
	atomic_store_explicit(&m->passthrough, (head->flags & UAPI_FUSE_PASSTHROUGH) != 0 && !m->o.no_passthrough,
			      memory_order_relaxed);
}

/* Requests that a server before us took and did not answer come again. */
static int ask_again(struct fuse_mount *m, struct error *err)
{
	const struct uapi_fuse_out_header h = {.len = sizeof h, .error = UAPI_FUSE_NOTIFY_RESEND};
	return write(m->dev, &h, sizeof h) == sizeof h
		       ? 0
		       : error_set(err, -errno, "the kernel does not repeat its requests: %s", strerror(errno));
}

static void on_leave(void *ctx)
{
	struct fuse_mount *m = ctx;
	if (m->o.on_end != NULL)
		m->o.on_end(m->o.ctx, true);
}

static int keep(struct fuse_mount *m, struct error *err)
{
	if (m->link == NULL)
		return 0;
	if ((m->offered & UAPI_FUSE_HAS_RESEND) == 0) {
		LOG(NULL, LOG_LVL_WARN,
		    "this kernel cannot repeat requests (it is older than 6.9): the mount ends with its server",
		    LOG_STR("dir", m->dir));
		keeper_link_free(TAKE(m->link));
		return 0;
	}
	const struct open_head *head = open_table_head(m->opens);
	const struct keeper_gift gift = {.fds = {[KEEPER_DEV] = m->dev, [KEEPER_TABLE] = open_table_fd(m->opens)},
					 .major = head->major,
					 .minor = head->minor};
	return keeper_link_keep(m->link, &gift, on_leave, m, err);
}

static int start_threads(struct fuse_mount *m, struct error *err)
{
	struct sigaction sa = {.sa_handler = on_wake};
	(void)sigaction(WAKE_SIGNAL, &sa, NULL); /* without SA_RESTART, so that a read ends */
	const int64_t deadline = clock_mono_ns() + GREETING_WAIT_NS;
	if (m->adopted) {
		greet_again(m);
		const int again = ask_again(m, err); /* now, while none of what is unanswered is ours */
		if (again < 0)
			return again;
	}
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
	char path[PATH_MAX];
	m->block_size = o->config->block_size;
	pthread_condattr_t attr;
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&m->lock, NULL);
	(void)pthread_mutex_init(&m->table_lock, NULL);
	(void)pthread_cond_init(&m->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	int r = mountpoint_resolve(o->dir, path, err);
	if (r == 0 && (m->dir = strdup(path)) == NULL)
		r = error_set(err, -ENOMEM, "out of memory");
	if (r == 0)
		r = client_new(o->config->socket, WORKER_WAIT_NS, &m->client, err);
	if (r == 0)
		r = start_session(m, err);
	if (r == 0)
		r = start_threads(m, err);
	if (r == 0)
		r = keep(m, err);
	if (r < 0) {
		(void)fuse_mount_free(m);
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

/* Unmount, and let nothing wait: who still reads gets errors. */
static void end_mount(struct fuse_mount *m)
{
	pthread_mutex_lock(&m->lock);
	const bool mounted = m->dev >= 0 && !m->ended;
	pthread_mutex_unlock(&m->lock);
	if (mounted && mountpoint_unmount(m->dir) == -EBUSY)
		LOG(NULL, LOG_LVL_WARN, "the mount was in use: detached, its readers get errors",
		    LOG_STR("dir", m->dir));
	if (m->client == NULL)
		return;
	/* Both may be told to end at one time: a worker that has gone already is not waited for. */
	client_hurry(m->client);
	if (client_connected(m->client))
		report(m);
	client_stop(m->client);
}

bool fuse_mount_free(struct fuse_mount *m)
{
	if (m == NULL)
		return false;
	const bool leave = m->link != NULL && keeper_link_bye(m->link);
	pthread_mutex_lock(&m->lock);
	const bool left = leave && !m->ended;
	m->ending = true;
	pthread_cond_broadcast(&m->changed);
	pthread_mutex_unlock(&m->lock);
	if (!left)
		end_mount(m);
	join_threads(m); /* each answers what it has */
	if (left)
		client_stop(m->client);
	if (m->reporting)
		(void)pthread_join(m->reporter, NULL);
	if (m->opens != NULL)
		fuse_files_clear(m, left);
	if (m->session != NULL)
		fuse_session_destroy(m->session); /* closes the descriptor once custom I/O has it */
	client_free(m->client);
	open_table_free(m->opens);
	keeper_link_free(m->link); /* the last: the next server begins */
	(void)pthread_cond_destroy(&m->changed);
	(void)pthread_mutex_destroy(&m->table_lock);
	(void)pthread_mutex_destroy(&m->lock);
	free(m->files);
	free(m->dir);
	free(m);
	return left;
}
