#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "fake_api.h"
#include "kube/event.h"
#include "kube/manager.h"
#include "net/http_client.h"
#include "json/json.h"

#define OWNED(name, uid)                                                                                               \
	"{\"metadata\":{\"name\":\"" name                                                                              \
	"\",\"namespace\":\"ns\",\"resourceVersion\":\"3\",\"ownerReferences\":[{\"apiVersion\":"                      \
	"\"apps/v1\",\"kind\":\"StatefulSet\",\"name\":\"owner-of-" name "\",\"uid\":\"" uid                           \
	"\",\"controller\":true}]}}"

static void objects(struct fake_api *f, struct fake_request *q)
{
	if (strstr(q->line, "watch=true") != NULL) {
		fake_stream_begin(q->fd);
		fake_hold(f, q->fd);
	} else if (strstr(q->line, "/statefulsets") != NULL)
		fake_reply(q->fd, 200, "",
			   "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[{\"metadata\":{\"name\":\"web\","
			   "\"namespace\":\"ns\","
			   "\"resourceVersion\":\"1\"}}]}");
	else if (strstr(q->line, "/nodes") != NULL)
		fake_reply(q->fd, 200, "",
			   "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[{\"metadata\":{\"name\":\"n1\","
			   "\"resourceVersion\":\"2\"}}]}");
	else
		fake_reply(q->fd, 200, "",
			   "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" OWNED("p", "u1") "]}");
}

struct work {
	pthread_mutex_t lock;
	char seen[512]; /* first passes, sorted by nothing: looked up by strstr */
	atomic_int calls, fails_left, again_left;
	bool freed;
};

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct work *w = ctx;
	pthread_mutex_lock(&w->lock);
	const size_t n = strlen(w->seen);
	(void)snprintf(w->seen + n, sizeof w->seen - n, "[%s/%s]", ns, name);
	pthread_mutex_unlock(&w->lock);
	atomic_fetch_add(&w->calls, 1);
	if (strcmp(name, "web") == 0 && atomic_fetch_sub(&w->fails_left, 1) > 0)
		return error_set(err, -EIO, "not yet");
	if (strcmp(name, "web") == 0 && atomic_fetch_sub(&w->again_left, 1) > 0)
		ret->requeue_after_ns = NSEC_PER_MSEC;
	return 0;
}

static void mark_freed(void *ctx)
{
	((struct work *)ctx)->freed = true;
}

static void node_to_set(void *ctx, struct controller *c, const json_t *obj)
{
	assert_string_equal((const char *)ctx, "context");
	assert_string_equal(obj_name(obj), "n1");
	controller_enqueue(c, "ns", "of-node");
}

static void keys_come_from_all_sources_and_failures_come_again(void **state)
{
	(void)state;
	struct fake_api f;
	struct work w = {.fails_left = 3, .again_left = 2};
	pthread_mutex_init(&w.lock, NULL);
	fake_start(&f, objects, NULL);
	struct kube_client *client = fake_client(&f, NULL);
	struct manager *m = NULL;
	struct controller *c = NULL;
	assert_int_equal(manager_new(&(struct manager_options){.client = client}, &m, NULL), 0);
	assert_int_equal(
		controller_new(m,
			       &(struct controller_options){
				       .name = "test", .reconcile = reconcile, .ctx = &w, .free_ctx = mark_freed},
			       &c, NULL),
		0);
	assert_int_equal(controller_watch(c, &KUBE_STATEFULSET), 0);
	assert_int_equal(controller_watch_owned(c, &KUBE_POD, &KUBE_STATEFULSET), 0);
	assert_int_equal(controller_watch_owned(c, &KUBE_POD, &KUBE_DAEMONSET),
			 0); /* another kind: nothing comes from it */
	assert_int_equal(controller_watch_mapped(c, &KUBE_NODE, node_to_set, (void *)"context"), 0);
	assert_ptr_equal(manager_informer(m, &KUBE_POD), manager_informer(m, &KUBE_POD));
	struct error err = {0};
	if (manager_start(m, -1, &err) < 0)
		fail_msg("start: %s", err.msg);
	/* web: 3 failures, 2 that ask to come again, 1 more; owner-of-p and of-node once each */
	assert_true(fake_wait(&w.calls, 8));
	manager_stop(m);
	assert_int_equal(atomic_load(&w.calls), 8);
	assert_non_null(strstr(w.seen, "[ns/web]"));
	assert_non_null(strstr(w.seen, "[ns/owner-of-p]"));
	assert_non_null(strstr(w.seen, "[ns/of-node]"));
	assert_false(w.freed);
	manager_free(m);
	assert_true(w.freed);
	kube_client_free(client);
	fake_stop(&f);
	pthread_mutex_destroy(&w.lock);
}

