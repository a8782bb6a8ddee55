#include "client/run.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "api/kind.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/random.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "client/encode.h"
#include "client/match.h"
#include "client/stream.h"
#include "json/json.h"
#include "json/yaml.h"

#define CALL_NS     (30 * NSEC_PER_SEC)
#define EVENT_NS    (10 * NSEC_PER_SEC)
#define RETRY_NS    (10 * NSEC_PER_SEC)
#define PAUSE_MS    20
#define STREAMS_MAX 8

struct open_stream {
	const char *name;
	struct stream *stream;
};

struct run {
	const struct server *server;
	struct map *vars;
	struct made *made;
	struct open_stream streams[STREAMS_MAX];
	struct error *err;
};

/* A request with its variables filled in. */
struct request {
	struct http_call call;
	struct http_header headers[SCRIPT_HEADERS_MAX + 1];
	char *url, *filled[SCRIPT_HEADERS_MAX];
	struct strbuf body;
	bool anonymous;
};

static void request_clear(struct request *q)
{
	for (size_t i = 0; i < ARRAY_LEN(q->filled); i++)
		free(q->filled[i]);
	free(q->url);
	strbuf_clear(&q->body);
}

/* A body or pattern: one YAML document (JSON too). */
static int parse_document(const char *text, json_t **ret, struct error *err)
{
	JSON_AUTO docs = NULL;
	const int rc = yaml_parse(text, strlen(text), &docs, err);
	if (rc < 0)
		return rc;
	if (json_array_size(docs) != 1)
		return error_set(err, -EINVAL, "not one document but %zu", json_array_size(docs));
	*ret = json_incref(json_array_get(docs, 0));
	return 0;
}

static void fill_bulk(struct strbuf *body, long n)
{
	strbuf_adds(body, "{\"metadata\":{\"name\":\"bulk\"},\"data\":{\"a\":\"");
	while (n-- > 0)
		strbuf_addc(body, 'x');
	strbuf_adds(body, "\"}}");
}

static int fill_body(const struct run *r, const struct step *s, struct request *q)
{
	CLEANUP(free_p) char *text = NULL;
	if (s->bulk > 0)
		fill_bulk(&q->body, s->bulk);
	if (s->body == NULL)
		return 0;
	int rc = vars_fill(r->vars, s->body, &text, r->err);
	if (rc < 0)
		return rc;
	if (s->raw) {
		strbuf_adds(&q->body, text);
		return 0;
	}
	JSON_AUTO document = NULL;
	rc = parse_document(text, &document, r->err);
	if (rc < 0)
		return error_wrap(r->err, rc, "body");
	if (s->protobuf != NULL) {
		CLEANUP(free_p) char *type = NULL;
		rc = vars_fill(r->vars, s->protobuf, &type, r->err);
		const struct schema *schema = rc < 0 ? NULL : kubernetes_schema(type);
		return schema == NULL ? error_set(r->err, -EINVAL, "no type %s", s->protobuf)
				      : protobuf_encode(schema, document, &q->body, r->err);
	}
	CLEANUP(free_p) char *json = json_to_text(document, NULL);
	if (json == NULL)
		return error_set(r->err, -ENOMEM, "out of memory");
	strbuf_adds(&q->body, json);
	return 0;
}

static int fill_headers(const struct run *r, const struct step *s, struct request *q)
{
	bool typed = false;
	q->call.bearer = r->server->token;
	for (size_t i = 0; i < s->n_headers; i++) {
		const int rc = vars_fill(r->vars, s->headers[i].value, &q->filled[i], r->err);
		if (rc < 0)
			return rc;
		typed = typed || strcmp(s->headers[i].name, "Content-Type") == 0;
		if (strcmp(s->headers[i].name, "Authorization") == 0) {
			q->anonymous = true;
			q->call.bearer = NULL;
			if (strcmp(q->filled[i], "none") == 0)
				continue;
		}
		q->headers[q->call.n_headers++] = (struct http_header){s->headers[i].name, q->filled[i]};
	}
	if (!typed && s->content_type != NULL)
		q->headers[q->call.n_headers++] = (struct http_header){"Content-Type", s->content_type};
	q->call.headers = q->headers;
	return 0;
}

