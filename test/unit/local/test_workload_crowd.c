/* Job, ReplicaSet, Deployment and PodDisruptionBudget on the real API server of this project, with a stand-in for the node agent. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/manager.h"
#include "local/api_server.h"
#include "local/workload.h"
#include "json/json.h"

static struct world {
	char dir[64];
	struct api_server *api;
	struct kube_client *c;
	struct manager *m;
	struct informer *agent;
	int serial;
} w;

/* --- the stand-in agent: what has a node runs at once, and ends as its label "test" says; what is deleted ends at once --- */

static void put_status(const json_t *pod, const char *phase, bool ready)
{
	char now[32];
	clock_format_rfc3339(clock_wall_ns() - 3600 * NSEC_PER_SEC, now); /* long ago: nothing backs off */
	JSON_AUTO status = json_pack(
		"{s:{s:s, s:[{s:s, s:s, s:s}], s:[{s:s, s:b, s:s, s:i, s:s, s:s, s:{s:{s:i, s:s}}}]}}", "status",
		"phase", phase, "conditions", "type", "Ready", "status", ready ? "True" : "False", "lastTransitionTime",
		now, "containerStatuses", "name", "c", "ready", (int)ready, "image", "i", "restartCount", 0, "imageID",
		"", "containerID", "", "state", "terminated", "exitCode", 0, "finishedAt", now);
	if (strcmp(phase, "Running") == 0)
		json_drop(status, "status.containerStatuses");
	(void)kube_patch(w.c, &KUBE_POD, obj_namespace(pod), obj_name(pod), "status", KUBE_PATCH_MERGE, status, NULL,
			 NULL);
}

static void agent_step(void *ctx, enum informer_event ev, const json_t *old, const json_t *pod)
{
	(void)ctx;
	(void)old;
	const char *plan = obj_label(pod, "test"), *phase = json_str(pod, "status.phase", "");
	if (ev == INFORMER_DELETED || json_str(pod, "spec.nodeName", "")[0] == '\0')
		return;
	if (obj_deleting(pod)) {
		(void)kube_delete(w.c, &KUBE_POD, obj_namespace(pod), obj_name(pod),
				  &(struct kube_delete_options){.grace_seconds = 0, .uid = obj_uid(pod)}, NULL);
		return;
	}
	if (strcmp(phase, "Pending") != 0 || str_same(plan, "never-ready"))
		return;
	if (str_same(plan, "succeeds") || str_same(plan, "fails"))
		put_status(pod, str_same(plan, "succeeds") ? "Succeeded" : "Failed", false);
	else
		put_status(pod, "Running", true);
}

/* --- helpers --- */

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct error err = {0};
	if (json_parse(text, strlen(text), &j, &err) < 0)
		fail_msg("test data is no JSON: %s: %s", err.msg, text);
	return j;
}

