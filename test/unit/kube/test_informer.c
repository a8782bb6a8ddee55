#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "fake_api.h"
#include "kube/informer.h"
#include "json/json.h"

#define ITEM(name, rv, node)                                                                                           \
	"{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"resourceVersion\":\"" rv                          \
	"\",\"managedFields\":[{\"manager\":\"m\"}]},\"spec\":{\"nodeName\":\"" node "\"}}"
#define EVENT(type, item) "{\"type\":\"" type "\",\"object\":" item "}\n"
#define LIST(rv, cont, items)                                                                                          \
	"{\"metadata\":{\"resourceVersion\":\"" rv "\",\"continue\":\"" cont "\"},\"items\":[" items "]}"

struct record {
	pthread_mutex_t lock;
	char text[2048];
	atomic_int n;
};

static void on_change(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	static const char *const names[] = {"added", "updated", "deleted"};
	struct record *r = ctx;
	pthread_mutex_lock(&r->lock);
	const size_t n = strlen(r->text);
	(void)snprintf(r->text + n, sizeof r->text - n, "%s %s %s%s%s;", names[ev], obj_name(obj),
		       obj_resource_version(obj), old != NULL ? " was " : "",
		       old != NULL ? obj_resource_version(old) : "");
	pthread_mutex_unlock(&r->lock);
	assert_null(json_at(obj, "metadata.managedFields"));
	assert_string_equal(json_str(obj, "kind", ""), "Pod");
	assert_string_equal(json_str(obj, "apiVersion", ""), "v1");
	atomic_fetch_add(&r->n, 1);
}

static char *by_node(const json_t *obj)
{
	const char *node = json_str(obj, "spec.nodeName", "");
	return node[0] != '\0' ? strdup(node) : NULL;
}

struct run {
	struct fake_api f;
	struct kube_client *c;
	struct informer *inf;
	struct record rec;
};

static void run_start(struct run *r, void (*script)(struct fake_api *, struct fake_request *), void *ctx)
{
	memset(r, 0, sizeof *r);
	pthread_mutex_init(&r->rec.lock, NULL);
	fake_start(&r->f, script, ctx);
	r->c = fake_client(&r->f, NULL);
	assert_int_equal(informer_new(r->c, &KUBE_POD, NULL, &r->inf, NULL), 0);
	assert_int_equal(informer_add_handler(r->inf, on_change, &r->rec), 0);
	assert_int_equal(informer_add_index(r->inf, "node", by_node), 0);
	assert_int_equal(informer_start(r->inf, NULL), 0);
}

static void run_end(struct run *r, const char *want)
{
	informer_free(r->inf);
	assert_string_equal(r->rec.text, want);
	kube_client_free(r->c);
	fake_stop(&r->f);
	pthread_mutex_destroy(&r->rec.lock);
}

static bool is_watch(const struct fake_request *q)
{
	return strstr(q->line, "watch=true") != NULL;
}

/* --- list in pages, then watch; resume from the last version after a cut in the middle of an event --- */

static void pages_then_cut(struct fake_api *f, struct fake_request *q)
{
	atomic_int *watches = f->ctx;
	if (!is_watch(q)) {
		if (strstr(q->line, "continue=next") == NULL)
			fake_reply(q->fd, 200, "", LIST("10", "next", ITEM("a", "1", "n1") "," ITEM("b", "2", "n1")));
		else
			fake_reply(q->fd, 200, "", LIST("10", "", ITEM("c", "3", "n2")));
		return;
	}
	fake_stream_begin(q->fd);
	switch (atomic_fetch_add(watches, 1)) {
	case 0: /* version 11, a bookmark at 12, and half of 13 */
		fake_chunk(q->fd, EVENT("MODIFIED", ITEM("b", "11", "n2\\nn3")));
		fake_chunk(q->fd, EVENT("BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"12\"}}"));
		fake_chunk(q->fd, "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"d\"");
		return;
	default:
		fake_chunk(q->fd, EVENT("ADDED", ITEM("d", "13", "")) EVENT("DELETED", ITEM("a", "14", "n1")));
		fake_hold(f, q->fd);
	}
}

static bool asked(struct fake_api *f, unsigned n, const char *what)
{
	pthread_mutex_lock(&f->lock);
	bool yes = n < f->n && f->lines[n] != NULL && strstr(f->lines[n], what) != NULL;
	pthread_mutex_unlock(&f->lock);
	return yes;
}

static bool note_two(void *ctx, const json_t *obj)
{
	(*(int *)ctx)++;
	assert_string_equal(obj_namespace(obj), "ns");
	return *(int *)ctx < 2;
}