static int request_make(const struct run *r, const struct step *s, struct request *q)
{
	CLEANUP(free_p) char *path = NULL;
	*q = (struct request){.body = STRBUF_INIT(64u << 20)};
	int rc = vars_fill(r->vars, s->target, &path, r->err);
	if (rc == 0)
		rc = fill_headers(r, s, q);
	if (rc == 0)
		rc = fill_body(r, s, q);
	if (rc < 0)
		return rc;
	q->url = str_printf("%s%s", r->server->url, path);
	if (q->url == NULL || q->body.failed)
		return error_set(r->err, -ENOMEM, "out of memory");
	q->call.method = s->method;
	q->call.url = q->url;
	q->call.timeout_ns = s->kind == STEP_WATCH ? 0 : CALL_NS;
	q->call.body = q->body.p;
	q->call.body_n = q->body.n;
	return 0;
}

static struct http_client *client_of(const struct run *r, const struct request *q)
{
	return q->anonymous ? r->server->nobody : r->server->client;
}

static int read_pattern(const struct run *r, const struct step *s, json_t **ret)
{
	CLEANUP(free_p) char *text = NULL;
	int rc = vars_fill(r->vars, s->want, &text, r->err);
	if (rc == 0)
		rc = parse_document(text, ret, r->err);
	return rc < 0 ? error_wrap(r->err, rc, "pattern") : 0;
}

static bool status_fits(int want, int got)
{
	return want == got || (want == 0 && (got == 200 || got == 201));
}

static int check_body(const struct run *r, const struct step *s, int status, const char *text, size_t n)
{
	if (!status_fits(s->status, status))
		return error_set(r->err, -EINVAL, "want %d, got %d %.320s", s->status == 0 ? 200 : s->status, status,
				 text == NULL ? "" : text);
	if (s->want == NULL)
		return 0;
	JSON_AUTO want = NULL;
	JSON_AUTO got = NULL;
	const int rc = read_pattern(r, s, &want);
	if (rc < 0)
		return rc;
	if (json_parse(text, n, &got, NULL) < 0)
		got = json_stringn_nocheck(text, n);
	return match(want, got, s->exact, r->vars, r->err);
}

static int check_headers(const struct run *r, const struct step *s, const struct http_answer *a)
{
	for (size_t i = 0; i < s->n_want_headers; i++) {
		CLEANUP(free_p) char *text = NULL;
		int rc = vars_fill(r->vars, s->want_headers[i].value, &text, r->err);
		if (rc < 0)
			return rc;
		const char *value = http_answer_header(a, s->want_headers[i].name);
		JSON_AUTO want = json_string(text);
		JSON_AUTO got = value == NULL ? NULL : json_string(value);
		if (strcmp(text, "none") == 0 && value == NULL)
			continue;
		rc = match(want, got, false, r->vars, r->err);
		if (rc < 0)
			return error_wrap(r->err, rc, "header %s", s->want_headers[i].name);
	}
	return 0;
}

/* Whether @path lies in a namespace of the case, which is deleted as a whole. */
static bool is_ours(const struct run *r, const char *path)
{
	static const char *const names[] = {"ns", "other"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *ns = map_get(r->vars, names[i]);
		CLEANUP(free_p) char *part = ns == NULL ? NULL : str_printf("/namespaces/%s/", ns);
		if (part != NULL && strstr(path, part) != NULL)
			return r->server->core;
	}
	return false;
}

static void remember(struct made *made, char *path)
{
	if (path != NULL && made->n < ARRAY_LEN(made->paths))
		made->paths[made->n++] = path;
	else
		free(path);
}

static void note_made(const struct run *r, const struct step *s, const struct request *q, const struct http_answer *a)
{
	JSON_AUTO object = NULL;
	if (a->status != 201 || strstr(q->url, "dryRun=") != NULL || json_parse(a->body, a->body_n, &object, NULL) < 0)
		return;
	const char *path = q->url + strlen(r->server->url), *name = json_str(object, "metadata.name", NULL);
	const size_t n = strcspn(path, "?");
	CLEANUP(free_p) char *collection = str_printf("%.*s/", (int)n, path);
	if (name == NULL || collection == NULL || is_ours(r, collection))
		return;
	remember(r->made, strcmp(s->method, "POST") == 0 ? str_printf("%s%s", collection, name)
							 : str_printf("%.*s", (int)n, path));
}

