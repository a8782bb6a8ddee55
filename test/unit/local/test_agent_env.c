/* Environment, command line and hosts file of a container. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "local/agent_env.h"
#include "local/agent_hosts.h"
#include "json/json.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct error err = {0};
	if (json_parse(text, strlen(text), &j, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return j;
}

static void test_expand(void **state)
{
	(void)state;
	static const struct {
		const char *in, *want;
	} cases[] = {
		{"", ""},           {"plain", "plain"},
		{"$(A)", "one"},    {"x$(A)y$(B)z", "xoney$(C)z"}, /* what was put in is not expanded again */
		{"$(NO)", "$(NO)"}, {"$$(A)", "$(A)"},
		{"$$$(A)", "$one"}, {"$(A", "$(A"},
		{"$A $", "$A $"},   {"$()", "$()"},
	};
	JSON_AUTO env = parse("[\"A=one\",\"B=$(C)\",\"AB=no\"]");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(free_p) char *got = env_expand(cases[i].in, env);
		if (got == NULL || strcmp(got, cases[i].want) != 0)
			fail_msg("'%s' became '%s'", cases[i].in, got);
	}
}

static int lookup(void *ctx, const char *kind, const char *name, json_t **ret, struct error *err)
{
	(void)ctx;
	(void)err;
	if (strcmp(kind, "ConfigMap") == 0 && strcmp(name, "cm") == 0)
		*ret = parse("{\"data\":{\"k\":\"v\",\"bad name\":\"x\",\"1digit\":\"x\"}}");
	else if (strcmp(kind, "Secret") == 0 && strcmp(name, "s") == 0)
		*ret = parse("{\"data\":{\"pw\":\"c2VjcmV0\",\"raw\":\"AAE=\",\"broken\":\"%%%%\"}}");
	else
		return -ENOENT;
	return 0;
}

static void test_build(void **state)
{
	(void)state;
	static const struct {
		const char *name, *container, *want; /* want: the list, or the message */
	} cases[] = {
		{"only the standard ones", "{}", "[\"PATH=/p\",\"HOSTNAME=h\"]"},
		{"PATH is the container's", "{\"env\":[{\"name\":\"PATH\",\"value\":\"/x\"}]}",
		 "[\"PATH=/x\",\"HOSTNAME=h\"]"},
		{"later ones see earlier ones",
		 "{\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"B\",\"value\":\"$(A)$(C)\"},{\"name\":\"C\","
		 "\"value\":\"3\"}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\",\"A=1\",\"B=1$(C)\",\"C=3\"]"},
		{"the last of one name counts",
		 "{\"env\":[{\"name\":\"A\",\"value\":\"1\"},{\"name\":\"A\",\"value\":\"2\"}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\",\"A=2\"]"},
		{"no value is empty", "{\"env\":[{\"name\":\"A\"}]}", "[\"PATH=/p\",\"HOSTNAME=h\",\"A=\"]"},
		{"field",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels['a/b']\"}}}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\",\"A=label\"]"},
		{"all labels",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels\"}}}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\",\"A=a/b=\\\"label\\\"\"]"},
		{"node", "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"spec.nodeName\"}}}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\",\"A=node\"]"},
		{"unknown field",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"spec.x\"}}}]}",
		 "fieldRef: there is no field 'spec.x' for pods"},
		{"config map key",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"cm\",\"key\":\"k\"}}}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\",\"A=v\"]"},
		{"no such map",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"no\",\"key\":\"k\"}}}]}",
		 "configmap \"no\" not found"},
		{"no such key",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"cm\",\"key\":\"z\"}}}]}",
		 "couldn't find key z in ConfigMap ns/cm"},
		{"optional",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"no\",\"key\":\"k\","
		 "\"optional\":true}}}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\"]"},
		{"secret key",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"pw\"}}}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\",\"A=secret\"]"},
		{"secret that is no text",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"raw\"}}}]}",
		 "secret \"s\": key 'raw' cannot be an environment variable"},
		{"secret that is broken",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"broken\"}}}]}",
		 "secret \"s\": key 'broken' cannot be an environment variable"},
		{"a whole map", "{\"envFrom\":[{\"prefix\":\"P_\",\"configMapRef\":{\"name\":\"cm\"}}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\",\"P_k=v\",\"P_1digit=x\"]"},
		{"env beats envFrom",
		 "{\"envFrom\":[{\"configMapRef\":{\"name\":\"cm\"}}],\"env\":[{\"name\":\"k\",\"value\":\"mine\"}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\",\"k=mine\"]"},
		{"no such secret", "{\"envFrom\":[{\"secretRef\":{\"name\":\"no\"}}]}", "secret \"no\" not found"},
		{"no such secret, optional", "{\"envFrom\":[{\"secretRef\":{\"name\":\"no\",\"optional\":true}}]}",
		 "[\"PATH=/p\",\"HOSTNAME=h\"]"},
		{"a source that is not there yet",
		 "{\"env\":[{\"name\":\"A\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.cpu\"}}}]}",
		 "valueFrom: only fieldRef, configMapKeyRef and secretKeyRef work here yet"},
	};
	JSON_AUTO pod = parse("{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"labels\":{\"a/b\":\"label\"}}}");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO container = parse(cases[i].container);
		JSON_AUTO list = NULL;
		struct error err = {0};
		const struct env_input in = {.pod = pod,
					     .container = container,
					     .node_name = "node",
					     .address = "127.0.0.1",
					     .path = "/p",
					     .hostname = "h",
					     .lookup = lookup};
		const int rc = env_build(&in, &list, &err);
		CLEANUP(free_p) char *got = rc == 0 ? json_to_text(list, NULL) : strdup(err.msg);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].name, got);
	}
}