static void lists_in_pages_and_resumes_from_the_last_version(void **state)
{
	(void)state;
	struct run r;
	atomic_int watches = 0;
	run_start(&r, pages_then_cut, &watches);
	assert_int_equal(informer_wait_synced(r.inf, clock_mono_ns() + 10 * NSEC_PER_SEC, -1), 0);
	assert_true(informer_synced(r.inf));
	assert_true(fake_wait(&r.rec.n, 6));

	JSON_AUTO all = informer_list(r.inf, NULL);
	JSON_AUTO other = informer_list(r.inf, "n");
	JSON_AUTO n1 = informer_list_by(r.inf, "node", "n1");
	JSON_AUTO n2 = informer_list_by(r.inf, "node", "n2");
	JSON_AUTO b = informer_get(r.inf, "ns", "b");
	JSON_AUTO a = informer_get(r.inf, "ns", "a");
	assert_int_equal(json_array_size(all), 3);
	assert_int_equal(json_array_size(other), 0); /* "n" is no prefix match of "ns" */
	assert_int_equal(json_array_size(n1), 0);
	assert_int_equal(json_array_size(n2), 2);
	JSON_AUTO n3 = informer_list_by(r.inf, "node", "n3"); /* b has two keys */
	assert_int_equal(json_array_size(n3), 1);
	assert_string_equal(obj_name(json_array_get(n3, 0)), "b");
	int visited = 0;
	assert_int_equal(informer_visit(r.inf, note_two, &visited), 0);
	assert_int_equal(visited, 2); /* and not the third */
	assert_string_equal(obj_resource_version(b), "11");
	assert_null(a);
	assert_true(asked(&r.f, 0, "limit=100"));
	assert_true(asked(&r.f, 2, "resourceVersion=10&watch=true&allowWatchBookmarks=true"));
	assert_true(asked(&r.f, 3, "resourceVersion=12&watch=true"));
	run_end(&r, "added a 1;added b 2;added c 3;updated b 11 was 2;added d 13;deleted a 14;");
}

/* --- 410: list again, and tell the difference --- */

static void expired(struct fake_api *f, struct fake_request *q)
{
	atomic_int *step = f->ctx;
	const int n = atomic_fetch_add(step, 1);
	if (!is_watch(q)) {
		fake_reply(q->fd, 200, "",
			   n == 0 ? LIST("10", "", ITEM("a", "1", "") "," ITEM("b", "2", "") "," ITEM("c", "3", ""))
				  : LIST("20", "", ITEM("a", "1", "") "," ITEM("b", "15", "") "," ITEM("d", "16", "")));
	} else if (n == 1) {
		fake_reply(q->fd, 410, "",
			   "{\"kind\":\"Status\",\"reason\":\"Expired\",\"message\":\"too old\",\"code\":410}");
	} else {
		fake_stream_begin(q->fd);
		fake_hold(f, q->fd);
	}
}

static void expired_within(struct fake_api *f, struct fake_request *q)
{
	if (is_watch(q) && atomic_load((atomic_int *)f->ctx) == 1) {
		atomic_fetch_add((atomic_int *)f->ctx, 1);
		fake_stream_begin(q->fd);
		fake_chunk(q->fd, EVENT("ERROR", "{\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}"));
		fake_stream_end(q->fd);
		return;
	}
	expired(f, q);
}

static void lists_again_after_410_and_tells_the_difference(void **state)
{
	(void)state;
	void (*const scripts[])(struct fake_api *, struct fake_request *) = {expired, expired_within};
	for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
		struct run r;
		atomic_int step = 0;
		run_start(&r, scripts[i], &step);
		assert_true(fake_wait(&r.rec.n, 6));
		assert_true(fake_wait(&step, 4));
		assert_true(asked(&r.f, 3, "resourceVersion=20&watch=true"));
		run_end(&r, "added a 1;added b 2;added c 3;updated b 15 was 2;added d 16;deleted c 3;");
	}
}

/* --- what a server may do wrong --- */

/* A step of a script: one request, how it is answered. */
struct step {
	const char *want; /* in the request line */
	int status;       /* not 200: with @body; 0: a stream of @body */
	const char *extra, *body;
	enum { WHOLE, DRIP, HALF_CHUNK, HOLD } how;
};

struct script {
	const struct step *steps;
	size_t n;
	atomic_int at;
	atomic_int unexpected;
};

