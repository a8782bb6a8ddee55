/* Admission webhooks: a server asks another one, which accepts, refuses, changes, hangs and talks nonsense. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "kube/client.h"
#include "local/api_admission.h"
#include "local/api_server.h"
#include "net/cert.h"
#include "net/http_server.h"
#include "json/json.h"

#define WAIT_NS (20 * NSEC_PER_SEC)

static const struct kube_resource mutating = {"admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration",
					      "mutatingwebhookconfigurations", false},
				  validating = {"admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration",
						"validatingwebhookconfigurations", false},
				  config_map = {"", "v1", "ConfigMap", "configmaps", true},
				  namespaces = {"", "v1", "Namespace", "namespaces", false},
				  services = {"", "v1", "Service", "services", true},
				  endpoints = {"", "v1", "Endpoints", "endpoints", true},
				  deployments = {"apps", "v1", "Deployment", "deployments", true};

static char dir[64];
static struct api_server *server;
static struct kube_client *client;
static struct http_server *hooks;
static struct cert_pair ca, leaf;
static char *bundle;
static struct {
	pthread_mutex_t lock; /* guards all below */
	pthread_cond_t wake;
	bool hold; /* "/hang" answers when this is false */
	int hanging, most_hanging;
	int asked;
	json_t *last; /* the request of the last review */
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

/* ---- the webhooks ---- */

static void remember(const json_t *review)
{
	pthread_mutex_lock(&seen.lock);
	seen.asked++;
	json_decref(seen.last);
	seen.last = json_incref(json_object_get(review, "request"));
	pthread_mutex_unlock(&seen.lock);
}

static int times_asked(void)
{
	pthread_mutex_lock(&seen.lock);
	int n = seen.asked;
	seen.asked = 0;
	pthread_mutex_unlock(&seen.lock);
	return n;
}

/** A member of the last request, as text. */
static void expect_last(const char *path, const char *want)
{
	pthread_mutex_lock(&seen.lock);
	json_t *v = json_at(seen.last, path);
	CLEANUP(free_p) char *text = v != NULL ? json_to_text(v, NULL) : strdup("absent");
	pthread_mutex_unlock(&seen.lock);
	if (strcmp(text, want) != 0)
		fail_msg("%s is %s, not %s", path, text, want);
}

static void reply(struct http_exchange *x, const char *uid, const char *rest)
{
	CLEANUP(free_p)
	char *text = str_printf("{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"response\":{"
				"\"uid\":\"%s\",%s}}",
				uid, rest);
	http_reply(x, 200, "application/json", text, strlen(text));
}

static void reply_patch(struct http_exchange *x, const char *uid, const char *patch)
{
	CLEANUP(free_p) char *text = base64_encode(patch, strlen(patch));
	CLEANUP(free_p)
	char *rest = str_printf("\"allowed\":true,\"patchType\":\"JSONPatch\",\"patch\":\"%s\"", text);
	reply(x, uid, rest);
}

/* What each path answers, but for those that handle() names. */
static const struct {
	const char *path, *rest;
} answers[] = {
	{"/allow", "\"allowed\":true"},
	{"/deny", "\"allowed\":false,\"status\":{\"message\":\"not today\",\"code\":403,\"reason\":\"Forbidden\"}"},
	{"/deny-silently", "\"allowed\":false"},
	{"/deny-reason", "\"allowed\":false,\"status\":{\"reason\":\"TooLate\",\"code\":200}"},
	{"/warn", "\"allowed\":true,\"warnings\":[\"take care\"]"},
	{"/no-type", "\"allowed\":true,\"patch\":\"W10=\""},
	{"/bad-type", "\"allowed\":true,\"patch\":\"W10=\",\"patchType\":\"Merge\""},
};

static void hold(bool on)
{
	pthread_mutex_lock(&seen.lock);
	seen.hold = on;
	pthread_cond_broadcast(&seen.wake);
	pthread_mutex_unlock(&seen.lock);
}

/** How many wait, or have waited at most, for "/hang". */
static int hanging(bool most)
{
	pthread_mutex_lock(&seen.lock);
	int n = most ? seen.most_hanging : seen.hanging;
	pthread_mutex_unlock(&seen.lock);
	return n;
}