static void create(const struct kube_resource *r, const char *ns, const char *text)
{
	struct error err = {0};
	JSON_AUTO obj = parse(text);
	if (kube_create(w.c, r, ns, obj, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

static void merge(const struct kube_resource *r, const char *ns, const char *name, const char *sub, const char *text)
{
	struct error err = {0};
	JSON_AUTO patch = parse(text);
	if (kube_patch(w.c, r, ns, name, sub, KUBE_PATCH_MERGE, patch, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

static void delete (const struct kube_resource *r, const char *ns, const char *name, const char *propagation)
{
	struct error err = {0};
	if (kube_delete(w.c, r, ns, name,
			&(struct kube_delete_options){.grace_seconds = -1, .propagation = propagation}, &err) < 0)
		fail_msg("%s", err.msg);
}

/* Fetch ns/name until @path says @want (NULL: until the object is gone); the object, or NULL when it is gone. At most a minute, for slow tools. */
static json_t *await(const struct kube_resource *r, const char *ns, const char *name, const char *path,
		     const char *want)
{
	const int64_t deadline = clock_mono_ns() + 60 * NSEC_PER_SEC;
	char have[512] = "absent";
	while (clock_mono_ns() < deadline) {
		json_t *obj = NULL;
		int rc = kube_get(w.c, r, ns, name, &obj, NULL);
		if (rc == -ENOENT && want == NULL)
			return NULL;
		if (rc == 0 && want != NULL) {
			const json_t *v = json_at(obj, path);
			CLEANUP(free_p)
			char *text = json_is_string(v) ? strdup(json_string_value(v))
				     : v != NULL       ? json_to_text(v, NULL)
						       : strdup("");
			if (strcmp(text, want) == 0)
				return obj;
			(void)snprintf(have, sizeof have, "%s", text);
		}
		json_decref(obj);
		(void)poll(NULL, 0, 10);
	}
	fail_msg("%s %s/%s: %s is '%s', not '%s'", r->kind, ns, name, path != NULL ? path : "it", have,
		 want != NULL ? want : "gone");
	return NULL;
}

static void expect(const struct kube_resource *r, const char *ns, const char *name, const char *path, const char *want)
{
	json_decref(await(r, ns, name, path, want));
}

static size_t count(const struct kube_resource *r, const char *ns, const char *labels)
{
	json_t *list = NULL;
	struct error err = {0};
	if (kube_list(w.c, r, ns, &(struct kube_list_options){.label_selector = labels}, &list, &err) < 0)
		fail_msg("%s", err.msg);
	const size_t n = json_array_size(json_object_get(list, "items"));
	json_decref(list);
	return n;
}

static void expect_count(const struct kube_resource *r, const char *ns, const char *labels, size_t want)
{
	const int64_t deadline = clock_mono_ns() + 60 * NSEC_PER_SEC;
	size_t have;
	while ((have = count(r, ns, labels)) != want && clock_mono_ns() < deadline)
		(void)poll(NULL, 0, 10);
	if (have != want)
		fail_msg("%s in %s (%s): %zu, not %zu", r->plural, ns, labels != NULL ? labels : "", have, want);
}

static void expect_event(const char *ns, const char *object, const char *reason, const char *message)
{
	const int64_t deadline = clock_mono_ns() + 60 * NSEC_PER_SEC;
	while (clock_mono_ns() < deadline) {
		JSON_AUTO list = NULL;
		size_t i;
		json_t *ev;
		(void)kube_list(w.c, &KUBE_EVENT, ns, NULL, &list, NULL);
		json_array_foreach (json_object_get(list, "items"), i, ev) {
			if (str_same(json_str(ev, "involvedObject.name", NULL), object) &&
			    str_same(json_str(ev, "reason", NULL), reason) &&
			    strstr(json_str(ev, "message", ""), message) != NULL)
				return;
		}
		(void)poll(NULL, 0, 10);
	}
	fail_msg("no Event %s of %s/%s: %s", reason, ns, object, message);
}

/* A fresh namespace for each test; ended (and so emptied) by the end of the world. */
static const char *fresh_ns(void)
{
	static char name[32];
	char text[128];
	(void)snprintf(name, sizeof name, "t%d", ++w.serial);
	(void)snprintf(text, sizeof text,
		       "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"%s\"}}", name);
	create(&KUBE_NAMESPACE, "", text);
	return name;
}

#define CONTAINERS "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]"

static void add_node(const char *name, const char *labels)
{
	char text[512];
	(void)snprintf(text, sizeof text,
		       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
		       "\"kubernetes.io/hostname\":\"%s\"%s}}}",
		       name, name, labels);
	create(&KUBE_NODE, "", text);
	merge(&KUBE_NODE, "", name, "status",
	      "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastHeartbeatTime\":\"2026-01-"
	      "01T00:00:00Z\"}]}}");
}

/* --- a clock that can be put forward --- */

static _Atomic int64_t ahead_ns;

static int64_t wall(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail */
	return now.tv_sec * NSEC_PER_SEC + now.tv_nsec + atomic_load(&ahead_ns);
}

/* A minute later @name is looked at. */
static void minute_passes(const char *ns, const char *name)
{
	static int n;
	char text[64];
	(void)snprintf(text, sizeof text, "{\"metadata\":{\"annotations\":{\"n\":\"%d\"}}}", ++n);
	atomic_fetch_add(&ahead_ns, 60 * NSEC_PER_SEC);
	merge(&KUBE_CRONJOB, ns, name, NULL, text);
}

/* --- Job --- */

#define JOB(name, plan, more)                                                                                          \
	"{\"apiVersion\":\"batch/v1\",\"kind\":\"Job\",\"metadata\":{\"name\":\"" name "\"},\"spec\":{" more           \
	"\"template\":{\"metadata\":{\"labels\":{\"test\":\"" plan                                                     \
	"\"}},\"spec\":{\"restartPolicy\":\"Never\"," CONTAINERS "}}}}"

static void job_completes(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_JOB, ns, JOB("j", "succeeds", "\"completions\":5,\"parallelism\":2,"));
	JSON_AUTO j = await(&KUBE_JOB, ns, "j", "status.conditions[type=Complete].status", "True");
	assert_int_equal(json_int(j, "status.succeeded", 0), 5);
	assert_int_equal(json_int(j, "status.active", -1), 0);
	assert_string_equal(json_str(j, "status.conditions[type=Complete].reason", ""), "CompletionsReached");
	assert_true(json_at(j, "status.startTime") != NULL && json_at(j, "status.completionTime") != NULL);
	assert_int_equal(count(&KUBE_POD, ns, "job-name=j"), 5);
	expect_event(ns, "j", "Completed", "Job completed");
	expect_event(ns, "j", "SuccessfulCreate", "Created pod: j-");
}

static void job_gives_up(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_JOB, ns, JOB("j", "fails", "\"backoffLimit\":2,"));
	JSON_AUTO j = await(&KUBE_JOB, ns, "j", "status.conditions[type=Failed].status", "True");
	assert_int_equal(json_int(j, "status.failed", 0), 3);
	assert_string_equal(json_str(j, "status.conditions[type=Failed].reason", ""), "BackoffLimitExceeded");
	expect_event(ns, "j", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
}

static void job_has_a_deadline_and_goes(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_JOB, ns, JOB("j", "runs", "\"activeDeadlineSeconds\":1,"));
	expect(&KUBE_JOB, ns, "j", "status.conditions[type=Failed].reason", "DeadlineExceeded");
	expect_count(&KUBE_POD, ns, "job-name=j", 0);
	create(&KUBE_JOB, ns, JOB("k", "succeeds", "\"ttlSecondsAfterFinished\":0,"));
	expect(&KUBE_JOB, ns, "k", NULL, NULL);
	expect_count(&KUBE_POD, ns, "job-name=k", 0);
}

static void job_is_suspended_and_resumed(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_JOB, ns, JOB("j", "runs", "\"parallelism\":2,"));
	expect(&KUBE_JOB, ns, "j", "status.ready", "2");
	merge(&KUBE_JOB, ns, "j", NULL, "{\"spec\":{\"suspend\":true}}");
	expect_count(&KUBE_POD, ns, "job-name=j", 0);
	JSON_AUTO j = await(&KUBE_JOB, ns, "j", "status.conditions[type=Suspended].status", "True");
	assert_null(json_at(j, "status.startTime"));
	merge(&KUBE_JOB, ns, "j", NULL, "{\"spec\":{\"suspend\":false,\"parallelism\":1}}");
	expect(&KUBE_JOB, ns, "j", "status.ready", "1");
	expect(&KUBE_JOB, ns, "j", "status.conditions[type=Suspended].status", "False");
	expect_event(ns, "j", "Resumed", "Job resumed");
}

static void job_says_what_it_does_not_do(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_JOB, ns, JOB("j", "succeeds", "\"completionMode\":\"Indexed\",\"completions\":2,"));
	expect_event(ns, "j", "Unsupported", "spec.completionMode Indexed is not supported by this cluster");
	assert_int_equal(count(&KUBE_POD, ns, NULL), 0);
}

/* --- ReplicaSet and Deployment --- */

#define TEMPLATE(image, plan)                                                                                          \
	"\"selector\":{\"matchLabels\":{\"app\":\"a\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"a\","        \
	"\"test\":\"" plan "\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"" image "\"}]}}"
#define OF_APPS(kind, more, image, plan)                                                                               \
	"{\"apiVersion\":\"apps/v1\",\"kind\":\"" kind "\",\"metadata\":{\"name\":\"d\"},\"spec\":{" more TEMPLATE(    \
		image, plan) "}}"

static void replicaset_keeps_its_number(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_REPLICASET, ns, OF_APPS("ReplicaSet", "\"replicas\":3,", "i", "runs"));
	expect(&KUBE_REPLICASET, ns, "d", "status.availableReplicas", "3");
	JSON_AUTO list = NULL;
	assert_int_equal(kube_list(w.c, &KUBE_POD, ns, NULL, &list, NULL), 0);
	delete (&KUBE_POD, ns, json_str(list, "items[0].metadata.name", ""), NULL);
	expect_event(ns, "d", "SuccessfulCreate", "Created pod: d-");
	expect_count(&KUBE_POD, ns, "app=a", 3);
	merge(&KUBE_REPLICASET, ns, "d", NULL, "{\"spec\":{\"replicas\":1}}");
	expect_count(&KUBE_POD, ns, "app=a", 1);
	expect(&KUBE_REPLICASET, ns, "d", "status.replicas", "1");
	delete (&KUBE_REPLICASET, ns, "d", "Background");
	expect_count(&KUBE_POD, ns, "app=a", 0);
}

static void deployment_rolls_out_and_back(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_DEPLOYMENT, ns,
	       OF_APPS("Deployment", "\"replicas\":3,\"revisionHistoryLimit\":1,", "i:1", "runs"));
	JSON_AUTO d = await(&KUBE_DEPLOYMENT, ns, "d", "status.availableReplicas", "3");
	assert_string_equal(obj_annotation(d, "deployment.kubernetes.io/revision"), "1");
	expect_event(ns, "d", "ScalingReplicaSet", "from 0 to 3");
	for (int i = 2; i <= 3; i++) {
		char patch[128], revision[16];
		(void)snprintf(
			patch, sizeof patch,
			"{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i:%d\"}]}}}}",
			i);
		(void)snprintf(revision, sizeof revision, "%d", i);
		merge(&KUBE_DEPLOYMENT, ns, "d", NULL, patch);
		expect(&KUBE_DEPLOYMENT, ns, "d", "metadata.annotations[\"deployment.kubernetes.io/revision\"]",
		       revision);
		expect(&KUBE_DEPLOYMENT, ns, "d", "status.updatedReplicas", "3");
		expect(&KUBE_DEPLOYMENT, ns, "d", "status.replicas", "3");
		expect(&KUBE_DEPLOYMENT, ns, "d", "status.conditions[type=Progressing].reason",
		       "NewReplicaSetAvailable");
	}
	expect_count(&KUBE_REPLICASET, ns, NULL, 2); /* the newest and one for going back */
	merge(&KUBE_DEPLOYMENT, ns, "d", NULL,
	      "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i:2\"}]}}}}");
	expect(&KUBE_DEPLOYMENT, ns, "d", "metadata.annotations[\"deployment.kubernetes.io/revision\"]", "4");
	expect(&KUBE_DEPLOYMENT, ns, "d", "status.conditions[type=Available].status", "True");
	expect_count(&KUBE_REPLICASET, ns, NULL, 2);
	delete (&KUBE_DEPLOYMENT, ns, "d", "Background");
	expect_count(&KUBE_REPLICASET, ns, NULL, 0);
	expect_count(&KUBE_POD, ns, "app=a", 0);
}