static int do_request(const struct run *r, const struct step *s)
{
	CLEANUP(request_clear) struct request q;
	struct http_answer answer;
	int rc = request_make(r, s, &q);
	if (rc == 0)
		rc = http_client_do(client_of(r, &q), &q.call, &answer, r->err);
	if (rc < 0)
		return rc;
	note_made(r, s, &q, &answer);
	rc = check_body(r, s, answer.status, answer.body, answer.body_n);
	if (rc == 0)
		rc = check_headers(r, s, &answer);
	http_answer_clear(&answer);
	return rc;
}

static struct open_stream *find_stream(struct run *r, const char *name)
{
	for (size_t i = 0; i < STREAMS_MAX; i++)
		if (name == NULL ? r->streams[i].name == NULL : str_same(r->streams[i].name, name))
			return &r->streams[i];
	return NULL;
}

static int do_watch(struct run *r, const struct step *s)
{
	CLEANUP(request_clear) struct request q;
	CLEANUP(free_p) char *body = NULL;
	struct open_stream *slot = find_stream(r, NULL);
	int status = 0;
	if (slot == NULL)
		return error_set(r->err, -EMFILE, "too many watches");
	int rc = request_make(r, s, &q);
	if (rc == 0)
		rc = stream_open(client_of(r, &q), &q.call, &slot->stream, &status, &body, r->err);
	if (rc == 0 && status == 200)
		slot->name = s->watch;
	return rc < 0 ? rc : check_body(r, s, status, body, body == NULL ? 0 : strlen(body));
}

/* Takes events until one is as wanted; @strict: the first must be. Bookmarks come when they like and are passed over unless wanted. */
static int await_event(const struct run *r, const struct open_stream *o, const json_t *want, bool strict)
{
	const bool bookmark = strcmp(json_str(want, "type", ""), "BOOKMARK") == 0;
	for (;;) {
		JSON_AUTO got = NULL;
		int rc = stream_next(o->stream, EVENT_NS, &got, r->err);
		if (rc < 0)
			return rc;
		if (!bookmark && strcmp(json_str(got, "type", ""), "BOOKMARK") == 0)
			continue;
		rc = match(want, got, false, r->vars, r->err);
		if (rc == 0 || strict)
			return rc;
	}
}

/* A list of events; one that begins with "..." lets others come between. */
static int do_events(struct run *r, const struct step *s)
{
	JSON_AUTO want = NULL;
	const struct open_stream *o = find_stream(r, s->watch);
	if (o == NULL)
		return error_set(r->err, -EINVAL, "no watch '%s' is open", s->watch);
	int rc = read_pattern(r, s, &want);
	const bool strict = !str_same(json_string_value(json_array_get(want, 0)), "...");
	for (size_t i = !strict; rc == 0 && i < json_array_size(want); i++) {
		rc = await_event(r, o, json_array_get(want, i), strict);
		if (rc < 0)
			error_wrap(r->err, rc, "event %zu", i + 1);
	}
	return rc;
}

static int do_end(struct run *r, const struct step *s)
{
	struct open_stream *o = find_stream(r, s->watch);
	if (o == NULL)
		return error_set(r->err, -EINVAL, "no watch '%s' is open", s->watch);
	int rc = 0;
	while (s->kind == STEP_END && rc == 0) {
		JSON_AUTO event = NULL;
		rc = stream_next(o->stream, EVENT_NS, &event, r->err);
	}
	stream_free(TAKE(o->stream));
	o->name = NULL;
	return rc == -EPIPE ? 0 : rc;
}

