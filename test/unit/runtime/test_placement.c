#include "runtime/fake_api.h"

#include "runtime/nodes.h"

static const struct kube_resource RUNTIME = {"data.fluid.io", "v1alpha1", "ToyRuntime", "toyruntimes", true};
static const struct engine_traits TOY = {.app = "toy", .worker_suffix = "-worker", .worker_role = "toy-worker"};

static json_t *parse(const char *text)
{
	char *copy = strdup(text);
	for (char *p = copy; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	json_t *j = NULL;
	struct error err = {0};
	if (json_parse(copy, strlen(copy), &j, &err) < 0)
		fail_msg("%s", err.msg);
	free(copy);
	return j;
}

static void test_node_matches(void **state)
{
	(void)state;
	JSON_AUTO node = parse("{'metadata':{'name':'n1','labels':{'disk':'fast','cores':'8'}}}");
	static const struct {
		const char *terms;
		bool want;
	} cases[] = {
		{"[]", false},
		{"[{}]", false},
		{"[{'matchExpressions':[{'key':'disk','operator':'In','values':['slow','fast']}]}]", true},
		{"[{'matchExpressions':[{'key':'disk','operator':'NotIn','values':['fast']}]}]", false},
		{"[{'matchExpressions':[{'key':'none','operator':'NotIn','values':['fast']}]}]", true},
		{"[{'matchExpressions':[{'key':'disk','operator':'Exists'}]}]", true},
		{"[{'matchExpressions':[{'key':'disk','operator':'DoesNotExist'}]}]", false},
		{"[{'matchExpressions':[{'key':'cores','operator':'Gt','values':['7']}]}]", true},
		{"[{'matchExpressions':[{'key':'cores','operator':'Lt','values':['8']}]}]", false},
		{"[{'matchExpressions':[{'key':'disk','operator':'Gt','values':['1']}]}]", false},
		{"[{'matchFields':[{'key':'metadata.name','operator':'In','values':['n1']}]}]", true},
		{"[{'matchFields':[{'key':'metadata.name','operator':'In','values':['n2']}]}]", false},
		{"[{'matchExpressions':[{'key':'disk','operator':'Exists'},{'key':'gpu','operator':'Exists'}]}]",
		 false},
		{"[{'matchExpressions':[{'key':'gpu','operator':'Exists'}]},{'matchExpressions':[{'key':'disk','"
		 "operator':'Exists'}]}]",
		 true},
		{"[{'matchExpressions':[{'key':'disk','operator':'Near'}]}]", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO terms = parse(cases[i].terms);
		JSON_AUTO selector = json_pack("{s:O}", "nodeSelectorTerms", terms);
		if (node_matches(node, selector) != cases[i].want)
			fail_msg("case %s", cases[i].terms);
	}
}

static void put_cache_pod(struct fake_api *f, const char *release, const char *node, const char *placement)
{
	char text[512];
	(void)snprintf(text, sizeof text,
		       "{'kind':'Pod','metadata':{'name':'%s-worker-0','namespace':'default','labels':{'release':'%s','"
		       "fluid.io/dataset':'x',"
		       "'fluid.io/"
		       "dataset-placement':'%s'},'ownerReferences':[{'kind':'StatefulSet','name':'%s-worker','"
		       "controller':true}]},"
		       "'spec':{'nodeName':'%s'},'status':{'phase':'Running'}}",
		       release, release, placement, release, node);
	fake_put(f, &KUBE_POD, text);
}

static void test_count(void **state)
{
	(void)state;
	struct fake_api *f = fake_new();
	fake_put(f, &KUBE_NODE, "{'kind':'Node','metadata':{'name':'plain','labels':{'z':'1'}}}");
	fake_put(f, &KUBE_NODE, "{'kind':'Node','metadata':{'name':'other','labels':{'z':'2'}}}");
	fake_put(f, &KUBE_NODE,
		 "{'kind':'Node','metadata':{'name':'cordoned','labels':{'z':'1'}},'spec':{'unschedulable':true}}");
	fake_put(f, &KUBE_NODE,
		 "{'kind':'Node','metadata':{'name':'tainted','labels':{'z':'1'}},'spec':{'taints':[{'key':'k','value':"
		 "'v','effect':'NoSchedule'}]}}");
	fake_put(f, &KUBE_NODE,
		 "{'kind':'Node','metadata':{'name':'preferred','labels':{'z':'1'}},'spec':{'taints':[{'key':'k','"
		 "effect':'PreferNoSchedule'}]}}");
	put_cache_pod(f, "alone", "preferred", "Exclusive");
	JSON_AUTO shared = parse("{'spec':{'placement':'Shared'}}");
	JSON_AUTO exclusive = parse("{'spec':{}}");
	static const struct {
		const char *pod;
		int shared, exclusive;
	} cases[] = {
		{"{}", 2, 2},
		{"{'nodeSelector':{'z':'1'}}", 1, 1},
		{"{'tolerations':[{'key':'k','operator':'Equal','value':'v','effect':'NoSchedule'}]}", 3, 3},
		{"{'tolerations':[{'key':'k','value':'w'}]}", 2, 2},
		{"{'tolerations':[{'operator':'Exists'}]}", 3, 3},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO pod = parse(cases[i].pod);
		struct reconcile_ctx ctx = {.ns = "default", .name = "demo", .api = &f->ops, .dataset = shared};
		char why[256];
		assert_int_equal(placement_count(&ctx, pod, 9, why), cases[i].shared);
		ctx.dataset = exclusive;
		assert_int_equal(placement_count(&ctx, pod, 9, why), cases[i].exclusive);
	}
	/* A Shared neighbour keeps an Exclusive dataset away, not a Shared one; one's own pod keeps nobody away. */
	put_cache_pod(f, "neighbour", "plain", "Shared");
	put_cache_pod(f, "demo", "other", "Exclusive");
	JSON_AUTO pod = parse("{}");
	struct reconcile_ctx ctx = {.ns = "default", .name = "demo", .api = &f->ops, .dataset = shared};
	char why[256];
	assert_int_equal(placement_count(&ctx, pod, 9, why), 2);
	ctx.dataset = exclusive;
	assert_int_equal(placement_count(&ctx, pod, 9, why), 1);
	assert_string_equal(why, "1/5 nodes can take a worker: 0 did not match the node selector or affinity, 2 had an "
				 "untolerated taint or are "
				 "cordoned, 2 hold another dataset that excludes this one");
	ctx.dataset = shared;
	assert_int_equal(placement_count(&ctx, pod, 1, why), 1); /* no more than asked for */
	fake_free(f);
}

static void test_what_gives_room(void **state)
{
	(void)state;
#define WAS "{'metadata':{'labels':{'z':'1','fluid.io/s-a-b':'true'}},'status':{'conditions':[]}}"
	static const struct {
		const char *name, *old, *node;
		bool room;
	} cases[] = {
		{"nothing", WAS, WAS, false},
		{"a heartbeat", WAS,
		 "{'metadata':{'labels':{'z':'1','fluid.io/s-a-b':'true'}},'status':{'conditions':[{'type':'Ready'}]}}",
		 false},
		{"another cache", WAS,
		 "{'metadata':{'labels':{'z':'1','fluid.io/s-a-c':'true','fluid_exclusive':'a_c'}}}", false},
		{"a new label", WAS, "{'metadata':{'labels':{'z':'1','y':'1','fluid.io/s-a-b':'true'}}}", true},
		{"a label less", WAS, "{'metadata':{'labels':{'fluid.io/s-a-b':'true'}}}", true},
		{"a label's value", WAS, "{'metadata':{'labels':{'z':'2'}}}", true},
		{"a taint goes", "{'spec':{'taints':[{'key':'k'}]}}", "{'spec':{}}", true},
		{"it is new", NULL, WAS, true},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO old = cases[i].old != NULL ? parse(cases[i].old) : NULL;
		JSON_AUTO node = parse(cases[i].node);
		if (node_gives_room(old != NULL ? INFORMER_UPDATED : INFORMER_ADDED, old, node) != cases[i].room)
			fail_msg("%s", cases[i].name);
	}
}

static void test_labels(void **state)
{
	(void)state;
	struct fake_api *f = fake_new();
	json_t *n1 = fake_put(f, &KUBE_NODE,
			      "{'kind':'Node','metadata':{'name':'n1','labels':{'fluid.io/"
			      "s-h-alluxio-t-default-else':'1GiB','fluid.io/dataset-num':'7'}}}");
	fake_put(f, &KUBE_NODE, "{'kind':'Node','metadata':{'name':'n2'}}");
	put_cache_pod(f, "demo", "n1", "Exclusive");
	(void)n1;
	JSON_AUTO dataset = parse("{'metadata':{'uid':'u'},'spec':{}}");
	struct reconcile_ctx ctx = {.ns = "default",
				    .name = "demo",
				    .runtime_type = "toy",
				    .runtime_resource = &RUNTIME,
				    .api = &f->ops,
				    .dataset = dataset};
	const struct tier_totals totals = {.memory_bytes = INT64_C(1) << 30, .has_memory = true};
	struct error err = {0};
	assert_int_equal(nodes_sync_labels(&ctx, &TOY, &totals, &err), 0);
	json_t *node = fake_live(f, &KUBE_NODE, "", "n1");
	assert_string_equal(obj_label(node, "fluid.io/s-default-demo"), "true");
	assert_string_equal(obj_label(node, "fluid.io/s-toy-default-demo"), "true");
	assert_string_equal(obj_label(node, "fluid.io/s-h-toy-m-default-demo"), "1GiB");
	assert_null(obj_label(node, "fluid.io/s-h-toy-d-default-demo"));
	assert_string_equal(obj_label(node, "fluid.io/s-h-toy-t-default-demo"), "1GiB");
	assert_string_equal(obj_label(node, "fluid.io/dataset-num"), "2"); /* counted, so a wrong one mends itself */
	assert_string_equal(obj_label(node, "fluid_exclusive"), "default_demo");
	size_t writes = json_array_size(f->writes);
	assert_int_equal(nodes_sync_labels(&ctx, &TOY, &totals, &err), 0);
	assert_int_equal(json_array_size(f->writes), writes);

	/* The worker moves: its labels move with it. */
	fake_set(f, fake_live(f, &KUBE_POD, "default", "demo-worker-0"), "spec.nodeName", json_string("n2"));
	assert_int_equal(nodes_sync_labels(&ctx, &TOY, &totals, &err), 0);
	node = fake_live(f, &KUBE_NODE, "", "n1");
	assert_int_equal(json_object_size(json_at(node, "metadata.labels")), 2);
	assert_string_equal(obj_label(node, "fluid.io/dataset-num"), "1");
	assert_string_equal(obj_label(fake_live(f, &KUBE_NODE, "", "n2"), "fluid.io/dataset-num"), "1");

	/* Everything goes, the fuse's label too; a foreign fluid_exclusive stays. */
	fake_set(f, fake_live(f, &KUBE_NODE, "", "n1"), "metadata.labels[\"fluid.io/f-default-demo\"]",
		 json_string("true"));
	fake_set(f, fake_live(f, &KUBE_NODE, "", "n1"), "metadata.labels.fluid_exclusive", json_string("default_else"));
	assert_int_equal(nodes_clear_labels(&ctx, &err), 0);
	assert_int_equal(json_object_size(json_at(fake_live(f, &KUBE_NODE, "", "n2"), "metadata.labels")), 0);
	assert_null(obj_label(fake_live(f, &KUBE_NODE, "", "n1"), "fluid.io/f-default-demo"));
	assert_string_equal(obj_label(fake_live(f, &KUBE_NODE, "", "n1"), "fluid_exclusive"), "default_else");

	f->conflicts = 1;
	assert_int_equal(nodes_sync_labels(&ctx, &TOY, &totals, &err), -ESTALE);
	fake_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_node_matches), cmocka_unit_test(test_count),
					   cmocka_unit_test(test_what_gives_room), cmocka_unit_test(test_labels)};
	return cmocka_run_group_tests_name("runtime/placement", tests, NULL, NULL);
}
