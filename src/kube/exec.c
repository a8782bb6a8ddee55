#include "kube/exec.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client_private.h"
#include "kube/request.h"
#include "net/websocket.h"
#include "net/websocket_client.h"
#include "json/json.h"

#define OUTPUT_DEFAULT ((size_t)1 << 20)
#define STATUS_MAX     65536
#define PATH_LONGEST   65536 /* the command travels in the URL */
#define ARGS_MAX       1000
#define IN_PIECE       32768
#define IN_QUEUED      ((size_t)1 << 20)
#define STEP_NS        (200 * NSEC_PER_MSEC) /* how soon the cancel flag is seen */

/* The first byte of each message. */
enum channel { CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR, CHANNEL_ERROR, CHANNEL_CLOSE = 255 };

static const char *const protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", NULL};

/** One execution under way. */
struct run {
	const struct kube_exec_options *o;
	struct strbuf out, err, status;
	bool ended; /* the status has come */
	bool alien; /* a message that no channel has */
	size_t in_off;
	bool in_closed;
};

void kube_exec_result_clear(struct kube_exec_result *r)
{
	free(r->out);
	free(r->err);
	*r = (struct kube_exec_result){0};
}

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "exec: out of memory");
}

/* --- the request --- */

static int make_url(const struct kube_client *c, const struct kube_exec_options *o, char **ret, struct error *err)
{
	CLEANUP(strbuf_clear) struct strbuf b = STRBUF_INIT(PATH_LONGEST);
	if (o->argv == NULL || o->argv[0] == NULL)
		return error_set(err, -EINVAL, "exec: there is no command");
	strbuf_addf(&b, "%s/api/v1/namespaces/", c->server);
	strbuf_add_url(&b, o->ns, "");
	strbuf_adds(&b, "/pods/");
	strbuf_add_url(&b, o->pod, "");
	strbuf_addf(&b, "/exec?stdout=true&stderr=true&stdin=%s", o->in != NULL ? "true" : "false");
	if (o->container != NULL) {
		strbuf_adds(&b, "&container=");
		strbuf_add_url(&b, o->container, "");
	}
	size_t n = 0;
	for (; o->argv[n] != NULL && n < ARGS_MAX; n++) {
		strbuf_adds(&b, "&command=");
		strbuf_add_url(&b, o->argv[n], "");
	}
	if (o->argv[n] != NULL || b.too_big)
		return error_set(err, -E2BIG, "exec: the command is too long; give what is long by stdin");
	return strbuf_take(&b, ret) < 0 ? no_memory(err) : 0;
}

/** What the server answered instead of switching, as client.h has it. */
static int refusal(struct error *err, int rc, const char *body, const char *what)
{
	JSON_AUTO status = NULL;
	if (rc != -EPROTO || err == NULL || err->status == 0)
		return error_wrap(err, rc, "%s", what);
	const int http = err->status;
	if (body != NULL && json_parse(body, strlen(body), &status, NULL) < 0)
		status = NULL;
	/* A success that is no switch: something on the way does not know WebSockets. */
	if (kube_status_errno(http, "") == 0)
		return error_wrap(err, -EPROTO, "%s", what);
	return kube_status_error(err, http, json_is_object(status) ? status : NULL, what);
}

/* --- the channels --- */

static void on_message(void *ctx, bool text, const void *data, size_t n)
{
	struct run *r = ctx;
	const unsigned char *p = data;
	(void)text;
	if (n == 0)
		return;
	switch (p[0]) {
	case CHANNEL_STDOUT:
		strbuf_add(&r->out, p + 1, n - 1);
		break;
	case CHANNEL_STDERR:
		strbuf_add(&r->err, p + 1, n - 1);
		break;
	case CHANNEL_ERROR:
		strbuf_add(&r->status, p + 1, n - 1);
		r->ended = r->ended || n > 1; /* an empty message opens the channel */
		break;
	case CHANNEL_STDIN:
	case CHANNEL_CLOSE:
		break; /* opened, or half closed: nothing to do for a reader */
	default:
		r->alien = true;
	}
}

/** Send the next of stdin while not too much waits, and its end. */
static int feed_stdin(struct websocket_client *w, struct run *r)
{
	static const char closed[] = {(char)CHANNEL_CLOSE, CHANNEL_STDIN};
	char piece[1 + IN_PIECE];
	int rc = 0;
	if (r->o->in == NULL || r->in_closed)
		return 0;
	while (rc == 0 && r->in_off < r->o->in_n && websocket_client_queued(w) < IN_QUEUED) {
		const size_t left = r->o->in_n - r->in_off, k = left < IN_PIECE ? left : IN_PIECE;
		piece[0] = CHANNEL_STDIN;
		memcpy(piece + 1, (const char *)r->o->in + r->in_off, k);
		rc = websocket_client_send(w, false, piece, k + 1);
		r->in_off += k;
	}
	if (rc == 0 && r->in_off == r->o->in_n) {
		r->in_closed = true;
		rc = websocket_client_send(w, false, closed, sizeof closed);
	}
	return rc == -EPIPE ? 0 : rc; /* the server closes: the step says why */
}

static int check_output(const struct run *r, struct error *err)
{
	if (r->out.failed || r->err.failed || r->status.failed)
		return r->out.too_big || r->err.too_big
			       ? error_set(err, -EFBIG, "more than %zu bytes of output", r->out.max)
		       : r->status.too_big ? error_set(err, -EPROTO, "the status is too long")
					   : no_memory(err);
	return r->alien ? error_set(err, -EPROTO, "the server uses a channel that does not exist") : 0;
}