/* --- predicates --- */

#define AT(name, version, generation)                                                                                  \
	"{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"resourceVersion\":\"" version                     \
	"\",\"generation\":" generation "}}"
#define MODIFIED(object) "{\"type\":\"MODIFIED\",\"object\":" object "}\n"

/* The status of "a" changes, then its spec; and "b", which ends the test, comes last. */
static void status_then_spec(struct fake_api *f, struct fake_request *q)
{
	if (strstr(q->line, "watch=true") == NULL) {
		fake_reply(q->fd, 200, "",
			   "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" AT("a", "1", "1") "]}");
		return;
	}
	while (atomic_load((atomic_int *)f->ctx) < 1 && !atomic_load(&f->stop))
		(void)poll(NULL, 0, 2);
	fake_stream_begin(q->fd);
	fake_chunk(q->fd, MODIFIED(AT("a", "10", "1")));
	fake_chunk(q->fd, MODIFIED(AT("b", "11", "1")));
	while (atomic_load((atomic_int *)f->ctx) < 2 && !atomic_load(&f->stop))
		(void)poll(NULL, 0, 2);
	fake_chunk(q->fd, MODIFIED(AT("a", "12", "2")));
	fake_hold(f, q->fd);
}

static void predicates_let_through_what_is_wanted(void **state)
{
	(void)state;
	struct fake_api f;
	struct work w = {0};
	pthread_mutex_init(&w.lock, NULL);
	fake_start(&f, status_then_spec, &w.calls);
	struct kube_client *client = fake_client(&f, NULL);
	struct manager *m = NULL;
	struct controller *c = NULL;
	const struct controller_options o = {.name = "some", .workers = 1, .reconcile = reconcile, .ctx = &w};
	assert_int_equal(manager_new(&(struct manager_options){.client = client}, &m, NULL), 0);
	assert_int_equal(controller_new(m, &o, &c, NULL), 0);
	assert_int_equal(controller_watch_if(c, &KUBE_STATEFULSET, controller_generation_changed), 0);
	assert_int_equal(manager_start(m, -1, NULL), 0);
	assert_true(fake_wait(&w.calls, 3));
	manager_free(m);
	assert_string_equal(w.seen, "[ns/a][ns/b][ns/a]");
	kube_client_free(client);
	fake_stop(&f);
	pthread_mutex_destroy(&w.lock);
}

/* --- lanes --- */

static atomic_int changes;

static bool count_change(enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)ev, (void)old, (void)obj;
	atomic_fetch_add(&changes, 1);
	return true;
}

/* Three new ones; the last of them changes while the first is worked on, and one more comes after that. */
static void three_then_change(struct fake_api *f, struct fake_request *q)
{
	if (strstr(q->line, "watch=true") == NULL) {
		fake_reply(q->fd, 200, "",
			   "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[" AT("a", "1", "1") "," AT(
				   "b", "2", "1") "," AT("c", "3", "1") "]}");
		return;
	}
	(void)fake_wait(f->ctx, 1);
	fake_stream_begin(q->fd);
	fake_chunk(q->fd, MODIFIED(AT("c", "10", "1")));
	fake_chunk(q->fd, "{\"type\":\"ADDED\",\"object\":" AT("d", "11", "1") "}\n");
	fake_hold(f, q->fd);
}

static int reconcile_first_slowly(void *ctx, const char *ns, const char *name, struct reconcile_result *ret,
				  struct error *err)
{
	int rc = reconcile(ctx, ns, name, ret, err);
	if (strcmp(name, "a") == 0)
		assert_true(fake_wait(&changes, 5)); /* the fifth is seen: the fourth is in the queue */
	return rc;
}

