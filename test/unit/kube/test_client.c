#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "fake_api.h"
#include "kube/watch_lines.h"
#include "json/json.h"

/* --- errors --- */

struct answer {
	int status;
	const char *extra, *body;
};

static void one_answer(struct fake_api *f, struct fake_request *q)
{
	const struct answer *a = f->ctx;
	fake_reply(q->fd, a->status, a->extra, a->body);
}

#define STATUS(reason, message) "{\"kind\":\"Status\",\"reason\":\"" reason "\",\"message\":\"" message "\"}"

static void answers_become_typed_errors(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct answer answer;
		int rc;
		const char *reason, *msg;
	} cases[] = {
		{"not found",
		 {404, "", STATUS("NotFound", "pods \\\"x\\\" not found")},
		 -ENOENT,
		 "NotFound",
		 "get pods default/x: pods \"x\" not found"},
		{"exists",
		 {409, "", STATUS("AlreadyExists", "there")},
		 -EEXIST,
		 "AlreadyExists",
		 "get pods default/x: there"},
		{"conflict",
		 {409, "", STATUS("Conflict", "modified")},
		 -ESTALE,
		 "Conflict",
		 "get pods default/x: modified"},
		{"expired",
		 {410, "", STATUS("Expired", "too old")},
		 -EKEYEXPIRED,
		 "Expired",
		 "get pods default/x: too old"},
		{"bad request",
		 {400, "", STATUS("BadRequest", "bad")},
		 -EINVAL,
		 "BadRequest",
		 "get pods default/x: bad"},
		{"invalid", {422, "", STATUS("Invalid", "no")}, -EINVAL, "Invalid", "get pods default/x: no"},
		{"no credentials",
		 {401, "", STATUS("Unauthorized", "Unauthorized")},
		 -EACCES,
		 "Unauthorized",
		 "get pods default/x: Unauthorized"},
		{"forbidden",
		 {403, "", STATUS("Forbidden", "never")},
		 -EPERM,
		 "Forbidden",
		 "get pods default/x: never"},
		{"method", {405, "", ""}, -EOPNOTSUPP, "", "get pods default/x: the server answered HTTP 405"},
		{"too many, no hint",
		 {429, "", STATUS("TooManyRequests", "later")},
		 -EBUSY,
		 "TooManyRequests",
		 "get pods default/x: later"},
		{"html from a proxy",
		 {502, "", "<html>bad gateway</html>"},
		 -EIO,
		 "",
		 "get pods default/x: the server answered HTTP 502"},
		{"success that is no JSON", {200, "", "hello"}, -EPROTO, "", NULL},
		{"success that is no object",
		 {200, "", "[]"},
		 -EPROTO,
		 "",
		 "get pods default/x: the server's answer is no object"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake_api f;
		struct error err = {0};
		json_t *obj = NULL;
		fake_start(&f, one_answer, (void *)&cases[i].answer);
		struct kube_client *c = fake_client(&f, NULL);
		int rc = kube_get(c, &KUBE_POD, "default", "x", &obj, &err);
		if (rc != cases[i].rc || strcmp(err.reason, cases[i].reason) != 0 ||
		    (cases[i].msg != NULL && strcmp(err.msg, cases[i].msg) != 0))
			fail_msg("case '%s': rc %d, reason '%s', message '%s'", cases[i].name, rc, err.reason, err.msg);
		if (rc != -EPROTO)
			assert_int_equal(err.status, cases[i].answer.status);
		assert_null(obj);
		kube_client_free(c);
		fake_stop(&f);
	}
}

/* --- paths and bodies --- */

static void echo(struct fake_api *f, struct fake_request *q)
{
	(void)f;
	const char *ct = strcasestr(q->head, "\r\ncontent-type: ");
	CLEANUP(free_p) char *type = ct != NULL ? strndup(ct + 16, strcspn(ct + 16, "\r")) : strdup("");
	JSON_AUTO j = json_pack("{s:s, s:s, s:s}", "line", q->line, "type", type, "body", q->body);
	CLEANUP(free_p) char *text = json_to_text(j, NULL);
	fake_reply(q->fd, 200, "", text);
}

