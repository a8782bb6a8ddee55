/* Rows of `kubectl get` for Kubernetes' kinds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/kind.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "json/json.h"

static const struct kind *find(const char *plural)
{
	for (const struct kind *const *k = kubernetes_kinds; *k != NULL; k++)
		if (strcmp((*k)->resource.plural, plural) == 0)
			return *k;
	fail_msg("no kind %s", plural);
	return NULL;
}

/* All cells, with | between. */
static void row(const struct kind *k, const json_t *obj, int64_t now, char out[static 1024])
{
	size_t n = 0;
	out[0] = '\0';
	for (const struct column *c = k->columns; c->name != NULL; c++) {
		JSON_AUTO cell = c->render(obj, now);
		CLEANUP(free_p) char *text = json_dumps(cell, JSON_ENCODE_ANY);
		assert_non_null(text);
		n += (size_t)snprintf(out + n, 1024 - n, "%s%s", c == k->columns ? "" : "|",
				      json_is_string(cell) ? json_string_value(cell) : text);
	}
}

#define NOW  "2026-01-02T03:04:05Z"
#define META "\"metadata\":{\"name\":\"x\",\"creationTimestamp\":\"2026-01-02T03:00:00Z\"}"

static void test_rows(void **state)
{
	(void)state;
	static const struct {
		const char *plural, *obj, *want;
	} cases[] = {
		{"namespaces", "{" META ",\"status\":{\"phase\":\"Active\"}}", "x|Active|4m5s"},
		{"configmaps", "{" META ",\"data\":{\"a\":\"\",\"b\":\"\"},\"binaryData\":{\"c\":\"\"}}", "x|3|4m5s"},
		{"secrets", "{" META ",\"type\":\"Opaque\",\"data\":{}}", "x|Opaque|0|4m5s"},
		{"serviceaccounts", "{\"metadata\":{\"name\":\"x\"}}", "x|0|<unknown>"},
		{"nodes",
		 "{\"metadata\":{\"name\":\"n\",\"labels\":{\"node-role.kubernetes.io/"
		 "b\":\"\",\"node-role.kubernetes.io/a\":\"\"}},\"spec\":{"
		 "\"unschedulable\":true},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}],"
		 "\"addresses\":[{\"type\":\"InternalIP\","
		 "\"address\":\"1.2.3.4\"}],\"nodeInfo\":{\"kubeletVersion\":\"v1\",\"osImage\":\"Debian\","
		 "\"kernelVersion\":\"6\","
		 "\"containerRuntimeVersion\":\"runc://1\"}}}",
		 "n|Ready,SchedulingDisabled|a,b|<unknown>|v1|1.2.3.4|<none>|Debian|6|runc://1"},
		{"nodes", "{" META "}", "x|Unknown|<none>|4m5s||<none>|<none>|<unknown>|<unknown>|<unknown>"},
		{"statefulsets",
		 "{" META ",\"spec\":{\"replicas\":3,\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":"
		 "\"i\"},{\"name\":\"b\",\"image\":\"j\"}]}}},"
		 "\"status\":{\"readyReplicas\":1}}",
		 "x|1/3|4m5s|a,b|i,j"},
		{"daemonsets",
		 "{" META ",\"spec\":{\"selector\":{\"matchLabels\":{\"b\":\"2\",\"a\":\"1\"},\"matchExpressions\":[{"
		 "\"key\":\"k\",\"operator\":\"In\",\"values\":["
		 "\"u\",\"v\"]},{\"key\":\"l\",\"operator\":\"DoesNotExist\"}]}},\"status\":{"
		 "\"desiredNumberScheduled\":2,\"numberReady\":1}}",
		 "x|2|0|1|0|0|<none>|4m5s|||a=1,b=2,k in (u,v),!l"},
		{"persistentvolumes",
		 "{" META ",\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadOnlyMany\","
		 "\"ReadWriteOnce\"],\"claimRef\":{\"namespace\":\"n\","
		 "\"name\":\"c\"},\"persistentVolumeReclaimPolicy\":\"Retain\",\"storageClassName\":\"fluid\","
		 "\"volumeMode\":\"Filesystem\"},\"status\":{"
		 "\"phase\":\"Bound\"}}",
		 "x|1Gi|ROX,RWO|Retain|Bound|n/c|fluid||4m5s|Filesystem"},
		{"persistentvolumeclaims",
		 "{" META ",\"spec\":{},\"status\":{\"phase\":\"Pending\",\"capacity\":{\"storage\":\"1Gi\"}}}",
		 "x|Pending|||||4m5s|<unset>"},
		{"persistentvolumeclaims",
		 "{\"metadata\":{\"name\":\"x\",\"deletionTimestamp\":\"" NOW
		 "\"},\"spec\":{\"volumeName\":\"v\",\"storageClassName\":\"s\"},\"status\":{\"phase\":"
		 "\"Bound\",\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteMany\"]}}",
		 "x|Terminating|v|1Gi|RWX|s|<unknown>|<unset>"},
		{"services",
		 "{" META ",\"spec\":{\"type\":\"NodePort\",\"clusterIP\":\"10.0.0.1\",\"ports\":[{\"port\":80,"
		 "\"nodePort\":30080},{\"port\":53,\"protocol\":"
		 "\"UDP\"}],\"selector\":{\"a\":\"b\"}}}",
		 "x|NodePort|10.0.0.1|<none>|80:30080/TCP,53/UDP|4m5s|a=b"},
		{"endpoints",
		 "{" META ",\"subsets\":[{\"addresses\":[{\"ip\":\"1.1.1.1\"},{\"ip\":\"1.1.1.2\"}],\"ports\":[{"
		 "\"port\":1},{\"port\":2}]}]}",
		 "x|1.1.1.1:1,1.1.1.1:2,1.1.1.2:1 + 1 more...|4m5s"},
		{"events",
		 "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\",\"fieldPath\":"
		 "\"spec\"},\"reason\":\"R\",\"message\":\"hi \\n\","
		 "\"type\":\"Normal\",\"source\":{\"component\":\"c\",\"host\":\"h\"},\"firstTimestamp\":\"2026-01-"
		 "02T02:04:05Z\",\"lastTimestamp\":"
		 "\"2026-01-02T03:03:05Z\",\"count\":4}",
		 "60s|Normal|R|pod/p|spec|c, h|hi|60m|4|e"},
		{"storageclasses",
		 "{\"metadata\":{\"name\":\"s\",\"annotations\":{\"storageclass.kubernetes.io/"
		 "is-default-class\":\"true\"}},\"provisioner\":\"p\"}",
		 "s (default)|p|Delete|Immediate|false|<unknown>"},
		{"csidrivers",
		 "{" META ",\"spec\":{\"attachRequired\":false,\"volumeLifecycleModes\":[\"Persistent\"]}}",
		 "x|false|false|Persistent|4m5s"},
		{"volumeattachments",
		 "{" META
		 ",\"spec\":{\"attacher\":\"a\",\"nodeName\":\"n\",\"source\":{\"persistentVolumeName\":\"v\"}}}",
		 "x|a|v|n|false|4m5s"},
		{"csinodes", "{" META ",\"spec\":{\"drivers\":[{}]}}", "x|1|4m5s"},
		{"leases", "{" META ",\"spec\":{\"holderIdentity\":\"me\"}}", "x|me|4m5s"},
		{"customresourcedefinitions", "{" META "}", "x|2026-01-02T03:00:00Z"},
		{"controllerrevisions",
		 "{\"metadata\":{\"name\":\"v\",\"ownerReferences\":[{\"kind\":\"Other\",\"name\":\"o\"},{\"apiVersion\":"
		 "\"apps/v1\",\"kind\":\"StatefulSet\",\"name\":\"web\",\"controller\":true}]},\"revision\":2}",
		 "v|statefulset.apps/web|2|<unknown>"},
		{"jobs",
		 "{" META ",\"spec\":{\"parallelism\":1,\"completions\":2},\"status\":{\"succeeded\":2,\"startTime\":"
		 "\"2026-01-02T03:00:00Z\",\"completionTime\":\"2026-01-02T03:01:00Z\",\"conditions\":[{\"type\":"
		 "\"Complete\",\"status\":\"True\"}]}}",
		 "x|Complete|2/2|60s|4m5s|||<none>"},
		{"jobs",
		 "{\"metadata\":{\"name\":\"j\",\"deletionTimestamp\":\"2026-01-02T03:00:00Z\"},\"spec\":{\"parallelism\":3},"
		 "\"status\":{\"startTime\":\"2026-01-02T03:03:05Z\"}}",
		 "j|Terminating|0/1 of 3|60s|<unknown>|||<none>"},
		{"cronjobs",
		 "{" META
		 ",\"spec\":{\"schedule\":\"@daily\",\"suspend\":true,\"timeZone\":\"UTC\",\"jobTemplate\":{\"spec\":{"
		 "\"template\":{\"spec\":{\"containers\":[{\"name\":\"a\",\"image\":\"i\"},{\"name\":\"b\",\"image\":\"k\"}]}}"
		 "}}},\"status\":{\"active\":[{}],\"lastScheduleTime\":\"2026-01-02T03:03:05Z\"}}",
		 "x|@daily|UTC|True|1|60s|4m5s|a,b|i,k|<none>"},
		{"clusterrolebindings",
		 "{" META
		 ",\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"u\"},"
		 "{\"kind\":\"User\",\"name\":\"v\"},{\"kind\":\"Group\",\"name\":\"g\"},{\"kind\":\"ServiceAccount\",\"name\":"
		 "\"s\",\"namespace\":\"n\"}]}",
		 "x|ClusterRole/r|4m5s|u, v|g|n/s"},
		{"poddisruptionbudgets", "{" META ",\"spec\":{\"maxUnavailable\":1}}", "x|N/A|1|0|4m5s"},
		{"validatingwebhookconfigurations", "{" META ",\"webhooks\":[{},{}]}", "x|2|4m5s"},
		{"priorityclasses", "{" META ",\"value\":7,\"globalDefault\":true,\"preemptionPolicy\":\"Never\"}",
		 "x|7|true|4m5s|Never"},
	};
	int64_t now;
	assert_int_equal(clock_parse_rfc3339(NOW, &now), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO obj = json_loads(cases[i].obj, 0, NULL);
		if (obj == NULL)
			fail_msg("no JSON: %s", cases[i].obj);
		char got[1024];
		row(find(cases[i].plural), obj, now, got);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: got '%s', want '%s'", cases[i].plural, got, cases[i].want);
	}
}

