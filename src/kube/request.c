/* One request: credentials, deadline, Retry-After, and the translation of what the server says into an error. */
#include "kube/request.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/metrics.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/client_private.h"
#include "kube/exec_credential.h"
#include "net/http_client.h"
#include "json/json.h"

#define TOKEN_MAX         (64u << 10)
#define TOKEN_FRESH_NS    (60 * NSEC_PER_SEC)
#define PLUGIN_NS         (60 * NSEC_PER_SEC)
#define RETRIES_MAX       10
#define RETRY_AFTER_MAX_S 3600

int kube_status_errno(int http_status, const char *reason)
{
	switch (http_status) {
	case 400:
	case 422:
		return -EINVAL;
	case 401:
		return -EACCES;
	case 403:
		return -EPERM;
	case 404:
		return -ENOENT;
	case 405:
	case 415:
		return -EOPNOTSUPP;
	case 409:
		return str_same(reason, "AlreadyExists") ? -EEXIST : -ESTALE;
	case 410:
		return -EKEYEXPIRED;
	case 413:
		return -EFBIG;
	case 429:
		return -EBUSY;
	default:
		if (http_status >= 200 && http_status < 300)
			return 0;
		return http_status >= 500 ? -EIO : -EPROTO;
	}
}

int kube_status_error(struct error *err, int http_status, const json_t *status, const char *what)
{
	const char *reason = json_str(status, "reason", ""), *message = json_str(status, "message", "");
	const int code = kube_status_errno(http_status, reason);
	if (message[0] != '\0')
		error_set(err, code, "%s: %s", what, message);
	else
		error_set(err, code, "%s: the server answered HTTP %d", what, http_status);
	if (err != NULL) {
		err->status = http_status;
		(void)str_copy(err->reason, sizeof err->reason,
			       reason); /* ours are shorter; a longer one is only cut */
	}
	return code;
}

/* The error of an answer that is not 2xx. */
static int answer_error(struct error *err, const struct http_answer *a, const char *what)
{
	JSON_AUTO status = NULL;
	if (a->body_n > 0 && json_parse(a->body, a->body_n, &status, NULL) == 0 && json_is_object(status))
		return kube_status_error(err, a->status, status, what);
	return kube_status_error(err, a->status, NULL, what);
}

/* --- the bearer token: given, or in a file that is rotated under us --- */

static void token_forget_locked(struct kube_client *c)
{
	if (c->token != NULL)
		explicit_bzero(c->token, strlen(c->token));
	free(c->token);
	c->token = NULL;
}

static int token_read_locked(struct kube_client *c, struct error *err)
{
	char *text = NULL;
	size_t n = 0;
	int rc = file_read(c->token_file, TOKEN_MAX, &text, &n, err);
	if (rc < 0)
		return error_wrap(err, rc, "service account token");
	while (n > 0 && strchr(" \r\n\t", text[n - 1]) != NULL)
		text[--n] = '\0';
	token_forget_locked(c);
	c->token = text;
	c->token_read_ns = clock_mono_ns();
	return 0;
}

/* Ask the plug-in for a token. */
static int token_ask_locked(struct kube_client *c, struct error *err)
{
	char *token = NULL;
	int64_t expires = 0;
	const int rc = exec_credential_run(c->exec, PLUGIN_NS, &token, &expires, err);
	if (rc < 0)
		return rc;
	token_forget_locked(c);
	c->token = token;
	c->token_expires = expires;
	return 0;
}

int kube_token(struct kube_client *c, bool again, char **ret, struct error *err)
{
	int rc = 0;
	char *copy = NULL;
	pthread_mutex_lock(&c->lock);
	if (c->token_file != NULL && (again || c->token == NULL || clock_mono_ns() - c->token_read_ns > TOKEN_FRESH_NS))
		rc = token_read_locked(c, err);
	else if (c->exec != NULL && (again || c->token == NULL || clock_wall_ns() >= c->token_expires))
		rc = token_ask_locked(c, err);
	if (rc == 0 && c->token != NULL && (copy = strdup(c->token)) == NULL)
		rc = -ENOMEM;
	pthread_mutex_unlock(&c->lock);
	*ret = copy;
	return rc == -ENOMEM ? error_set(err, rc, "service account token: out of memory") : rc;
}

void kube_token_free_p(char **token)
{
	if (*token != NULL)
		explicit_bzero(*token, strlen(*token));
	free(*token);
}

/* --- waiting between attempts --- */

static bool canceled(const struct kube_request *q)
{
	return q->cancel != NULL && atomic_load_explicit(q->cancel, memory_order_relaxed);
}

/* Wait @ns, waking for the stop flag. */
static void pause_for(const struct kube_request *q, int64_t ns)
{
	const int64_t until = clock_mono_ns() + ns;
	for (int64_t left; !canceled(q) && (left = until - clock_mono_ns()) > 0;) {
		const int64_t slice = left < 100 * NSEC_PER_MSEC ? left : 100 * NSEC_PER_MSEC;
		const struct timespec ts = {.tv_sec = slice / NSEC_PER_SEC, .tv_nsec = slice % NSEC_PER_SEC};
		(void)nanosleep(&ts, NULL); /* woken early: the loop looks at the clock */
	}
}

/* Whether doing it a second time leaves what doing it once leaves: a request that failed may have been carried out. */
static bool idempotent(const struct kube_request *q)
{
	return strcmp(q->method, "POST") != 0 && !str_same(q->content_type, "application/json-patch+json");
}

