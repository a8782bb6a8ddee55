/*
 * Each allocation of the Kubernetes client fails once, and each answer is cut at each byte: nothing leaks, nothing is half done, the error
 * says so, and what runs by itself (caches, controllers, elections) gets there all the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "fault.h"

#define FAKE_THREAD_BEGIN (fault_exempt = true)
#include "fake_api.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/discovery.h"
#include "kube/event.h"
#include "kube/exec.h"
#include "kube/informer.h"
#include "kube/informer_store.h"
#include "kube/leader.h"
#include "kube/manager.h"
#include "kube/watch_lines.h"
#include "kube/workqueue.h"
#include "net/http_server.h"
#include "net/websocket_server.h"
#include "json/json.h"

/* Waits in the client end at once: its deadlines lie in the past of the real clock. Differences are what they are. */
static int64_t long_ago(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec - 1000 * NSEC_PER_SEC;
}

/* --- in one thread --- */

static void queues(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		struct workqueue *q = workqueue_new(0, 0);
		int rc[3] = {-ENOMEM, -ENOMEM, -ENOMEM};
		char *key = NULL;
		int got = -ENOMEM;
		if (q != NULL) {
			rc[0] = workqueue_add(q, "a");
			rc[1] = workqueue_add_after(q, "b", NSEC_PER_SEC);
			rc[2] = workqueue_add_rate_limited(q, "c");
			if (rc[0] == 0)
				got = workqueue_get(q, &key);
		}
		FAULT_END;
		for (int i = 0; i < 3; i++)
			assert_true(rc[i] == 0 || (rc[i] == -ENOMEM && fault_hit()));
		assert_true((got == 0) == (key != NULL));
		if (got == 0) {
			workqueue_done(q, key);
			free(key);
		} else if (q != NULL && rc[0] == 0) { /* the key is not lost: it comes the next time */
			assert_int_equal(workqueue_get(q, &key), 0);
			assert_string_equal(key, "a");
			free(key);
		}
		workqueue_free(q);
	}
}

static char *index_of(const json_t *obj)
{
	return str_printf("%s", json_str(obj, "spec.node", ""));
}

static json_t *object(const char *name, const char *version, const char *node)
{
	json_t *o = json_pack("{s:{s:s, s:s, s:s}, s:{s:s}}", "metadata", "namespace", "ns", "name", name,
			      "resourceVersion", version, "spec", "node", node);
	assert_non_null(o);
	return o;
}

static int put(struct informer_store *s, const json_t *obj)
{
	bool existed = false;
	json_t *old = NULL;
	const int rc = informer_store_put(s, obj, true, &existed, &old);
	json_decref(old);
	return rc;
}

/* A change that cannot be kept leaves the object and its place in the index as they were. */
static void stores(void **state)
{
	(void)state;
	JSON_AUTO one = object("x", "1", "n1");
	JSON_AUTO two = object("x", "2", "n2");
	for (int same_node = 0; same_node < 2; same_node++) {
		FAULT_LOOP
		{
			FAULT_END;
			struct informer_store *s = informer_store_new();
			assert_non_null(s);
			assert_int_equal(informer_store_add_index(s, "node", index_of), 0);
			assert_int_equal(put(s, one), 0);
			assert_int_equal(json_put_str(two, "spec.node", same_node ? "n1" : "n2"), 0);
			atomic_store(&fault_left, fault_n_);
			const int rc = put(s, two);
			FAULT_END;
			assert_true(rc == 0 || (rc == -ENOMEM && fault_hit()));
			JSON_AUTO got = informer_store_get(s, "ns", "x");
			JSON_AUTO in_n1 = informer_store_list_by(s, "node", "n1");
			JSON_AUTO in_n2 = informer_store_list_by(s, "node", "n2");
			assert_string_equal(obj_resource_version(got), rc == 0 ? "2" : "1");
			const size_t at_n1 = rc < 0 || same_node ? 1 : 0;
			if (json_array_size(in_n1) + json_array_size(in_n2) ==
			    1) { /* else its index key found no memory */
				assert_int_equal(json_array_size(in_n1), at_n1);
			} else {
				assert_true(rc == 0 && fault_hit());
			}
			informer_store_free(s);
		}
	}
}

