/* The pod's status from what its containers do, and what a pod may not ask for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/agent_private.h"
#include "json/json.h"

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct error err = {0};
	if (json_parse(text, strlen(text), &j, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return j;
}

/*
 * One letter a container: w waiting, r running, R running and ready, 0 ended well, 1 ended badly, b in back-off after failing,
 * B in back-off after ending well.
 */
static void set_container(struct container_run *c, char letter, bool init, size_t index)
{
	static char names[8][2] = {"a", "b", "c", "d", "e", "f", "g", "h"};
	*c = (struct container_run){.name = names[index], .init = init};
	if (letter != 'w')
		(void)str_copy(c->id, sizeof c->id, "id");
	switch (letter) {
	case 'r':
	case 'R':
		c->phase = CONTAINER_RUNNING;
		c->ready = letter == 'R';
		c->started = true;
		break;
	case '0':
	case '1':
		c->phase = CONTAINER_ENDED;
		container_end_set(&c->end, "id", letter - '0', letter == '0' ? "Completed" : "Error", "", 0, 0);
		break;
	case 'b':
	case 'B':
		container_end_set(&c->last, "id", letter == 'b', "Error", "", 0, 0);
		(void)str_copy(c->wait_reason, sizeof c->wait_reason, "CrashLoopBackOff");
		break;
	default:
		break;
	}
}

struct fixture {
	struct pod_run p;
	struct container_run list[8];
};

static void make(struct fixture *f, const char *init, const char *main_list, const char *policy)
{
	memset(f, 0, sizeof *f);
	(void)pthread_mutex_init(&f->p.lock, NULL);
	CLEANUP(free_p) char *text = str_printf("{\"spec\":{\"restartPolicy\":\"%s\"}}", policy);
	f->p.obj = parse(text);
	f->p.conditions = json_object();
	f->p.containers = f->list;
	f->p.n_init = strlen(init);
	f->p.n_containers = f->p.n_init + strlen(main_list);
	for (size_t i = 0; i < f->p.n_containers; i++)
		set_container(&f->list[i], i < f->p.n_init ? init[i] : main_list[i - f->p.n_init], i < f->p.n_init, i);
}

static void drop(struct fixture *f)
{
	json_decref(f->p.obj);
	json_decref(f->p.conditions);
	(void)pthread_mutex_destroy(&f->p.lock);
}

static void test_phase(void **state)
{
	(void)state;
	static const struct {
		const char *init, *list, *policy, *want;
		bool final;
	} cases[] = {
		{"", "w", "Always", "Pending", false},       {"", "r", "Always", "Running", false},
		{"", "rw", "Always", "Pending", false},      {"", "R1", "Never", "Running", false},
		{"", "00", "Never", "Succeeded", false},     {"", "01", "Never", "Failed", false},
		{"", "00", "OnFailure", "Succeeded", false}, {"", "01", "OnFailure", "Running", false},
		{"", "0", "Always", "Running", false},       {"", "b", "Always", "Running", false},
		{"", "B", "Always", "Running", false},       {"", "b", "OnFailure", "Running", false},
		{"r", "w", "Always", "Pending", false},      {"0", "w", "Always", "Pending", false},
		{"0", "R", "Always", "Running", false},      {"1", "w", "Always", "Pending", false},
		{"1", "w", "Never", "Failed", false},        {"b", "w", "Always", "Pending", false},
		{"", "0", "Always", "Succeeded", true},      {"", "1", "Always", "Failed", true},
		{"", "w", "Always", "Failed", true},         {"w", "w", "Always", "Failed", true},
		{"0", "0", "Always", "Succeeded", true},     {"1", "w", "Always", "Failed", true},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture f;
		make(&f, cases[i].init, cases[i].list, cases[i].policy);
		const char *got = status_phase(&f.p, cases[i].final);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("init '%s', containers '%s', %s%s: %s", cases[i].init, cases[i].list, cases[i].policy,
				 cases[i].final ? ", final" : "", got);
		drop(&f);
	}
}

/* Conditions as "Type=Status(reason: message)", in the order of the list. */
static char *conditions_text(const json_t *status)
{
	char *text = strdup("");
	size_t i;
	const json_t *c;
	json_array_foreach (json_object_get(status, "conditions"), i, c) {
		CLEANUP(free_p) char *before = text;
		const char *reason = json_str(c, "reason", NULL);
		text = str_printf("%s%s=%s%s%s%s%s%s ", before, json_str(c, "type", ""), json_str(c, "status", ""),
				  reason != NULL ? "(" : "", reason != NULL ? reason : "",
				  reason != NULL && *json_str(c, "message", "") != '\0' ? ": " : "",
				  reason != NULL ? json_str(c, "message", "") : "", reason != NULL ? ")" : "");
	}
	return text;
}