/** A new state that never gets ready takes no more of the old pods than it may, and says that it is late. */
static void deployment_that_gets_stuck(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_DEPLOYMENT, ns,
	       OF_APPS("Deployment", "\"replicas\":4,\"progressDeadlineSeconds\":2,", "i:1", "runs"));
	expect(&KUBE_DEPLOYMENT, ns, "d", "status.availableReplicas", "4");
	merge(&KUBE_DEPLOYMENT, ns, "d", NULL,
	      "{\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"test\":\"never-ready\"}}}}}");
	JSON_AUTO d = await(&KUBE_DEPLOYMENT, ns, "d", "status.conditions[type=Progressing].reason",
			    "ProgressDeadlineExceeded");
	assert_int_equal(json_int(d, "status.availableReplicas", 0), 3);
	assert_int_equal(json_int(d, "status.updatedReplicas", 0), 2);
	assert_string_equal(json_str(d, "status.conditions[type=Available].status", ""), "True");
}

static void deployment_recreates_and_pauses(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_DEPLOYMENT, ns,
	       OF_APPS("Deployment", "\"replicas\":2,\"strategy\":{\"type\":\"Recreate\"},", "i:1", "runs"));
	expect(&KUBE_DEPLOYMENT, ns, "d", "status.availableReplicas", "2");
	merge(&KUBE_DEPLOYMENT, ns, "d", NULL,
	      "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i:2\"}]}}}}");
	expect(&KUBE_DEPLOYMENT, ns, "d", "metadata.annotations[\"deployment.kubernetes.io/revision\"]", "2");
	expect(&KUBE_DEPLOYMENT, ns, "d", "status.conditions[type=Progressing].reason", "NewReplicaSetAvailable");
	merge(&KUBE_DEPLOYMENT, ns, "d", NULL,
	      "{\"spec\":{\"paused\":true,\"replicas\":1,\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
	      "\"i:3\"}]}}}}");
	expect(&KUBE_DEPLOYMENT, ns, "d", "status.conditions[type=Progressing].reason", "DeploymentPaused");
	expect_count(&KUBE_POD, ns, "app=a", 1);
	assert_int_equal(count(&KUBE_REPLICASET, ns, NULL), 2);
	merge(&KUBE_DEPLOYMENT, ns, "d", NULL, "{\"spec\":{\"paused\":false}}");
	expect_count(&KUBE_REPLICASET, ns, NULL, 3);
	expect(&KUBE_DEPLOYMENT, ns, "d", "status.updatedReplicas", "1");
}

