#include "api_harness.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "local/api_internal.h"
#include "local/api_server.h"
#include "net/http_server_internal.h"
#include "json/json.h"

#define BODY_MAX   (3u << 20)
#define ANSWER_MAX (64u << 20)

/* A connection without a socket: it counts as scheduled for ever, so that nobody wakes a loop, and what it should send stays in its queue. */
static struct http_server net = {.o = {.max_body = BODY_MAX, .stream_queue_max = ANSWER_MAX}};
static struct http_conn conn;
static struct api_server *server;
static char dir[64];
static json_t *first; /* what is there before an input: [{group, plural, ns, name, object}] */
static int64_t first_revision;

static const char *const objects[][2] = {
	{"/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
	 "{\"metadata\":{\"name\":\"things.example.com\"},\"spec\":{\"group\":\"example.com\",\"scope\":\"Namespaced\","
	 "\"names\":{"
	 "\"plural\":\"things\",\"kind\":\"Thing\",\"shortNames\":[\"th\"]},\"versions\":[{\"name\":\"v1\",\"served\":"
	 "true,\"storage\":true,"
	 "\"subresources\":{\"status\":{},\"scale\":{\"specReplicasPath\":\".spec.replicas\",\"statusReplicasPath\":\"."
	 "status.replicas\","
	 "\"labelSelectorPath\":\".status.selector\"}},\"additionalPrinterColumns\":[{\"name\":\"A\",\"type\":"
	 "\"integer\",\"jsonPath\":"
	 "\".spec.list[0].a\"}],\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{\"spec\":{"
	 "\"type\":\"object\",\"properties\":"
	 "{\"replicas\":{\"type\":\"integer\",\"default\":1,\"minimum\":0},\"text\":{\"type\":\"string\",\"pattern\":"
	 "\"^[a-z]*$\",\"maxLength\":9},"
	 "\"any\":{\"x-kubernetes-preserve-unknown-fields\":true},\"either\":{\"x-kubernetes-int-or-string\":true},"
	 "\"list\":{\"type\":\"array\","
	 "\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":[\"name\"],\"items\":{\"type\":\"object\","
	 "\"required\":[\"name\"],"
	 "\"properties\":{\"name\":{\"type\":\"string\"},\"a\":{\"type\":\"integer\",\"nullable\":true}}}},\"map\":{"
	 "\"type\":\"object\","
	 "\"additionalProperties\":{\"type\":\"string\"}}}},\"status\":{\"type\":\"object\",\"properties\":{"
	 "\"replicas\":{\"type\":\"integer\"},"
	 "\"selector\":{\"type\":\"string\"}}}}}}}]}}"},
	{"/apis/example.com/v1/namespaces/default/things",
	 "{\"apiVersion\":\"example.com/"
	 "v1\",\"kind\":\"Thing\",\"metadata\":{\"name\":\"t\",\"labels\":{\"a\":\"b\"}},\"spec\":{\"text\":\"x\","
	 "\"list\":["
	 "{\"name\":\"one\",\"a\":1},{\"name\":\"two\"}],\"map\":{\"k\":\"v\"}}}"},
	{"/api/v1/namespaces/default/pods",
	 "{\"metadata\":{\"name\":\"p\",\"labels\":{\"app\":\"x\"},\"finalizers\":[\"example.com/"
	 "f\"]},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\","
	 "\"env\":[{\"name\":\"A\",\"value\":\"1\"}],\"ports\":[{\"containerPort\":80}]}],\"volumes\":[{\"name\":\"v\","
	 "\"emptyDir\":{}}]}}"},
	{"/api/v1/namespaces/default/configmaps",
	 "{\"metadata\":{\"name\":\"c\",\"labels\":{\"a\":\"b\"}},\"data\":{\"k\":\"v\"}}"},
	{"/apis/apps/v1/namespaces/default/statefulsets",
	 "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"serviceName\":\"s\",\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
	 "\"template\":{\"metadata\":{\"labels\":"
	 "{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}"},
	{"/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
	 "{\"metadata\":{\"name\":\"r\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"configmaps/"
	 "status\"],\"resourceNames\":[\"p\"],"
	 "\"verbs\":[\"get\",\"list\"]}]}"},
	{"/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
	 "{\"metadata\":{\"name\":\"r\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"Role\","
	 "\"name\":\"r\"},\"subjects\":[{\"kind\":"
	 "\"ServiceAccount\",\"name\":\"default\",\"namespace\":\"default\"},{\"kind\":\"User\",\"name\":\"u\","
	 "\"apiGroup\":\"rbac.authorization.k8s.io\"}]}"},
};

/* ---- answers ---- */

static char *value_of(const char *head, const char *name)
{
	const char *at = strcasestr(head, name);
	const char *from = at != NULL ? at + strlen(name) : NULL;
	return from != NULL ? strndup(from, strcspn(from, "\r\n")) : NULL;
}

/** Each answer is one that a client can use. */
static int check_answer(const struct strbuf *b, const char *path)
{
	int status = 0;
	const char *end = b->p != NULL ? strstr(b->p, "\r\n\r\n") : NULL;
	assert(end != NULL && sscanf(b->p, "HTTP/1.1 %d ", &status) == 1);
	CLEANUP(free_p) char *head = strndup(b->p, (size_t)(end - b->p) + 2);
	CLEANUP(free_p) char *type = value_of(head, "\r\nContent-Type: ");
	assert(head != NULL);
	if (strcasestr(head, "\r\nTransfer-Encoding: chunked") != NULL)
		return status; /* a watch */
	size_t n = b->n - (size_t)(end + 4 - b->p);
	JSON_AUTO body = NULL;
	if (n > 0 && type != NULL && strcmp(type, "application/json") == 0 &&
	    strcasestr(head, "\r\nContent-Encoding:") == NULL && json_parse(end + 4, n, &body, NULL) < 0) {
		(void)fprintf(stderr, "no JSON: %s\n", b->p);
		abort();
	}
	bool failure = strcmp(json_str(body, "kind", ""), "Status") == 0 && json_int(body, "code", 0) == status;
	bool of_agent = strstr(path, "/log") != NULL || strstr(path, "/proxy") != NULL; /* there is none here */
	if ((status >= 400 && n > 0 && !failure) || (status >= 500 && !of_agent && status != 504)) {
		(void)fprintf(stderr, "%s\n", b->p);
		abort();
	}
	return status;
}

static void gather_answer(struct strbuf *b)
{
	pthread_mutex_lock(&conn.lock);
	for (const struct outbuf *o = conn.queue; o != NULL; o = o->next)
		strbuf_add(b, o->bytes, o->n);
	strbuf_addc(b, '\0');
	b->n--;
	outbuf_free_list(TAKE(conn.queue));
	conn.queue_tail = &conn.queue;
	conn.queued = 0;
	conn.answered = conn.stream_ending = false;
	struct http_stream *begun = TAKE(conn.begun);
	pthread_mutex_unlock(&conn.lock);
	assert(!conn.cut && !b->failed);
	if (begun != NULL)
		http_stream_finish(begun);
}

/** The handler may leave the answer to another thread. */
static void wait_answer(void)
{
	pthread_mutex_lock(&net.lock);
	while (net.n_exchanges > 0)
		pthread_cond_wait(&net.quiet, &net.lock);
	pthread_mutex_unlock(&net.lock);
}

static int answer(struct http_reader *reader)
{
	struct http_exchange *x = calloc(1, sizeof *x);
	assert(x != NULL);
	atomic_fetch_add(&conn.refs, 1);
	net.n_exchanges = 1;
	x->conn = &conn;
	x->extra = STRBUF_INIT(32768);
	http_reader_take(reader, &x->q);
	x->q.req.peer_address = "harness";
	x->q.req.peer_cn = conn.peer_cn;
	x->q.req.peer_o = (const char *const *)conn.peer_o;
	CLEANUP(free_p) char *path = strdup(x->q.req.path);
	assert(path != NULL);
	http_stream_handler_called();
	api_handle(harness_server(), x);
	http_stream_handler_returned();
	wait_answer();
	struct strbuf b = STRBUF_INIT(ANSWER_MAX);
	gather_answer(&b);
	int status = check_answer(&b, path);
	strbuf_clear(&b);
	return status;
}

int harness_ask(const void *raw, size_t n)
{
	(void)harness_server();
	struct http_reader *reader = http_reader_new(BODY_MAX);
	assert(reader != NULL);
	size_t used = 0;
	const char *why = NULL;
	int rc = http_reader_feed(reader, raw, n, &used, &why);
	int status = rc == HTTP_READ_DONE ? answer(reader) : 0;
	http_reader_free(reader);
	return status;
}

int harness_request(const char *method, const char *target, const char *accept, const char *content_type,
		    const void *body, size_t n)
{
	struct strbuf b = STRBUF_INIT(2 * BODY_MAX);
	strbuf_addf(&b, "%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n", method, target, n);
	if (accept != NULL)
		strbuf_addf(&b, "Accept: %s\r\n", accept);
	if (content_type != NULL)
		strbuf_addf(&b, "Content-Type: %s\r\n", content_type);
	strbuf_adds(&b, "\r\n");
	strbuf_add(&b, body, n);
	int status = b.failed ? 0 : harness_ask(b.p, b.n);
	strbuf_clear(&b);
	return status;
}

/* ---- what is there ---- */

static int see_object(void *ctx, const struct objstore_item *item)
{
	JSON_AUTO obj = NULL;
	int rc = json_parse(item->data, item->n, &obj, NULL);
	assert(rc == 0);
	return json_array_append_new(ctx, json_pack("{s:s, s:s, s:I, s:O}", "ns", item->ns, "name", item->name,
						    "revision", (json_int_t)item->revision, "object", obj));
}

static void list_kind(const struct api_kind *k, json_t *out)
{
	const struct kube_resource *res = &k->k->resource;
	JSON_AUTO list = json_array();
	struct objstore_range range = {.group = res->group, .plural = res->plural};
	int rc = objstore_list(server->store, &range, see_object, list, NULL, NULL, NULL);
	assert(rc == 0);
	size_t i;
	json_t *o;
	json_array_foreach (list, i, o) {
		(void)json_object_set_new(o, "group", json_string(res->group));
		(void)json_object_set_new(o, "plural", json_string(res->plural));
		(void)json_array_append(out, o);
	}
}

/** Custom kinds and their definitions come first. */
static json_t *list_all(void)
{
	struct api_kind **kinds = NULL;
	size_t n = 0;
	json_t *all = json_array();
	int rc = api_registry_all(server->registry, &kinds, &n);
	assert(rc == 0 && all != NULL);
	while (n > 0 && kinds[n - 1]->custom) {
		list_kind(kinds[--n], all);
		(void)api_kind_unref(kinds[n]);
	}
	for (size_t i = 0; i < n; i++)
		list_kind(kinds[i], all);
	api_kinds_free(kinds, n);
	return all;
}

static struct objstore_key key_of(const json_t *o)
{
	return (struct objstore_key){json_str(o, "group", ""), json_str(o, "plural", ""), json_str(o, "ns", ""),
				     json_str(o, "name", "")};
}

static json_t *find(const json_t *list, const json_t *like)
{
	static const char *const names[] = {"name", "ns", "plural", "group"};
	size_t i;
	json_t *o;
	json_array_foreach ((json_t *)list, i, o) {
		bool same = true;
		for (size_t k = 0; k < ARRAY_LEN(names) && same; k++)
			same = strcmp(json_str(o, names[k], ""), json_str(like, names[k], "")) == 0;
		if (same)
			return o;
	}
	return NULL;
}

static void put_back(const json_t *o, int64_t expect, bool remove)
{
	JSON_AUTO obj = json_deep_copy(json_object_get(o, "object"));
	struct objstore_key key = key_of(o);
	assert(obj != NULL);
	(void)api_store_object(server, &key, obj, expect, remove,
			       NULL); /* the janitor may be faster: the next input undoes it */
}

void harness_restore(void)
{
	if (objstore_revision(server->store) == first_revision)
		return;
	JSON_AUTO now = list_all();
	size_t i;
	json_t *o;
	json_array_foreach (now, i, o) {
		int64_t revision = json_int(o, "revision", 0);
		const json_t *was = find(first, o);
		if (was == NULL)
			put_back(o, revision, true);
		else if (revision > first_revision)
			put_back(was, revision, false);
	}
	json_array_foreach (first, i, o)
		if (find(now, o) == NULL)
			put_back(o, 0, false);
	first_revision = objstore_revision(server->store);
}

/* ---- the beginning and the end ---- */

static void end(void)
{
	api_server_free(server);
	json_decref(first);
	(void)file_remove_all(dir, NULL);
}

static void start(void)
{
	const char *root = file_exists("/dev/shm") ? "/dev/shm" : "/tmp"; /* its fsync costs nothing */
	(void)snprintf(dir, sizeof dir, "%s/sluice-fuzz-XXXXXX", root);
	char *made = mkdtemp(dir);
	assert(made != NULL);
	(void)atexit(end);
	log_init(-1, LOG_LVL_ERROR, "fuzz");
	pthread_mutex_init(&net.lock, NULL);
	pthread_cond_init(&net.quiet, NULL);
	pthread_mutex_init(&conn.lock, NULL);
	atomic_init(&net.refs, 1);
	atomic_init(&conn.refs, 1);
	conn.server = &net;
	conn.scheduled = true;
	conn.queue_tail = &conn.queue;
	struct error err = {0};
	struct api_server_options o = {.data_dir = dir, .history = 50};
	if (api_server_new(&o, &server, &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		abort();
	}
}

struct api_server *harness_server(void)
{
	if (server != NULL)
		return server;
	start();
	harness_certificate(1);
	for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
		int status = harness_request("POST", objects[i][0], NULL, "application/json", objects[i][1],
					     strlen(objects[i][1]));
		if (status != 201) {
			(void)fprintf(stderr, "%s: %d\n", objects[i][0], status);
			abort();
		}
	}
	first = list_all();
	first_revision = objstore_revision(server->store);
	return server;
}

void harness_certificate(int on)
{
	static char name[] = "admin", masters[] = "system:masters";
	static char *groups[] = {masters, NULL};
	conn.peer_cn = on ? name : NULL;
	conn.peer_o = on ? groups : NULL;
}

const char *harness_collection(const char *kind)
{
	static char path[256];
	struct api_kind **kinds = NULL;
	size_t n = 0;
	int rc = api_registry_all(harness_server()->registry, &kinds, &n);
	assert(rc == 0);
	(void)snprintf(path, sizeof path, "/api/v1/namespaces/default/configmaps");
	for (size_t i = 0; i < n; i++) {
		const struct kube_resource *res = &kinds[i]->k->resource;
		if (strcmp(res->kind, kind) != 0)
			continue;
		const bool core = res->group[0] == '\0';
		(void)snprintf(path, sizeof path, "%s%s/%s%s/%s", core ? "/api" : "/apis/", res->group, res->version,
			       res->namespaced ? "/namespaces/default" : "", res->plural);
	}
	api_kinds_free(kinds, n);
	return path;
}

void harness_write(const char *kind, const char *content_type, const void *body, size_t n)
{
	static const char table[] = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
	char path[256], named[320];
	(void)snprintf(path, sizeof path, "%s", harness_collection(kind));
	(void)snprintf(named, sizeof named, "%s?fieldValidation=Strict&dryRun=All", path);
	(void)harness_request("POST", named, NULL, content_type, body, n);
	int status = harness_request("POST", path, NULL, content_type, body, n);
	if (status == 201 && strstr(path, "webhookconfigurations") == NULL) { /* which might ask somebody elsewhere */
		(void)harness_request("GET", path, table, NULL, NULL, 0);
		(void)snprintf(named, sizeof named, "%s?watch=true", path);
		(void)harness_request("GET", named, table, NULL, NULL, 0);
	}
	const char *const there[] = {"p", "c", "s", "t", "r", "default"};
	for (size_t i = 0; i < ARRAY_LEN(there); i++) {
		(void)snprintf(named, sizeof named, "%s/%s", path, there[i]);
		if (status == 409 && harness_request("PUT", named, NULL, content_type, body, n) == 200)
			break;
	}
}