static void expect_echo(json_t *got, int rc, const char *line, const char *type, const char *body)
{
	assert_int_equal(rc, 0);
	assert_string_equal(json_str(got, "line", ""), line);
	assert_string_equal(json_str(got, "type", ""), type);
	if (body != NULL)
		assert_string_equal(json_str(got, "body", ""), body);
	json_decref(got);
}

static void requests_have_the_right_shape(void **state)
{
	(void)state;
	struct fake_api f;
	fake_start(&f, echo, NULL);
	struct kube_client *c = fake_client(&f, NULL);
	JSON_AUTO obj = json_pack("{s:{s:s}}", "metadata", "name", "x");
	const char *body = "{\"metadata\":{\"name\":\"x\"}}";
	json_t *got = NULL;
	int rc = kube_get(c, &KUBE_NODE, "ignored", "a b/c", &got, NULL);
	expect_echo(got, rc, "GET /api/v1/nodes/a%20b%2Fc", "", "");
	const struct kube_list_options o = {
		.label_selector = "a in (b,c),d!=e", .field_selector = "spec.nodeName=n", .limit = 500, .cont = "x=="};
	rc = kube_list(c, &KUBE_STATEFULSET, NULL, &o, &got, NULL);
	expect_echo(got, rc,
		    "GET "
		    "/apis/apps/v1/"
		    "statefulsets?labelSelector=a%20in%20%28b%2Cc%29%2Cd%21%3De&fieldSelector=spec.nodeName%3Dn"
		    "&limit=500&continue=x%3D%3D",
		    "", "");
	rc = kube_create(c, &KUBE_POD, "ns", obj, &got, NULL);
	expect_echo(got, rc, "POST /api/v1/namespaces/ns/pods?fieldManager=sluice", "application/json", body);
	rc = kube_create_sub(c, &KUBE_POD, "ns", "x", "binding", obj, &got, NULL);
	expect_echo(got, rc, "POST /api/v1/namespaces/ns/pods/x/binding?fieldManager=sluice", "application/json", body);
	rc = kube_update(c, &KUBE_LEASE, "ns", "x", NULL, obj, &got, NULL);
	expect_echo(got, rc, "PUT /apis/coordination.k8s.io/v1/namespaces/ns/leases/x?fieldManager=sluice",
		    "application/json", body);
	rc = kube_patch(c, &KUBE_POD, "ns", "x", "status", KUBE_PATCH_MERGE, obj, &got, NULL);
	expect_echo(got, rc, "PATCH /api/v1/namespaces/ns/pods/x/status?fieldManager=sluice",
		    "application/merge-patch+json", body);
	rc = kube_patch(c, &KUBE_POD, "ns", "x", NULL, KUBE_PATCH_STRATEGIC, obj, &got, NULL);
	expect_echo(got, rc, "PATCH /api/v1/namespaces/ns/pods/x?fieldManager=sluice",
		    "application/strategic-merge-patch+json", body);
	rc = kube_patch(c, &KUBE_POD, "ns", "x", NULL, KUBE_PATCH_JSON, obj, &got, NULL);
	expect_echo(got, rc, "PATCH /api/v1/namespaces/ns/pods/x?fieldManager=sluice", "application/json-patch+json",
		    body);
	rc = kube_apply(c, &KUBE_POD, "ns", "x", NULL, obj, &got, NULL);
	expect_echo(got, rc, "PATCH /api/v1/namespaces/ns/pods/x?fieldManager=sluice&force=true",
		    "application/apply-patch+yaml", body);
	kube_client_free(c);
	fake_stop(&f);
}

static void keep_body(struct fake_api *f, struct fake_request *q)
{
	char **kept = f->ctx;
	*kept = strdup(q->body);
	fake_reply(q->fd, 200, "", "{}");
}