/* --- PodDisruptionBudget --- */

static const struct kube_resource budgets = {"policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true};

static int evict(const char *ns, const char *name, struct error *err)
{
	JSON_AUTO e = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "policy/v1", "kind", "Eviction", "metadata",
				"name", name);
	return kube_create_sub(w.c, &KUBE_POD, ns, name, "eviction", e, NULL, err);
}

static void budgets_are_counted_and_kept(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	struct error err = {0};
	JSON_AUTO list = NULL;
	create(&KUBE_REPLICASET, ns, OF_APPS("ReplicaSet", "\"replicas\":3,", "i", "runs"));
	create(&budgets, ns,
	       "{\"apiVersion\":\"policy/v1\",\"kind\":\"PodDisruptionBudget\",\"metadata\":{\"name\":\"b\"},"
	       "\"spec\":{\"maxUnavailable\":\"34%\",\"selector\":{\"matchLabels\":{\"app\":\"a\"}}}}");
	JSON_AUTO b = await(&budgets, ns, "b", "status.disruptionsAllowed", "2");
	assert_int_equal(json_int(b, "status.expectedPods", 0), 3);
	assert_int_equal(json_int(b, "status.desiredHealthy", 0), 1);
	merge(&budgets, ns, "b", NULL, "{\"spec\":{\"maxUnavailable\":0}}");
	expect(&budgets, ns, "b", "status.conditions[type=DisruptionAllowed].status", "False");
	assert_int_equal(kube_list(w.c, &KUBE_POD, ns, NULL, &list, NULL), 0);
	const char *name = json_str(list, "items[0].metadata.name", "");
	assert_true(evict(ns, name, &err) < 0);
	assert_int_equal(err.status, 429);
	merge(&budgets, ns, "b", NULL, "{\"spec\":{\"maxUnavailable\":1}}");
	expect(&budgets, ns, "b", "status.disruptionsAllowed", "1");
	assert_int_equal(evict(ns, name, &err), 0);
	expect_count(&KUBE_POD, ns, "app=a", 3); /* another one is made */
	expect(&budgets, ns, "b", "status.disruptionsAllowed", "1");
	delete (&KUBE_REPLICASET, ns, "d", "Background");
}

