#include "net/http_server.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "net/http_server_internal.h"
#include "net/listen.h"

#define UNIX_PREFIX   "unix:"
#define SWEEP_MS_MAX  1000
#define SWEEP_MS_MIN  20
#define DFLT(x, dflt) ((x) == 0 ? (dflt) : (x))

struct http_server *http_server_ref(struct http_server *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void http_server_unref(struct http_server *s)
{
	if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	tls_config_free(s->tls);
	pool_free(s->pool);
	map_free(s->parties);
	pthread_cond_destroy(&s->quiet);
	pthread_mutex_destroy(&s->lock);
	free((char *)s->o.address);
	free(s);
}

/* --- the loop's callbacks --- */

static void on_connection(uv_stream_t *listener, int status)
{
	if (status == 0)
		http_conn_accept(listener->data);
}

static void on_sweep(uv_timer_t *t)
{
	struct http_server *s = t->data;
	const int64_t now = clock_mono_ns();
	for (struct http_conn *c = s->conns; c != NULL; c = c->next) /* closing unlinks later, in the close callback */
		http_conn_sweep(c, now);
	if (s->accept_again && !s->stop_seen)
		http_conn_accept(s);
}

static struct http_conn *take_ready(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	struct http_conn *list = TAKE(s->ready);
	s->ready_tail = &s->ready;
	pthread_mutex_unlock(&s->lock);
	return list;
}

static void process_ready(struct http_server *s)
{
	for (struct http_conn *c = take_ready(s), *next; c != NULL; c = next) {
		next = c->next_ready; /* processing may put it on the list again */
		http_conn_process(c);
		http_conn_unref(c);
	}
}

static void begin_stop(struct http_server *s)
{
	s->stop_seen = true;
	uv_close(&s->listener.handle, NULL);
	for (struct http_conn *c = s->conns; c != NULL; c = c->next)
		http_conn_stop(c);
}

static void on_wake(uv_async_t *wake)
{
	struct http_server *s = wake->data;
	process_ready(s);
	pthread_mutex_lock(&s->lock);
	const bool stopping = s->stopping, dying = s->dying;
	pthread_mutex_unlock(&s->lock);
	if (stopping && !s->stop_seen)
		begin_stop(s);
	if (!dying)
		return;
	for (struct http_conn *c = s->conns; c != NULL; c = c->next)
		http_conn_close(c);
	/* From here on schedule() refuses; what came before is processed below, and all connections are closed by now. */
	pthread_mutex_lock(&s->lock);
	s->dead = true;
	pthread_mutex_unlock(&s->lock);
	process_ready(s);
	uv_close((uv_handle_t *)&s->wake, NULL);
	uv_close((uv_handle_t *)&s->sweep, NULL);
}

static void *loop_main(void *arg)
{
	struct http_server *s = arg;
	(void)uv_run(&s->loop, UV_RUN_DEFAULT); /* ends when on_wake() has closed every handle */
	return NULL;
}

/* --- construction --- */

static void set_options(struct http_server *s, const struct http_server_options *o)
{
	s->o = *o;
	s->o.address = NULL;
	s->o.cert_pem = s->o.key_pem = s->o.client_ca_pem = NULL;
	s->o.max_body = DFLT(o->max_body, (size_t)3 << 20);
	s->o.max_connections = DFLT(o->max_connections, (size_t)4096);
	s->o.workers = DFLT(o->workers, (size_t)8);
	s->o.max_pending = DFLT(o->max_pending, (size_t)4096);
	s->o.idle_timeout_ns = DFLT(o->idle_timeout_ns, 120 * NSEC_PER_SEC);
	s->o.stop_timeout_ns = DFLT(o->stop_timeout_ns, 5 * NSEC_PER_SEC);
	s->o.stream_queue_max = DFLT(o->stream_queue_max, (size_t)8 << 20);
}

static struct http_server *server_new(const struct http_server_options *o)
{
	struct http_server *s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	set_options(s, o);
	atomic_init(&s->refs, 1);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->quiet, &attr);
	pthread_condattr_destroy(&attr);
	s->ready_tail = &s->ready;
	s->is_unix = str_has_prefix(o->address, UNIX_PREFIX);
	s->o.address = strdup(s->is_unix ? o->address + strlen(UNIX_PREFIX) : o->address);
	if (o->client_ca_pem != NULL)
		s->parties = map_new(NULL);
	if (s->o.address == NULL || (o->client_ca_pem != NULL && s->parties == NULL)) {
		http_server_unref(s);
		return NULL;
	}
	return s;
}