static void delete_carries_its_options(void **state)
{
	(void)state;
	struct fake_api f;
	char *body = NULL;
	fake_start(&f, keep_body, &body);
	struct kube_client *c = fake_client(&f, NULL);
	const struct kube_delete_options o = {
		.grace_seconds = 0, .uid = "u", .resource_version = "7", .propagation = "Background"};
	assert_int_equal(kube_delete(c, &KUBE_POD, "ns", "x", &o, NULL), 0);
	kube_client_free(c);
	fake_stop(&f);
	assert_string_equal(
		body,
		"{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"gracePeriodSeconds\":0,\"preconditions\":{\"uid\":"
		"\"u\",\"resourceVersion\":\"7\"},\"propagationPolicy\":\"Background\"}");
	free(body);
}

static void incomplete_addresses_are_refused(void **state)
{
	(void)state;
	struct fake_api f;
	struct error err = {0};
	fake_start(&f, echo, NULL);
	struct kube_client *c = fake_client(&f, NULL);
	assert_int_equal(kube_delete(c, &KUBE_POD, "ns", "", NULL, &err), -EINVAL);
	assert_string_equal(err.msg, "delete pods ns/: no name was given");
	assert_int_equal(kube_delete(c, &KUBE_POD, "", "x", NULL, &err), -EINVAL);
	assert_string_equal(err.msg, "delete pods x: no namespace was given");
	assert_int_equal(kube_get(c, &KUBE_POD, "ns", "..", NULL, &err), -EINVAL);
	assert_int_equal(fake_count(&f), 0);
	kube_client_free(c);
	fake_stop(&f);
}

/* --- trying again --- */

static void busy_then_good(struct fake_api *f, struct fake_request *q)
{
	(void)f;
	if (q->n < 2)
		fake_reply(q->fd, q->n == 0 ? 429 : 503, "Retry-After: 0\r\n", STATUS("TooManyRequests", "later"));
	else
		fake_reply(q->fd, 200, "", "{\"ok\":true}");
}

static void retry_after_is_obeyed(void **state)
{
	(void)state;
	struct fake_api f;
	json_t *got = NULL;
	fake_start(&f, busy_then_good, NULL);
	struct kube_client *c = fake_client(&f, NULL);
	const int64_t start = clock_mono_ns();
	JSON_AUTO obj = json_object();
	assert_int_equal(kube_create(c, &KUBE_POD, "ns", obj, &got, NULL), 0);
	assert_true(json_bool(got, "ok", false));
	assert_int_equal(fake_count(&f), 3);
	assert_true(clock_mono_ns() - start >= 200 * NSEC_PER_MSEC);
	json_decref(got);
	kube_client_free(c);
	fake_stop(&f);
}

/* What is sent how often when the first answer asks to come again. */
static void first_refused(struct fake_api *f, struct fake_request *q)
{
	const struct answer *a = f->ctx;
	fake_reply(q->fd, q->n == 0 ? a->status : 200, q->n == 0 ? a->extra : "", q->n == 0 ? a->body : "{}");
}

