/*
 * The agent's server on the unix socket DATA_DIR/agent/agent.sock: GET /containerLogs/NAMESPACE/POD/CONTAINER, and what agent_remote.h has.
 * Of a log what is there is sent at once; a follower
 * gets a thread of its own until the container has ended or the reader is gone.
 */
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "local/agent_log.h"
#include "local/agent_private.h"
#include "local/agent_remote.h"
#include "net/http_server.h"

#define FOLLOWERS_MAX 128
#define WAIT_MS       500         /* the end of a container shows within this time */
#define QUEUE_MAX     (96u << 20) /* a log at its largest */

struct log_server {
	struct agent *agent;
	struct http_server *http;
	struct remote_server *remote;
	pthread_mutex_t lock; /* guards followers */
	pthread_cond_t none;
	int followers;
	atomic_bool stop;
};

struct wanted {
	struct pod_run *p;
	struct container_run *c;
	char id[CONTAINER_ID_MAX + 1];
	struct path path;
	struct log_options o;
	bool follow;
};

static void fail(struct http_exchange *x, int status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void fail(struct http_exchange *x, int status, const char *fmt, ...)
{
	char text[600];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	http_reply(x, status, "text/plain", text, strlen(text));
}

static bool number(struct http_exchange *x, const char *name, int64_t dflt, int64_t *ret)
{
	const char *v = http_exchange_query(x, name);
	*ret = dflt;
	if (v == NULL || *v == '\0')
		return true;
	return str_to_i64(v, ret) == 0 && *ret >= 0;
}

static bool flag(struct http_exchange *x, const char *name)
{
	const char *v = http_exchange_query(x, name);
	return v != NULL && (strcmp(v, "true") == 0 || strcmp(v, "1") == 0);
}

static bool read_options(struct http_exchange *x, struct wanted *w)
{
	int64_t since = 0;
	w->o = (struct log_options){.timestamps = flag(x, "timestamps")};
	w->follow = flag(x, "follow");
	if (!number(x, "tailLines", -1, &w->o.tail_lines) || !number(x, "limitBytes", -1, &w->o.limit_bytes) ||
	    !number(x, "sinceSeconds", 0, &since))
		return false;
	if (since > 0 && since < INT32_MAX)
		w->o.since_ns = clock_wall_ns() - since * NSEC_PER_SEC;
	return true;
}

/* Fill @w, or answer with what is wrong. */
static bool find(struct log_server *s, struct http_exchange *x, struct wanted *w)
{
	char part[4][AGENT_PART_MAX];
	const char *ns = part[1], *pod = part[2], *container = part[3];
	if (agent_split_path(http_exchange_request(x)->path, part, ARRAY_LEN(part)) != ARRAY_LEN(part) ||
	    strcmp(part[0], "containerLogs") != 0) {
		fail(x, 404,
		     "not found: /containerLogs/, /exec/, /attach/NAMESPACE/POD/CONTAINER, "
		     "/portForward/NAMESPACE/POD");
		return false;
	}
	if (!read_options(x, w)) {
		fail(x, 400, "tailLines, limitBytes and sinceSeconds must be numbers that are not negative");
		return false;
	}
	w->p = agent_find_named(s->agent, ns, pod);
	w->c = w->p != NULL ? pod_container(w->p, container) : NULL;
	if (w->c == NULL) {
		fail(x, 404, "container \"%s\" of pod \"%s\" does not run on this node", container, pod);
		return false;
	}
	pthread_mutex_lock(&w->p->lock);
	const int attempt = w->c->restarts - (flag(x, "previous") ? 1 : 0);
	(void)str_copy(w->id, sizeof w->id, w->c->id);
	pthread_mutex_unlock(&w->p->lock);
	if (w->id[0] == '\0') {
		fail(x, 400, "container \"%s\" in pod \"%s\" is waiting to start", container, pod);
		return false;
	}
	if (attempt < 0) {
		fail(x, 400, "previous terminated container \"%s\" in pod \"%s\" not found", container, pod);
		return false;
	}
	w->follow = w->follow && !flag(x, "previous");
	if (container_log_path(s->agent, ns, pod, w->p->uid, container, attempt, &w->path, NULL) < 0) {
		fail(x, 500, "the path of the log is too long");
		return false;
	}
	return true;
}

struct follower {
	struct log_server *server;
	struct http_stream *stream;
	struct log_reader *reader;
	struct wanted w;
	atomic_bool closed;
	atomic_int refs; /* the thread and the stream's end */
};

static void follower_unref(struct follower *f)
{
	if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1)
		return;
	log_reader_free(f->reader);
	pod_run_unref(f->w.p);
	free(f);
}

static void on_close(void *ctx)
{
	struct follower *f = ctx;
	atomic_store_explicit(&f->closed, true, memory_order_release);
	follower_unref(f);
}

static int to_stream(void *ctx, const char *data, size_t n)
{
	return http_stream_write(((struct follower *)ctx)->stream, data, n);
}