static void configs(void **state)
{
	static const char text[] =
		"{\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\",\"user\":\"u\"}}],"
		"\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":\"https://h:1/\",\"certificate-authority-data\":"
		"\"eA==\"}}],\"users\":[{\"name\":\"u\",\"user\":{\"exec\":{\"apiVersion\":"
		"\"client.authentication.k8s.io/v1\",\"command\":\"x\",\"args\":[\"a\"],\"provideClusterInfo\":true,"
		"\"env\":[{\"name\":\"E\",\"value\":\"1\"}]}}}]}";
	(void)state;
	FAULT_LOOP
	{
		struct kube_config *cfg = NULL;
		struct error err = {0};
		const int rc = kube_config_parse(text, sizeof text - 1, "/dir/cfg", NULL, &cfg, &err);
		FAULT_END;
		if (rc == 0 ? fault_hit() : !fault_hit() || rc != -ENOMEM || err.msg[0] == '\0')
			fail_msg("allocation %ld: %d, '%s'", fault_n_, rc, err.msg);
		assert_true((cfg != NULL) == (rc == 0));
		kube_config_free(cfg);
	}
}

static int keep_last(void *ctx, const char *type, json_t *obj)
{
	(void)type;
	(void)str_copy(ctx, 16, obj_name(obj)); /* ours are shorter */
	return 0;
}

static void lines(void **state)
{
	static const char text[] = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}\n"
				   "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"b\"}}}\n";
	(void)state;
	FAULT_LOOP
	{
		char last[16] = "";
		struct error err = {0};
		CLEANUP(watch_lines_clear) struct watch_lines w = WATCH_LINES_INIT(keep_last, last, "watch", &err);
		int rc = watch_lines_feed(&w, text, 10);
		if (rc == 0)
			rc = watch_lines_feed(&w, text + 10, sizeof text - 1 - 10);
		if (rc == 0)
			rc = watch_lines_end(&w);
		FAULT_END;
		assert_true(rc == 0 ? !fault_hit() : fault_hit() && rc == -ENOMEM);
		assert_true(rc < 0 || strcmp(last, "b") == 0);
	}
}

/* --- calls --- */

static void pods_or_pod(struct fake_api *f, struct fake_request *q)
{
	(void)f;
	fake_reply(q->fd, 200, "",
		   strstr(q->line, "/pods/") != NULL ? "{\"metadata\":{\"name\":\"x\"}}"
						     : "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}");
}

static int call(struct kube_client *c, int which, const json_t *obj, json_t **ret, struct error *err)
{
	const struct kube_list_options lo = {.label_selector = "a=b", .limit = 5};
	const struct kube_delete_options del = {.grace_seconds = 0, .uid = "u", .propagation = "Foreground"};
	switch (which) {
	case 0:
		return kube_get(c, &KUBE_POD, "ns", "x", ret, err);
	case 1:
		return kube_list(c, &KUBE_POD, "ns", &lo, ret, err);
	case 2:
		return kube_patch(c, &KUBE_POD, "ns", "x", "status", KUBE_PATCH_MERGE, obj, ret, err);
	case 3:
		return kube_apply(c, &KUBE_POD, "ns", "x", NULL, obj, ret, err);
	default:
		return kube_delete(c, &KUBE_POD, "ns", "x", &del, err);
	}
}

static void calls(void **state)
{
	(void)state;
	JSON_AUTO obj = json_pack("{s:{s:s}}", "metadata", "name", "x");
	for (int which = 0; which < 5; which++) {
		struct fake_api f;
		fake_start(&f, pods_or_pod, NULL);
		FAULT_LOOP
		{
			char url[64];
			struct kube_client *c = NULL;
			struct error err = {0};
			json_t *got = NULL;
			(void)snprintf(url, sizeof url, "http://127.0.0.1:%u", f.port);
			const struct kube_config cfg = {.server = url, .ns = (char *)"default", .token = (char *)"t"};
			int rc = kube_client_new(&cfg, NULL, &c, &err);
			if (rc == 0)
				rc = call(c, which, obj, &got, &err);
			FAULT_END;
			/* a metric that could not be made is no failure */
			assert_true(rc == 0 || (fault_hit() && err.msg[0] != '\0'));
			assert_true((got != NULL) == (rc == 0 && which != 4));
			json_decref(got);
			kube_client_free(c);
		}
		fake_stop(&f);
	}
}

/* The server goes away after @n bytes of its answer. */
static void cut_answer(struct fake_api *f, struct fake_request *q)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 41\r\n\r\n"
				   "{\"metadata\":{\"name\":\"x\",\"namespace\":\"n\"}}";
	const size_t n = (size_t)atomic_load((atomic_int *)f->ctx);
	fake_send(q->fd, text, n < sizeof text - 1 ? n : sizeof text - 1);
}