static void test_command(void **state)
{
	(void)state;
	static const struct {
		const char *container, *want;
	} cases[] = {
		{"{\"command\":[\"a\",\"$(X)\"]}", "[\"a\",\"1\"]"},
		{"{\"command\":[\"a\"],\"args\":[\"$(X)b\",\"$$(X)\"]}", "[\"a\",\"1b\",\"$(X)\"]"},
		{"{\"args\":[\"b\"]}", "no command specified: the host image has none of its own, set command"},
		{"{}", "no command specified: the host image has none of its own, set command"},
	};
	JSON_AUTO env = parse("[\"X=1\"]");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO container = parse(cases[i].container);
		JSON_AUTO list = NULL;
		struct error err = {0};
		const int rc = env_command(container, env, &list, &err);
		CLEANUP(free_p) char *got = rc == 0 ? json_to_text(list, NULL) : strdup(err.msg);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].container, got);
	}
}

static void test_base64(void **state)
{
	(void)state;
	static const struct {
		const char *in, *want;
		size_t n;
		int rc;
	} cases[] = {
		{"", "", 0, 0},
		{"YQ==", "a", 1, 0},
		{"YWI=", "ab", 2, 0},
		{"YWJj", "abc", 3, 0},
		{"AAEC/w==", "\0\1\2\377", 4, 0},
		{"YQ", NULL, 0, -EINVAL},
		{"Y===", NULL, 0, -EINVAL},
		{"Y*==", NULL, 0, -EINVAL},
		{"YQ==YQ==", NULL, 0, -EINVAL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(free_p) char *out = NULL;
		size_t n = 0;
		const int rc = base64_decode(cases[i].in, &out, &n);
		if (rc != cases[i].rc || (rc == 0 && (n != cases[i].n || memcmp(out, cases[i].want, n) != 0)))
			fail_msg("'%s': rc %d", cases[i].in, rc);
	}
}

static void test_hosts(void **state)
{
	(void)state;
	JSON_AUTO pod = parse("{\"metadata\":{\"name\":\"p\",\"namespace\":\"a\"},\"spec\":{\"hostAliases\":[{\"ip\":"
			      "\"10.0.0.1\",\"hostnames\":[\"x\",\"y\"]}]}}");
	JSON_AUTO services =
		parse("[{\"metadata\":{\"name\":\"web\",\"namespace\":\"a\"}},{\"metadata\":{\"name\":\"db\","
		      "\"namespace\":\"b\"}},"
		      "{\"metadata\":{\"name\":\"ext\",\"namespace\":\"a\"},\"spec\":{\"type\":\"ExternalName\"}}]");
	JSON_AUTO pods = parse("[{\"metadata\":{\"name\":\"w-0\",\"namespace\":\"a\"},\"spec\":{\"subdomain\":\"w\"}},"
			       "{\"metadata\":{\"name\":\"plain\",\"namespace\":\"a\"},\"spec\":{}}]");
	const struct hosts_input in = {
		.pod = pod, .hostname = "p", .address = "127.0.0.1", .services = services, .pods = pods};
	CLEANUP(free_p) char *text = NULL;
	struct error err = {0};
	assert_int_equal(hosts_text(&in, &text, &err), 0);
	static const char *const lines[] = {
		"127.0.0.1\tlocalhost\n",
		"\n127.0.0.1\tp\n",
		"\n127.0.0.1\tweb web.a web.a.svc web.a.svc.cluster.local\n",
		"\n127.0.0.1\tdb.b db.b.svc db.b.svc.cluster.local\n",
		"\n127.0.0.1\tw-0.w w-0.w.a w-0.w.a.svc w-0.w.a.svc.cluster.local\n",
		"\n10.0.0.1\tx\ty\n",
	};
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (strstr(text, lines[i]) == NULL)
			fail_msg("'%s' is not in:\n%s", lines[i], text);
	assert_null(strstr(text, "ext"));
	assert_null(strstr(text, "plain"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_expand), cmocka_unit_test(test_build), cmocka_unit_test(test_command),
		cmocka_unit_test(test_base64), cmocka_unit_test(test_hosts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
