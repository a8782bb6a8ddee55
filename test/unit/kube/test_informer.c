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
		fake_chunk(q->fd, EVENT("MODIFIED", ITEM("b", "11", "n2")));
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

static void lists_in_pages_and_resumes_from_the_last_version(void **state)
{
	(void)state;
	struct run r;
	atomic_int watches = 0;
	run_start(&r, pages_then_cut, &watches);
	assert_int_equal(informer_wait_synced(r.inf, clock_mono_ns() + 10 * NSEC_PER_SEC), 0);
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
	assert_int_equal(informer_wait_synced(r.inf, clock_mono_ns() + 20 * NSEC_PER_SEC), 0);
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
	assert_int_equal(informer_wait_synced(r.inf, clock_mono_ns() + 10 * NSEC_PER_MSEC), -ETIMEDOUT);
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
		cmocka_unit_test(errors_back_off_and_are_logged_once),
		cmocka_unit_test(stops_within_a_second_while_a_list_hangs),
	};
	return cmocka_run_group_tests_name("informer", tests, NULL, NULL);
}
