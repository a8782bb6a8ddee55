/*
 * pods/log: the node agent has the files, it is asked over its socket and its answer is passed on as it comes. Following a log may take
 * for ever, so that each request has a thread of its own, of a limited number.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/api_internal.h"
#include "local/api_logs.h"
#include "local/api_names.h"
#include "net/http_client.h"
#include "json/json.h"

#define STREAMS_MAX 128
#define MESSAGE_MAX 2048

struct api_logs {
	struct http_client *agent;
	pthread_mutex_t lock; /* guards `running` and `stopping` */
	pthread_cond_t ended;
	size_t running;
	bool stopping;
};

bool api_logs_reserve(struct api_logs *l)
{
	pthread_mutex_lock(&l->lock);
	const bool ok = !l->stopping && l->running < STREAMS_MAX;
	l->running += ok;
	pthread_mutex_unlock(&l->lock);
	return ok;
}

void api_logs_release(struct api_logs *l)
{
	pthread_mutex_lock(&l->lock);
	l->running--;
	pthread_cond_broadcast(&l->ended);
	pthread_mutex_unlock(&l->lock);
}

struct http_client *api_logs_client(struct api_logs *l)
{
	return l->agent;
}

/** One log on its way. Two own it: its thread, and log_closed() once the stream has begun. */
struct log_job {
	atomic_uint refs;
	atomic_bool cancel;
	struct api_logs *logs;
	struct http_exchange *x; /* until answered */
	struct http_stream *stream;
	char *url;
};

