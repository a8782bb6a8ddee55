#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "fake_api.h"
#include "kube/discovery.h"

#define VERBS "\"verbs\":[\"get\",\"list\",\"watch\",\"create\",\"update\",\"patch\",\"delete\"]"

struct served {
	atomic_bool metrics_down, crd, cluster_scoped;
};

static void serve(struct fake_api *f, struct fake_request *q)
{
	struct served *s = f->ctx;
	const char *path = q->line + strlen("GET ");
	if (strcmp(path, "/api/v1") == 0) {
		fake_reply(q->fd, 200, "",
			   "{\"resources\":[{\"name\":\"pods\",\"singularName\":\"pod\",\"shortNames\":[\"po\"],"
			   "\"kind\":\"Pod\",\"namespaced\":true," VERBS "},"
			   "{\"name\":\"pods/log\",\"kind\":\"Pod\",\"namespaced\":true,\"verbs\":[\"get\"]},"
			   "{\"name\":\"events\",\"kind\":\"Event\",\"namespaced\":true," VERBS "},"
			   "{\"name\":\"bindings\",\"kind\":\"Binding\",\"namespaced\":true,\"verbs\":[\"create\"]},{},"
			   "7]}");
	} else if (strcmp(path, "/apis") == 0) {
		fake_reply(
			q->fd, 200, "",
			atomic_load(&s->crd)
				? "{\"groups\":[{\"name\":\"x.io\",\"versions\":[{\"version\":\"v1\"}],"
				  "\"preferredVersion\":{\"version\":\"v1\"}}]}"
				: "{\"groups\":["
				  "{\"name\":\"events.k8s.io\",\"versions\":[{\"version\":\"v1\"}],"
				  "\"preferredVersion\":{\"version\":\"v1\"}},"
				  "{\"name\":\"apps\",\"versions\":[{\"version\":\"v1beta1\"},{\"version\":\"v1\"}],"
				  "\"preferredVersion\":{\"version\":\"v1\"}},"
				  "{\"name\":\"metrics.k8s.io\",\"versions\":[{\"version\":\"v1\"}],"
				  "\"preferredVersion\":{\"version\":\"v1\"}},"
				  "{\"name\":\"../evil\",\"versions\":[],\"preferredVersion\":{\"version\":\"v1\"}}]}");
	} else if (strcmp(path, "/apis/apps/v1") == 0) {
		fake_reply(q->fd, 200, "",
			   "{\"resources\":[{\"name\":\"statefulsets\",\"singularName\":\"statefulset\",\"shortNames\":"
			   "[\"sts\"],\"kind\":\"StatefulSet\",\"namespaced\":true," VERBS "}]}");
	} else if (strcmp(path, "/apis/apps/v1beta1") == 0) {
		fake_reply(
			q->fd, 200, "",
			"{\"resources\":[{\"name\":\"statefulsets\",\"kind\":\"StatefulSet\",\"namespaced\":true," VERBS
			"},{\"name\":\"olds\",\"kind\":\"Old\",\"namespaced\":false," VERBS "}]}");
	} else if (strcmp(path, "/apis/events.k8s.io/v1") == 0) {
		fake_reply(q->fd, 200, "",
			   "{\"resources\":[{\"name\":\"events\",\"kind\":\"Event\",\"namespaced\":true," VERBS "}]}");
	} else if (strcmp(path, "/apis/x.io/v1") == 0) {
		fake_reply(
			q->fd, 200, "",
			atomic_load(&s->cluster_scoped)
				? "{\"resources\":[{\"name\":\"things\",\"kind\":\"Thing\",\"namespaced\":false," VERBS
				  "}]}"
				: "{\"resources\":[{\"name\":\"things\",\"kind\":\"Thing\",\"namespaced\":true," VERBS
				  "}]}");
	} else if (strcmp(path, "/apis/metrics.k8s.io/v1") == 0 && !atomic_load(&s->metrics_down)) {
		fake_reply(q->fd, 200, "",
			   "{\"resources\":[{\"name\":\"nodes\",\"kind\":\"NodeMetrics\",\"namespaced\":false,"
			   "\"verbs\":[\"get\",\"list\"]}]}");
	} else {
		fake_reply(q->fd, atomic_load(&s->metrics_down) ? 500 : 404, "", "{}");
	}
}

struct fixture {
	struct served s;
	struct fake_api f;
	struct kube_client *c;
	struct discovery *d;
};

static void begin(struct fixture *x)
{
	x->s = (struct served){0};
	fake_start(&x->f, serve, &x->s);
	x->c = fake_client(&x->f, NULL);
	assert_int_equal(discovery_new(x->c, &x->d, NULL), 0);
}

static void finish(struct fixture *x)
{
	discovery_free(x->d);
	kube_client_free(x->c);
	fake_stop(&x->f);
}