static void what_changes_goes_before_what_is_new(void **state)
{
	(void)state;
	struct fake_api f;
	struct work w = {0};
	pthread_mutex_init(&w.lock, NULL);
	fake_start(&f, three_then_change, &w.calls);
	struct kube_client *client = fake_client(&f, NULL);
	struct manager *m = NULL;
	struct controller *c = NULL;
	const struct controller_options o = {
		.name = "lanes", .workers = 1, .reconcile = reconcile_first_slowly, .ctx = &w};
	assert_int_equal(manager_new(&(struct manager_options){.client = client}, &m, NULL), 0);
	assert_int_equal(controller_new(m, &o, &c, NULL), 0);
	assert_int_equal(controller_watch_if(c, &KUBE_STATEFULSET, count_change), 0);
	assert_int_equal(manager_start(m, -1, NULL), 0);
	assert_true(fake_wait(&w.calls, 4));
	manager_free(m);
	assert_string_equal(w.seen, "[ns/a][ns/c][ns/b][ns/d]");
	kube_client_free(client);
	fake_stop(&f);
	pthread_mutex_destroy(&w.lock);
}

/* --- health and metrics --- */

static void nobody(struct fake_api *f, struct fake_request *q)
{
	if (strstr(q->line, "watch=true") != NULL) {
		fake_stream_begin(q->fd);
		fake_hold(f, q->fd);
		return;
	}
	while (!atomic_load((atomic_bool *)f->ctx) && !atomic_load(&f->stop))
		(void)poll(NULL, 0, 2);
	fake_reply(q->fd, 200, "", "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[]}");
}