static int drive(struct websocket_client *w, struct run *r, int64_t deadline, struct error *err)
{
	while (!r->ended) {
		const int64_t left = deadline - clock_mono_ns();
		if (r->o->cancel != NULL && atomic_load(r->o->cancel))
			return error_set(err, -ECANCELED, "stopped");
		if (left <= 0)
			return error_set(err, -ETIMEDOUT, "the command did not end in time");
		int rc = feed_stdin(w, r);
		if (rc == 0)
			rc = websocket_client_step(w, left < STEP_NS ? left : STEP_NS);
		const int bad = check_output(r, err);
		if (bad < 0)
			return bad;
		if (rc < 0 && !r->ended)
			return error_set(err, rc == -EPIPE ? -ECONNRESET : rc,
					 "the connection ended (close code %u) before the command's status came",
					 websocket_client_close_code(w));
	}
	return 0;
}

/* --- the status --- */

/** The exit status that a Status tells: 0 and *@ret, or its error. */
static int exit_status(const struct strbuf *text, int *ret, struct error *err)
{
	JSON_AUTO s = NULL;
	if (json_parse(text->p, text->n, &s, NULL) < 0 || !json_is_object(s))
		return error_set(err, -EPROTO, "the command's status is no JSON");
	if (strcmp(json_str(s, "status", ""), "Success") == 0) {
		*ret = 0;
		return 0;
	}
	if (strcmp(json_str(s, "reason", ""), "NonZeroExitCode") == 0) {
		size_t i;
		json_t *cause;
		int64_t code;
		json_array_foreach (json_at(s, "details.causes"), i, cause) {
			if (strcmp(json_str(cause, "reason", ""), "ExitCode") == 0 &&
			    str_to_i64(json_str(cause, "message", ""), &code) == 0 && code > 0 && code < 256) {
				*ret = (int)code;
				return 0;
			}
		}
	}
	const int rc = kube_status_error(err, (int)json_int(s, "code", 500), s, "the server");
	return rc < 0 ? rc : error_set(err, -EIO, "the server calls a failure a success");
}

static int finish(struct run *r, struct kube_exec_result *ret, struct error *err)
{
	struct kube_exec_result got = {.out_n = r->out.n, .err_n = r->err.n};
	int rc = exit_status(&r->status, &got.status, err);
	if (rc == 0 && (strbuf_take(&r->out, &got.out) < 0 || strbuf_take(&r->err, &got.err) < 0))
		rc = no_memory(err);
	if (rc < 0) {
		kube_exec_result_clear(&got);
		return rc;
	}
	*ret = got;
	return 0;
}

static int open_and_run(struct kube_client *c, const char *url, const char *what, struct run *r, bool new_token,
			int64_t deadline, struct error *err)
{
	CLEANUP(kube_token_free_p) char *token = NULL;
	CLEANUP(free_p) char *body = NULL;
	int rc = kube_token(c, new_token, &token, err);
	if (rc == 0)
		rc = kube_fence_check(c, what, err); /* a command may change anything */
	if (rc < 0)
		return rc;
	const struct websocket_connect_options wo = {
		.url = url,
		.bearer = token,
		.protocols = protocols,
		.timeout_ns = deadline - clock_mono_ns(),
		.on_message = on_message,
		.ctx = r,
	};
	struct websocket_client *w = NULL;
	rc = websocket_connect(c->http, &wo, &w, &body, err);
	if (rc < 0)
		return refusal(err, rc, body, what);
	if (r->o->in != NULL && strcmp(websocket_client_protocol(w), protocols[0]) != 0)
		rc = error_set(err, -EOPNOTSUPP, "%s: the server speaks only v4.channel.k8s.io, which cannot end stdin",
			       what);
	if (rc == 0 && (rc = drive(w, r, deadline, err)) < 0)
		error_wrap(err, rc, "%s", what);
	(void)websocket_client_close(w, WEBSOCKET_NORMAL, NULL); /* a courtesy */
	(void)websocket_client_step(w, 0);
	websocket_client_free(w);
	return rc;
}

int kube_exec(struct kube_client *c, const struct kube_exec_options *o, struct kube_exec_result *ret, struct error *err)
{
	const int64_t deadline = clock_mono_ns() + (o->timeout_ns > 0 ? o->timeout_ns : KUBE_TIMEOUT_NS);
	const size_t max = o->max_output > 0 ? o->max_output : OUTPUT_DEFAULT;
	CLEANUP(free_p) char *url = NULL;
	CLEANUP(free_p) char *what = str_printf("exec in pod %s/%s", o->ns, o->pod);
	if (what == NULL)
		return no_memory(err);
	int rc = make_url(c, o, &url, err);
	if (rc < 0)
		return rc;
	struct run r = {.o = o, .out = STRBUF_INIT(max), .err = STRBUF_INIT(max), .status = STRBUF_INIT(STATUS_MAX)};
	rc = open_and_run(c, url, what, &r, false, deadline, err);
	if (rc == -EACCES && (c->token_file != NULL || c->exec != NULL)) /* refused, so nothing has run */
		rc = open_and_run(c, url, what, &r, true, deadline, err);
	if (rc == 0 && (rc = finish(&r, ret, err)) < 0)
		error_wrap(err, rc, "%s", what);
	strbuf_clear(&r.out);
	strbuf_clear(&r.err);
	strbuf_clear(&r.status);
	return rc;
}
