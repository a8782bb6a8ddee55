#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "kube/client.h"
#include "local/workload_graph.h"
#include "json/json.h"

static json_t *object(const char *uid, const char *owner, const char *finalizer)
{
	json_t *o = json_pack("{s:{s:s, s:s, s:s}}", "metadata", "name", uid, "namespace", "ns", "uid", uid);
	if (owner != NULL)
		assert_int_equal(json_push(o, "metadata.ownerReferences",
					   json_pack("{s:s, s:s, s:s, s:s, s:b}", "apiVersion", "v1", "kind", "K",
						     "name", owner, "uid", owner, "blockOwnerDeletion", 1)),
				 0);
	if (finalizer != NULL)
		assert_int_equal(json_push(o, "metadata.finalizers", json_string(finalizer)), 0);
	return o;
}

static void put(struct graph *g, const char *uid, const char *owner, const char *finalizer)
{
	JSON_AUTO o = object(uid, owner, finalizer);
	assert_int_equal(graph_put(g, &KUBE_POD, o), 0);
}

static int add_name(void *ctx, const struct graph_node *n)
{
	char *text = ctx;
	const size_t at = strlen(text);
	(void)snprintf(text + at, 256 - at, "%s ", n->name);
	return 0;
}

static void expect_dependents(struct graph *g, const char *uid, const char *want)
{
	char text[256] = "";
	assert_int_equal(graph_each_dependent(g, uid, add_name, text), 0);
	assert_string_equal(text, want);
}

static void dependents_follow_the_owner_references(void **state)
{
	(void)state;
	struct graph *g = graph_new();
	put(g, "child", "owner", NULL); /* before its owner is known */
	put(g, "owner", NULL, NULL);
	put(g, "other", "owner", NULL);
	expect_dependents(g, "owner", "child other ");
	put(g, "child", "new", NULL); /* changes hands */
	expect_dependents(g, "owner", "other ");
	expect_dependents(g, "new", "child ");
	graph_remove(g, "other");
	expect_dependents(g, "owner", "");
	graph_free(g);
}

static void nodes_know_what_the_collector_needs(void **state)
{
	(void)state;
	struct graph *g = graph_new();
	put(g, "a", "o", "foregroundDeletion");
	put(g, "b", NULL, "orphan");
	struct graph_node *a = graph_get(g, "a"), *b = graph_get(g, "b");
	assert_true(a->foreground && !a->orphan && !a->deleting);
	assert_true(b->orphan && !b->foreground);
	assert_int_equal(a->n_owners, 1);
	assert_true(a->owners[0].block);
	assert_string_equal(a->owners[0].kind, "K");
	assert_string_equal(a->ns, "ns");
	graph_remove(g, "a");
	assert_null(graph_get(g, "a"));
	assert_string_equal(a->name, "a"); /* a reference outlives the removal */
	graph_node_unref(a);
	graph_node_unref(b);
	graph_free(g);
}

static void the_gone_are_remembered_up_to_a_limit(void **state)
{
	(void)state;
	struct graph *g = graph_new();
	put(g, "a", NULL, NULL);
	assert_false(graph_is_gone(g, "a"));
	graph_remove(g, "a");
	assert_true(graph_is_gone(g, "a"));
	for (int i = 0; i < 20000; i++) {
		char uid[16];
		(void)snprintf(uid, sizeof uid, "u%d", i);
		graph_remove(g, uid);
	}
	assert_false(graph_is_gone(g, "a"));
	assert_true(graph_is_gone(g, "u19999"));
	JSON_AUTO nameless = json_object();
	assert_int_equal(graph_put(g, &KUBE_POD, nameless), -EINVAL);
	graph_free(g);
}

static int stop_at_once(void *ctx, const struct graph_node *n)
{
	(void)n;
	++*(int *)ctx;
	return -ECANCELED;
}

static void walking_stops_at_the_first_failure(void **state)
{
	(void)state;
	struct graph *g = graph_new();
	int calls = 0;
	put(g, "a", "o", NULL);
	put(g, "b", "o", NULL);
	assert_int_equal(graph_each_dependent(g, "o", stop_at_once, &calls), -ECANCELED);
	assert_int_equal(calls, 1);
	assert_int_equal(graph_each(g, &KUBE_NODE, stop_at_once, &calls), 0); /* none of that kind */
	assert_int_equal(graph_each(g, &KUBE_POD, stop_at_once, &calls), -ECANCELED);
	graph_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dependents_follow_the_owner_references),
		cmocka_unit_test(nodes_know_what_the_collector_needs),
		cmocka_unit_test(the_gone_are_remembered_up_to_a_limit),
		cmocka_unit_test(walking_stops_at_the_first_failure),
	};
	return cmocka_run_group_tests_name("workload_graph", tests, NULL, NULL);
}