/* The status; the body into @out. */
static int ask(uint16_t port, const char *path, char *out, size_t size)
{
	struct http_client *h = NULL;
	struct http_answer a = {0};
	char url[96];
	(void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", port, path);
	assert_int_equal(http_client_new(&(struct http_client_options){0}, &h, NULL), 0);
	assert_int_equal(
		http_client_do(h, &(struct http_call){.method = "GET", .url = url, .timeout_ns = 10 * NSEC_PER_SEC}, &a,
			       NULL),
		0);
	const int status = a.status;
	(void)str_copy(out, size, a.body); /* a cut text is still a good one */
	http_answer_clear(&a);
	http_client_free(h);
	return status;
}

static void *start_it(void *arg)
{
	return (void *)(intptr_t)manager_start(arg, -1, NULL);
}

static void probes_and_scrapes_are_answered(void **state)
{
	(void)state;
	struct fake_api f;
	atomic_bool open = false;
	struct work w = {0};
	pthread_mutex_init(&w.lock, NULL);
	fake_start(&f, nobody, &open);
	struct kube_client *client = fake_client(&f, NULL);
	struct manager *m = NULL;
	struct controller *c = NULL;
	const struct manager_options o = {.client = client, .health_address = ":0", .metrics_address = "127.0.0.1:0"};
	assert_int_equal(manager_new(&o, &m, NULL), 0);
	assert_int_equal(
		controller_new(m, &(struct controller_options){.name = "probe", .reconcile = reconcile, .ctx = &w}, &c,
			       NULL),
		0);
	assert_int_equal(controller_watch(c, &KUBE_POD), 0);
	pthread_t t;
	void *rc = NULL;
	assert_int_equal(pthread_create(&t, NULL, start_it, m), 0);
	/* The list has come, so it serves by now; it waits for the answer. */
	const int64_t deadline = clock_mono_ns() + 10 * NSEC_PER_SEC;
	while (fake_count(&f) < 1 && clock_mono_ns() < deadline)
		(void)poll(NULL, 0, 2);
	char text[65536];
	const uint16_t health = manager_health_port(m), metrics = manager_metrics_port(m);
	assert_true(health != 0 && metrics != 0 && health != metrics);
	assert_int_equal(ask(health, "/healthz", text, sizeof text), 200);
	assert_string_equal(text, "ok");
	assert_int_equal(ask(health, "/readyz", text, sizeof text), 503);
	assert_string_equal(text, "[+]manager ok\n[+]reconciles ok\n[-]cache of pods: the first list is not in\n");
	atomic_store(&open, true);
	assert_int_equal(pthread_join(t, &rc), 0);
	assert_int_equal((intptr_t)rc, 0);
	assert_true(manager_leads(m));
	assert_int_equal(ask(health, "/readyz", text, sizeof text), 200);
	assert_string_equal(text, "ok");
	assert_int_equal(ask(health, "/readyz?verbose", text, sizeof text), 200);
	assert_string_equal(text, "[+]manager ok\n[+]reconciles ok\n[+]cache of pods ok\n");

	controller_enqueue(c, "ns", "a");
	controller_enqueue(c, "ns", "b");
	assert_true(fake_wait(&w.calls, 2));
	const char *done = "controller_runtime_reconcile_total{controller=\"probe\",result=\"success\"} 2\n";
	do
		assert_int_equal(ask(metrics, "/metrics", text, sizeof text), 200);
	while (strstr(text, done) == NULL && clock_mono_ns() < deadline);
	static const char *const lines[] = {
		"controller_runtime_max_concurrent_reconciles{controller=\"probe\"} 2\n",
		"controller_runtime_active_workers{controller=\"probe\"} 0\n",
		"controller_runtime_reconcile_errors_total{controller=\"probe\"} 0\n",
		"controller_runtime_reconcile_time_seconds_count{controller=\"probe\"} 2\n",
		"workqueue_depth{name=\"probe\"} 0\n",
		"workqueue_adds_total{name=\"probe\"} 2\n",
		"workqueue_retries_total{name=\"probe\"} 0\n",
		"workqueue_longest_running_processor_seconds{name=\"probe\"} ",
		"workqueue_unfinished_work_seconds{name=\"probe\"} ",
		"workqueue_queue_duration_seconds_count{name=\"probe\"} 2\n",
		"workqueue_work_duration_seconds_bucket{name=\"probe\",le=\"1000\"} ",
		"rest_client_request_duration_seconds_count{host=\"127.0.0.1:",
	};
	assert_non_null(strstr(text, done));
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (strstr(text, lines[i]) == NULL)
			fail_msg("no '%s' in:\n%s", lines[i], text);
	char requests[128];
	(void)snprintf(requests, sizeof requests,
		       "rest_client_requests_total{code=\"200\",host=\"127.0.0.1:%u\",method=\"GET\"} 1\n", f.port);
	assert_non_null(strstr(text, requests));
	assert_int_equal(ask(metrics, "/healthz", text, sizeof text), 404);
	assert_int_equal(ask(health, "/metrics", text, sizeof text), 404);
	manager_free(m);
	kube_client_free(client);
	fake_stop(&f);
	pthread_mutex_destroy(&w.lock);
}

/* A signal ends the wait for lists that do not come. */
static void a_start_can_be_called_off(void **state)
{
	(void)state;
	struct fake_api f;
	atomic_bool open = false;
	struct work w = {0};
	fake_start(&f, nobody, &open);
	struct kube_client *client = fake_client(&f, NULL);
	struct manager *m = NULL;
	struct controller *c = NULL;
	struct error err = {0};
	const struct controller_options o = {.name = "idle", .reconcile = reconcile, .ctx = &w};
	assert_int_equal(manager_new(&(struct manager_options){.client = client}, &m, NULL), 0);
	assert_int_equal(controller_new(m, &o, &c, NULL), 0);
	assert_int_equal(controller_watch(c, &KUBE_POD), 0);
	const int stop_fd = eventfd(1, EFD_CLOEXEC);
	assert_int_equal(manager_start(m, stop_fd, &err), -ECANCELED);
	assert_string_equal(err.msg, "stopped while the list of pods was under way");
	assert_false(manager_leads(m));
	manager_free(m);
	assert_int_equal(close(stop_fd), 0);
	kube_client_free(client);
	fake_stop(&f);
}

static void one_address_serves_both_and_a_bad_one_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *health, *metrics, *msg;
	} cases[] = {
		{"127.0.0.1:0", "127.0.0.1:0", NULL},
		{NULL, "0", NULL},
		{"8080", NULL,
		 "serve /healthz and /readyz: '8080' is not ADDRESS:PORT, such as 127.0.0.1:8080 or :8080"},
		{NULL, ":65536", "serve /metrics: ':65536' is not ADDRESS:PORT, such as 127.0.0.1:8080 or :8080"},
	};
	struct fake_api f;
	fake_start(&f, objects, NULL);
	struct kube_client *client = fake_client(&f, NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct manager *m = NULL;
		struct error err = {0};
		const struct manager_options o = {
			.client = client, .health_address = cases[i].health, .metrics_address = cases[i].metrics};
		assert_int_equal(manager_new(&o, &m, NULL), 0);
		const int rc = manager_start(m, -1, &err);
		if (strcmp(err.msg, cases[i].msg != NULL ? cases[i].msg : "") != 0)
			fail_msg("case %zu: '%s'", i, err.msg);
		assert_int_equal(rc, cases[i].msg != NULL ? -EINVAL : 0);
		if (i == 0) {
			char text[64];
			assert_int_equal(manager_health_port(m), manager_metrics_port(m));
			assert_int_equal(ask(manager_health_port(m), "/metrics", text, sizeof text), 200);
			assert_int_equal(ask(manager_health_port(m), "/readyz", text, sizeof text), 200);
		}
		manager_free(m);
	}
	kube_client_free(client);
	fake_stop(&f);
}