/* --- CronJob --- */

#define CRONJOB(name, plan, more)                                                                                      \
	"{\"apiVersion\":\"batch/v1\",\"kind\":\"CronJob\",\"metadata\":{\"name\":\"" name "\"},\"spec\":{" more       \
	"\"jobTemplate\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"template\":{\"metadata\":{\"labels\":{"  \
	"\"test\":\"" plan "\"}},\"spec\":{\"restartPolicy\":\"Never\"," CONTAINERS "}}}}}}"
#define EACH_MINUTE "\"schedule\":\"* * * * *\","

static void cronjob_keeps_its_times_and_its_history(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_CRONJOB, ns, CRONJOB("c", "succeeds", EACH_MINUTE "\"successfulJobsHistoryLimit\":2,"));
	for (size_t i = 1; i <= 4; i++) {
		minute_passes(ns, "c");
		expect_count(&KUBE_JOB, ns, "a=b", i < 2 ? i : 2);
		expect(&KUBE_CRONJOB, ns, "c", "status.active", "[]");
	}
	JSON_AUTO c = await(&KUBE_CRONJOB, ns, "c", "metadata.name", "c");
	int64_t last = 0;
	assert_int_equal(clock_parse_rfc3339(json_str(c, "status.lastScheduleTime", ""), &last), 0);
	assert_int_equal(last / NSEC_PER_SEC % 60, 0);
	assert_true(json_at(c, "status.lastSuccessfulTime") != NULL);
	char name[64];
	(void)snprintf(name, sizeof name, "c-%lld", (long long)(last / NSEC_PER_SEC / 60));
	JSON_AUTO job = await(&KUBE_JOB, ns, name, "metadata.labels.a", "b");
	assert_string_equal(json_str(job, "metadata.ownerReferences[0].kind", ""), "CronJob");
	assert_string_equal(json_string_value(json_object_get(json_at(job, "metadata.annotations"),
							      "batch.kubernetes.io/cronjob-scheduled-timestamp")),
			    json_str(c, "status.lastScheduleTime", ""));
	expect_event(ns, "c", "SuccessfulCreate", "Created job c-");
	expect_event(ns, "c", "SawCompletedJob", ", condition: Complete");
	delete (&KUBE_CRONJOB, ns, "c", "Background");
	expect_count(&KUBE_JOB, ns, NULL, 0);
}