static void answers_cut_at_each_byte(void **state)
{
	(void)state;
	struct fake_api f;
	atomic_int n = 0;
	JSON_AUTO patch = json_object();
	fake_start(&f, cut_answer, &n);
	struct kube_client *c = fake_client(&f, NULL);
	int good = 0;
	for (; atomic_load(&n) < 115; atomic_fetch_add(&n, 1)) {
		struct error err = {0};
		json_t *got = NULL;
		const int rc = kube_patch(c, &KUBE_POD, "n", "x", NULL, KUBE_PATCH_MERGE, patch, &got, &err);
		good += rc == 0;
		if (rc < 0)
			assert_true((rc == -ECONNRESET || rc == -EPROTO) &&
				    str_has_prefix(err.msg, "patch pods n/x: "));
		else
			assert_string_equal(obj_name(got), "x");
		json_decref(got);
	}
	assert_in_range(good, 1, 5); /* only what is whole is taken */
	kube_client_free(c);
	fake_stop(&f);
}

/* --- discovery --- */

static void groups(struct fake_api *f, struct fake_request *q)
{
	(void)f;
	if (strcmp(q->line, "GET /apis") == 0)
		fake_reply(q->fd, 200, "",
			   "{\"groups\":[{\"name\":\"apps\",\"versions\":[{\"version\":\"v1\"}],\"preferredVersion\":{"
			   "\"version\":\"v1\"}}]}");
	else if (strcmp(q->line, "GET /apis/apps/v1") == 0)
		fake_reply(q->fd, 200, "",
			   "{\"resources\":[{\"name\":\"statefulsets\",\"singularName\":\"statefulset\",\"kind\":"
			   "\"StatefulSet\",\"namespaced\":true,\"verbs\":[\"get\"],\"shortNames\":[\"sts\"]}]}");
	else
		fake_reply(q->fd, 200, "", "{\"resources\":[]}");
}

static void discoveries(void **state)
{
	(void)state;
	struct fake_api f;
	fake_start(&f, groups, NULL);
	struct kube_client *c = fake_client(&f, NULL);
	FAULT_LOOP
	{
		struct discovery *d = NULL;
		struct error err = {0};
		const struct discovered *x = NULL;
		int rc = discovery_new(c, &d, &err);
		if (rc == 0)
			rc = discovery_find_name(d, "sts", &x, &err);
		FAULT_END;
		assert_true(rc == 0 || fault_hit());
		assert_true((x != NULL) == (rc == 0));
		if (d != NULL) { /* asked again, all is there */
			assert_int_equal(discovery_refresh(d, NULL), 0);
			assert_int_equal(discovery_find_kind(d, "apps/v1", "StatefulSet", &x, NULL), 0);
			assert_string_equal(x->r.plural, "statefulsets");
		}
		discovery_free(d);
	}
	kube_client_free(c);
	fake_stop(&f);
}

/* --- exec --- */

static void accept_and_say(void *ctx, struct http_exchange *x)
{
	static const char *const protocols[] = {"v5.channel.k8s.io", NULL};
	const struct websocket_accept_options o = {.protocols = protocols, .max_message = 1 << 16};
	struct websocket_peer *p = NULL;
	(void)ctx;
	if (websocket_accept(x, &o, &p, NULL) < 0)
		return; /* the client went while it opened the connection */
	static const char success[] = "\3{\"status\":\"Success\"}";
	(void)websocket_peer_send(p, false, "\1hello", 6); /* the client may be gone: it is the one that fails here */
	(void)websocket_peer_send(p, false, success, sizeof success - 1);
	websocket_peer_unref(p);
}

static void execs(void **state)
{
	static const char *const argv[] = {"true", NULL};
	(void)state;
	struct http_server *s = NULL;
	const struct http_server_options so = {.address = "127.0.0.1", .handler = accept_and_say};
	assert_int_equal(http_server_new(&so, &s, NULL), 0);
	const struct fake_api at = {.port = http_server_port(s)};
	struct kube_client *c = fake_client(&at, NULL);
	fault_only_this_thread();
	FAULT_LOOP
	{
		const struct kube_exec_options o = {.ns = "ns", .pod = "p", .argv = argv, .in = "x", .in_n = 1};
		struct kube_exec_result r = {0};
		struct error err = {0};
		const int rc = kube_exec(c, &o, &r, &err);
		FAULT_END;
		assert_true(rc == 0 || (fault_hit() && err.msg[0] != '\0'));
		assert_true(rc < 0 ? r.out == NULL : strcmp(r.out, "hello") == 0);
		kube_exec_result_clear(&r);
	}
	atomic_store(&fault_one_thread, false);
	kube_client_free(c);
	http_server_free(s);
}

/* --- what runs by itself --- */