/* --- events --- */

struct sent {
	pthread_mutex_t lock;
	char posts[16384], patches[4096];
	atomic_int n;
	atomic_bool open; /* answer; until then the first request waits */
};

static void take_events(struct fake_api *f, struct fake_request *q)
{
	struct sent *s = f->ctx;
	while (!atomic_load(&s->open) && !atomic_load(&f->stop))
		(void)poll(NULL, 0, 2);
	const bool post = str_has_prefix(q->line, "POST ");
	char *to = post ? s->posts : s->patches;
	const size_t size = post ? sizeof s->posts : sizeof s->patches;
	pthread_mutex_lock(&s->lock);
	const size_t n = strlen(to);
	(void)snprintf(to + n, size - n, "%s\n", q->body);
	pthread_mutex_unlock(&s->lock);
	fake_reply(q->fd, 200, "", "{}");
	atomic_fetch_add(&s->n, 1);
}

static void equal_events_become_a_count(void **state)
{
	(void)state;
	struct fake_api f;
	struct sent s = {.open = true};
	pthread_mutex_init(&s.lock, NULL);
	fake_start(&f, take_events, &s);
	struct kube_client *c = fake_client(&f, NULL);
	struct event_recorder *r = NULL;
	assert_int_equal(event_recorder_new(c, "comp", &r, NULL), 0);
	JSON_AUTO obj = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}}", "apiVersion", "v1", "kind", "Pod", "metadata",
				  "name", "p", "namespace", "ns", "uid", "u");
	event_emit(r, obj, "Warning", "Bad", "value %d", 1);
	assert_true(fake_wait(&s.n, 1));
	event_emit(r, obj, "Warning", "Bad", "value %d", 1);
	assert_true(fake_wait(&s.n, 2));
	event_emit(r, obj, "Warning", "Bad", "value %d", 2);
	assert_true(fake_wait(&s.n, 3));
	event_recorder_free(r);
	assert_int_equal(atomic_load(&s.n), 3);
	assert_true(str_has_prefix(f.lines[0], "POST /api/v1/namespaces/ns/events"));
	assert_true(str_has_prefix(f.lines[1], "PATCH /api/v1/namespaces/ns/events/p."));
	assert_non_null(strstr(s.posts, "\"message\":\"value 1\""));
	assert_non_null(strstr(s.posts, "\"message\":\"value 2\""));
	assert_non_null(strstr(
		s.posts, "\"involvedObject\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"name\":\"p\",\"uid\":\"u\""));
	assert_non_null(strstr(s.patches, "\"count\":2"));
	kube_client_free(c);
	fake_stop(&f);
	pthread_mutex_destroy(&s.lock);
}