static void cronjob_makes_one_job_of_many_missed_times(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_CRONJOB, ns, CRONJOB("c", "succeeds", EACH_MINUTE));
	atomic_fetch_add(&ahead_ns, 3600 * NSEC_PER_SEC);
	minute_passes(ns, "c");
	expect(&KUBE_CRONJOB, ns, "c", "status.active", "[]");
	expect_event(ns, "c", "SawCompletedJob", "c-");
	assert_int_equal(count(&KUBE_JOB, ns, NULL), 1);
}

static void cronjob_minds_what_runs(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_CRONJOB, ns, CRONJOB("forbid", "runs", EACH_MINUTE "\"concurrencyPolicy\":\"Forbid\","));
	minute_passes(ns, "forbid");
	expect_count(&KUBE_JOB, ns, NULL, 1);
	minute_passes(ns, "forbid");
	expect_event(ns, "forbid", "JobAlreadyActive", "concurrency policy is Forbid");
	assert_int_equal(count(&KUBE_JOB, ns, NULL), 1);
	delete (&KUBE_CRONJOB, ns, "forbid", "Background");
	expect_count(&KUBE_JOB, ns, NULL, 0);

	create(&KUBE_CRONJOB, ns, CRONJOB("replace", "runs", EACH_MINUTE "\"concurrencyPolicy\":\"Replace\","));
	minute_passes(ns, "replace");
	JSON_AUTO c = await(&KUBE_CRONJOB, ns, "replace", "status.active[0].kind", "Job");
	minute_passes(ns, "replace");
	expect(&KUBE_JOB, ns, json_str(c, "status.active[0].name", ""), NULL, NULL);
	expect_count(&KUBE_JOB, ns, NULL, 1);
	expect_event(ns, "replace", "SuccessfulDelete", "Deleted job replace-");

	create(&KUBE_CRONJOB, ns, CRONJOB("allow", "runs", EACH_MINUTE));
	minute_passes(ns, "allow");
	expect(&KUBE_CRONJOB, ns, "allow", "status.active[0].kind", "Job");
	minute_passes(ns, "allow");
	expect(&KUBE_CRONJOB, ns, "allow", "status.active[1].kind", "Job");
}

