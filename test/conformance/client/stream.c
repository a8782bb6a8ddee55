#include "client/stream.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/strbuf.h"
#include "net/http_client.h"
#include "json/json.h"

#define STREAM_MAX (64u << 20)

struct stream {
	struct http_client *client;
	struct http_call call;
	char *url;
	struct http_header headers[8];
	pthread_t thread;
	atomic_bool cancel;
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t changed;
	struct strbuf text; /* what came and was not yet taken */
	char *body;         /* of an answer that is no stream */
	int status;         /* 0: no head yet */
	bool ended;
};

static int take_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
	(void)headers;
	(void)n;
	struct stream *s = ctx;
	pthread_mutex_lock(&s->lock);
	s->status = status;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return 0;
}

static int take_data(void *ctx, const void *data, size_t n)
{
	struct stream *s = ctx;
	pthread_mutex_lock(&s->lock);
	strbuf_add(&s->text, data, n);
	const bool failed = s->text.failed;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return failed ? -EFBIG : 0;
}

static void *run(void *ctx)
{
	struct stream *s = ctx;
	struct http_answer answer;
	struct error err = {0};
	const int rc = http_client_do(s->client, &s->call, &answer, &err);
	pthread_mutex_lock(&s->lock);
	if (rc == 0) {
		s->status = answer.status;
		s->body = strdup(answer.body);
		http_answer_clear(&answer);
	}
	s->ended = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

/* Waits until something changed or the deadline (wall clock: what a condition takes by default) is over. */
static bool wait_locked(struct stream *s, int64_t deadline)
{
	const int64_t wall = clock_wall_ns() + (deadline - clock_mono_ns());
	const struct timespec until = {.tv_sec = (time_t)(wall / NSEC_PER_SEC), .tv_nsec = (long)(wall % NSEC_PER_SEC)};
	return clock_mono_ns() < deadline && pthread_cond_timedwait(&s->changed, &s->lock, &until) == 0;
}

static struct stream *stream_new(struct http_client *client, const struct http_call *call)
{
	struct stream *s = calloc(1, sizeof *s);
	if (s == NULL)
		return NULL;
	s->client = client;
	s->call = *call;
	s->url = strdup(call->url);
	s->text = STRBUF_INIT(STREAM_MAX);
	s->call.url = s->url;
	s->call.n_headers = 0;
	for (size_t i = 0; i < call->n_headers && i < ARRAY_LEN(s->headers); i++) {
		char *name = strdup(call->headers[i].name), *value = strdup(call->headers[i].value);
		s->headers[s->call.n_headers++] = (struct http_header){name, value};
	}
	s->call.headers = s->headers;
	s->call.on_head = take_head;
	s->call.on_data = take_data;
	s->call.cancel = &s->cancel;
	s->call.ctx = s;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	return s;
}

static void stream_destroy(struct stream *s)
{
	for (size_t i = 0; i < s->call.n_headers; i++) {
		free((char *)s->headers[i].name);
		free((char *)s->headers[i].value);
	}
	strbuf_clear(&s->text);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s->url);
	free(s->body);
	free(s);
}

int stream_open(struct http_client *client, const struct http_call *call, struct stream **ret, int *ret_status,
		char **ret_body, struct error *err)
{
	struct stream *s = stream_new(client, call);
	if (s == NULL)
		return error_set(err, -ENOMEM, "watch: out of memory");
	if (pthread_create(&s->thread, NULL, run, s) != 0) {
		stream_destroy(s);
		return error_set(err, -EAGAIN, "watch: no thread");
	}
	const int64_t deadline = clock_mono_ns() + 30 * NSEC_PER_SEC;
	pthread_mutex_lock(&s->lock);
	while ((s->status == 0 || (s->status != 200 && !s->ended)) && !s->ended && wait_locked(s, deadline))
		;
	*ret_status = s->status;
	*ret_body = s->body == NULL ? NULL : strdup(s->body);
	pthread_mutex_unlock(&s->lock);
	if (*ret_status == 200) {
		*ret = s;
		return 0;
	}
	stream_free(s);
	return *ret_status == 0 ? error_set(err, -EIO, "watch: no answer") : 0;
}

int stream_next(struct stream *s, int64_t timeout_ns, json_t **ret, struct error *err)
{
	const int64_t deadline = clock_mono_ns() + timeout_ns;
	int rc = 0;
	pthread_mutex_lock(&s->lock);
	const char *end;
	while ((end = s->text.n == 0 ? NULL : memchr(s->text.p, '\n', s->text.n)) == NULL && !s->ended && rc == 0)
		if (!wait_locked(s, deadline) && clock_mono_ns() >= deadline)
			rc = error_set(err, -ETIMEDOUT, "no further event came");
	if (end != NULL) {
		rc = json_parse(s->text.p, (size_t)(end - s->text.p), ret, err);
		strbuf_consume(&s->text, (size_t)(end - s->text.p) + 1);
	} else if (rc == 0) {
		rc = error_set(err, -EPIPE, "the watch has ended");
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

void stream_free(struct stream *s)
{
	if (s == NULL)
		return;
	atomic_store(&s->cancel, true);
	http_client_interrupt(s->client);
	pthread_join(s->thread, NULL);
	stream_destroy(s);
}