static void test_pods(void **state)
{
	(void)state;
	static const struct {
		const char *spec, *status, *meta, *want; /* Ready|Status|Restarts */
	} cases[] = {
		{"{\"containers\":[{\"name\":\"c\"}]}", "{\"phase\":\"Pending\"}", "{}", "0/1|Pending|0"},
		{"{\"containers\":[{\"name\":\"c\"}]}",
		 "{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"c\",\"ready\":true,\"restartCount\":2,"
		 "\"state\":{\"running\":{}},\"lastState\":{"
		 "\"terminated\":{\"finishedAt\":\"2026-01-02T03:03:05Z\"}}}]}",
		 "{}", "1/1|Running|2 (60s ago)"},
		{"{\"containers\":[{\"name\":\"c\"}]}",
		 "{\"phase\":\"Pending\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"waiting\":{\"reason\":"
		 "\"ImagePullBackOff\"}}}]}",
		 "{}", "0/1|ImagePullBackOff|0"},
		{"{\"containers\":[{\"name\":\"c\"}]}",
		 "{\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"terminated\":{\"exitCode\":"
		 "3}}}]}",
		 "{}", "0/1|ExitCode:3|0"},
		{"{\"containers\":[{\"name\":\"c\"}]}",
		 "{\"phase\":\"Failed\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"terminated\":{\"exitCode\":"
		 "137,\"signal\":9}}}]}",
		 "{}", "0/1|Signal:9|0"},
		{"{\"containers\":[{\"name\":\"c\"}]}",
		 "{\"phase\":\"Running\",\"containerStatuses\":[{\"name\":\"c\",\"ready\":true,\"state\":{\"running\":{"
		 "}}}]}",
		 "{\"deletionTimestamp\":\"2026-01-02T03:00:00Z\"}", "1/1|Terminating|0"},
		{"{\"containers\":[{\"name\":\"c\"}]}",
		 "{\"phase\":\"Succeeded\",\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"terminated\":{"
		 "\"reason\":\"Completed\"}}}]}",
		 "{\"deletionTimestamp\":\"2026-01-02T03:00:00Z\"}", "0/1|Completed|0"},
		{"{\"initContainers\":[{\"name\":\"i\"},{\"name\":\"j\"}],\"containers\":[{\"name\":\"c\"}]}",
		 "{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{\"terminated\":{"
		 "\"exitCode\":0}}},{\"name\":\"j\",\"restartCount\":1,"
		 "\"state\":{\"running\":{}}}]}",
		 "{}", "0/1|Init:1/2|1"},
		{"{\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{\"name\":\"c\"}]}",
		 "{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{\"waiting\":{\"reason\":"
		 "\"CrashLoopBackOff\"}}}]}",
		 "{}", "0/1|Init:CrashLoopBackOff|0"},
		{"{\"initContainers\":[{\"name\":\"s\",\"restartPolicy\":\"Always\"}],\"containers\":[{\"name\":\"c\"}]"
		 "}",
		 "{\"phase\":\"Running\",\"initContainerStatuses\":[{\"name\":\"s\",\"started\":true,\"ready\":true,"
		 "\"restartCount\":1,\"state\":{\"running\":{}}}],"
		 "\"containerStatuses\":[{\"name\":\"c\",\"ready\":true,\"restartCount\":2,\"state\":{\"running\":{}}}]"
		 "}",
		 "{}", "2/2|Running|3"},
		{"{\"containers\":[{\"name\":\"c\"},{\"name\":\"d\"}]}",
		 "{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}],"
		 "\"containerStatuses\":[{\"name\":\"c\",\"state\":{\"terminated\":{"
		 "\"reason\":\"Completed\"}}},{\"name\":\"d\",\"ready\":true,\"state\":{\"running\":{}}}]}",
		 "{}", "1/2|NotReady|0"},
	};
	int64_t now;
	assert_int_equal(clock_parse_rfc3339(NOW, &now), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO obj =
			json_pack("{s:o,s:o,s:o}", "spec", json_loads(cases[i].spec, 0, NULL), "status",
				  json_loads(cases[i].status, 0, NULL), "metadata", json_loads(cases[i].meta, 0, NULL));
		if (obj == NULL)
			fail_msg("no JSON: %s", cases[i].status);
		char cells[1024];
		row(find("pods"), obj, now, cells);
		const char *got = cells + 1; /* the name is empty */
		if (strncmp(got, cases[i].want, strlen(cases[i].want)) != 0)
			fail_msg("%s: got '%s', want '%s'", cases[i].status, got, cases[i].want);
	}
}

static void test_kinds(void **state)
{
	(void)state;
	size_t n = 0;
	for (const struct kind *const *k = kubernetes_kinds; *k != NULL; k++, n++) {
		if (!schema_is_native((*k)->schema) || (*k)->schema->fields == NULL || (*k)->singular == NULL)
			fail_msg("%s is not whole", (*k)->resource.kind);
		for (const struct kind *const *o = kubernetes_kinds; o != k; o++)
			if (strcmp((*o)->resource.plural, (*k)->resource.plural) == 0 &&
			    strcmp((*o)->resource.group, (*k)->resource.group) == 0)
				fail_msg("%s is there twice", (*k)->resource.plural);
	}
	assert_true(n > 0);
	assert_int_equal(find("namespaces")->verbs & VERB_DELETECOLLECTION, 0);
	assert_int_equal(find("selfsubjectaccessreviews")->verbs, VERB_CREATE);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_pods),
		cmocka_unit_test(test_kinds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
