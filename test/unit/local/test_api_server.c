/* The whole server in this process, spoken to as any client does: writes, watches, restarts, pods, versions of custom kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "local/api_server.h"
#include "json/json.h"

#define WAIT_NS (20 * NSEC_PER_SEC)

static char dir[64], kubeconfig[96];
static struct api_server *server;
static struct kube_client *client;

static void start_server(int64_t history)
{
	struct error err = {0};
	struct api_server_options o = {
		.data_dir = dir, .address = "127.0.0.1", .kubeconfig = kubeconfig, .history = history};
	if (api_server_new(&o, &server, &err) < 0)
		fail_msg("start: %s", err.msg);
	struct kube_config *cfg = NULL;
	if (kube_config_load(kubeconfig, NULL, &cfg, &err) < 0 || kube_client_new(cfg, "test", &client, &err) < 0)
		fail_msg("client: %s", err.msg);
	kube_config_free(cfg);
}

static void stop_server(void)
{
	kube_client_free(client);
	api_server_free(server);
	client = NULL;
	server = NULL;
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/sluice-test-api-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(kubeconfig, sizeof kubeconfig, "%s/kubeconfig", dir);
	start_server(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	stop_server();
	return file_remove_all(dir, NULL);
}

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct error err = {0};
	if (json_parse(text, strlen(text), &j, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return j;
}

static json_t *create(const struct kube_resource *r, const char *text)
{
	JSON_AUTO obj = parse(text);
	json_t *made = NULL;
	struct error err = {0};
	if (kube_create(client, r, "default", obj, &made, &err) < 0)
		fail_msg("create %s: %s", text, err.msg);
	return made;
}

static int merge(const struct kube_resource *r, const char *name, const char *sub, const char *text, json_t **ret)
{
	JSON_AUTO patch = parse(text);
	return kube_patch(client, r, "default", name, sub, KUBE_PATCH_MERGE, patch, ret, NULL);
}

/* ---- watches ---- */

struct watch {
	pthread_t thread;
	struct kube_list_options o;
	const struct kube_resource *r;
	atomic_bool cancel;
	int rc;
	pthread_mutex_t lock; /* guards `seen` */
	struct strbuf seen;
};

static int see(void *ctx, const char *type, json_t *obj)
{
	struct watch *w = ctx;
	pthread_mutex_lock(&w->lock);
	strbuf_addf(&w->seen, "%s %s;", type, obj_name(obj));
	pthread_mutex_unlock(&w->lock);
	return 0;
}

static void *watch_main(void *arg)
{
	struct watch *w = arg;
	w->rc = kube_watch(client, w->r, "", &w->o, see, w, &w->cancel, NULL);
	return NULL;
}

static void watch_start(struct watch *w)
{
	(void)pthread_mutex_init(&w->lock, NULL);
	w->seen = STRBUF_INIT(1u << 20);
	assert_int_equal(pthread_create(&w->thread, NULL, watch_main, w), 0);
}

/** Poll until what was seen is @want. */
static void watch_expect(struct watch *w, const char *want)
{
	int64_t end = clock_mono_ns() + WAIT_NS;
	for (;;) {
		pthread_mutex_lock(&w->lock);
		bool same = strcmp(w->seen.p != NULL ? w->seen.p : "", want) == 0;
		CLEANUP(free_p) char *got = strdup(w->seen.p != NULL ? w->seen.p : "");
		pthread_mutex_unlock(&w->lock);
		if (same)
			return;
		if (clock_mono_ns() > end)
			fail_msg("want %s\ngot  %s", want, got);
		(void)poll(NULL, 0, 2); /* asked again, with a deadline */
	}
}

static void watch_stop(struct watch *w)
{
	atomic_store(&w->cancel, true);
	(void)pthread_join(w->thread, NULL);
	strbuf_clear(&w->seen);
	(void)pthread_mutex_destroy(&w->lock);
}

#define CONFIG(name, labels)                                                                                           \
	"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"" name "\",\"labels\":{" labels "}}}"