static void hang(void)
{
	pthread_mutex_lock(&seen.lock);
	seen.hanging++;
	if (seen.hanging > seen.most_hanging)
		seen.most_hanging = seen.hanging;
	while (seen.hold)
		(void)pthread_cond_wait(&seen.wake, &seen.lock);
	seen.hanging--;
	pthread_mutex_unlock(&seen.lock);
}

static void handle(void *ctx, struct http_exchange *x)
{
	(void)ctx;
	const struct http_request *r = http_exchange_request(x);
	JSON_AUTO review = NULL;
	(void)json_parse(r->body, r->body_n, &review, NULL); /* without one nothing is found below */
	remember(review);
	const char *uid = json_str(review, "request.uid", "");
	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		if (strcmp(answers[i].path, r->path) == 0) {
			reply(x, uid, answers[i].rest);
			return;
		}
	if (strcmp(r->path, "/hang") == 0) {
		hang();
		reply(x, uid, "\"allowed\":true");
	} else if (strcmp(r->path, "/wrong-uid") == 0)
		reply(x, "other", "\"allowed\":true");
	else if (strcmp(r->path, "/patch") == 0)
		reply_patch(x, uid,
			    "[{\"op\":\"add\",\"path\":\"/metadata/annotations\",\"value\":{\"patched\":\"yes\"}}]");
	else if (strcmp(r->path, "/count") == 0) {
		char patch[128];
		const char *before = json_str(review, "request.object.data.n", "0");
		(void)snprintf(patch, sizeof patch, "[{\"op\":\"add\",\"path\":\"/data/n\",\"value\":\"%s1\"}]",
			       before);
		reply_patch(x, uid, patch);
	} else if (strcmp(r->path, "/scale-five") == 0)
		reply_patch(x, uid, "[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":5}]");
	else if (strcmp(r->path, "/bad-patch") == 0)
		reply_patch(x, uid, "[{\"op\":\"remove\",\"path\":\"/none\"}]");
	else if (strcmp(r->path, "/garbage") == 0)
		http_reply(x, 200, "application/json", "garbage", 7);
	else if (strcmp(r->path, "/broken") == 0)
		http_reply(x, 500, "text/plain", "oh no", 5);
	else
		http_reply(x, 404, "text/plain", "", 0);
}

/* ---- both servers ---- */

static void start_hooks(void)
{
	static const char *const sans[] = {"localhost", "127.0.0.1", "hook.default.svc", NULL};
	struct error err = {0};
	struct cert_options o = {.cn = "hook", .sans = sans, .server = true, .days = 2};
	if (cert_make_ca("hooks", &ca, &err) < 0 || cert_issue(&ca, &o, &leaf, &err) < 0)
		fail_msg("certificates: %s", err.msg);
	bundle = base64_encode(ca.cert_pem, strlen(ca.cert_pem));
	struct http_server_options h = {.address = "127.0.0.1",
					.cert_pem = leaf.cert_pem,
					.key_pem = leaf.key_pem,
					.workers = 2 * API_ADMISSION_MAX,
					.handler = handle};
	if (http_server_new(&h, &hooks, &err) < 0)
		fail_msg("webhooks: %s", err.msg);
}

