#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "kit/world.h"
#include "net/http_server.h"
#include "json/json.h"

#define LATE_NS   (300 * NSEC_PER_MSEC)
#define MAX_TRIES 50

struct answers {
	const json_t *script;
	struct http_server *servers[ENGINE_MAX_PORTS]; /* on ports that follow each other; all answer the same */
	pthread_mutex_t lock;                          /* guards what follows */
	pthread_cond_t changed;
	enum answer_mode mode;
	bool ending;
	char unknown[200];
};

static const json_t *find(struct answers *a, const char *request)
{
	size_t i;
	json_t *x;
	json_array_foreach (a->script, i, x)
		if (strcmp(json_str(x, "request", ""), request) == 0)
			return x;
	pthread_mutex_lock(&a->lock);
	if (a->unknown[0] == '\0')
		(void)snprintf(a->unknown, sizeof a->unknown, "%s", request); /* cut is fine */
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

/* How to answer now; a hung one waits here until it is no longer wanted, a late one for a while. */
static enum answer_mode await_mode(struct answers *a, int64_t deadline_ns)
{
	pthread_mutex_lock(&a->lock);
	const enum answer_mode mode = a->mode;
	const int64_t until = mode == ANSWER_LATE ? clock_mono_ns() + LATE_NS : deadline_ns;
	while (!a->ending && a->mode == mode && (mode == ANSWER_HUNG || mode == ANSWER_LATE) &&
	       clock_mono_ns() < until) {
		const struct timespec t = {.tv_sec = until / NSEC_PER_SEC, .tv_nsec = until % NSEC_PER_SEC};
		if (until == INT64_MAX)
			(void)pthread_cond_wait(&a->changed, &a->lock); /* the condition is looked at again */
		else
			(void)pthread_cond_timedwait(&a->changed, &a->lock, &t);
	}
	pthread_mutex_unlock(&a->lock);
	return mode;
}

static const char garbage[] = "\x7f{]<garbled \xff ";

static void serve(void *ctx, struct http_exchange *x)
{
	struct answers *a = ctx;
	const struct http_request *r = http_exchange_request(x);
	char request[512];
	(void)snprintf(request, sizeof request, "%s %s", r->method, r->path); /* a cut one is unknown */
	const json_t *answer = find(a, request);
	const enum answer_mode mode = await_mode(a, INT64_MAX);
	const char *body = answer == NULL ? "" : json_str(answer, "body", "");
	if (mode == ANSWER_GARBLED)
		http_reply(x, (int)json_int(answer, "status", 200), "text/plain", garbage, sizeof garbage - 1);
	else
		http_reply(x, answer == NULL ? 404 : (int)json_int(answer, "status", 200), "text/plain", body,
			   strlen(body));
}

int answers_exec(struct answers *a, const struct engine_question *q, const struct engine_exec *x,
		 struct engine_output *ret, struct error *err)
{
	struct strbuf request = STRBUF_INIT(4096);
	strbuf_adds(&request, "exec");
	for (const char *const *w = x->argv; *w != NULL; w++)
		strbuf_addf(&request, " %s", *w);
	const json_t *answer = request.failed ? NULL : find(a, request.p);
	strbuf_clear(&request);
	const enum answer_mode mode = await_mode(a, q->deadline_mono_ns);
	if (mode == ANSWER_HUNG)
		return error_set(err, -ETIMEDOUT, "exec %s: no answer in time", x->argv[0]);
	const char *out = mode == ANSWER_GARBLED ? garbage : answer == NULL ? "" : json_str(answer, "body", "");
	*ret = (struct engine_output){.status = answer == NULL ? 127 : (int)json_int(answer, "status", 0),
				      .out = strdup(out),
				      .err = strdup(answer == NULL ? "no such command in the script" : "")};
	if (ret->out == NULL || ret->err == NULL) {
		engine_output_clear(ret);
		return error_set(err, -ENOMEM, "exec: out of memory");
	}
	ret->out_n = strlen(ret->out);
	ret->err_n = strlen(ret->err);
	return 0;
}

static void close_all(struct answers *a)
{
	for (size_t i = 0; i < ARRAY_LEN(a->servers); i++) {
		http_server_free(a->servers[i]);
		a->servers[i] = NULL;
	}
}

/* On any port that is free, and the ones after it; -EADDRINUSE when one of those is not. */
static int listen_in_row(struct answers *a, int ports, struct error *err)
{
	int rc = 0;
	for (int i = 0; i < ports && rc == 0; i++)
		rc = http_server_new(&(struct http_server_options){.address = "127.0.0.1",
								   .port = (uint16_t)(i == 0 ? 0 : answers_port(a) + i),
								   .workers = i == 0 ? 32 : 4,
								   .handler = serve,
								   .ctx = a},
				     &a->servers[i], err);
	if (rc < 0)
		close_all(a);
	return rc;
}

int answers_new(const json_t *script, int ports, struct answers **ret, struct error *err)
{
	struct answers *a = calloc(1, sizeof *a);
	pthread_condattr_t attr;
	if (a == NULL)
		return error_set(err, -ENOMEM, "answers: out of memory");
	a->script = script;
	(void)pthread_mutex_init(&a->lock, NULL); /* these cannot fail on Linux */
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&a->changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	int rc = -EADDRINUSE;
	for (int i = 0; i < MAX_TRIES && rc == -EADDRINUSE; i++)
		rc = listen_in_row(a, ports, err);
	if (rc < 0) {
		answers_free(a);
		return rc;
	}
	*ret = a;
	return 0;
}

void answers_free(struct answers *a)
{
	if (a == NULL)
		return;
	pthread_mutex_lock(&a->lock);
	a->ending = true;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
	close_all(a);
	(void)pthread_cond_destroy(&a->changed);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

int answers_port(const struct answers *a)
{
	return http_server_port(a->servers[0]);
}

void answers_mode(struct answers *a, enum answer_mode mode)
{
	pthread_mutex_lock(&a->lock);
	a->mode = mode;
	pthread_cond_broadcast(&a->changed);
	pthread_mutex_unlock(&a->lock);
}

const char *answers_unknown(const struct answers *a)
{
	return a->unknown;
}