static void only_what_is_harmless_is_done_twice(void **state)
{
	(void)state;
	enum how { GET, POST, PUT, MERGE, JSON, APPLY, DELETE };
	static const struct {
		const char *name;
		enum how how;
		struct answer first;
		int rc;
	} cases[] = {
		{"a read after 500", GET, {500, "Retry-After: 0\r\n", ""}, 0},
		{"a read after 504", GET, {504, "Retry-After: 0\r\n", ""}, 0},
		{"a read without a word of when", GET, {503, "", ""}, -EIO},
		{"a read, at a time that is none", GET, {503, "Retry-After: soon\r\n", ""}, -EIO},
		{"a create after 429", POST, {429, "Retry-After: 0\r\n", ""}, 0},
		{"a create after 503", POST, {503, "Retry-After: 0\r\n", ""}, 0},
		{"a create after 500", POST, {500, "Retry-After: 0\r\n", ""}, -EIO},
		{"a create after 504", POST, {504, "Retry-After: 0\r\n", ""}, -EIO},
		{"an update after 500", PUT, {500, "Retry-After: 0\r\n", ""}, 0},
		{"a merge patch after 500", MERGE, {500, "Retry-After: 0\r\n", ""}, 0},
		{"a JSON patch after 500", JSON, {500, "Retry-After: 0\r\n", ""}, -EIO},
		{"a JSON patch after 429", JSON, {429, "Retry-After: 0\r\n", ""}, 0},
		{"an apply after 502", APPLY, {502, "Retry-After: 0\r\n", ""}, 0},
		{"a deletion after 500", DELETE, {500, "Retry-After: 0\r\n", ""}, 0},
		{"a deletion after 404", DELETE, {404, "Retry-After: 0\r\n", ""}, -ENOENT},
	};
	JSON_AUTO obj = json_object();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fake_api f;
		fake_start(&f, first_refused, (void *)&cases[i].first);
		struct kube_client *c = fake_client(&f, NULL);
		int rc = -1;
		switch (cases[i].how) {
		case GET:
			rc = kube_get(c, &KUBE_POD, "ns", "x", NULL, NULL);
			break;
		case POST:
			rc = kube_create(c, &KUBE_POD, "ns", obj, NULL, NULL);
			break;
		case PUT:
			rc = kube_update(c, &KUBE_POD, "ns", "x", NULL, obj, NULL, NULL);
			break;
		case MERGE:
		case JSON:
			rc = kube_patch(c, &KUBE_POD, "ns", "x", NULL,
					cases[i].how == MERGE ? KUBE_PATCH_MERGE : KUBE_PATCH_JSON, obj, NULL, NULL);
			break;
		case APPLY:
			rc = kube_apply(c, &KUBE_POD, "ns", "x", NULL, obj, NULL, NULL);
			break;
		case DELETE:
			rc = kube_delete(c, &KUBE_POD, "ns", "x", NULL, NULL);
			break;
		}
		const unsigned sent = fake_count(&f);
		if (rc != cases[i].rc || sent != (cases[i].rc == 0 ? 2 : 1))
			fail_msg("case '%s': rc %d, sent %u times", cases[i].name, rc, sent);
		kube_client_free(c);
		fake_stop(&f);
	}
}

/* --- the fence --- */

static bool is_open(void *ctx)
{
	return atomic_load((atomic_bool *)ctx);
}

static void closed_fence_lets_only_reads_through(void **state)
{
	(void)state;
	struct fake_api f;
	atomic_bool open = false;
	const struct kube_fence fence = {.open = is_open, .ctx = &open};
	struct error err = {0};
	JSON_AUTO obj = json_object();
	fake_start(&f, echo, NULL);
	struct kube_client *c = fake_client(&f, NULL);
	kube_client_set_fence(c, &fence);
	assert_int_equal(kube_get(c, &KUBE_POD, "ns", "x", NULL, NULL), 0);
	assert_int_equal(kube_patch(c, &KUBE_POD, "ns", "x", NULL, KUBE_PATCH_MERGE, obj, NULL, &err), -ECANCELED);
	assert_string_equal(err.msg, "patch pods ns/x: not sent: this process does not lead");
	assert_string_equal(err.reason, "NotLeader");
	assert_int_equal(kube_create(c, &KUBE_POD, "ns", obj, NULL, NULL), -ECANCELED);
	assert_int_equal(kube_delete(c, &KUBE_POD, "ns", "x", NULL, NULL), -ECANCELED);
	assert_int_equal(fake_count(&f), 1);
	atomic_store(&open, true);
	assert_int_equal(kube_create(c, &KUBE_POD, "ns", obj, NULL, NULL), 0);
	atomic_store(&open, false);
	kube_client_set_fence(c, NULL);
	assert_int_equal(kube_create(c, &KUBE_POD, "ns", obj, NULL, NULL), 0);
	assert_int_equal(fake_count(&f), 3);
	kube_client_free(c);
	fake_stop(&f);
}