static void play(struct fake_api *f, struct fake_request *q)
{
	struct script *s = f->ctx;
	const size_t at = (size_t)atomic_fetch_add(&s->at, 1);
	if (at >= s->n) { /* the end: nothing happens any more */
		fake_stream_begin(q->fd);
		fake_hold(f, q->fd);
		return;
	}
	const struct step *p = &s->steps[at];
	if (strstr(q->line, p->want) == NULL)
		atomic_fetch_add(&s->unexpected, 1);
	if (p->status != 0) {
		fake_reply(q->fd, p->status, p->extra != NULL ? p->extra : "", p->body);
		return;
	}
	fake_stream_begin(q->fd);
	if (p->how == DRIP) {
		for (const char *c = p->body; *c != '\0'; c++)
			fake_chunk(q->fd, (const char[]){*c, '\0'});
	} else if (p->how == HALF_CHUNK) {
		char head[32];
		(void)snprintf(head, sizeof head, "%zx\r\n", strlen(p->body) + 100);
		fake_text(q->fd, head);
		fake_text(q->fd, p->body);
		return;
	} else {
		fake_chunk(q->fd, p->body);
	}
	if (p->how == HOLD)
		fake_hold(f, q->fd);
	fake_stream_end(q->fd);
}

#define STATUS_OF(code, reason) "{\"kind\":\"Status\",\"code\":" code ",\"reason\":\"" reason "\",\"message\":\"no\"}"

static void servers_that_fail_are_followed_all_the_same(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		struct step steps[6];
		size_t n;
		int told;
		const char *want;
	} cases[] = {
		{"bytes that drip",
		 {{"limit=100", 200, NULL, LIST("10", "", ITEM("a", "1", "")), WHOLE},
		  {"resourceVersion=10&watch", 0, NULL,
		   EVENT("MODIFIED", ITEM("a", "11", "")) EVENT("ADDED", ITEM("b", "12", "")), DRIP},
		  {"resourceVersion=12&watch", 0, NULL, EVENT("DELETED", ITEM("a", "13", "")), HOLD}},
		 3,
		 4,
		 "added a 1;updated a 11 was 1;added b 12;deleted a 13;"},
		{"half a chunk",
		 {{"limit=100", 200, NULL, LIST("10", "", ITEM("a", "1", "")), WHOLE},
		  {"resourceVersion=10&watch", 0, NULL, EVENT("ADDED", ITEM("b", "11", "")) "{\"type\":\"ADD",
		   HALF_CHUNK},
		  {"resourceVersion=11&watch", 0, NULL, EVENT("ADDED", ITEM("c", "12", "")), HOLD}},
		 3,
		 3,
		 "added a 1;added b 11;added c 12;"},
		{"too many requests, twice",
		 {{"limit=100", 429, "Retry-After: 0\r\n", STATUS_OF("429", "TooManyRequests"), WHOLE},
		  {"limit=100", 200, NULL, LIST("10", "", ITEM("a", "1", "")), WHOLE},
		  {"resourceVersion=10&watch", 429, "Retry-After: 0\r\n", STATUS_OF("429", "TooManyRequests"), WHOLE},
		  {"resourceVersion=10&watch", 0, NULL, EVENT("ADDED", ITEM("b", "11", "")), HOLD}},
		 4,
		 2,
		 "added a 1;added b 11;"},
		{"a server that was set back",
		 {{"limit=100", 200, NULL, LIST("20", "", ITEM("a", "15", "") "," ITEM("b", "16", "")), WHOLE},
		  {"resourceVersion=20&watch", 504, NULL, STATUS_OF("504", "Timeout"), WHOLE},
		  {"limit=100", 200, NULL, LIST("5", "", ITEM("a", "3", "")), WHOLE},
		  {"resourceVersion=5&watch", 0, NULL, EVENT("ADDED", ITEM("c", "6", "")), HOLD}},
		 4,
		 5,
		 "added a 15;added b 16;updated a 3 was 15;deleted b 16;added c 6;"},
		{"a page that has expired",
		 {{"limit=100", 200, NULL, LIST("10", "more", ITEM("a", "1", "")), WHOLE},
		  {"continue=more", 410, NULL, STATUS_OF("410", "Expired"), WHOLE},
		  {"limit=100", 200, NULL, LIST("12", "", ITEM("a", "1", "") "," ITEM("b", "12", "")), WHOLE},
		  {"resourceVersion=12&watch", 0, NULL, EVENT("ADDED", ITEM("c", "13", "")), HOLD}},
		 4,
		 3,
		 "added a 1;added b 12;added c 13;"},
		{"an error within the stream",
		 {{"limit=100", 200, NULL, LIST("10", "", ITEM("a", "1", "")), WHOLE},
		  {"resourceVersion=10&watch", 0, NULL,
		   EVENT("ADDED", ITEM("b", "11", "")) EVENT("ERROR", STATUS_OF("500", "InternalError")), WHOLE},
		  {"resourceVersion=11&watch", 0, NULL, EVENT("ADDED", ITEM("c", "12", "")), HOLD}},
		 3,
		 3,
		 "added a 1;added b 11;added c 12;"},
		{"an event that is none: watching again would bring it again",
		 {{"limit=100", 200, NULL, LIST("10", "", ITEM("a", "1", "")), WHOLE},
		  {"resourceVersion=10&watch", 0, NULL, "hello\n", WHOLE},
		  {"limit=100", 200, NULL, LIST("11", "", ITEM("a", "1", "") "," ITEM("b", "11", "")), WHOLE},
		  {"resourceVersion=11&watch", 0, NULL, EVENT("ADDED", ITEM("c", "12", "")), HOLD}},
		 4,
		 3,
		 "added a 1;added b 11;added c 12;"},
		{"an old event once more",
		 {{"limit=100", 200, NULL, LIST("10", "", ITEM("a", "9", "")), WHOLE},
		  {"resourceVersion=10&watch", 0, NULL,
		   EVENT("MODIFIED", ITEM("a", "9", "")) EVENT("DELETED", ITEM("never", "10", ""))
			   EVENT("ADDED", ITEM("b", "11", "")),
		   HOLD}},
		 2,
		 2,
		 "added a 9;added b 11;"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct run r;
		struct script s = {.steps = cases[i].steps, .n = cases[i].n};
		run_start(&r, play, &s);
		if (!fake_wait(&r.rec.n, cases[i].told) || strcmp(r.rec.text, cases[i].want) != 0)
			fail_msg("case '%s': %s", cases[i].name, r.rec.text);
		if (atomic_load(&s.unexpected) != 0) {
			for (unsigned k = 0; k < fake_count(&r.f); k++)
				print_message("%s\n", r.f.lines[k]);
			fail_msg("case '%s': other requests than expected", cases[i].name);
		}
		run_end(&r, cases[i].want);
	}
}