static void test_conditions(void **state)
{
	(void)state;
	static const struct {
		const char *init, *list, *policy, *want;
	} cases[] = {
		{"", "R", "Always", "Initialized=True Ready=True ContainersReady=True PodScheduled=True "},
		{"", "Rr", "Always",
		 "Initialized=True Ready=False(ContainersNotReady: containers with unready status: [b]) "
		 "ContainersReady=False(ContainersNotReady: containers with unready status: [b]) PodScheduled=True "},
		{"0r", "w", "Always",
		 "Initialized=False(ContainersNotInitialized: containers with incomplete status: [b]) "
		 "Ready=False(ContainersNotReady: containers with unready status: [c]) "
		 "ContainersReady=False(ContainersNotReady: containers with unready status: [c]) PodScheduled=True "},
		{"0", "0", "Never",
		 "Initialized=True(PodCompleted) Ready=False(PodCompleted) ContainersReady=False(PodCompleted) "
		 "PodScheduled=True "},
		{"", "1", "Never",
		 "Initialized=True Ready=False(PodFailed) ContainersReady=False(PodFailed) PodScheduled=True "},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct fixture f;
		make(&f, cases[i].init, cases[i].list, cases[i].policy);
		JSON_AUTO s = status_build(&f.p, false);
		CLEANUP(free_p) char *got = conditions_text(s);
		if (strcmp(got, cases[i].want) != 0)
			fail_msg("init '%s', containers '%s': %s", cases[i].init, cases[i].list, got);
		drop(&f);
	}
}

static void test_transition_time_is_kept(void **state)
{
	(void)state;
	struct fixture f;
	make(&f, "", "R", "Always");
	json_decref(f.p.conditions);
	f.p.conditions =
		parse("{\"Ready\":{\"status\":\"True\",\"lastTransitionTime\":\"2020-01-01T00:00:00Z\"},"
		      "\"Initialized\":{\"status\":\"False\",\"lastTransitionTime\":\"2020-01-01T00:00:00Z\"}}");
	JSON_AUTO s = status_build(&f.p, false);
	assert_string_equal(json_str(s, "conditions[type=Ready].lastTransitionTime", ""), "2020-01-01T00:00:00Z");
	assert_string_not_equal(json_str(s, "conditions[type=Initialized].lastTransitionTime", ""),
				"2020-01-01T00:00:00Z");
	drop(&f);
}

static void test_readiness_gate(void **state)
{
	(void)state;
	struct fixture f;
	make(&f, "", "R", "Always");
	json_decref(f.p.obj);
	f.p.obj = parse("{\"spec\":{\"readinessGates\":[{\"conditionType\":\"x/y\"}]}}");
	JSON_AUTO s = status_build(&f.p, false);
	assert_string_equal(json_str(s, "conditions[type=Ready].reason", ""), "ReadinessGatesNotReady");
	assert_string_equal(json_str(s, "conditions[type=ContainersReady].status", ""), "True");
	json_decref(f.p.obj);
	f.p.obj = parse("{\"spec\":{\"readinessGates\":[{\"conditionType\":\"x/"
			"y\"}]},\"status\":{\"conditions\":[{\"type\":\"x/y\",\"status\":\"True\"}]}}");
	JSON_AUTO met = status_build(&f.p, false);
	assert_string_equal(json_str(met, "conditions[type=Ready].status", ""), "True");
	drop(&f);
}