#define ITEM(name, rv)                                                                                                 \
	"{\"metadata\":{\"name\":\"" name "\",\"namespace\":\"ns\",\"resourceVersion\":\"" rv                          \
	"\"},\"spec\":{\"node\":"                                                                                      \
	"\"n1\"}}"
#define EVENT(type, item) "{\"type\":\"" type "\",\"object\":" item "}\n"

/* A list with "a"; whoever watches from before 12 is told what is new. */
static void list_and_watch(struct fake_api *f, struct fake_request *q)
{
	if (strstr(q->line, "watch=true") == NULL) {
		fake_reply(q->fd, 200, "",
			   "{\"metadata\":{\"resourceVersion\":\"10\"},\"items\":[" ITEM("a", "1") "]}");
		return;
	}
	fake_stream_begin(q->fd);
	if (strstr(q->line, "resourceVersion=10&") != NULL)
		fake_chunk(q->fd, EVENT("ADDED", ITEM("b", "11")));
	if (strstr(q->line, "resourceVersion=12&") == NULL)
		fake_chunk(q->fd, EVENT("MODIFIED", ITEM("b", "12")));
	fake_hold(f, q->fd);
}

static bool has_version(struct informer *inf, const char *name, const char *version)
{
	const int64_t deadline = clock_mono_ns() + 20 * NSEC_PER_SEC;
	for (;;) {
		JSON_AUTO got = informer_get(inf, "ns", name);
		if (got != NULL && strcmp(obj_resource_version(got), version) == 0)
			return true;
		if (clock_mono_ns() > deadline)
			return false;
		(void)poll(NULL, 0, 1);
	}
}

static void informers(void **state)
{
	(void)state;
	struct fake_api f;
	fake_start(&f, list_and_watch, NULL);
	struct kube_client *c = fake_client(&f, NULL);
	clock_replace(long_ago, NULL);
	FAULT_LOOP
	{
		struct informer *inf = NULL;
		struct error err = {0};
		int rc = informer_new(c, &KUBE_POD, &(struct informer_options){.ns = "ns"}, &inf, &err);
		if (rc == 0)
			rc = informer_start(inf, &err);
		fault_exempt = true; /* from here on only its own thread */
		if (rc == 0 && (!has_version(inf, "b", "12") || !has_version(inf, "a", "1")))
			fail_msg("allocation %ld: the cache does not fill", fault_n_);
		assert_true(rc == 0 || fault_hit());
		fault_exempt = false;
		FAULT_END;
		informer_free(inf);
	}
	clock_replace(NULL, NULL);
	kube_client_free(c);
	fake_stop(&f);
}

static int note_key(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	(void)ns;
	(void)ret;
	(void)err;
	atomic_fetch_or((atomic_int *)ctx, strcmp(name, "a") == 0 ? 1 : 2);
	return 0;
}

static int manage(struct manager *m, atomic_int *seen, struct error *err)
{
	struct controller *ct = NULL;
	const struct controller_options o = {.name = "fault", .reconcile = note_key, .ctx = seen, .workers = 1};
	int rc = controller_new(m, &o, &ct, err);
	if (rc == 0)
		rc = controller_watch(ct, &KUBE_POD);
	return rc == 0 ? manager_start(m, -1, err) : rc;
}

static void managers(void **state)
{
	(void)state;
	struct fake_api f;
	fake_start(&f, list_and_watch, NULL);
	struct kube_client *c = fake_client(&f, NULL);
	FAULT_LOOP
	{
		struct manager *m = NULL;
		struct error err = {0};
		atomic_int seen = 0;
		clock_replace(NULL, NULL);
		int rc = manager_new(&(struct manager_options){.client = c}, &m, &err);
		if (rc == 0)
			rc = manage(m, &seen, &err);
		fault_exempt = true;
		if (rc == 0) { /* both keys come, whatever failed on the way */
			const int64_t deadline = clock_mono_ns() + 20 * NSEC_PER_SEC;
			while (atomic_load(&seen) != 3 && clock_mono_ns() < deadline)
				(void)poll(NULL, 0, 1);
			assert_int_equal(atomic_load(&seen), 3);
		} else {
			assert_true(fault_hit());
		}
		fault_exempt = false;
		FAULT_END;
		manager_free(m);
	}
	kube_client_free(c);
	fake_stop(&f);
}

/* --- the election --- */

struct kept_lease {
	pthread_mutex_t lock;
	char text[2048]; /* "": there is none */
	int version;
};