static void cronjob_says_why_it_does_nothing(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_CRONJOB, ns, CRONJOB("zone", "succeeds", EACH_MINUTE "\"timeZone\":\"Mars/Olympus\","));
	expect_event(ns, "zone", "UnknownTimeZone", "invalid timeZone: time zone 'Mars/Olympus'");
	create(&KUBE_CRONJOB, ns,
	       CRONJOB("late", "succeeds", "\"schedule\":\"@hourly\",\"startingDeadlineSeconds\":1,"));
	atomic_fetch_add(&ahead_ns, 3600 * NSEC_PER_SEC + (3600 - wall() / NSEC_PER_SEC % 3600 + 1740) * NSEC_PER_SEC);
	minute_passes(ns, "late"); /* half past the hour */
	expect_event(ns, "late", "MissSchedule", "Missed scheduled time to start a job: ");
	create(&KUBE_CRONJOB, ns, CRONJOB("held", "succeeds", EACH_MINUTE "\"suspend\":true,"));
	minute_passes(ns, "held");
	minute_passes(ns, "held");
	merge(&KUBE_CRONJOB, ns, "held", NULL, "{\"spec\":{\"suspend\":false}}");
	expect_event(ns, "held", "SawCompletedJob", "held-");
	assert_int_equal(count(&KUBE_JOB, ns, NULL), 1);
}

static int world_begin(void **state)
{
	(void)state;
	struct error err = {0};
	char kubeconfig[96];
	struct kube_config *cfg = NULL;
	(void)snprintf(w.dir, sizeof w.dir, "/tmp/test-crowd-XXXXXX");
	if (mkdtemp(w.dir) == NULL)
		return -1;
	(void)snprintf(kubeconfig, sizeof kubeconfig, "%s/kubeconfig", w.dir);
	const struct api_server_options o = {.data_dir = w.dir, .address = "127.0.0.1", .kubeconfig = kubeconfig};
	const struct workload_options wo = {.node_grace_ns = 600 * NSEC_PER_SEC};
	int rc = api_server_new(&o, &w.api, &err);
	if (rc == 0)
		rc = kube_config_load(kubeconfig, NULL, &cfg, &err);
	if (rc == 0)
		rc = kube_client_new(cfg, NULL, &w.c, &err);
	kube_config_free(cfg);
	if (rc == 0)
		rc = manager_new(&(struct manager_options){.client = w.c}, &w.m, &err);
	if (rc == 0)
		rc = workload_controllers_register(w.m, &wo, &err);
	if (rc == 0)
		rc = manager_start(w.m, -1, &err);
	if (rc == 0)
		rc = informer_new(w.c, &KUBE_POD, NULL, &w.agent, &err);
	if (rc == 0)
		rc = informer_add_handler(w.agent, agent_step, NULL);
	if (rc == 0)
		rc = informer_start(w.agent, &err);
	if (rc < 0) {
		(void)fprintf(stderr, "set up: %s\n", err.msg);
		return -1;
	}
	add_node("n1", "");
	return 0;
}

static int world_end(void **state)
{
	(void)state;
	manager_free(w.m);
	informer_free(w.agent);
	kube_client_free(w.c);
	api_server_free(w.api);
	return file_remove_all(w.dir, NULL);
}

int main(void)
{
	clock_replace(NULL, wall);
	log_init(2, LOG_LVL_WARN, "test");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job_completes),
		cmocka_unit_test(job_gives_up),
		cmocka_unit_test(job_has_a_deadline_and_goes),
		cmocka_unit_test(job_is_suspended_and_resumed),
		cmocka_unit_test(job_says_what_it_does_not_do),
		cmocka_unit_test(replicaset_keeps_its_number),
		cmocka_unit_test(deployment_rolls_out_and_back),
		cmocka_unit_test(deployment_that_gets_stuck),
		cmocka_unit_test(deployment_recreates_and_pauses),
		cmocka_unit_test(budgets_are_counted_and_kept),
		cmocka_unit_test(cronjob_keeps_its_times_and_its_history),
		cmocka_unit_test(cronjob_makes_one_job_of_many_missed_times),
		cmocka_unit_test(cronjob_minds_what_runs),
		cmocka_unit_test(cronjob_says_why_it_does_nothing),
	};
	return cmocka_run_group_tests_name("workload_crowd", tests, world_begin, world_end);
}