/* The lease is lost between the first attempt and the second. */
static void close_and_refuse(struct fake_api *f, struct fake_request *q)
{
	atomic_store((atomic_bool *)f->ctx, false);
	fake_reply(q->fd, 429, "Retry-After: 0\r\n", STATUS("TooManyRequests", "later"));
}

static void fence_is_asked_before_each_attempt(void **state)
{
	(void)state;
	struct fake_api f;
	atomic_bool open = true;
	const struct kube_fence fence = {.open = is_open, .ctx = &open};
	JSON_AUTO obj = json_object();
	fake_start(&f, close_and_refuse, &open);
	struct kube_client *c = fake_client(&f, NULL);
	kube_client_set_fence(c, &fence);
	assert_int_equal(kube_create(c, &KUBE_POD, "ns", obj, NULL, NULL), -ECANCELED);
	assert_int_equal(fake_count(&f), 1);
	kube_client_free(c);
	fake_stop(&f);
}

static void retry_after_beyond_the_deadline_is_an_error(void **state)
{
	(void)state;
	struct fake_api f;
	const struct answer a = {503, "Retry-After: 100\r\n", STATUS("ServiceUnavailable", "starting")};
	fake_start(&f, one_answer, (void *)&a);
	struct kube_client *c = fake_client(&f, NULL);
	struct error err = {0};
	assert_int_equal(kube_get(c, &KUBE_POD, "ns", "x", NULL, &err), -EIO);
	assert_string_equal(err.msg, "get pods ns/x: starting");
	assert_int_equal(fake_count(&f), 1);
	kube_client_free(c);
	fake_stop(&f);
}