static void test_watch_by_label_sees_objects_come_and_go(void **state)
{
	(void)state;
	json_decref(create(&KUBE_CONFIGMAP, CONFIG("first", "\"in\":\"yes\"")));
	json_decref(create(&KUBE_CONFIGMAP, CONFIG("other", "")));
	struct watch w = {.r = &KUBE_CONFIGMAP, .o = {.label_selector = "in=yes", .resource_version = "0"}};
	watch_start(&w);
	watch_expect(&w, "ADDED first;");
	assert_int_equal(merge(&KUBE_CONFIGMAP, "other", NULL, "{\"metadata\":{\"labels\":{\"in\":\"yes\"}}}", NULL),
			 0);
	watch_expect(&w, "ADDED first;ADDED other;");
	assert_int_equal(merge(&KUBE_CONFIGMAP, "other", NULL, "{\"data\":{\"a\":\"b\"}}", NULL), 0);
	assert_int_equal(merge(&KUBE_CONFIGMAP, "other", NULL, "{\"metadata\":{\"labels\":{\"in\":\"no\"}}}", NULL), 0);
	assert_int_equal(merge(&KUBE_CONFIGMAP, "other", NULL, "{\"data\":{\"a\":\"c\"}}", NULL), 0);
	assert_int_equal(kube_delete(client, &KUBE_CONFIGMAP, "default", "first", NULL, NULL), 0);
	watch_expect(&w, "ADDED first;ADDED other;MODIFIED other;DELETED other;DELETED first;");
	watch_stop(&w);
}

static void test_watch_resumes_after_a_restart(void **state)
{
	(void)state;
	JSON_AUTO first = create(&KUBE_CONFIGMAP, CONFIG("first", ""));
	json_decref(create(&KUBE_CONFIGMAP, CONFIG("second", "")));
	stop_server();
	start_server(0);
	json_decref(create(&KUBE_CONFIGMAP, CONFIG("third", "")));
	struct watch w = {.r = &KUBE_CONFIGMAP, .o = {.resource_version = obj_resource_version(first)}};
	watch_start(&w);
	watch_expect(&w, "ADDED second;ADDED third;");
	watch_stop(&w);
}

static void test_watch_of_what_is_compacted_has_expired(void **state)
{
	(void)state;
	stop_server();
	start_server(5);
	JSON_AUTO first = create(&KUBE_CONFIGMAP, CONFIG("first", ""));
	for (int i = 0; i < 20; i++) {
		char text[64];
		(void)snprintf(text, sizeof text, "{\"data\":{\"n\":\"%d\"}}", i);
		assert_int_equal(merge(&KUBE_CONFIGMAP, "first", NULL, text, NULL), 0);
	}
	struct kube_list_options o = {.resource_version = obj_resource_version(first)};
	atomic_bool cancel = false;
	struct watch w = {.seen = STRBUF_INIT(4096)};
	(void)pthread_mutex_init(&w.lock, NULL);
	assert_int_equal(kube_watch(client, &KUBE_CONFIGMAP, "", &o, see, &w, &cancel, NULL), -EKEYEXPIRED);
	strbuf_clear(&w.seen);
}

/* ---- writers ---- */

#define WRITERS 6
#define EACH    15

static void *annotate(void *arg)
{
	const int id = *(const int *)arg;
	intptr_t failed = 0;
	for (int i = 0; i < EACH; i++) {
		char text[96];
		(void)snprintf(text, sizeof text, "{\"data\":{\"k%d-%d\":\"v\"}}", id, i);
		JSON_AUTO patch = NULL;
		failed += json_parse(text, strlen(text), &patch, NULL) < 0 ||
			  kube_patch(client, &KUBE_CONFIGMAP, "default", "shared", NULL, KUBE_PATCH_MERGE, patch, NULL,
				     NULL) < 0;
	}
	return (void *)failed;
}