/* --- errors: back off, log once, go on --- */

static void sick_then_well(struct fake_api *f, struct fake_request *q)
{
	atomic_int *n = f->ctx;
	const int k = atomic_fetch_add(n, 1);
	if (k < 3)
		fake_reply(q->fd, 500, "", "{\"kind\":\"Status\",\"message\":\"sick\"}");
	else if (!is_watch(q))
		fake_reply(q->fd, 200, "", LIST("10", "", ITEM("a", "1", "")));
	else {
		fake_stream_begin(q->fd);
		fake_hold(f, q->fd);
	}
}

static void errors_back_off_and_are_logged_once(void **state)
{
	(void)state;
	FILE *log = tmpfile();
	assert_non_null(log);
	log_init(fileno(log), LOG_LVL_INFO, "test");
	struct run r;
	atomic_int n = 0;
	const int64_t start = clock_mono_ns();
	run_start(&r, sick_then_well, &n);
	assert_int_equal(informer_wait_synced(r.inf, clock_mono_ns() + 20 * NSEC_PER_SEC, -1), 0);
	assert_true(clock_mono_ns() - start >= 700 * NSEC_PER_MSEC); /* at least half of 200 + 400 + 800 ms */
	run_end(&r, "added a 1;");
	char text[4096] = "";
	rewind(log);
	const size_t got = fread(text, 1, sizeof text - 1, log);
	text[got] = '\0';
	log_init(2, LOG_LVL_INFO, "test");
	fclose(log);
	const char *first = strstr(text, "watch fails, trying again");
	assert_non_null(first);
	assert_null(strstr(first + 1, "watch fails, trying again"));
	assert_non_null(strstr(first, "list pods: sick"));
	assert_non_null(strstr(first, "watch works again"));
}

static void never_answers(struct fake_api *f, struct fake_request *q)
{
	atomic_fetch_add((atomic_int *)f->ctx, 1);
	fake_hold(f, q->fd);
}

static void stops_within_a_second_while_a_list_hangs(void **state)
{
	(void)state;
	struct run r;
	atomic_int n = 0;
	run_start(&r, never_answers, &n);
	assert_true(fake_wait(&n, 1));
	assert_int_equal(informer_wait_synced(r.inf, clock_mono_ns() + 10 * NSEC_PER_MSEC, -1), -ETIMEDOUT);
	const int64_t start = clock_mono_ns();
	run_end(&r, "");
	assert_true(clock_mono_ns() - start < 3 * NSEC_PER_SEC);
}

int main(void)
{
	log_init(2, LOG_LVL_ERROR, "test");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_in_pages_and_resumes_from_the_last_version),
		cmocka_unit_test(lists_again_after_410_and_tells_the_difference),
		cmocka_unit_test(servers_that_fail_are_followed_all_the_same),
		cmocka_unit_test(errors_back_off_and_are_logged_once),
		cmocka_unit_test(stops_within_a_second_while_a_list_hangs),
	};
	return cmocka_run_group_tests_name("informer", tests, NULL, NULL);
}