static void waiting_events_collapse_and_have_a_limit(void **state)
{
	(void)state;
	struct fake_api f;
	struct sent s = {0};
	pthread_mutex_init(&s.lock, NULL);
	fake_start(&f, take_events, &s);
	struct kube_client *c = fake_client(&f, NULL);
	struct event_recorder *r = NULL;
	assert_int_equal(event_recorder_new(c, "comp", &r, NULL), 0);
	JSON_AUTO obj = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Node", "metadata", "name", "n1");
	event_emit(r, obj, "Normal", "First", "holds the sender");
	const int64_t deadline = clock_mono_ns() + 10 * NSEC_PER_SEC;
	while (fake_count(&f) < 1 && clock_mono_ns() < deadline)
		(void)poll(NULL, 0, 2);
	for (int i = 0; i < 50; i++)
		event_emit(r, obj, "Normal", "Same", "again");
	atomic_store(&s.open, true);
	while (atomic_load(&s.n) < 2 && clock_mono_ns() < deadline)
		(void)poll(NULL, 0, 2);
	event_recorder_free(r);
	assert_int_equal(atomic_load(&s.n), 2); /* one for the first, one for the fifty */
	assert_non_null(strstr(s.posts, "\"count\":50"));
	assert_true(str_has_prefix(f.lines[0],
				   "POST /api/v1/namespaces/default/events")); /* cluster-scoped objects: there */
	kube_client_free(c);
	fake_stop(&f);
	pthread_mutex_destroy(&s.lock);
}

static void floods_are_combined_and_limited(void **state)
{
	(void)state;
	struct fake_api f;
	struct sent s = {.open = true};
	pthread_mutex_init(&s.lock, NULL);
	fake_start(&f, take_events, &s);
	struct kube_client *c = fake_client(&f, NULL);
	struct event_recorder *r = NULL;
	assert_int_equal(event_recorder_new(c, "flood", &r, NULL), 0);
	JSON_AUTO obj = json_pack("{s:s, s:{s:s}}", "kind", "Node", "metadata", "name", "n1");
	for (int i = 0; i < 40; i++) { /* one after the other, so that none waits for another */
		const int before = atomic_load(&s.n);
		event_emit(r, obj, "Warning", "Bad", "value %d", i);
		if (i < 25)
			assert_true(fake_wait(&s.n, before + 1));
	}
	event_recorder_free(r);
	assert_int_equal(atomic_load(&s.n), 25);
	assert_non_null(strstr(s.posts, "\"message\":\"value 9\""));
	assert_null(strstr(s.posts, "\"message\":\"value 10\""));
	assert_non_null(strstr(s.posts, "\"message\":\"(combined from similar events): value 10\""));
	assert_non_null(strstr(s.patches, "\"count\":15"));
	assert_non_null(strstr(s.patches, "\"message\":\"(combined from similar events): value 24\""));
	struct strbuf b = STRBUF_INIT(1u << 20);
	metrics_write(metrics_root(), &b);
	assert_non_null(strstr(b.p, "sluice_events_dropped_total{component=\"flood\"} 15\n"));
	strbuf_clear(&b);
	kube_client_free(c);
	fake_stop(&f);
	pthread_mutex_destroy(&s.lock);
}

static void a_dead_server_delays_the_end_by_its_limit_only(void **state)
{
	(void)state;
	struct fake_api f;
	struct sent s = {0};
	pthread_mutex_init(&s.lock, NULL);
	fake_start(&f, take_events, &s);
	struct kube_client *c = fake_client(&f, NULL);
	struct event_recorder *r = NULL;
	assert_int_equal(event_recorder_new(c, "comp", &r, NULL), 0);
	JSON_AUTO obj = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Node", "metadata", "name", "n1");
	event_emit(r, obj, "Normal", "First", "never answered");
	const int64_t start = clock_mono_ns();
	event_recorder_free(r);
	assert_true(clock_mono_ns() - start < 5 * NSEC_PER_SEC);
	kube_client_free(c);
	fake_stop(&f);
	pthread_mutex_destroy(&s.lock);
}

int main(void)
{
	log_init(2, LOG_LVL_ERROR + 1, "test"); /* the failures that are made on purpose */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_come_from_all_sources_and_failures_come_again),
		cmocka_unit_test(predicates_let_through_what_is_wanted),
		cmocka_unit_test(what_changes_goes_before_what_is_new),
		cmocka_unit_test(probes_and_scrapes_are_answered),
		cmocka_unit_test(a_start_can_be_called_off),
		cmocka_unit_test(one_address_serves_both_and_a_bad_one_is_refused),
		cmocka_unit_test(equal_events_become_a_count),
		cmocka_unit_test(waiting_events_collapse_and_have_a_limit),
		cmocka_unit_test(floods_are_combined_and_limited),
		cmocka_unit_test(a_dead_server_delays_the_end_by_its_limit_only),
	};
	return cmocka_run_group_tests_name("manager", tests, NULL, NULL);
}