static void drop_first(struct fake_api *f, struct fake_request *q)
{
	(void)f;
	if (q->n > 0)
		fake_reply(q->fd, 200, "", "{}");
	else
		fake_text(q->fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half");
}

static void cut_read_is_tried_again_but_no_write(void **state)
{
	(void)state;
	JSON_AUTO obj = json_object();
	for (int write = 0; write < 2; write++) {
		struct fake_api f;
		fake_start(&f, drop_first, NULL);
		struct kube_client *c = fake_client(&f, NULL);
		int rc = write ? kube_create(c, &KUBE_POD, "ns", obj, NULL, NULL)
			       : kube_get(c, &KUBE_POD, "ns", "x", NULL, NULL);
		assert_int_equal(rc, write ? -ECONNRESET : 0);
		assert_int_equal(fake_count(&f), write ? 1 : 2);
		kube_client_free(c);
		fake_stop(&f);
	}
}

static void want_second_token(struct fake_api *f, struct fake_request *q)
{
	if (strstr(q->head, "Bearer second") != NULL) {
		fake_reply(q->fd, 200, "", "{}");
		return;
	}
	int rc = file_write_atomic(f->ctx, 0600, "second\n", 7, NULL); /* the kubelet rotates it just now */
	fake_reply(q->fd, rc == 0 ? 401 : 500, "", STATUS("Unauthorized", "Unauthorized"));
}

static void rotated_token_is_read_again_after_401(void **state)
{
	(void)state;
	char path[] = "/tmp/test-client-token-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, "first\n", 6), 0);
	close(fd);
	struct fake_api f;
	fake_start(&f, want_second_token, path);
	struct kube_client *c = fake_client(&f, path);
	assert_int_equal(kube_get(c, &KUBE_POD, "ns", "x", NULL, NULL), 0);
	assert_int_equal(fake_count(&f), 2);
	kube_client_free(c);
	fake_stop(&f);
	unlink(path);
}

/* --- watch --- */

struct seen {
	char text[512];
	int stop_at; /* return -ECANCELED at this event; 0: never */
	int n;
};

static int on_event(void *ctx, const char *type, json_t *obj)
{
	struct seen *s = ctx;
	const size_t n = strlen(s->text);
	(void)snprintf(s->text + n, sizeof s->text - n, "%s %s%s;", type, json_str(obj, "metadata.name", ""),
		       json_str(obj, "reason", ""));
	return ++s->n == s->stop_at ? -ECANCELED : 0;
}

#define EVENT(type, name) "{\"type\":\"" type "\",\"object\":{\"metadata\":{\"name\":\"" name "\"}}}\n"

static void events_come_however_the_bytes_are_cut(void **state)
{
	(void)state;
	static const char body[] = EVENT("ADDED", "a") "\r\n" EVENT("MODIFIED", "b") EVENT("BOOKMARK", "c");
	for (size_t cut = 0; cut < sizeof body; cut++) {
		struct seen s = {0};
		struct error err = {0};
		struct watch_lines w = WATCH_LINES_INIT(on_event, &s, "watch pods", &err);
		assert_int_equal(watch_lines_feed(&w, body, cut), 0);
		assert_int_equal(watch_lines_feed(&w, body + cut, sizeof body - 1 - cut), 0);
		assert_int_equal(watch_lines_end(&w), 0);
		assert_string_equal(s.text, "ADDED a;MODIFIED b;BOOKMARK c;");
		watch_lines_clear(&w);
	}
}

static void malformed_events_end_the_watch(void **state)
{
	(void)state;
	static const struct {
		const char *in;
		int rc;
		const char *msg;
	} cases[] = {
		{"{\"type\":\"ADDED\"}\n", -EPROTO, "watch pods: an event without type or object"},
		{"{\"type\":1,\"object\":{}}\n", -EPROTO, "watch pods: an event without type or object"},
		{"[]\n", -EPROTO, "watch pods: an event without type or object"},
		{"{\"type\":\n", -EPROTO, NULL},
		{"{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}}\n",
		 -EKEYEXPIRED, "watch pods: too old"},
		{"{\"type\":\"ERROR\",\"object\":{\"code\":200}}\n", -EPROTO, NULL},
		{"{\"type\":\"ADDED\",\"obj", -ECONNRESET, "watch pods: the connection was cut within an event"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct seen s = {0};
		struct error err = {0};
		struct watch_lines w = WATCH_LINES_INIT(on_event, &s, "watch pods", &err);
		int rc = watch_lines_feed(&w, cases[i].in, strlen(cases[i].in));
		if (rc == 0)
			rc = watch_lines_end(&w);
		if (rc != cases[i].rc || (cases[i].msg != NULL && strcmp(err.msg, cases[i].msg) != 0))
			fail_msg("case '%s': rc %d, '%s'", cases[i].in, rc, err.msg);
		watch_lines_clear(&w);
	}
}

static void endless_line_is_refused(void **state)
{
	(void)state;
	struct seen s = {0};
	struct error err = {0};
	struct watch_lines w = WATCH_LINES_INIT(on_event, &s, "watch pods", &err);
	CLEANUP(free_p) char *block = malloc(1 << 20);
	memset(block, 'x', 1 << 20);
	int rc = 0;
	for (int i = 0; i < 9 && rc == 0; i++)
		rc = watch_lines_feed(&w, block, 1 << 20);
	assert_int_equal(rc, -EFBIG);
	assert_true(w.partial.cap <= 2 * WATCH_LINE_MAX);
	watch_lines_clear(&w);
}

static void watch_script(struct fake_api *f, struct fake_request *q)
{
	const int mode = *(int *)f->ctx;
	fake_stream_begin(q->fd);
	fake_chunk(q->fd, EVENT("ADDED", "a"));
	switch (mode) {
	case 0: /* the server ends it */
		fake_stream_end(q->fd);
		break;
	case 1: /* cut within an event, at a chunk's border */
		fake_chunk(q->fd, "{\"type\":\"ADDED\",");
		break;
	case 2: /* half a chunk */
		fake_text(q->fd, "80\r\n{\"type\":");
		break;
	case 3:
		fake_chunk(
			q->fd,
			"{\"type\":\"ERROR\",\"object\":{\"code\":410,\"reason\":\"Expired\",\"message\":\"old\"}}\n");
		fake_hold(f, q->fd);
		break;
	default:
		fake_hold(f, q->fd);
	}
}

static void watch_ends_as_it_should(void **state)
{
	(void)state;
	static const int want[] = {0, -ECONNRESET, -ECONNRESET, -EKEYEXPIRED};
	for (int mode = 0; mode < (int)ARRAY_LEN(want); mode++) {
		struct fake_api f;
		struct seen s = {0};
		struct error err = {0};
		fake_start(&f, watch_script, &mode);
		struct kube_client *c = fake_client(&f, NULL);
		const struct kube_list_options o = {.resource_version = "12"};
		int rc = kube_watch(c, &KUBE_POD, "ns", &o, on_event, &s, NULL, &err);
		if (rc != want[mode])
			fail_msg("mode %d: rc %d, '%s'", mode, rc, err.msg);
		assert_string_equal(s.text, mode == 3 ? "ADDED a;ERROR Expired;" : "ADDED a;");
		assert_true(str_has_prefix(
			f.lines[0],
			"GET /api/v1/namespaces/ns/pods?resourceVersion=12&watch=true&allowWatchBookmarks=true"
			"&timeoutSeconds="));
		kube_client_free(c);
		fake_stop(&f);
	}
}

static void receiver_ends_the_watch(void **state)
{
	(void)state;
	struct fake_api f;
	int mode = 9;
	struct seen s = {.stop_at = 1};
	fake_start(&f, watch_script, &mode);
	struct kube_client *c = fake_client(&f, NULL);
	assert_int_equal(kube_watch(c, &KUBE_POD, "ns", NULL, on_event, &s, NULL, NULL), -ECANCELED);
	assert_int_equal(s.n, 1);
	kube_client_free(c);
	fake_stop(&f);
}

struct watcher {
	struct kube_client *c;
	atomic_bool cancel;
	atomic_int events;
	int rc;
};

static int count_event(void *ctx, const char *type, json_t *obj)
{
	(void)type;
	(void)obj;
	atomic_fetch_add((atomic_int *)ctx, 1);
	return 0;
}

static void *run_watch(void *arg)
{
	struct watcher *w = arg;
	w->rc = kube_watch(w->c, &KUBE_POD, NULL, NULL, count_event, &w->events, &w->cancel, NULL);
	return NULL;
}

static void stop_flag_ends_a_quiet_watch_within_a_second(void **state)
{
	(void)state;
	struct fake_api f;
	int mode = 9;
	fake_start(&f, watch_script, &mode);
	struct watcher w = {.c = fake_client(&f, NULL)};
	pthread_t t;
	assert_int_equal(pthread_create(&t, NULL, run_watch, &w), 0);
	assert_true(fake_wait(&w.events, 1));
	const int64_t start = clock_mono_ns();
	atomic_store(&w.cancel, true);
	pthread_join(t, NULL);
	assert_int_equal(w.rc, -ECANCELED);
	assert_true(clock_mono_ns() - start < 3 * NSEC_PER_SEC);
	kube_client_free(w.c);
	fake_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_become_typed_errors),
		cmocka_unit_test(requests_have_the_right_shape),
		cmocka_unit_test(delete_carries_its_options),
		cmocka_unit_test(incomplete_addresses_are_refused),
		cmocka_unit_test(retry_after_is_obeyed),
		cmocka_unit_test(only_what_is_harmless_is_done_twice),
		cmocka_unit_test(closed_fence_lets_only_reads_through),
		cmocka_unit_test(fence_is_asked_before_each_attempt),
		cmocka_unit_test(retry_after_beyond_the_deadline_is_an_error),
		cmocka_unit_test(cut_read_is_tried_again_but_no_write),
		cmocka_unit_test(rotated_token_is_read_again_after_401),
		cmocka_unit_test(events_come_however_the_bytes_are_cut),
		cmocka_unit_test(malformed_events_end_the_watch),
		cmocka_unit_test(endless_line_is_refused),
		cmocka_unit_test(watch_ends_as_it_should),
		cmocka_unit_test(receiver_ends_the_watch),
		cmocka_unit_test(stop_flag_ends_a_quiet_watch_within_a_second),
	};
	return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}