static int setup(void **state)
{
	(void)state;
	char kubeconfig[96];
	(void)snprintf(dir, sizeof dir, "/tmp/sluice-test-admission-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(kubeconfig, sizeof kubeconfig, "%s/kubeconfig", dir);
	struct error err = {0};
	struct kube_config *cfg = NULL;
	struct api_server_options o = {.data_dir = dir, .address = "127.0.0.1", .kubeconfig = kubeconfig};
	if (api_server_new(&o, &server, &err) < 0 || kube_config_load(kubeconfig, NULL, &cfg, &err) < 0 ||
	    kube_client_new(cfg, "test", &client, &err) < 0)
		fail_msg("start: %s", err.msg);
	kube_config_free(cfg);
	start_hooks();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	kube_client_free(client);
	api_server_free(server);
	http_server_free(hooks);
	cert_pair_clear(&ca);
	cert_pair_clear(&leaf);
	free(bundle);
	json_decref(seen.last);
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

/** A configuration with one webhook for config maps at @path; @more is merged into the webhook. */
static int configure(const struct kube_resource *r, const char *name, const char *path, const char *more,
		     struct error *err)
{
	JSON_AUTO extra = parse(more);
	JSON_AUTO hook =
		json_pack("{s:s, s:{s:o, s:s}, s:[{s:[s], s:[s], s:[s], s:[s]}], s:s, s:[s]}", "name", "a.example.com",
			  "clientConfig", "url", json_sprintf("https://127.0.0.1:%u%s", http_server_port(hooks), path),
			  "caBundle", bundle, "rules", "operations", "*", "apiGroups", "*", "apiVersions", "*",
			  "resources", "configmaps", "sideEffects", "None", "admissionReviewVersions", "v1");
	assert_int_equal(json_object_update(hook, extra), 0);
	JSON_AUTO config = json_pack("{s:s, s:s, s:{s:s}, s:[O]}", "apiVersion", "admissionregistration.k8s.io/v1",
				     "kind", r->kind, "metadata", "name", name, "webhooks", hook);
	return kube_create(client, r, "", config, NULL, err);
}

static void must_configure(const struct kube_resource *r, const char *name, const char *path, const char *more)
{
	struct error err = {0};
	if (configure(r, name, path, more, &err) < 0)
		fail_msg("configure %s: %s", path, err.msg);
	(void)times_asked();
}

static void forget(const struct kube_resource *r, const char *name)
{
	assert_int_equal(kube_delete(client, r, "", name, NULL, NULL), 0);
}

static int create_map(const char *name, const char *more, json_t **ret, struct error *err)
{
	CLEANUP(free_p)
	char *text = str_printf(
		"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"%s},\"data\":{}}", name,
		more);
	JSON_AUTO obj = parse(text);
	return kube_create(client, &config_map, "default", obj, ret, err);
}

static void delete_map(const char *name)
{
	assert_int_equal(kube_delete(client, &config_map, "default", name, NULL, NULL), 0);
}

static void expect_in(const char *text, const char *want, const char *of)
{
	if (strstr(text, want) == NULL)
		fail_msg("%s: '%s' does not say '%s'", of, text, want);
}

/* ---- answers ---- */

static void test_answers(void **state)
{
	(void)state;
	static const struct {
		const char *path;
		int status; /* 0: accepted */
		const char *says;
		bool ignorable;
	} cases[] = {
		{"/allow", 0, NULL, false},
		{"/warn", 0, NULL, false},
		{"/deny", 403, "admission webhook \"a.example.com\" denied the request: not today", false},
		{"/deny-silently", 400, "admission webhook \"a.example.com\" denied the request without explanation",
		 false},
		{"/deny-reason", 400, "admission webhook \"a.example.com\" denied the request: TooLate", false},
		{"/wrong-uid", 500,
		 "Internal error occurred: failed calling webhook \"a.example.com\": received invalid "
		 "webhook response: expected response.uid=",
		 true},
		{"/no-type", 500, "webhook returned response.patch but not response.patchType", true},
		{"/bad-type", 500, "webhook returned invalid response.patchType of \"Merge\"", true},
		{"/garbage", 500, "failed to call webhook: the answer is no JSON", true},
		{"/broken", 500,
		 "failed to call webhook: an error on the server (\"oh no\") has prevented the request from succeeding",
		 true},
		{"/nowhere", 500, "failed to call webhook: the server could not find the requested resource", true},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		must_configure(&validating, "v", cases[i].path, "{}");
		int rc = create_map("m", "", NULL, &err);
		assert_int_equal(times_asked(), 1);
		forget(&validating, "v");
		if (cases[i].status == 0) {
			if (rc < 0)
				fail_msg("%s: %s", cases[i].path, err.msg);
			delete_map("m");
			continue;
		}
		if (rc == 0 || err.status != cases[i].status)
			fail_msg("%s: status %d: %s", cases[i].path, err.status, err.msg);
		expect_in(err.msg, cases[i].says, cases[i].path);
		must_configure(&validating, "v", cases[i].path, "{\"failurePolicy\":\"Ignore\"}");
		rc = create_map("m", "", NULL, &err);
		forget(&validating, "v");
		if ((rc == 0) != cases[i].ignorable)
			fail_msg("%s: with failurePolicy Ignore: %s", cases[i].path, err.msg);
		if (rc == 0)
			delete_map("m");
	}
}

static void test_unreachable(void **state)
{
	(void)state;
	struct error err = {0};
	must_configure(&validating, "v", "/x", "{\"clientConfig\":{\"url\":\"https://127.0.0.1:1/x\"}}");
	assert_true(create_map("m", "", NULL, &err) < 0);
	expect_in(err.msg,
		  "failed calling webhook \"a.example.com\": failed to call webhook: Post "
		  "\"https://127.0.0.1:1/x?timeout=10s\": dial tcp 127.0.0.1:1: connect: connection refused",
		  "refused");
	forget(&validating, "v");
	/* Without its CA the certificate is a stranger's. */
	CLEANUP(free_p)
	char *more = str_printf("{\"clientConfig\":{\"url\":\"https://127.0.0.1:%u/allow\"}}", http_server_port(hooks));
	must_configure(&validating, "v", "/x", more);
	assert_true(create_map("m", "", NULL, &err) < 0);
	expect_in(err.msg, "tls: failed to verify certificate", "stranger");
	assert_int_equal(times_asked(), 0);
	forget(&validating, "v");
}

/* ---- what is told ---- */

static void test_request(void **state)
{
	(void)state;
	static const char *const labels = "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}";
	JSON_AUTO patch = parse(labels);
	must_configure(&validating, "v", "/allow", "{}");
	assert_int_equal(create_map("m", "", NULL, NULL), 0);
	expect_last("operation", "\"CREATE\"");
	expect_last("kind", "{\"group\":\"\",\"version\":\"v1\",\"kind\":\"ConfigMap\"}");
	expect_last("requestResource", "{\"group\":\"\",\"version\":\"v1\",\"resource\":\"configmaps\"}");
	expect_last("namespace", "\"default\"");
	expect_last("name", "\"m\"");
	expect_last("oldObject", "null");
	expect_last("dryRun", "false");
	expect_last("object.metadata.name", "\"m\"");
	expect_last("options.kind", "\"CreateOptions\"");
	expect_last("userInfo.username", "\"sluice-admin\"");
	assert_int_equal(kube_patch(client, &config_map, "default", "m", NULL, KUBE_PATCH_MERGE, patch, NULL, NULL), 0);
	expect_last("operation", "\"UPDATE\"");
	expect_last("object.metadata.labels.a", "\"b\"");
	expect_last("oldObject.metadata.labels", "absent");
	expect_last("options.kind", "\"UpdateOptions\"");
	delete_map("m");
	expect_last("operation", "\"DELETE\"");
	expect_last("object", "null");
	expect_last("oldObject.metadata.name", "\"m\"");
	expect_last("options.kind", "\"DeleteOptions\"");
	assert_int_equal(times_asked(), 3);
	forget(&validating, "v");
	assert_int_equal(create_map("m", "", NULL, NULL), 0);
	delete_map("m");
	assert_int_equal(times_asked(), 0);
}

static void test_selection(void **state)
{
	(void)state;
	static const struct {
		const char *more, *labels;
		int asked;
	} cases[] = {
		{"{}", "", 1},
		{"{\"objectSelector\":{\"matchLabels\":{\"a\":\"b\"}}}", "", 0},
		{"{\"objectSelector\":{\"matchLabels\":{\"a\":\"b\"}}}", ",\"labels\":{\"a\":\"b\"}", 1},
		{"{\"namespaceSelector\":{\"matchLabels\":{\"kubernetes.io/metadata.name\":\"default\"}}}", "", 1},
		{"{\"namespaceSelector\":{\"matchLabels\":{\"kubernetes.io/metadata.name\":\"other\"}}}", "", 0},
		{"{\"rules\":[{\"operations\":[\"UPDATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":"
		 "["
		 "\"configmaps\"]}]}",
		 "", 0},
		{"{\"rules\":[{\"operations\":[\"CREATE\"],\"apiGroups\":[\"apps\"],\"apiVersions\":[\"v1\"],"
		 "\"resources\":["
		 "\"configmaps\"]}]}",
		 "", 0},
		{"{\"rules\":[{\"operations\":[\"CREATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v2\"],\"resources\":"
		 "["
		 "\"configmaps\"]}]}",
		 "", 0},
		{"{\"rules\":[{\"operations\":[\"CREATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":"
		 "["
		 "\"configmaps/status\",\"pods\"]}]}",
		 "", 0},
		{"{\"rules\":[{\"operations\":[\"CREATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":"
		 "["
		 "\"*/*\"],\"scope\":\"Namespaced\"}]}",
		 "", 1},
		{"{\"rules\":[{\"operations\":[\"CREATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":"
		 "["
		 "\"*\"],\"scope\":\"Cluster\"}]}",
		 "", 0},
		{"{\"rules\":[]}", "", 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		must_configure(&validating, "v", "/allow", cases[i].more);
		assert_int_equal(create_map("m", cases[i].labels, NULL, NULL), 0);
		int asked = times_asked();
		forget(&validating, "v");
		delete_map("m");
		if (asked != cases[i].asked)
			fail_msg("%s, labels %s: asked %d times", cases[i].more, cases[i].labels, asked);
	}
}

/** A namespace's own labels count, of the one that is being made. */
static void test_namespaces(void **state)
{
	(void)state;
	must_configure(
		&validating, "v", "/deny",
		"{\"rules\":[{\"operations\":[\"CREATE\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],"
		"\"resources\":[\"namespaces\"]}],\"namespaceSelector\":{\"matchLabels\":{\"guarded\":\"yes\"}}}");
	JSON_AUTO guarded =
		parse("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"g\",\"labels\":{"
		      "\"guarded\":\"yes\"}}}");
	JSON_AUTO open = parse("{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"o\"}}");
	struct error err = {0};
	assert_int_equal(kube_create(client, &namespaces, "", guarded, NULL, &err), -EPERM);
	assert_int_equal(kube_create(client, &namespaces, "", open, NULL, &err), 0);
	assert_int_equal(times_asked(), 1);
	forget(&validating, "v");
}

/* ---- changes ---- */

static void test_patch(void **state)
{
	(void)state;
	JSON_AUTO made = NULL;
	struct error err = {0};
	must_configure(&mutating, "m", "/patch", "{}");
	assert_int_equal(create_map("m", "", &made, NULL), 0);
	assert_string_equal(obj_annotation(made, "patched"), "yes");
	expect_last("object.metadata.uid", "absent");
	assert_true(kube_delete(client, &config_map, "default", "m", NULL, &err) < 0);
	expect_in(err.msg, "admission webhook \"a.example.com\" attempted to modify the object, which is not supported",
		  "delete");
	assert_int_equal(times_asked(), 2);
	forget(&mutating, "m");
	delete_map("m");
	must_configure(&mutating, "m", "/bad-patch", "{}");
	assert_true(create_map("m", "", NULL, &err) < 0);
	assert_int_equal(err.status, 500);
	forget(&mutating, "m");
}

/** One that wants to be asked again is, once, when a later one changed the object. */
static void test_again(void **state)
{
	(void)state;
	static const struct {
		const char *policy, *want;
		int asked;
	} cases[] = {{"Never", "011", 2}, {"IfNeeded", "0111", 3}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO made = NULL;
		char more[64];
		(void)snprintf(more, sizeof more, "{\"reinvocationPolicy\":\"%s\"}", cases[i].policy);
		must_configure(&mutating, "m1", "/count", more);
		must_configure(&mutating, "m2", "/count", "{}");
		assert_int_equal(create_map("m", "", &made, NULL), 0);
		assert_string_equal(json_str(made, "data.n", ""), cases[i].want);
		assert_int_equal(times_asked(), cases[i].asked);
		forget(&mutating, "m1");
		forget(&mutating, "m2");
		delete_map("m");
	}
}

/** Of a scale it is the Scale that is shown, and may be changed. */
static void test_scale(void **state)
{
	(void)state;
	static const char rules[] =
		"{\"rules\":[{\"operations\":[\"UPDATE\"],\"apiGroups\":[\"apps\"],\"apiVersions\":["
		"\"v1\"],\"resources\":[\"deployments/scale\"]}]}";
	JSON_AUTO d =
		parse("{\"apiVersion\":\"apps/v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"d\"},\"spec\":{"
		      "\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":"
		      "\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}");
	JSON_AUTO two = parse("{\"spec\":{\"replicas\":2}}");
	JSON_AUTO now = NULL;
	must_configure(&mutating, "m", "/scale-five", rules);
	assert_int_equal(kube_create(client, &deployments, "default", d, NULL, NULL), 0);
	assert_int_equal(times_asked(), 0);
	assert_int_equal(kube_patch(client, &deployments, "default", "d", "scale", KUBE_PATCH_MERGE, two, &now, NULL),
			 0);
	expect_last("kind.kind", "\"Scale\"");
	expect_last("subResource", "\"scale\"");
	expect_last("object.spec.replicas", "2");
	expect_last("oldObject.spec.replicas", "1");
	assert_int_equal(json_int(now, "spec.replicas", 0), 5);
	forget(&mutating, "m");
	assert_int_equal(kube_delete(client, &deployments, "default", "d", NULL, NULL), 0);
}

/* ---- webhooks that hang ---- */

static void test_timeout(void **state)
{
	(void)state;
	struct error err = {0};
	hold(true);
	must_configure(&validating, "v", "/hang", "{\"timeoutSeconds\":1}");
	assert_true(create_map("m", "", NULL, &err) < 0);
	expect_in(err.msg, "/hang?timeout=1s\": context deadline exceeded", "timeout");
	forget(&validating, "v");
	must_configure(&validating, "v", "/hang", "{\"timeoutSeconds\":1,\"failurePolicy\":\"Ignore\"}");
	assert_int_equal(create_map("m", "", NULL, &err), 0);
	hold(false);
	forget(&validating, "v");
	delete_map("m");
}

static void wait_hanging(int want)
{
	int64_t end = clock_mono_ns() + WAIT_NS;
	while (hanging(false) != want) {
		assert_true(clock_mono_ns() < end);
		(void)poll(NULL, 0, 10);
	}
}

static void *create_one(void *arg)
{
	char name[24];
	(void)snprintf(name, sizeof name, "hang-%d", *(int *)arg);
	*(int *)arg = create_map(name, "", NULL, NULL);
	return NULL;
}

/** However many writes wait for webhooks, others are answered; and those that found no room come again. */
static void test_room(void **state)
{
	(void)state;
	enum { WRITERS = API_ADMISSION_MAX + 8 };
	pthread_t threads[WRITERS];
	int args[WRITERS];
	wait_hanging(0); /* those of before */
	hold(true);
	must_configure(&validating, "v", "/hang", "{\"timeoutSeconds\":30}");
	for (int i = 0; i < WRITERS; i++) {
		args[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, create_one, &args[i]), 0);
	}
	wait_hanging(API_ADMISSION_MAX);
	assert_int_equal(kube_get(client, &namespaces, "", "default", NULL, NULL), 0);
	assert_int_equal(hanging(true), API_ADMISSION_MAX);
	hold(false);
	for (int i = 0; i < WRITERS; i++) {
		(void)pthread_join(threads[i], NULL);
		assert_int_equal(args[i], 0);
	}
	forget(&validating, "v");
}

/* ---- services ---- */

static void test_service(void **state)
{
	(void)state;
	struct error err = {0};
	CLEANUP(free_p)
	char *more = str_printf("{\"clientConfig\":{\"service\":{\"namespace\":\"default\",\"name\":\"hook\",\"path\":"
				"\"/deny\"},\"caBundle\":\"%s\"}}",
				bundle);
	must_configure(&validating, "v", "/x", more);
	assert_true(create_map("m", "", NULL, &err) < 0);
	expect_in(err.msg, "Post \"https://hook.default.svc:443/deny?timeout=10s\": service \"hook\" not found",
		  "none");
	JSON_AUTO svc = parse("{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"hook\"},\"spec\":{"
			      "\"ports\":[{\"port\":443}]}}");
	assert_int_equal(kube_create(client, &services, "default", svc, NULL, NULL), 0);
	assert_true(create_map("m", "", NULL, &err) < 0);
	expect_in(err.msg, "no endpoints available for service \"hook\"", "empty");
	JSON_AUTO ep = json_pack("{s:s, s:s, s:{s:s}, s:[{s:[{s:s}], s:[{s:i}]}]}", "apiVersion", "v1", "kind",
				 "Endpoints", "metadata", "name", "hook", "subsets", "addresses", "ip", "127.0.0.1",
				 "ports", "port", http_server_port(hooks));
	struct error made = {0};
	if (kube_create(client, &endpoints, "default", ep, NULL, &made) < 0)
		fail_msg("endpoints: %s", made.msg);
	assert_true(create_map("m", "", NULL, &err) < 0);
	expect_in(err.msg, "denied the request: not today", "there");
	forget(&validating, "v");
}

/* ---- configurations ---- */

static void test_configurations(void **state)
{
	(void)state;
	static const struct {
		const char *more, *says;
	} cases[] = {
		{"{\"name\":\"short\"}", "webhooks[0].name: Invalid value: \"short\": should be a domain with at least "
					 "three segments separated "
					 "by dots"},
		{"{\"timeoutSeconds\":31}", "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be "
					    "between 1 and 30 seconds"},
		{"{\"sideEffects\":\"Some\"}", "webhooks[0].sideEffects: Unsupported value: \"Some\""},
		{"{\"admissionReviewVersions\":[]}",
		 "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1"},
		{"{\"admissionReviewVersions\":[\"v2\"]}", "must include at least one of v1, v1beta1"},
		{"{\"clientConfig\":{}}",
		 "webhooks[0].clientConfig: Required value: exactly one of url or service is required"},
		{"{\"clientConfig\":{\"url\":\"http://x\"}}", "'https' is the only allowed URL scheme"},
		{"{\"clientConfig\":{\"url\":\"https://a@x/\"}}", "user information is not permitted in the URL"},
		{"{\"clientConfig\":{\"url\":\"https://x/?a\"}}", "query parameters are not permitted in the URL"},
		{"{\"clientConfig\":{\"url\":\"https://x\",\"caBundle\":\"AAAA\"}}",
		 "webhooks[0].clientConfig.caBundle: Invalid value: unable to load root certificates"},
		{"{\"matchConditions\":[{\"name\":\"a\",\"expression\":\"true\"}]}",
		 "webhooks[0].matchConditions: Forbidden: CEL expressions are not evaluated here"},
		{"{\"rules\":[{\"operations\":[\"EAT\"],\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":["
		 "\"x\"]}]"
		 "}",
		 "webhooks[0].rules[0].operations[0]: Unsupported value: \"EAT\""},
		{"{\"rules\":[{\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"],\"resources\":[\"x\"]}]}",
		 "webhooks[0].rules[0].operations: Required value"},
		{"{\"failurePolicy\":\"Maybe\"}", "webhooks[0].failurePolicy: Unsupported value: \"Maybe\""},
		{"{\"objectSelector\":{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Near\"}]}}",
		 "webhooks[0].objectSelector"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		if (configure(&validating, "v", "/allow", cases[i].more, &err) == 0)
			fail_msg("%s was accepted", cases[i].more);
		expect_in(err.msg, cases[i].says, cases[i].more);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),    cmocka_unit_test(test_unreachable),
		cmocka_unit_test(test_request),    cmocka_unit_test(test_selection),
		cmocka_unit_test(test_namespaces), cmocka_unit_test(test_patch),
		cmocka_unit_test(test_again),      cmocka_unit_test(test_scale),
		cmocka_unit_test(test_timeout),    cmocka_unit_test(test_room),
		cmocka_unit_test(test_service),    cmocka_unit_test(test_configurations),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
