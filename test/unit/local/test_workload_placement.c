#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/str.h"
#include "local/workload_placement.h"
#include "json/json.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	if (json_parse(text, strlen(text), &j, NULL) < 0)
		fail_msg("test data is no JSON: %s", text);
	return j;
}

#define AFFINITY(terms)                                                                                                \
	"{\"affinity\":{\"nodeAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":{\"nodeSelectorTerms\":"  \
	"[" terms "]}}}}"
#define EXPR(key, op, values)                                                                                          \
	"{\"matchExpressions\":[{\"key\":\"" key "\",\"operator\":\"" op "\",\"values\":[" values "]}]}"

static void selectors_and_node_affinity(void **state)
{
	(void)state;
	static const struct {
		const char *name, *spec;
		bool want;
	} cases[] = {
		{"nothing asked", "{}", true},
		{"selector matches", "{\"nodeSelector\":{\"disk\":\"ssd\"}}", true},
		{"selector's value differs", "{\"nodeSelector\":{\"disk\":\"hdd\"}}", false},
		{"selector's label absent", "{\"nodeSelector\":{\"gpu\":\"\"}}", false},
		{"In", AFFINITY(EXPR("disk", "In", "\"hdd\",\"ssd\"")), true},
		{"In, absent", AFFINITY(EXPR("gpu", "In", "\"\"")), false},
		{"NotIn", AFFINITY(EXPR("disk", "NotIn", "\"ssd\"")), false},
		{"NotIn, absent", AFFINITY(EXPR("gpu", "NotIn", "\"a\"")), true},
		{"Exists", AFFINITY(EXPR("disk", "Exists", "")), true},
		{"DoesNotExist", AFFINITY(EXPR("disk", "DoesNotExist", "")), false},
		{"Gt", AFFINITY(EXPR("cores", "Gt", "\"7\"")), true},
		{"Gt, equal", AFFINITY(EXPR("cores", "Gt", "\"8\"")), false},
		{"Lt", AFFINITY(EXPR("cores", "Lt", "\"9\"")), true},
		{"Gt of no number", AFFINITY(EXPR("disk", "Gt", "\"1\"")), false},
		{"operator unknown", AFFINITY(EXPR("disk", "Like", "\"ssd\"")), false},
		{"terms are alternatives", AFFINITY(EXPR("disk", "In", "\"hdd\"") "," EXPR("cores", "Exists", "")),
		 true},
		{"empty term matches nothing", AFFINITY("{}"), false},
		{"no term at all", AFFINITY(""), false},
		{"name",
		 AFFINITY("{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n1\"]}]}"),
		 true},
		{"another name",
		 AFFINITY("{\"matchFields\":[{\"key\":\"metadata.name\",\"operator\":\"In\",\"values\":[\"n2\"]}]}"),
		 false},
		{"unknown field", AFFINITY("{\"matchFields\":[{\"key\":\"spec.x\",\"operator\":\"DoesNotExist\"}]}"),
		 false},
		{"selector and affinity both count",
		 "{\"nodeSelector\":{\"disk\":\"hdd\"},\"affinity\":{\"nodeAffinity\":{"
		 "\"requiredDuringSchedulingIgnoredDuringExecution\":"
		 "{\"nodeSelectorTerms\":[" EXPR("disk", "Exists", "") "]}}}}",
		 false},
	};
	JSON_AUTO node = parse("{\"metadata\":{\"name\":\"n1\",\"labels\":{\"disk\":\"ssd\",\"cores\":\"8\"}}}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO spec = parse(cases[i].spec);
		if (placement_selects(spec, node) != cases[i].want)
			fail_msg("case '%s'", cases[i].name);
	}
}

static void taints_and_tolerations(void **state)
{
	(void)state;
	static const struct {
		const char *name, *tolerations;
		const char *left; /* key of the first untolerated taint, NULL: none */
	} cases[] = {
		{"none", "[]", "a"},
		{"all", "[{\"operator\":\"Exists\"}]", NULL},
		{"equal", "[{\"key\":\"a\",\"value\":\"1\",\"effect\":\"NoSchedule\"}]", "b"},
		{"wrong value", "[{\"key\":\"a\",\"value\":\"2\"}]", "a"},
		{"key exists", "[{\"key\":\"a\",\"operator\":\"Exists\"},{\"key\":\"b\",\"operator\":\"Exists\"}]",
		 NULL},
		{"wrong effect", "[{\"key\":\"a\",\"operator\":\"Exists\",\"effect\":\"NoExecute\"}]", "a"},
		{"no key needs Exists", "[{\"value\":\"1\"}]", "a"},
	};
	JSON_AUTO node = parse("{\"spec\":{\"taints\":[{\"key\":\"p\",\"effect\":\"PreferNoSchedule\"},{\"key\":\"a\","
			       "\"value\":\"1\",\"effect\":"
			       "\"NoSchedule\"},{\"key\":\"b\",\"effect\":\"NoExecute\"}]}}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO spec = json_object();
		json_object_set_new(spec, "tolerations", parse(cases[i].tolerations));
		const json_t *left = placement_untolerated(spec, node, TAINT_NO_SCHEDULE | TAINT_NO_EXECUTE);
		if (!str_same(json_str(left, "key", NULL), cases[i].left))
			fail_msg("case '%s': %s", cases[i].name, json_str(left, "key", "none"));
	}
	JSON_AUTO spec = json_object();
	assert_string_equal(json_str(placement_untolerated(spec, node, TAINT_NO_EXECUTE), "key", ""), "b");
}

#define POD(uid, ns, labels, anti)                                                                                     \
	"{\"metadata\":{\"name\":\"" uid "\",\"uid\":\"" uid "\",\"namespace\":\"" ns "\",\"labels\":{" labels         \
	"}},\"spec\":{\"affinity\":{"                                                                                  \
	"\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[" anti "]}}}}"
#define ANTI(labels, more)                                                                                             \
	"{\"labelSelector\":{\"matchLabels\":{" labels "}},\"topologyKey\":\"kubernetes.io/hostname\"" more "}"

static void anti_affinity_works_both_ways(void **state)
{
	(void)state;
	static const struct {
		const char *name, *pod, *there;
		bool want;
	} cases[] = {
		{"nobody there", POD("u1", "d", "", ANTI("\"a\":\"b\"", "")), "[]", false},
		{"own term hits", POD("u1", "d", "", ANTI("\"a\":\"b\"", "")),
		 "[" POD("u2", "d", "\"a\":\"b\"", "") "]", true},
		{"other label", POD("u1", "d", "", ANTI("\"a\":\"b\"", "")), "[" POD("u2", "d", "\"a\":\"c\"", "") "]",
		 false},
		{"other namespace", POD("u1", "d", "", ANTI("\"a\":\"b\"", "")),
		 "[" POD("u2", "e", "\"a\":\"b\"", "") "]", false},
		{"namespace named", POD("u1", "d", "", ANTI("\"a\":\"b\"", ",\"namespaces\":[\"e\"]")),
		 "[" POD("u2", "e", "\"a\":\"b\"", "") "]", true},
		{"all namespaces", POD("u1", "d", "", ANTI("\"a\":\"b\"", ",\"namespaceSelector\":{}")),
		 "[" POD("u2", "e", "\"a\":\"b\"", "") "]", true},
		{"theirs hits us", POD("u1", "d", "\"x\":\"y\"", ""),
		 "[" POD("u2", "d", "", ANTI("\"x\":\"y\"", "")) "]", true},
		{"not against itself", POD("u1", "d", "\"a\":\"b\"", ANTI("\"a\":\"b\"", "")),
		 "[" POD("u1", "d", "\"a\":\"b\"", ANTI("\"a\":\"b\"", "")) "]", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO pod = parse(cases[i].pod);
		JSON_AUTO there = parse(cases[i].there);
		const char *unknown = NULL;
		if (placement_repelled(pod, there, &unknown) != cases[i].want || unknown != NULL)
			fail_msg("case '%s'", cases[i].name);
	}
	JSON_AUTO zone = parse(POD("u1", "d", "", "{\"labelSelector\":{},\"topologyKey\":\"zone\"}"));
	JSON_AUTO none = json_array();
	const char *unknown = NULL;
	assert_false(placement_repelled(zone, none, &unknown));
	assert_string_equal(unknown, "zone");
}

#define PORTS(uid, ports) "{\"metadata\":{\"uid\":\"" uid "\"},\"spec\":{\"containers\":[{\"ports\":[" ports "]}]}}"

static void host_ports_are_used_once(void **state)
{
	(void)state;
	static const struct {
		const char *name, *pod, *there;
		bool want;
	} cases[] = {
		{"same", PORTS("a", "{\"hostPort\":80}"), "[" PORTS("b", "{\"hostPort\":80,\"protocol\":\"TCP\"}") "]",
		 true},
		{"other port", PORTS("a", "{\"hostPort\":80}"), "[" PORTS("b", "{\"hostPort\":81}") "]", false},
		{"other protocol", PORTS("a", "{\"hostPort\":80}"),
		 "[" PORTS("b", "{\"hostPort\":80,\"protocol\":\"UDP\"}") "]", false},
		{"other address", PORTS("a", "{\"hostPort\":80,\"hostIP\":\"10.0.0.1\"}"),
		 "[" PORTS("b", "{\"hostPort\":80,\"hostIP\":\"10.0.0.2\"}") "]", false},
		{"any address", PORTS("a", "{\"hostPort\":80,\"hostIP\":\"0.0.0.0\"}"),
		 "[" PORTS("b", "{\"hostPort\":80,\"hostIP\":\"10.0.0.2\"}") "]", true},
		{"container ports do not count", PORTS("a", "{\"containerPort\":80}"),
		 "[" PORTS("b", "{\"containerPort\":80}") "]", false},
		{"itself", PORTS("a", "{\"hostPort\":80}"), "[" PORTS("a", "{\"hostPort\":80}") "]", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO pod = parse(cases[i].pod);
		JSON_AUTO there = parse(cases[i].there);
		if (placement_ports_taken(pod, there) != cases[i].want)
			fail_msg("case '%s'", cases[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(selectors_and_node_affinity),
		cmocka_unit_test(taints_and_tolerations),
		cmocka_unit_test(anti_affinity_works_both_ways),
		cmocka_unit_test(host_ports_are_used_once),
	};
	return cmocka_run_group_tests_name("workload_placement", tests, NULL, NULL);
}