static void job_unref(struct log_job *j)
{
	if (atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (j->stream != NULL)
		(void)http_stream_unref(j->stream);
	free(j->url);
	free(j);
}

static void log_closed(void *ctx)
{
	struct log_job *j = ctx;
	atomic_store(&j->cancel, true);
	job_unref(j);
}

static void answer_failure(struct http_exchange *x, int code, const char *reason, const char *message)
{
	JSON_AUTO status = api_status_new(code, reason, NULL, message);
	size_t n = 0;
	CLEANUP(free_p) char *text = json_to_text(status, &n);
	http_reply(x, code, "application/json", text != NULL ? text : "", n);
}

static int log_head(void *ctx, int status, const struct http_header *headers, size_t n)
{
	(void)headers;
	(void)n;
	struct log_job *j = ctx;
	if (status != 200)
		return 0; /* the body says why */
	atomic_fetch_add_explicit(&j->refs, 1, memory_order_relaxed);
	struct http_stream *s = http_stream_begin(TAKE(j->x), 200, "text/plain", log_closed, j);
	if (s == NULL) {
		job_unref(j);
		return -ECANCELED;
	}
	j->stream = http_stream_ref(s);
	return 0;
}

static int log_data(void *ctx, const void *data, size_t n)
{
	struct log_job *j = ctx;
	return http_stream_write(j->stream, data, n);
}

static void *log_main(void *arg)
{
	struct log_job *j = arg;
	struct http_call call = {.method = "GET",
				 .url = j->url,
				 .on_head = log_head,
				 .on_data = log_data,
				 .ctx = j,
				 .cancel = &j->cancel,
				 .max_body = MESSAGE_MAX};
	struct http_answer answer = {0};
	struct error err = {0};
	int rc = http_client_do(j->logs->agent, &call, &answer, &err);
	if (j->stream != NULL) {
		http_stream_end(j->stream);
	} else if (j->x != NULL && rc == 0) {
		const char *reason = answer.status == 404   ? "NotFound"
				     : answer.status == 400 ? "BadRequest"
							    : "InternalError";
		answer_failure(TAKE(j->x), answer.status >= 400 ? answer.status : 500, reason,
			       answer.body[0] != '\0' ? answer.body : "no log");
	} else if (j->x != NULL) {
		char message[sizeof err.msg + 128];
		(void)snprintf(message, sizeof message, "the node agent does not answer (is it running?): %s", err.msg);
		answer_failure(TAKE(j->x), 500, "InternalError", message);
	}
	if (rc == 0)
		http_answer_clear(&answer);

	struct api_logs *logs = j->logs;
	job_unref(j);
	api_logs_release(logs);
	return NULL;
}

struct api_logs *api_logs_new(const char *data_dir, struct error *err)
{
	CLEANUP(free_p) char *path = str_printf("%s/agent/agent.sock", data_dir);
	struct api_logs *l = path != NULL ? calloc(1, sizeof *l) : NULL;
	if (l == NULL) {
		(void)error_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	struct http_client_options o = {.user_agent = "sluice-api", .unix_socket = path, .no_proxy = true};
	if (http_client_new(&o, &l->agent, err) < 0) {
		free(l);
		return NULL;
	}
	(void)pthread_mutex_init(&l->lock, NULL);
	(void)pthread_cond_init(&l->ended, NULL);
	return l;
}

void api_logs_free(struct api_logs *l)
{
	if (l == NULL)
		return;
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	while (l->running > 0)
		pthread_cond_wait(&l->ended,
				  &l->lock); /* their streams have ended: they are cancelled within a second */
	pthread_mutex_unlock(&l->lock);
	http_client_free(l->agent);
	(void)pthread_cond_destroy(&l->ended);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

int api_choose_container(struct api_request *r, const json_t *pod, const char **ret)
{
	static const char *const lists[] = {"containers", "initContainers"};
	const char *want = api_query(r, "container");
	const json_t *spec = json_object_get(pod, "spec");
	const json_t *containers = json_object_get(spec, "containers");
	if (want[0] == '\0' && json_array_size(containers) == 1) {
		*ret = json_str(json_array_get(containers, 0), "name", "");
		return 0;
	}
	struct strbuf names = STRBUF_INIT(4096);
	bool found = false;
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		size_t i;
		json_t *c;
		json_array_foreach (json_object_get(spec, lists[l]), i, c) {
			found |= strcmp(json_str(c, "name", ""), want) == 0;
			strbuf_addf(&names, "%s%s", names.n > 0 ? " " : "", json_str(c, "name", ""));
		}
	}
	int rc = 0;
	if (want[0] == '\0')
		rc = api_fail_bad(r, "a container name must be specified for pod %s, choose one of: [%s]", r->name,
				  names.p != NULL ? names.p : "");
	else if (!found)
		rc = api_fail_bad(r, "container %s is not valid for pod %s", want, r->name);
	else
		*ret = want;
	strbuf_clear(&names);
	return rc;
}

static int add_number(struct api_request *r, struct strbuf *url, const char *name)
{
	const char *v = api_query(r, name);
	int64_t n = 0;
	if (v[0] == '\0')
		return 0;
	if (str_to_i64(v, &n) < 0 || n < 0)
		return api_fail_bad(r, "%s: Invalid value: \"%s\": must be a number that is not negative", name, v);
	strbuf_addf(url, "&%s=%lld", name, (long long)n);
	return 0;
}

/** sinceTime becomes sinceSeconds: the agent knows one way. */
static int add_since(struct api_request *r, struct strbuf *url)
{
	const char *v = api_query(r, "sinceTime");
	int64_t then = 0;
	if (v[0] == '\0')
		return add_number(r, url, "sinceSeconds");
	if (clock_parse_rfc3339(v, &then) < 0)
		return api_fail_bad(r, "sinceTime: Invalid value: \"%s\": must be a time as of RFC 3339", v);
	int64_t seconds = (clock_wall_ns() - then + NSEC_PER_SEC - 1) / NSEC_PER_SEC;
	strbuf_addf(url, "&sinceSeconds=%lld", (long long)(seconds > 0 ? seconds : 1));
	return 0;
}

/** Names are valid Kubernetes names: nothing in them needs escaping. */
static int make_url(struct api_request *r, const char *container, char **ret)
{
	struct strbuf url = STRBUF_INIT(4096);
	strbuf_addf(&url, "http://agent/containerLogs/%s/%s/%s?follow=%s&previous=%s&timestamps=%s", r->ns, r->name,
		    container, api_query_bool(r, "follow") ? "true" : "false",
		    api_query_bool(r, "previous") ? "true" : "false",
		    api_query_bool(r, "timestamps") ? "true" : "false");
	int rc = add_number(r, &url, "tailLines");
	if (rc == 0)
		rc = add_number(r, &url, "limitBytes");
	if (rc == 0)
		rc = add_since(r, &url);
	if (rc == 0 && strbuf_take(&url, ret) < 0)
		rc = api_fail_memory(r);
	strbuf_clear(&url);
	return rc;
}

static int start(struct api_request *r, char **url)
{
	struct api_logs *l = r->server->logs;
	struct log_job *j = calloc(1, sizeof *j);
	if (j == NULL)
		return api_fail_memory(r);
	if (!api_logs_reserve(l)) {
		free(j);
		return api_fail(r, 429, "TooManyRequests", NULL,
				"%d logs are being read already; try again when one has ended", STREAMS_MAX);
	}
	atomic_init(&j->refs, 1);
	j->logs = l;
	j->x = r->x;
	j->url = TAKE(*url);
	pthread_attr_t attr;
	pthread_t thread;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int rc = pthread_create(&thread, &attr, log_main, j);
	(void)pthread_attr_destroy(&attr);
	if (rc != 0) {
		job_unref(j);
		api_logs_release(l);
		return api_fail_internal(r, &(struct error){.code = -rc, .msg = "cannot start a thread"});
	}
	r->answered = true;
	return 0;
}

int api_log(struct api_request *r)
{
	if (strcmp(r->http->method, "GET") != 0)
		return api_fail_method(r);
	JSON_AUTO pod = NULL;
	const char *container = "";
	CLEANUP(free_p) char *url = NULL;
	int rc = api_load(r, r->name, &pod, NULL);
	if (rc == 0)
		rc = api_choose_container(r, pod, &container);
	if (rc == 0 && json_str(pod, "spec.nodeName", "")[0] == '\0')
		return api_reply_empty(r); /* nothing has run: an empty log */
	if (rc == 0 && !api_name_dns_label(container))
		rc = api_fail_bad(r, "container %s is not valid for pod %s", container, r->name);
	if (rc == 0)
		rc = make_url(r, container, &url);
	return rc < 0 ? rc : start(r, &url);
}