static void no_close(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void close_loop(struct http_server *s)
{
	uv_walk(&s->loop, no_close, NULL);
	(void)uv_run(&s->loop, UV_RUN_DEFAULT); /* runs the close callbacks, then ends */
	const int rc = uv_loop_close(&s->loop);
	assert(rc == 0);
}

/* Takes @fd. */
static int setup_handles(struct http_server *s, int fd)
{
	int rc = s->is_unix ? uv_pipe_init(&s->loop, &s->listener.pipe, 0) : uv_tcp_init(&s->loop, &s->listener.tcp);
	assert(rc == 0); /* neither allocates nor opens anything */
	rc = s->is_unix ? uv_pipe_open(&s->listener.pipe, fd) : uv_tcp_open(&s->listener.tcp, fd);
	if (rc < 0) {
		(void)close(fd); /* the error is the one that counts */
		return rc;
	}
	s->listener.handle.data = s->wake.data = s->sweep.data = s;
	const uint64_t period = (uint64_t)(s->o.idle_timeout_ns / 4 / NSEC_PER_MSEC);
	const uint64_t ms = period > SWEEP_MS_MAX ? SWEEP_MS_MAX : period < SWEEP_MS_MIN ? SWEEP_MS_MIN : period;
	rc = uv_timer_init(&s->loop, &s->sweep);
	if (rc == 0)
		rc = uv_async_init(&s->loop, &s->wake, on_wake);
	if (rc == 0)
		rc = uv_timer_start(&s->sweep, on_sweep, ms, ms);
	if (rc == 0)
		rc = uv_listen(&s->listener.stream, 1024, on_connection);
	return rc;
}

static void free_unbegun(struct pool_item *it)
{
	while (it != NULL) {
		struct pool_item *next = it->next;
		http_exchange_free((struct http_exchange *)((char *)it - offsetof(struct http_exchange, item)));
		it = next;
	}
}

static int start_threads(struct http_server *s)
{
	int rc = pool_new(s->o.workers, s->o.max_pending, http_exchange_run, s, &s->pool);
	if (rc < 0)
		return rc;
	sigset_t all, before; /* signals are the main thread's; EPIPE instead of SIGPIPE */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&s->thread, NULL, loop_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc < 0)
		free_unbegun(pool_stop(s->pool));
	return rc;
}

static int start(struct http_server *s, int fd)
{
	int rc = uv_loop_init(&s->loop);
	if (rc < 0) {
		(void)close(fd); /* the error is the one that counts */
		return rc;
	}
	rc = setup_handles(s, fd);
	if (rc == 0)
		rc = start_threads(s);
	if (rc < 0)
		close_loop(s);
	return rc;
}

int http_server_new(const struct http_server_options *o, struct http_server **ret, struct error *err)
{
	struct http_server *s = server_new(o);
	if (s == NULL)
		return error_set(err, -ENOMEM, "serve on %s: out of memory", o->address);
	int rc = 0;
	if (o->cert_pem != NULL)
		rc = tls_config_new(o->cert_pem, o->key_pem, o->client_ca_pem, &s->tls, err);
	const int fd = rc < 0       ? rc
		       : s->is_unix ? listen_unix(s->o.address, err)
				    : listen_tcp(s->o.address, o->port, &s->port, err);
	if (fd < 0) {
		http_server_unref(s);
		return fd;
	}
	rc = start(s, fd);
	if (rc < 0) {
		if (s->is_unix)
			(void)unlink(s->o.address); /* ours; a leftover would be taken for stale anyway */
		http_server_unref(s);
		return error_set(err, rc, "serve on %s: %s", o->address, strerror(-rc));
	}
	*ret = s;
	return 0;
}

uint16_t http_server_port(const struct http_server *s)
{
	return s->port;
}

int http_server_renew(struct http_server *s, const char *cert_pem, const char *key_pem, const char *client_ca_pem,
		      struct error *err)
{
	assert(s->tls != NULL);
	return tls_config_renew(s->tls, cert_pem, key_pem, client_ca_pem, err);
}

/* --- the end --- */

static void wait_quiet(struct http_server *s)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC,
			    &until); /* cannot fail; the condition needs the real clock, tests or not */
	until.tv_sec += s->o.stop_timeout_ns / NSEC_PER_SEC;
	until.tv_nsec += s->o.stop_timeout_ns % NSEC_PER_SEC;
	until.tv_sec += until.tv_nsec / NSEC_PER_SEC;
	until.tv_nsec %= NSEC_PER_SEC;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	(void)uv_async_send(&s->wake); /* the handle is open until `dying` */
	int rc = 0;
	while ((s->n_conns > 0 || s->n_exchanges > 0) && rc == 0)
		rc = pthread_cond_timedwait(&s->quiet, &s->lock, &until);
	s->dying = true;
	(void)uv_async_send(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

void http_server_free(struct http_server *s)
{
	if (s == NULL)
		return;
	if (s->is_unix)
		(void)unlink(s->o.address); /* nobody should come any more */
	wait_quiet(s);
	pthread_join(s->thread, NULL);
	free_unbegun(pool_stop(s->pool));
	const int rc = uv_loop_close(&s->loop);
	assert(rc == 0);
	http_server_unref(s);
}