static void lease_api(struct fake_api *f, struct fake_request *q)
{
	struct kept_lease *l = f->ctx;
	const bool get = str_has_prefix(q->line, "GET ");
	pthread_mutex_lock(&l->lock);
	if (!get) {
		JSON_AUTO j = json_loads(q->body, 0, NULL);
		char version[16];
		(void)snprintf(version, sizeof version, "%d", ++l->version);
		if (j != NULL && json_put_str(j, "metadata.resourceVersion", version) == 0) {
			CLEANUP(free_p) char *text = json_to_text(j, NULL);
			(void)str_copy(l->text, sizeof l->text, text); /* leases are small */
		}
	}
	char copy[sizeof l->text];
	(void)str_copy(copy, sizeof copy, l->text);
	pthread_mutex_unlock(&l->lock);
	fake_reply(q->fd, copy[0] != '\0' ? 200 : 404, "", copy[0] != '\0' ? copy : "{\"kind\":\"Status\"}");
}

struct term {
	atomic_int began, ended;
};

static void term_begins(void *ctx)
{
	atomic_fetch_add(&((struct term *)ctx)->began, 1);
}

static bool term_ends(void *ctx)
{
	atomic_fetch_add(&((struct term *)ctx)->ended, 1);
	return true;
}

static void elections(void **state)
{
	(void)state;
	struct kept_lease lease = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct fake_api f;
	fake_start(&f, lease_api, &lease);
	struct kube_client *c = fake_client(&f, NULL);
	FAULT_LOOP
	{
		struct term t = {0};
		struct leader *l = NULL;
		struct error err = {0};
		const struct leader_options o = {.client = c,
						 .ns = "ns",
						 .name = "l",
						 .identity = "me",
						 .lease_duration_ns = 20 * NSEC_PER_SEC,
						 .renew_deadline_ns = 10 * NSEC_PER_SEC,
						 .retry_period_ns = 2 * NSEC_PER_MSEC,
						 .on_started = term_begins,
						 .on_stopped = term_ends,
						 .ctx = &t};
		pthread_mutex_lock(&lease.lock);
		lease.text[0] = '\0';
		pthread_mutex_unlock(&lease.lock);
		const int rc = leader_new(&o, &l, &err);
		fault_exempt = true;
		if (rc == 0) {
			assert_true(fake_wait(&t.began, 1));
			const unsigned asked = fake_count(&f);
			const int64_t deadline = clock_mono_ns() + 20 * NSEC_PER_SEC;
			while (fake_count(&f) < asked + 2 && clock_mono_ns() < deadline)
				(void)poll(NULL, 0, 1); /* a renewal or two */
			assert_true(leader_is_fresh(l));
		} else {
			assert_true(rc == -ENOMEM && fault_hit());
		}
		fault_exempt = false;
		FAULT_END;
		leader_free(l);
		assert_int_equal(atomic_load(&t.began), atomic_load(&t.ended));
	}
	kube_client_free(c);
	fake_stop(&f);
}

/* --- Events --- */

static void take_event(struct fake_api *f, struct fake_request *q)
{
	atomic_fetch_add((atomic_int *)f->ctx, 1);
	fake_reply(q->fd, 200, "", "{}");
}

static void events(void **state)
{
	(void)state;
	struct fake_api f;
	atomic_int n = 0;
	fake_start(&f, take_event, &n);
	struct kube_client *c = fake_client(&f, NULL);
	JSON_AUTO obj = json_pack("{s:s, s:{s:s, s:s}}", "kind", "Pod", "metadata", "name", "p", "namespace", "ns");
	FAULT_LOOP
	{
		struct event_recorder *r = NULL;
		struct error err = {0};
		const int before = atomic_load(&n);
		const int rc = event_recorder_new(c, "comp", &r, &err);
		if (rc == 0) {
			event_emit(r, obj, "Normal", "One", "text %d", 1);
			event_emit(r, obj, "Normal", "One", "text %d", 1);
			event_recorder_free(r);
		}
		FAULT_END;
		assert_true(rc == 0 || fault_hit());
		/* one of them may be lost, not both */
		if (rc == 0 && atomic_load(&n) == before)
			fail_msg("allocation %ld: no Event came", fault_n_);
	}
	kube_client_free(c);
	fake_stop(&f);
}

int main(void)
{
	log_init(2, LOG_LVL_ERROR + 1, "test"); /* the failures that are made on purpose */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queues),      cmocka_unit_test(stores),    cmocka_unit_test(configs),
		cmocka_unit_test(lines),       cmocka_unit_test(calls),     cmocka_unit_test(answers_cut_at_each_byte),
		cmocka_unit_test(discoveries), cmocka_unit_test(execs),     cmocka_unit_test(informers),
		cmocka_unit_test(managers),    cmocka_unit_test(elections), cmocka_unit_test(events),
	};
	return cmocka_run_group_tests_name("kube_fault", tests, NULL, NULL);
}