static void test_no_patch_is_lost_among_many_writers(void **state)
{
	(void)state;
	json_decref(create(&KUBE_CONFIGMAP, CONFIG("shared", "")));
	pthread_t threads[WRITERS];
	int ids[WRITERS];
	intptr_t refused = 0;
	for (int i = 0; i < WRITERS; i++) {
		ids[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, annotate, &ids[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		void *failed = NULL;
		(void)pthread_join(threads[i], &failed);
		refused += (intptr_t)failed;
	}
	JSON_AUTO now = NULL;
	assert_int_equal(kube_get(client, &KUBE_CONFIGMAP, "default", "shared", &now, NULL), 0);
	/* Too many at once may end in a conflict, which the client is told; what was accepted is there. */
	assert_int_equal(json_object_size(json_object_get(now, "data")), WRITERS * EACH - refused);
}

static void test_stale_update_is_a_conflict(void **state)
{
	(void)state;
	JSON_AUTO made = create(&KUBE_CONFIGMAP, CONFIG("c", ""));
	assert_int_equal(merge(&KUBE_CONFIGMAP, "c", NULL, "{\"data\":{\"a\":\"b\"}}", NULL), 0);
	struct error err = {0};
	assert_int_equal(kube_update(client, &KUBE_CONFIGMAP, "default", "c", NULL, made, NULL, &err), -ESTALE);
	assert_int_equal(err.status, 409);
	assert_string_equal(err.reason, "Conflict");
}

static void test_a_patch_without_effect_writes_nothing(void **state)
{
	(void)state;
	JSON_AUTO a = create(&KUBE_CONFIGMAP, CONFIG("c", "\"x\":\"y\""));
	JSON_AUTO b = NULL;
	assert_int_equal(merge(&KUBE_CONFIGMAP, "c", NULL, "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}", &b), 0);
	assert_string_equal(obj_resource_version(a), obj_resource_version(b));
}

/* ---- pods ---- */

static const char pod_text[] = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"},\"spec\":{"
			       "\"terminationGracePeriodSeconds\":7,"
			       "\"containers\":[{\"name\":\"c\",\"image\":\"sluice.local/host\"}]}}";

static void bind_pod(const char *node, int want)
{
	CLEANUP(free_p)
	char *text = str_printf("{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"p\"},\"target\":{"
				"\"kind\":\"Node\","
				"\"name\":\"%s\"}}",
				node);
	JSON_AUTO binding = parse(text);
	const struct kube_resource r = {"", "v1", "Binding", "pods/p/binding", true};
	assert_int_equal(kube_create(client, &r, "default", binding, NULL, NULL), want);
}

static void test_pod_life(void **state)
{
	(void)state;
	json_decref(create(&KUBE_POD, pod_text));
	bind_pod("node-1", 0);
	bind_pod("node-2", -ESTALE);
	JSON_AUTO pod = NULL;
	assert_int_equal(kube_get(client, &KUBE_POD, "default", "p", &pod, NULL), 0);
	assert_string_equal(json_str(pod, "spec.nodeName", ""), "node-1");
	assert_string_equal(json_str(pod, "status.conditions[type=PodScheduled].status", ""), "True");

	assert_int_equal(kube_delete(client, &KUBE_POD, "default", "p", NULL, NULL), 0);
	JSON_AUTO marked = NULL;
	assert_int_equal(kube_get(client, &KUBE_POD, "default", "p", &marked, NULL), 0);
	assert_true(obj_deleting(marked));
	assert_int_equal(json_int(marked, "metadata.deletionGracePeriodSeconds", -1), 7);
	/* A status write by the node leaves it marked. */
	assert_int_equal(merge(&KUBE_POD, "p", "status", "{\"status\":{\"phase\":\"Running\"}}", NULL), 0);
	assert_int_equal(kube_get(client, &KUBE_POD, "default", "p", NULL, NULL), 0);

	struct kube_delete_options wrong = {.grace_seconds = 0, .uid = "other"};
	assert_int_equal(kube_delete(client, &KUBE_POD, "default", "p", &wrong, NULL), -ESTALE);
	struct kube_delete_options now = {.grace_seconds = 0, .uid = obj_uid(marked)};
	assert_int_equal(kube_delete(client, &KUBE_POD, "default", "p", &now, NULL), 0);
	assert_int_equal(kube_get(client, &KUBE_POD, "default", "p", NULL, NULL), -ENOENT);
}

static void test_pod_that_nobody_runs_goes_at_once(void **state)
{
	(void)state;
	json_decref(create(&KUBE_POD, pod_text));
	assert_int_equal(kube_delete(client, &KUBE_POD, "default", "p", NULL, NULL), 0);
	assert_int_equal(kube_get(client, &KUBE_POD, "default", "p", NULL, NULL), -ENOENT);
}

/* ---- propagation ---- */

static void test_propagation_is_left_to_the_collector(void **state)
{
	(void)state;
	static const struct {
		const char *policy, *finalizer; /* NULL: gone at once */
	} cases[] = {{"Orphan", "orphan"}, {"Foreground", "foregroundDeletion"}, {"Background", NULL}, {NULL, NULL}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_decref(create(&KUBE_CONFIGMAP, CONFIG("c", "")));
		struct kube_delete_options o = {.grace_seconds = -1, .propagation = cases[i].policy};
		assert_int_equal(kube_delete(client, &KUBE_CONFIGMAP, "default", "c", &o, NULL), 0);
		JSON_AUTO now = NULL;
		int rc = kube_get(client, &KUBE_CONFIGMAP, "default", "c", &now, NULL);
		if (rc != (cases[i].finalizer != NULL ? 0 : -ENOENT))
			fail_msg("%s: %d", cases[i].policy, rc);
		if (rc < 0)
			continue;
		assert_string_equal(json_str(now, "metadata.finalizers[0]", ""), cases[i].finalizer);
		assert_int_equal(merge(&KUBE_CONFIGMAP, "c", NULL, "{\"metadata\":{\"finalizers\":null}}", NULL), 0);
		assert_int_equal(kube_get(client, &KUBE_CONFIGMAP, "default", "c", NULL, NULL), -ENOENT);
	}
}

static void test_namespace_being_deleted_takes_nothing_new(void **state)
{
	(void)state;
	JSON_AUTO ns = parse("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"short\"}}");
	assert_int_equal(kube_create(client, &KUBE_NAMESPACE, "", ns, NULL, NULL), 0);
	assert_int_equal(kube_delete(client, &KUBE_NAMESPACE, "", "short", NULL, NULL), 0);
	JSON_AUTO marked = NULL;
	assert_int_equal(kube_get(client, &KUBE_NAMESPACE, "", "short", &marked, NULL), 0);
	assert_string_equal(json_str(marked, "status.phase", ""), "Terminating");

	JSON_AUTO obj = parse(CONFIG("c", ""));
	struct error err = {0};
	assert_int_equal(kube_create(client, &KUBE_CONFIGMAP, "short", obj, NULL, &err), -EPERM);
	assert_non_null(strstr(err.msg, "configmaps \"c\" is forbidden: unable to create new content in namespace "
					"short because it is being terminated"));

	json_drop(marked, "spec.finalizers");
	assert_int_equal(kube_update(client, &KUBE_NAMESPACE, "", "short", "finalize", marked, NULL, NULL), 0);
	assert_int_equal(kube_get(client, &KUBE_NAMESPACE, "", "short", NULL, NULL), -ENOENT);
}

/* ---- custom kinds ---- */

static const char crd_text[] =
	"{\"apiVersion\":\"apiextensions.k8s.io/"
	"v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":{\"name\":\"things.example.com\"},\"spec\":{"
	"\"group\":\"example.com\",\"scope\":\"Namespaced\",\"names\":{\"plural\":\"things\",\"kind\":\"Thing\"},"
	"\"versions\":["
	"{\"name\":\"v1\",\"served\":true,\"storage\":true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\","
	"\"properties\":{\"spec\":{\"type\":\"object\","
	"\"properties\":{\"a\":{\"type\":\"integer\"}}}}}}},"
	"{\"name\":\"v2\",\"served\":true,\"storage\":false,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\","
	"\"properties\":{\"spec\":{\"type\":\"object\","
	"\"properties\":{\"a\":{\"type\":\"integer\"}}}}}}}]}}";

static void test_versions_of_a_custom_kind(void **state)
{
	(void)state;
	const struct kube_resource v1 = {"example.com", "v1", "Thing", "things", true},
				   v2 = {"example.com", "v2", "Thing", "things", true};
	json_decref(create(&KUBE_CRD, crd_text));
	json_decref(create(&v2, "{\"apiVersion\":\"example.com/"
				"v2\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"t\"},\"spec\":{\"a\":1}}"));
	JSON_AUTO one = NULL;
	assert_int_equal(kube_get(client, &v1, "default", "t", &one, NULL), 0);
	assert_string_equal(json_str(one, "apiVersion", ""), "example.com/v1");
	JSON_AUTO list = NULL;
	assert_int_equal(kube_list(client, &v2, "default", NULL, &list, NULL), 0);
	assert_string_equal(json_str(list, "items[0].apiVersion", ""), "example.com/v2");

	stop_server(); /* definitions are served again after a start */
	start_server(0);
	assert_int_equal(kube_get(client, &v1, "default", "t", NULL, NULL), 0);
	assert_int_equal(kube_delete(client, &KUBE_CRD, "", "things.example.com", NULL, NULL), 0);
	int64_t end = clock_mono_ns() + WAIT_NS;
	while (kube_get(client, &v1, "default", "t", NULL, NULL) != -ENOENT ||
	       kube_get(client, &KUBE_CRD, "", "things.example.com", NULL, NULL) != -ENOENT) {
		assert_true(clock_mono_ns() < end);
		(void)poll(NULL, 0, 5); /* asked again, with a deadline */
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_watch_by_label_sees_objects_come_and_go),
		CASE(test_watch_resumes_after_a_restart),
		CASE(test_watch_of_what_is_compacted_has_expired),
		CASE(test_no_patch_is_lost_among_many_writers),
		CASE(test_stale_update_is_a_conflict),
		CASE(test_a_patch_without_effect_writes_nothing),
		CASE(test_pod_life),
		CASE(test_pod_that_nobody_runs_goes_at_once),
		CASE(test_propagation_is_left_to_the_collector),
		CASE(test_namespace_being_deleted_takes_nothing_new),
		CASE(test_versions_of_a_custom_kind),
	};
	return cmocka_run_group_tests_name("api_server", tests, NULL, NULL);
}