static void test_containers(void **state)
{
	(void)state;
	struct fixture f;
	make(&f, "0", "rbw", "Always");
	f.list[1].restarts = 2;
	(void)str_copy(f.list[2].wait_message, sizeof f.list[2].wait_message, "back-off");
	JSON_AUTO s = status_build(&f.p, false);
	static const struct {
		const char *path, *want;
	} cases[] = {
		{"initContainerStatuses[0].state.terminated.reason", "Completed"},
		{"initContainerStatuses[0].state.terminated.containerID", "runc://id"},
		{"containerStatuses[0].state.running.startedAt", "1970-01-01T00:00:00Z"},
		{"containerStatuses[0].containerID", "runc://id"},
		{"containerStatuses[1].state.waiting.reason", "CrashLoopBackOff"},
		{"containerStatuses[1].state.waiting.message", "back-off"},
		{"containerStatuses[1].lastState.terminated.reason", "Error"},
		{"containerStatuses[2].state.waiting.reason", "ContainerCreating"},
		{"phase", "Pending"},
		{"podIP", "127.0.0.1"},
		{"podIPs[0].ip", "127.0.0.1"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (strcmp(json_str(s, cases[i].path, ""), cases[i].want) != 0)
			fail_msg("%s is '%s'", cases[i].path, json_str(s, cases[i].path, ""));
	assert_int_equal(json_int(s, "containerStatuses[0].restartCount", 0), 2);
	assert_true(json_bool(s, "initContainerStatuses[0].ready", false));
	assert_false(json_bool(s, "containerStatuses[0].ready", true));
	assert_true(json_bool(s, "containerStatuses[0].started", false));
	assert_null(json_at(s, "containerStatuses[2].containerID"));
	drop(&f);
}

static void test_refused_fields(void **state)
{
	(void)state;
	static const struct {
		const char *spec, *msg; /* msg NULL: accepted */
	} cases[] = {
		{"{\"containers\":[{\"name\":\"a\"}]}", NULL},
		{"{\"shareProcessNamespace\":false,\"securityContext\":{\"sysctls\":[]},\"containers\":[{\"tty\":false}"
		 "]}",
		 NULL},
		{"{\"securityContext\":{\"seccompProfile\":{\"type\":\"Unconfined\"}},\"containers\":[]}", NULL},
		{"{\"shareProcessNamespace\":true}", "spec.shareProcessNamespace: does not work on this node yet"},
		{"{\"runtimeClassName\":\"kata\"}", "spec.runtimeClassName: does not work on this node yet"},
		{"{\"activeDeadlineSeconds\":5}", "spec.activeDeadlineSeconds: does not work on this node yet"},
		{"{\"hostUsers\":false}", "spec.hostUsers: user namespaces do not work on this node yet"},
		{"{\"securityContext\":{\"seccompProfile\":{\"type\":\"RuntimeDefault\"}}}",
		 "spec.securityContext.seccompProfile: only type Unconfined works on this node yet"},
		{"{\"containers\":[{},{\"lifecycle\":{\"stopSignal\":\"SIGINT\"}}]}",
		 "spec.containers[1].lifecycle.stopSignal: does not work on this node yet"},
		{"{\"initContainers\":[{\"restartPolicy\":\"Always\"}]}",
		 "spec.initContainers[0].restartPolicy: does not work on this node yet"},
		{"{\"containers\":[{\"securityContext\":{\"procMount\":\"Unmasked\"}}]}",
		 "spec.containers[0].securityContext.procMount: only Default works on this node yet"},
		{"{\"containers\":[{\"securityContext\":{\"seccompProfile\":{\"type\":\"Localhost\"}}}]}",
		 "spec.containers[0].securityContext.seccompProfile: only type Unconfined works on this node yet"},
		{"{\"containers\":[{\"lifecycle\":{\"preStop\":{\"httpGet\":{}}}}]}",
		 "spec.containers[0].lifecycle.preStop: only exec works on this node yet"},
		{"{\"containers\":[{\"livenessProbe\":{\"grpc\":{\"port\":1}}}]}",
		 "spec.containers[0]: livenessProbe: only exec, httpGet and tcpSocket work here"},
		{"{\"containers\":[{\"readinessProbe\":{\"httpGet\":{\"port\":\"web\"}}}]}",
		 "spec.containers[0]: readinessProbe: port: 'web' is neither a port nor the name of one"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(free_p) char *text = str_printf("{\"spec\":%s}", cases[i].spec);
		JSON_AUTO pod = parse(text);
		struct error err = {0};
		const int rc = pod_check(pod, &err);
		if (rc != (cases[i].msg != NULL ? -EOPNOTSUPP : 0) ||
		    (cases[i].msg != NULL && strcmp(err.msg, cases[i].msg) != 0))
			fail_msg("%s: rc %d, '%s'", cases[i].spec, rc, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_phase),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_transition_time_is_kept),
		cmocka_unit_test(test_readiness_gate),
		cmocka_unit_test(test_containers),
		cmocka_unit_test(test_refused_fields),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