/* How long the server asks us to wait before trying again, or -1: do not. */
static int64_t retry_after_ns(const struct kube_request *q, const struct http_answer *a)
{
	const char *h = http_answer_header(a, "retry-after");
	int64_t s;
	if (a->status != 429 && a->status != 503 && (a->status < 500 || !idempotent(q)))
		return -1;
	if (h == NULL || str_to_i64(h, &s) < 0 || s < 0 || s > RETRY_AFTER_MAX_S)
		return -1;
	return s > 0 ? s * NSEC_PER_SEC : 100 * NSEC_PER_MSEC;
}

/* --- what is measured --- */

/* Buckets of client-go's request durations. */
static const double seconds[] = {0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60};

/* @rc, @status: of one attempt. A stream's duration says nothing and is left out. */
static void count(const struct kube_client *c, const struct kube_request *q, int rc, int status, int64_t took_ns)
{
	static const char *const by_code[] = {"code", "host", "method", NULL}, *const by_verb[] = {"host", "verb",
												   NULL};
	char code[16] = "<error>";
	if (rc == 0)
		(void)snprintf(code, sizeof code, "%d", status);
	series_add(metric_series(metrics_counter(metrics_root(), "rest_client_requests_total",
						 "Requests to the Kubernetes API, by code, method and host.", by_code),
				 (const char *const[]){code, c->host, q->method}),
		   1);
	if (q->on_data == NULL)
		series_observe(metric_series(metrics_histogram(metrics_root(), "rest_client_request_duration_seconds",
							       "Time of requests to the Kubernetes API.", by_verb,
							       seconds, ARRAY_LEN(seconds)),
					     (const char *const[]){c->host, q->method}),
			       (double)took_ns / NSEC_PER_SEC);
}

static void count_retry(const struct kube_client *c, const struct kube_request *q, int status)
{
	static const char *const labels[] = {"code", "host", "verb", NULL};
	char code[16];
	(void)snprintf(code, sizeof code, "%d", status);
	series_add(metric_series(metrics_counter(metrics_root(), "rest_client_request_retries_total",
						 "Requests to the Kubernetes API that were tried again.", labels),
				 (const char *const[]){code, c->host, q->method}),
		   1);
}

/* --- one attempt --- */

int kube_fence_check(struct kube_client *c, const char *what, struct error *err)
{
	const struct kube_fence *f = atomic_load_explicit(&c->fence, memory_order_acquire);
	if (f == NULL || f->open(f->ctx))
		return 0;
	error_set(err, -ECANCELED, "%s: not sent: this process does not lead", what);
	if (err != NULL)
		(void)str_copy(err->reason, sizeof err->reason, "NotLeader"); /* it fits */
	return -ECANCELED;
}

static int attempt(struct kube_client *c, const struct kube_request *q, int64_t deadline, bool new_token,
		   struct http_answer *ret, struct error *err)
{
	CLEANUP(kube_token_free_p) char *token = NULL;
	CLEANUP(free_p) char *url = str_printf("%s%s", c->server, q->path_query);
	if (url == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", q->what);
	int rc = kube_token(c, new_token, &token, err);
	if (rc < 0)
		return error_wrap(err, rc, "%s", q->what);
	const struct http_header headers[] = {{"Accept", q->accept != NULL ? q->accept : "application/json"},
					      {"Content-Type", q->content_type}};
	const struct http_call call = {
		.method = q->method,
		.url = url,
		.headers = headers,
		.n_headers = q->content_type != NULL ? 2 : 1,
		.body = q->body,
		.body_n = q->body_n,
		.bearer = token,
		.timeout_ns = deadline == INT64_MAX            ? 0
			      : deadline - clock_mono_ns() > 0 ? deadline - clock_mono_ns()
							       : 1,
		.stall_timeout_ns = q->stall_ns,
		.max_body = KUBE_ANSWER_MAX,
		.on_data = q->on_data,
		.ctx = q->ctx,
		.cancel = q->cancel,
	};
	/* Last of all: getting the token may have taken long. */
	rc = q->unfenced || strcmp(q->method, "GET") == 0 ? 0 : kube_fence_check(c, q->what, err);
	if (rc == 0) {
		const int64_t start = clock_mono_ns();
		rc = http_client_do(c->http, &call, ret, err);
		count(c, q, rc, rc == 0 ? ret->status : 0, clock_mono_ns() - start);
		if (rc < 0)
			error_wrap(err, rc, "%s", q->what);
	}
	return rc;
}

int kube_request_do(struct kube_client *c, const struct kube_request *q, struct http_answer *ret, struct error *err)
{
	const int64_t deadline = q->timeout_ns > 0 ? clock_mono_ns() + q->timeout_ns : INT64_MAX;
	bool new_token = false, cut_before = false;
	for (int tries = 0;; tries++) {
		struct http_answer a = {0};
		int rc = attempt(c, q, deadline, new_token, &a, err);
		if (rc == -ECONNRESET && strcmp(q->method, "GET") == 0 && q->on_data == NULL && !cut_before) {
			cut_before = true; /* a kept connection that the server had closed: reading again is harmless */
			continue;
		}
		if (rc < 0)
			return rc;
		if (a.status >= 200 && a.status < 300) {
			*ret = a;
			return 0;
		}
		if (a.status == 401 && (c->token_file != NULL || c->exec != NULL) && !new_token) {
			new_token = true;
			http_answer_clear(&a);
			continue;
		}
		const int64_t wait = retry_after_ns(q, &a);
		const int status = a.status;
		rc = answer_error(err, &a, q->what);
		http_answer_clear(&a);
		if (wait < 0 || tries >= RETRIES_MAX || deadline - clock_mono_ns() <= wait)
			return rc;
		count_retry(c, q, status);
		pause_for(q, wait);
		if (canceled(q))
			return error_set(err, -ECANCELED, "%s: stopped", q->what);
	}
}