/* `CHECK A < B`, `A = B`, `A != B`: numbers where both are. */
static int do_check(struct run *r, const struct step *s)
{
	CLEANUP(free_p) char *text = NULL;
	char a[256], op[3], b[256];
	int64_t x, y;
	const int rc = vars_fill(r->vars, s->target, &text, r->err);
	if (rc < 0)
		return rc;
	if (sscanf(text, "%255s %2s %255s", a, op, b) != 3)
		return error_set(r->err, -EINVAL, "want 'CHECK A OP B', got '%s'", text);
	const int order = str_to_i64(a, &x) == 0 && str_to_i64(b, &y) == 0 ? (x > y) - (x < y) : strcmp(a, b);
	const bool holds = strcmp(op, "<") == 0   ? order < 0
			   : strcmp(op, "=") == 0 ? order == 0
						  : strcmp(op, "!=") == 0 && order != 0;
	return holds ? 0 : error_set(r->err, -EINVAL, "%s does not hold", text);
}

static int do_step(struct run *r, const struct step *s)
{
	switch (s->kind) {
	case STEP_REQUEST:
		return do_request(r, s);
	case STEP_WATCH:
		return do_watch(r, s);
	case STEP_EVENTS:
		return do_events(r, s);
	case STEP_END:
	case STEP_STOP:
		return do_end(r, s);
	case STEP_CHECK:
		return do_check(r, s);
	}
	return -EINVAL;
}

int case_run(const struct server *s, const struct test_case *c, struct map *vars, struct made *made, struct error *err)
{
	struct run r = {.server = s, .vars = vars, .made = made, .err = err};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < c->n_steps; i++) {
		const struct step *step = &c->steps[i];
		const int64_t deadline = clock_mono_ns() + RETRY_NS;
		while ((rc = do_step(&r, step)) < 0 && step->eventually && clock_mono_ns() < deadline)
			(void)poll(NULL, 0, PAUSE_MS);
		if (rc < 0)
			error_wrap(err, rc, "line %d: %s", step->line, step->verb);
	}
	for (size_t i = 0; i < STREAMS_MAX; i++)
		stream_free(r.streams[i].stream);
	return rc;
}

/* POST without looking at anything but its success. */
static int make_namespace(const struct server *s, const char *name, struct error *err)
{
	CLEANUP(free_p) char *url = str_printf("%s/api/v1/namespaces", s->url);
	CLEANUP(free_p)
	char *body = str_printf("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}", name);
	const struct http_header type = {"Content-Type", "application/json"};
	struct http_answer answer;
	if (url == NULL || body == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	const struct http_call call = {.method = "POST",
				       .url = url,
				       .headers = &type,
				       .n_headers = 1,
				       .body = body,
				       .body_n = strlen(body),
				       .bearer = s->token,
				       .timeout_ns = CALL_NS};
	const int rc = http_client_do(s->client, &call, &answer, err);
	if (rc < 0)
		return rc;
	const int status = answer.status;
	http_answer_clear(&answer);
	return status == 201 ? 0 : error_set(err, -EIO, "namespace %s: the server answered %d", name, status);
}

int case_prepare(const struct server *s, const char *text, struct map *vars, struct made *made, struct error *err)
{
	static const char *const names[] = {"ns", "other"};
	char suffix[9];
	random_suffix(suffix, 8);
	int rc = map_has(vars, "u") ? 0 : vars_set(vars, "u", suffix);
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(names); i++) {
		CLEANUP(free_p) char *mark = str_printf("${%s}", names[i]);
		CLEANUP(free_p) char *name = str_printf("conformance-%s-%s", names[i], suffix);
		if (mark == NULL || name == NULL)
			return error_set(err, -ENOMEM, "out of memory");
		if (strstr(text, mark) == NULL || map_has(vars, names[i]))
			continue;
		rc = vars_set(vars, names[i], name);
		if (rc == 0 && s->core)
			rc = make_namespace(s, name, err);
		if (rc == 0 && s->core)
			remember(made, str_printf("/api/v1/namespaces/%s", name));
	}
	return rc;
}

void made_remove(const struct server *s, struct made *made)
{
	while (made->n > 0) {
		CLEANUP(free_p) char *path = made->paths[--made->n];
		CLEANUP(free_p) char *url = str_printf("%s%s", s->url, path);
		const struct http_call call = {
			.method = "DELETE", .url = url, .bearer = s->token, .timeout_ns = CALL_NS};
		struct http_answer answer;
		if (url != NULL && http_client_do(s->client, &call, &answer, NULL) == 0)
			http_answer_clear(&answer); /* a case may have deleted it itself */
	}
}