static void names_and_kinds(void **state)
{
	(void)state;
	static const struct {
		const char *name, *api_version, *kind; /* name, or both others */
		const char *group, *version, *plural;  /* group NULL: not found */
	} cases[] = {
		{"po", NULL, NULL, "", "v1", "pods"},
		{"POD", NULL, NULL, "", "v1", "pods"},
		{"pods.v1", NULL, NULL, "", "v1", "pods"},
		{"pods.apps", NULL, NULL, NULL, NULL, NULL},
		{"events", NULL, NULL, "", "v1", "events"},
		{"events.events.k8s.io", NULL, NULL, "events.k8s.io", "v1", "events"},
		{"events.v1.events.k8s.io", NULL, NULL, "events.k8s.io", "v1", "events"},
		{"sts", NULL, NULL, "apps", "v1", "statefulsets"},
		{"statefulsets.apps", NULL, NULL, "apps", "v1", "statefulsets"},
		{"statefulset.v1beta1.apps", NULL, NULL, "apps", "v1beta1", "statefulsets"},
		{"statefulsets.v1beta1.apps", NULL, NULL, "apps", "v1beta1", "statefulsets"},
		{"old", NULL, NULL, "apps", "v1beta1", "olds"},
		{"log", NULL, NULL, NULL, NULL, NULL},
		{"", NULL, NULL, NULL, NULL, NULL},
		{NULL, "v1", "Pod", "", "v1", "pods"},
		{NULL, "v2", "Pod", NULL, NULL, NULL},
		{NULL, "apps/v1", "StatefulSet", "apps", "v1", "statefulsets"},
		{NULL, "apps/v1beta1", "StatefulSet", "apps", "v1beta1", "statefulsets"},
		{NULL, "apps/*", "StatefulSet", "apps", "v1", "statefulsets"},
		{NULL, "apps/", "Old", "apps", "v1beta1", "olds"},
		{NULL, "apps/v1", "statefulset", NULL, NULL, NULL},
	};
	struct fixture x;
	begin(&x);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct discovered *r = NULL;
		struct error e = {0};
		const int rc = cases[i].name != NULL
				       ? discovery_find_name(x.d, cases[i].name, &r, &e)
				       : discovery_find_kind(x.d, cases[i].api_version, cases[i].kind, &r, &e);
		if (cases[i].group == NULL) {
			assert_int_equal(rc, -ENOENT);
			continue;
		}
		if (rc != 0 || strcmp(r->r.group, cases[i].group) != 0 || strcmp(r->r.version, cases[i].version) != 0 ||
		    strcmp(r->r.plural, cases[i].plural) != 0)
			fail_msg("case %zu: %d %s", i, rc, e.msg);
	}
	/* Asked once: what is missing is not asked for at each look. */
	assert_int_equal(fake_count(&x.f), 6);
	finish(&x);
}

static int count_pods(void *ctx, const struct discovered *r)
{
	*(size_t *)ctx += 1;
	return strcmp(r->r.plural, "olds") == 0 ? 1 : 0;
}

static void what_changes(void **state)
{
	(void)state;
	struct fixture x;
	const struct discovered *pods = NULL, *nodes = NULL, *things = NULL, *again = NULL;
	struct error e = {0};
	begin(&x);
	assert_false(discovery_known(x.d));
	assert_int_equal(discovery_refresh(x.d, &e), 0);
	assert_true(discovery_known(x.d));
	assert_int_equal(discovery_find_name(x.d, "pods", &pods, &e), 0);
	assert_int_equal(pods->verbs, 127);
	assert_true(pods->preferred && pods->r.namespaced);
	assert_int_equal(discovery_find_name(x.d, "nodes", &nodes, &e), 0);
	assert_int_equal(nodes->verbs, DISCOVERY_GET | DISCOVERY_LIST);
	size_t n = 0;
	assert_int_equal(discovery_each(x.d, count_pods, &n), 1);
	assert_int_equal(n, 7);

	/* A group that is down is not taken for gone. */
	atomic_store(&x.s.metrics_down, true);
	assert_int_equal(discovery_refresh(x.d, &e), -EIO);
	assert_string_equal(e.msg, "get /apis/metrics.k8s.io/v1: the server answered HTTP 500");
	assert_true(discovery_serves(x.d, nodes));
	assert_true(discovery_serves(x.d, pods));
	atomic_store(&x.s.metrics_down, false);

	/* One that goes is gone; one that comes is found; what changes its scope is another one. */
	atomic_store(&x.s.crd, true);
	assert_int_equal(discovery_refresh(x.d, &e), 0);
	assert_false(discovery_serves(x.d, nodes));
	assert_string_equal(nodes->r.plural, "nodes");
	assert_int_equal(discovery_find_kind(x.d, "x.io/v1", "Thing", &things, &e), 0);
	assert_true(things->r.namespaced);
	atomic_store(&x.s.cluster_scoped, true);
	assert_int_equal(discovery_refresh(x.d, &e), 0);
	assert_false(discovery_serves(x.d, things));
	assert_int_equal(discovery_find_kind(x.d, "x.io/v1", "Thing", &again, &e), 0);
	assert_false(again->r.namespaced);
	assert_int_equal(discovery_find_kind(x.d, "x.io/v1", "Nothing", &again, &e), -ENOENT);
	assert_string_equal(e.msg, "the server serves no kind 'Nothing' in 'x.io/v1'; is its definition installed?");
	finish(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_kinds),
		cmocka_unit_test(what_changes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