static bool has_ended(const struct follower *f)
{
	pthread_mutex_lock(&f->w.p->lock);
	const bool ended = f->w.c->phase != CONTAINER_RUNNING || strcmp(f->w.c->id, f->w.id) != 0;
	pthread_mutex_unlock(&f->w.p->lock);
	return ended;
}

static void follow(struct follower *f)
{
	struct path dir = f->w.path;
	*strrchr(dir.p, '/') = '\0';
	CLEANUP(close_fd) int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (watch >= 0) /* without it the wait below is all there is */
		(void)inotify_add_watch(watch, dir.p, IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE);
	for (bool last = false; !atomic_load_explicit(&f->closed, memory_order_acquire) &&
				!atomic_load_explicit(&f->server->stop, memory_order_acquire);) {
		const bool ended = has_ended(f);
		const int rc = log_reader_read(f->reader, to_stream, f, NULL);
		if (rc < 0 || last || !f->w.follow)
			return;
		last = ended; /* once more: what it wrote between the look and its end */
		if (last || rc > 0)
			continue;
		struct pollfd pfd = {.fd = watch, .events = POLLIN};
		char events[4096];
		if (poll(&pfd, watch >= 0, WAIT_MS) > 0)
			(void)!read(watch, events, sizeof events); /* that there are some is all */
	}
}

/* One follower less; whoever ends the server may wait for that. */
static void release(struct log_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->followers--;
	(void)pthread_cond_broadcast(&s->none);
	pthread_mutex_unlock(&s->lock);
}

static void *follower_main(void *arg)
{
	struct follower *f = arg;
	struct log_server *s = f->server;
	follow(f);
	http_stream_end(f->stream);
	(void)http_stream_unref(f->stream);
	follower_unref(f);
	release(s);
	return NULL;
}

static bool reserve(struct log_server *s)
{
	pthread_mutex_lock(&s->lock);
	const bool ok = s->followers < FOLLOWERS_MAX;
	s->followers += ok;
	pthread_mutex_unlock(&s->lock);
	return ok;
}

/* Takes @w->p in any case. */
static void begin(struct log_server *s, struct http_exchange *x, struct wanted *w)
{
	struct follower *f = calloc(1, sizeof *f);
	struct log_reader *reader = f != NULL ? log_reader_new(w->path.p, &w->o) : NULL;
	if (reader == NULL || !reserve(s)) {
		fail(x, reader == NULL ? 500 : 429,
		     reader == NULL ? "out of memory" : "too many logs are being read: try again later");
		log_reader_free(reader);
		pod_run_unref(w->p);
		free(f);
		return;
	}
	f->server = s;
	f->w = *w;
	f->reader = reader;
	atomic_init(&f->refs, 2);
	struct http_stream *stream = http_stream_begin(x, 200, "text/plain", on_close, f);
	if (stream == NULL) {
		atomic_store(&f->refs, 1);
		follower_unref(f);
		release(s);
		return;
	}
	f->stream = http_stream_ref(stream);
	pthread_t thread;
	pthread_attr_t attr;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	const int rc = pthread_create(&thread, &attr, follower_main, f);
	(void)pthread_attr_destroy(&attr);
	if (rc != 0)
		(void)follower_main(f); /* then on this thread: the answer has begun */
}

static void handle(void *ctx, struct http_exchange *x)
{
	struct log_server *s = ctx;
	struct wanted w = {0};
	if (remote_handle(s->remote, x))
		return;
	if (strcmp(http_exchange_request(x)->method, "GET") != 0) {
		fail(x, 405, "only GET");
		return;
	}
	if (find(s, x, &w))
		begin(s, x, &w);
	else
		pod_run_unref(w.p);
}

int log_server_new(struct agent *a, struct log_server **ret, struct error *err)
{
	struct log_server *s = calloc(1, sizeof *s);
	if (s == NULL)
		return error_set(err, -ENOMEM, "log server: out of memory");
	s->agent = a;
	(void)pthread_mutex_init(&s->lock, NULL);
	(void)pthread_cond_init(&s->none, NULL);
	CLEANUP(free_p) char *address = str_printf("unix:%s/agent/agent.sock", a->paths.data_dir);
	const struct http_server_options o = {
		.address = address, .handler = handle, .ctx = s, .workers = 4, .stream_queue_max = QUEUE_MAX};
	int rc = address != NULL ? remote_server_new(a, &s->remote, err)
				 : error_set(err, -ENOMEM, "log server: out of memory");
	rc = rc ?: http_server_new(&o, &s->http, err);
	if (rc < 0) {
		remote_server_free(s->remote);
		free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void log_server_free(struct log_server *s)
{
	if (s == NULL)
		return;
	atomic_store_explicit(&s->stop, true, memory_order_release);
	http_server_free(s->http);
	remote_server_free(s->remote);
	pthread_mutex_lock(&s->lock);
	while (s->followers > 0) /* each looks at the flag every WAIT_MS */
		(void)pthread_cond_wait(&s->none, &s->lock);
	pthread_mutex_unlock(&s->lock);
	free(s);
}
