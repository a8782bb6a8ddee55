/* The workload controllers on the real API server of this project, with a stand-in for the node agent. */
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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

/* --- the stand-in agent: what has a node runs at once; what is deleted ends at once --- */

static void agent_step(void *ctx, enum informer_event ev, const json_t *old, const json_t *pod)
{
	(void)ctx;
	(void)old;
	if (ev == INFORMER_DELETED || json_str(pod, "spec.nodeName", "")[0] == '\0')
		return;
	if (obj_deleting(pod)) {
		if (obj_label(pod, "test/stays") == NULL)
			(void)kube_delete(w.c, &KUBE_POD, obj_namespace(pod), obj_name(pod),
					  &(struct kube_delete_options){.grace_seconds = 0, .uid = obj_uid(pod)}, NULL);
		return;
	}
	if (json_at(pod, "status.conditions[type=Ready]") != NULL || obj_label(pod, "test/never-ready") != NULL)
		return;
	JSON_AUTO status = json_pack("{s:{s:s, s:s, s:[{s:s, s:s, s:s}]}}", "status", "phase", "Running", "podIP",
				     "127.0.0.1", "conditions", "type", "Ready", "status", "True", "lastTransitionTime",
				     "2026-01-01T00:00:00Z");
	(void)kube_patch(w.c, &KUBE_POD, obj_namespace(pod), obj_name(pod), "status", KUBE_PATCH_STRATEGIC, status,
			 NULL, NULL);
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

static void node_is_ready(const char *name)
{
	merge(&KUBE_NODE, "", name, "status",
	      "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"lastHeartbeatTime\":\"2026-01-"
	      "01T00:00:09Z\"}]}}");
}

static void add_node(const char *name, const char *labels)
{
	char text[512];
	(void)snprintf(text, sizeof text,
		       "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"labels\":{"
		       "\"kubernetes.io/hostname\":\"%s\"%s}}}",
		       name, name, labels);
	create(&KUBE_NODE, "", text);
	node_is_ready(name);
}

/* --- StatefulSet --- */

#define SET(name, replicas, more, labels)                                                                              \
	"{\"apiVersion\":\"apps/v1\",\"kind\":\"StatefulSet\",\"metadata\":{\"name\":\"" name                          \
	"\"},\"spec\":{\"replicas\":" replicas ",\"serviceName\":\"svc\"," more                                        \
	"\"selector\":{\"matchLabels\":{\"app\":\"" name                                                               \
	"\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"" name "\"" labels "}},\"spec\":{" CONTAINERS "}}}}"

static void statefulset_runs_scales_and_updates(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_STATEFULSET, ns, SET("web", "2", "", ""));
	expect(&KUBE_STATEFULSET, ns, "web", "status.readyReplicas", "2");
	JSON_AUTO pod = await(&KUBE_POD, ns, "web-1", "metadata.name", "web-1");
	assert_string_equal(obj_label(pod, "statefulset.kubernetes.io/pod-name"), "web-1");
	assert_string_equal(obj_label(pod, "apps.kubernetes.io/pod-index"), "1");
	assert_string_equal(json_str(pod, "spec.hostname", ""), "web-1");
	assert_string_equal(json_str(pod, "spec.subdomain", ""), "svc");
	assert_string_equal(json_str(obj_controller_ref(pod), "kind", ""), "StatefulSet");
	JSON_AUTO set = await(&KUBE_STATEFULSET, ns, "web", "status.updatedReplicas", "2");
	assert_string_equal(json_str(set, "status.currentRevision", "a"), json_str(set, "status.updateRevision", "b"));
	assert_string_equal(json_str(set, "status.updateRevision", ""), obj_label(pod, "controller-revision-hash"));
	assert_int_equal(json_int(set, "status.observedGeneration", 0), 1);

	merge(&KUBE_STATEFULSET, ns, "web", NULL, "{\"spec\":{\"replicas\":3}}");
	expect(&KUBE_STATEFULSET, ns, "web", "status.readyReplicas", "3");
	merge(&KUBE_STATEFULSET, ns, "web", NULL, "{\"spec\":{\"replicas\":1}}");
	expect_count(&KUBE_POD, ns, "app=web", 1);
	expect(&KUBE_STATEFULSET, ns, "web", "status.replicas", "1");

	JSON_AUTO before = await(&KUBE_POD, ns, "web-0", "metadata.name", "web-0");
	merge(&KUBE_STATEFULSET, ns, "web", NULL,
	      "{\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"v\":\"2\"}}}}}");
	JSON_AUTO after = await(&KUBE_POD, ns, "web-0", "metadata.labels.v", "2");
	assert_string_not_equal(obj_uid(before), obj_uid(after));
	expect(&KUBE_STATEFULSET, ns, "web", "status.currentRevision", obj_label(after, "controller-revision-hash"));
	assert_string_not_equal(obj_label(before, "controller-revision-hash"),
				obj_label(after, "controller-revision-hash"));

	delete (&KUBE_STATEFULSET, ns, "web", NULL);
	expect_count(&KUBE_POD, ns, "app=web", 0);
}

static void statefulset_keeps_its_order(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_STATEFULSET, ns, SET("seq", "3", "", ",\"test/never-ready\":\"\""));
	expect(&KUBE_POD, ns, "seq-0", "spec.nodeName", "n1");
	expect(&KUBE_STATEFULSET, ns, "seq", "status.replicas", "1");
	assert_int_equal(count(&KUBE_POD, ns, "app=seq"), 1); /* the first is not ready: no second */
	/* a template that works replaces the pod that never got ready */
	merge(&KUBE_STATEFULSET, ns, "seq", NULL,
	      "{\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"test/never-ready\":null}}}}}");
	expect(&KUBE_STATEFULSET, ns, "seq", "status.readyReplicas", "3");

	create(&KUBE_STATEFULSET, ns,
	       SET("par", "3", "\"podManagementPolicy\":\"Parallel\",", ",\"test/never-ready\":\"\""));
	expect_count(&KUBE_POD, ns, "app=par", 3);
}

static void a_hundred_pods_find_their_place(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_STATEFULSET, ns, SET("many", "100", "\"podManagementPolicy\":\"Parallel\",", ""));
	expect(&KUBE_STATEFULSET, ns, "many", "status.readyReplicas", "100");
	delete (&KUBE_STATEFULSET, ns, "many", NULL);
	expect_count(&KUBE_POD, ns, NULL, 0);
}

static void statefulset_on_delete_waits_for_the_user(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_STATEFULSET, ns, SET("od", "1", "\"updateStrategy\":{\"type\":\"OnDelete\"},", ""));
	expect(&KUBE_STATEFULSET, ns, "od", "status.readyReplicas", "1");
	merge(&KUBE_STATEFULSET, ns, "od", NULL, "{\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"v\":\"2\"}}}}}");
	expect(&KUBE_STATEFULSET, ns, "od", "status.updatedReplicas", "0");
	expect(&KUBE_POD, ns, "od-0", "metadata.labels.v", "");
	delete (&KUBE_POD, ns, "od-0", NULL);
	expect(&KUBE_POD, ns, "od-0", "metadata.labels.v", "2");
	expect(&KUBE_STATEFULSET, ns, "od", "status.updatedReplicas", "1");
}

static void statefulset_says_what_it_does_not_do(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_STATEFULSET, ns,
	       SET("vct", "1",
		   "\"volumeClaimTemplates\":[{\"metadata\":{\"name\":\"d\"},\"spec\":{\"accessModes\":["
		   "\"ReadWriteOnce\"],\"resources\":{"
		   "\"requests\":{\"storage\":\"1Gi\"}}}}],",
		   ""));
	expect_event(ns, "vct", "Unsupported", "spec.volumeClaimTemplates is not supported");
	assert_int_equal(count(&KUBE_POD, ns, "app=vct"), 0);
}

static void orphaned_pods_are_adopted(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_STATEFULSET, ns, SET("web", "1", "", ""));
	expect(&KUBE_STATEFULSET, ns, "web", "status.readyReplicas", "1");
	JSON_AUTO before = await(&KUBE_POD, ns, "web-0", "metadata.name", "web-0");
	delete (&KUBE_STATEFULSET, ns, "web", "Orphan");
	expect(&KUBE_STATEFULSET, ns, "web", NULL, NULL);
	expect(&KUBE_POD, ns, "web-0", "metadata.ownerReferences[0].uid", "");
	create(&KUBE_STATEFULSET, ns, SET("web", "1", "", ""));
	expect(&KUBE_STATEFULSET, ns, "web", "status.readyReplicas", "1");
	JSON_AUTO set = await(&KUBE_STATEFULSET, ns, "web", "metadata.name", "web");
	JSON_AUTO after = await(&KUBE_POD, ns, "web-0", "metadata.ownerReferences[0].uid", obj_uid(set));
	assert_string_equal(obj_uid(before), obj_uid(after));

	create(&KUBE_POD, ns,
	       "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web-1\"},\"spec\":{" CONTAINERS "}}");
	merge(&KUBE_STATEFULSET, ns, "web", NULL, "{\"spec\":{\"replicas\":2}}");
	expect_event(ns, "web", "FailedCreate", "pod web-1 is there already and belongs to somebody else");
	delete (&KUBE_POD, ns, "web-1", NULL);
	expect(&KUBE_STATEFULSET, ns, "web", "status.readyReplicas", "2");
}

/* --- DaemonSet --- */

#define DAEMON(name, spec)                                                                                             \
	"{\"apiVersion\":\"apps/v1\",\"kind\":\"DaemonSet\",\"metadata\":{\"name\":\"" name                            \
	"\"},\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"" name                                                 \
	"\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"" name "\"}},\"spec\":{" spec CONTAINERS "}}}}"

static json_t *only_pod(const char *ns, const char *labels)
{
	JSON_AUTO list = NULL;
	expect_count(&KUBE_POD, ns, labels, 1);
	assert_int_equal(
		kube_list(w.c, &KUBE_POD, ns, &(struct kube_list_options){.label_selector = labels}, &list, NULL), 0);
	return json_incref(json_at(list, "items[0]"));
}

static void daemonset_follows_the_nodes(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_DAEMONSET, ns, DAEMON("ds", "\"nodeSelector\":{\"role\":\"cache\"},"));
	expect(&KUBE_DAEMONSET, ns, "ds", "status.observedGeneration", "1");
	assert_int_equal(count(&KUBE_POD, ns, "app=ds"), 0);
	merge(&KUBE_NODE, "", "n1", NULL, "{\"metadata\":{\"labels\":{\"role\":\"cache\"}}}");
	expect(&KUBE_DAEMONSET, ns, "ds", "status.numberReady", "1");
	JSON_AUTO set = await(&KUBE_DAEMONSET, ns, "ds", "status.numberAvailable", "1");
	assert_int_equal(json_int(set, "status.desiredNumberScheduled", -1), 1);
	assert_int_equal(json_int(set, "status.currentNumberScheduled", -1), 1);
	assert_int_equal(json_int(set, "status.updatedNumberScheduled", -1), 1);
	assert_int_equal(json_int(set, "status.numberUnavailable", -1), 0);
	assert_int_equal(json_int(set, "status.numberMisscheduled", -1), 0);

	JSON_AUTO pod = only_pod(ns, "app=ds");
	assert_string_equal(json_str(pod, "spec.nodeName", ""), "n1");
	assert_non_null(json_at(pod, "spec.tolerations[key=node.kubernetes.io/unschedulable]") != NULL
				? pod
				: json_at(pod, "spec.tolerations[1]"));
	assert_string_equal(
		json_str(
			pod,
			"spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0]"
			".matchFields[0].values[0]",
			""),
		"n1");

	merge(&KUBE_DAEMONSET, ns, "ds", NULL, "{\"spec\":{\"template\":{\"metadata\":{\"labels\":{\"v\":\"2\"}}}}}");
	expect_count(&KUBE_POD, ns, "app=ds,v=2", 1);
	expect(&KUBE_DAEMONSET, ns, "ds", "status.updatedNumberScheduled", "1");
	JSON_AUTO renewed = only_pod(ns, "app=ds");
	assert_string_not_equal(obj_uid(pod), obj_uid(renewed));

	merge(&KUBE_NODE, "", "n1", NULL, "{\"metadata\":{\"labels\":{\"role\":null}}}");
	expect_count(&KUBE_POD, ns, "app=ds", 0);
	expect(&KUBE_DAEMONSET, ns, "ds", "status.desiredNumberScheduled", "0");
}

/* --- scheduler --- */

#define POD_OBJ(name, labels, spec)                                                                                    \
	"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name "\",\"labels\":{" labels              \
	"}},\"spec\":{" spec CONTAINERS "}}"

static void scheduler_says_why_and_tries_again(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_POD, ns, POD_OBJ("p", "", "\"nodeSelector\":{\"zone\":\"a\"},"));
	JSON_AUTO pod = await(&KUBE_POD, ns, "p", "status.conditions[type=PodScheduled].status", "False");
	assert_string_equal(json_str(pod, "status.conditions[type=PodScheduled].reason", ""), "Unschedulable");
	assert_string_equal(json_str(pod, "status.conditions[type=PodScheduled].message", ""),
			    "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.");
	expect_event(ns, "p", "FailedScheduling", "0/1 nodes are available");
	merge(&KUBE_NODE, "", "n1", NULL, "{\"metadata\":{\"labels\":{\"zone\":\"a\"}}}");
	expect(&KUBE_POD, ns, "p", "spec.nodeName", "n1");
	expect(&KUBE_POD, ns, "p", "status.conditions[type=PodScheduled].status", "True");
	expect_event(ns, "p", "Scheduled", "Successfully assigned");
	merge(&KUBE_NODE, "", "n1", NULL, "{\"metadata\":{\"labels\":{\"zone\":null}}}");
}

#define APART                                                                                                          \
	"\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{\"labelSelector\":{"  \
	"\"matchLabels\":{"                                                                                            \
	"\"apart\":\"yes\"}},\"topologyKey\":\"kubernetes.io/hostname\"}]}},"

static void anti_affinity_makes_the_second_wait_for_the_first(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_POD, ns, POD_OBJ("a", "\"apart\":\"yes\"", APART));
	expect(&KUBE_POD, ns, "a", "spec.nodeName", "n1");
	create(&KUBE_POD, ns, POD_OBJ("b", "\"apart\":\"yes\"", APART));
	expect(&KUBE_POD, ns, "b", "status.conditions[type=PodScheduled].message",
	       "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.");
	delete (&KUBE_POD, ns, "a", NULL);
	expect(&KUBE_POD, ns, "b", "spec.nodeName", "n1");
}

static void unschedulable_nodes_and_missing_claims_are_named(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	merge(&KUBE_NODE, "", "n1", NULL, "{\"spec\":{\"unschedulable\":true}}");
	create(&KUBE_POD, ns, POD_OBJ("p", "", ""));
	expect(&KUBE_POD, ns, "p", "status.conditions[type=PodScheduled].message",
	       "0/1 nodes are available: 1 node(s) were unschedulable.");
	merge(&KUBE_NODE, "", "n1", NULL, "{\"spec\":{\"unschedulable\":null}}");
	expect(&KUBE_POD, ns, "p", "spec.nodeName", "n1");
	create(&KUBE_POD, ns,
	       POD_OBJ("q", "", "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"none\"}}],"));
	expect(&KUBE_POD, ns, "q", "status.conditions[type=PodScheduled].message",
	       "0/1 nodes are available: persistentvolumeclaim \"none\" not found.");
}

/* --- volumes --- */

#define PV(name, class, size, more)                                                                                    \
	"{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolume\",\"metadata\":{\"name\":\"" name                          \
	"\",\"labels\":{\"l\":\"" name "\"}},\"spec\":{\"capacity\":{\"storage\":\"" size                              \
	"\"},\"accessModes\":[\"ReadOnlyMany\"],\"storageClassName\":\"" class "\"," more                              \
									       "\"hostPath\":{\"path\":\"/x\"}}}"
#define PVC(name, class, more)                                                                                         \
	"{\"apiVersion\":\"v1\",\"kind\":\"PersistentVolumeClaim\",\"metadata\":{\"name\":\"" name                     \
	"\"},\"spec\":{\"accessModes\":["                                                                              \
	"\"ReadOnlyMany\"],\"storageClassName\":\"" class "\"," more                                                   \
							  "\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}"

static void claims_and_volumes_meet(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_PV, "", PV("pv-big", "fast", "9Gi", ""));
	create(&KUBE_PV, "", PV("pv-fit", "fast", "2Gi", ""));
	create(&KUBE_PV, "", PV("pv-small", "fast", "1Mi", ""));
	expect(&KUBE_PV, "", "pv-fit", "status.phase", "Available");
	create(&KUBE_PVC, ns, PVC("by-class", "fast", ""));
	expect(&KUBE_PVC, ns, "by-class", "status.phase", "Bound");
	JSON_AUTO claim = await(&KUBE_PVC, ns, "by-class", "spec.volumeName", "pv-fit");
	assert_string_equal(obj_annotation(claim, "pv.kubernetes.io/bind-completed"), "yes");
	assert_string_equal(json_str(claim, "status.capacity.storage", ""), "2Gi");
	expect(&KUBE_PV, "", "pv-fit", "status.phase", "Bound");
	expect(&KUBE_PV, "", "pv-fit", "spec.claimRef.uid", obj_uid(claim));

	create(&KUBE_PVC, ns, PVC("by-name", "fast", "\"volumeName\":\"pv-late\","));
	expect(&KUBE_PVC, ns, "by-name", "status.phase", "Pending");
	create(&KUBE_PV, "", PV("pv-late", "fast", "1Gi", ""));
	expect(&KUBE_PVC, ns, "by-name", "status.phase", "Bound");

	create(&KUBE_PVC, ns, PVC("by-label", "fast", "\"selector\":{\"matchLabels\":{\"l\":\"pv-big\"}},"));
	expect(&KUBE_PVC, ns, "by-label", "spec.volumeName", "pv-big");

	create(&KUBE_PVC, ns, PVC("none", "slow", ""));
	expect_event(ns, "none", "FailedBinding", "no persistent volume of storage class \"slow\" fits this claim");

	delete (&KUBE_PVC, ns, "by-class", NULL);
	expect(&KUBE_PVC, ns, "by-class", NULL, NULL);
	expect(&KUBE_PV, "", "pv-fit", "status.phase", "Released");
	delete (&KUBE_PV, "", "pv-fit", NULL);
	expect(&KUBE_PV, "", "pv-fit", NULL, NULL);
}

static void volumes_in_use_are_protected(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_PV, "", PV("pv-used", "used", "2Gi", ""));
	create(&KUBE_PVC, ns, PVC("used", "used", ""));
	expect(&KUBE_PVC, ns, "used", "status.phase", "Bound");
	create(&KUBE_POD, ns,
	       POD_OBJ("user", "",
		       "\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"used\"}}],"));
	expect(&KUBE_POD, ns, "user", "status.phase", "Running");
	delete (&KUBE_PV, "", "pv-used", NULL);
	delete (&KUBE_PVC, ns, "used", NULL);
	/* an unrelated round trip through the same controllers: had they wanted to let go, they would have */
	create(&KUBE_PV, "", PV("pv-mark", "mark", "2Gi", ""));
	create(&KUBE_PVC, ns, PVC("mark", "mark", ""));
	expect(&KUBE_PV, "", "pv-mark", "status.phase", "Bound");
	expect(&KUBE_PVC, ns, "used", "metadata.finalizers[0]", "kubernetes.io/pvc-protection");
	expect(&KUBE_PV, "", "pv-used", "metadata.finalizers[0]", "kubernetes.io/pv-protection");
	delete (&KUBE_POD, ns, "user", NULL);
	expect(&KUBE_PVC, ns, "used", NULL, NULL);
	expect(&KUBE_PV, "", "pv-used", NULL, NULL);
}

/* --- garbage collection --- */

static void make_config(const char *ns, const char *name, const char *owner, const char *extra)
{
	char text[1024], ref[512] = "";
	if (owner != NULL) {
		JSON_AUTO o = await(&KUBE_CONFIGMAP, ns, owner, "metadata.name", owner);
		(void)snprintf(ref, sizeof ref,
			       ",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"name\":\"%s\","
			       "\"uid\":\"%s\","
			       "\"blockOwnerDeletion\":true}]",
			       owner, obj_uid(o));
	}
	(void)snprintf(text, sizeof text,
		       "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"%s\"%s%s}}", name, ref,
		       extra);
	create(&KUBE_CONFIGMAP, ns, text);
}

static void dependents_go_with_their_owner(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	make_config(ns, "owner", NULL, "");
	make_config(ns, "child", "owner", "");
	make_config(ns, "grandchild", "child", "");
	delete (&KUBE_CONFIGMAP, ns, "owner", "Background");
	expect(&KUBE_CONFIGMAP, ns, "grandchild", NULL, NULL);
	expect(&KUBE_CONFIGMAP, ns, "child", NULL, NULL);
}

static void foreground_owner_waits_for_its_dependents(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	make_config(ns, "owner", NULL, "");
	make_config(ns, "child", "owner", ",\"finalizers\":[\"test/holds\"]");
	delete (&KUBE_CONFIGMAP, ns, "owner", "Foreground");
	JSON_AUTO child = await(&KUBE_CONFIGMAP, ns, "child", "metadata.finalizers", "[\"test/holds\"]");
	const int64_t deadline = clock_mono_ns() + 60 * NSEC_PER_SEC;
	while (!obj_deleting(child) && clock_mono_ns() < deadline) {
		json_decref(child);
		child = await(&KUBE_CONFIGMAP, ns, "child", "metadata.name", "child");
	}
	assert_true(obj_deleting(child));
	expect(&KUBE_CONFIGMAP, ns, "owner", "metadata.finalizers", "[\"foregroundDeletion\"]");
	merge(&KUBE_CONFIGMAP, ns, "child", NULL, "{\"metadata\":{\"finalizers\":null}}");
	expect(&KUBE_CONFIGMAP, ns, "child", NULL, NULL);
	expect(&KUBE_CONFIGMAP, ns, "owner", NULL, NULL);
}

static void orphans_stay(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	make_config(ns, "owner", NULL, "");
	make_config(ns, "child", "owner", "");
	delete (&KUBE_CONFIGMAP, ns, "owner", "Orphan");
	expect(&KUBE_CONFIGMAP, ns, "owner", NULL, NULL);
	JSON_AUTO child = await(&KUBE_CONFIGMAP, ns, "child", "metadata.name", "child");
	assert_int_equal(json_array_size(json_at(child, "metadata.ownerReferences")), 0);
	assert_false(obj_deleting(child));
}

static void owner_that_never_was_counts_as_gone(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_CONFIGMAP, ns,
	       "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"lost\",\"ownerReferences\":[{"
	       "\"apiVersion\":\"v1\",\"kind\":"
	       "\"ConfigMap\",\"name\":\"none\",\"uid\":\"11111111-2222-3333-4444-555555555555\"}]}}");
	create(&KUBE_CONFIGMAP, ns,
	       "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"unknown\",\"ownerReferences\":[{"
	       "\"apiVersion\":"
	       "\"example.com/"
	       "v1\",\"kind\":\"Never\",\"name\":\"none\",\"uid\":\"11111111-2222-3333-4444-666666666666\"}]}}");
	expect(&KUBE_CONFIGMAP, ns, "lost", NULL, NULL);
	expect(&KUBE_CONFIGMAP, ns, "unknown", "metadata.name", "unknown"); /* a kind nobody serves cannot be judged */
}

static void custom_resources_are_collected_too(void **state)
{
	(void)state;
	static const struct kube_resource gadget = {.group = "test.example.com",
						    .version = "v1",
						    .kind = "Gadget",
						    .plural = "gadgets",
						    .namespaced = true};
	const char *ns = fresh_ns();
	create(&KUBE_CRD, "",
	       "{\"apiVersion\":\"apiextensions.k8s.io/"
	       "v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":{\"name\":"
	       "\"gadgets.test.example.com\"},\"spec\":{\"group\":\"test.example.com\",\"scope\":\"Namespaced\","
	       "\"names\":{\"plural\":\"gadgets\","
	       "\"singular\":\"gadget\",\"kind\":\"Gadget\",\"listKind\":\"GadgetList\"},\"versions\":[{\"name\":"
	       "\"v1\",\"served\":true,"
	       "\"storage\":true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\"}}}]}}");
	expect(&KUBE_CRD, "", "gadgets.test.example.com", "status.conditions[type=Established].status", "True");
	create(&gadget, ns,
	       "{\"apiVersion\":\"test.example.com/v1\",\"kind\":\"Gadget\",\"metadata\":{\"name\":\"g\"}}");
	JSON_AUTO g = await(&gadget, ns, "g", "metadata.name", "g");
	char text[512];
	(void)snprintf(text, sizeof text,
		       "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"of-g\","
		       "\"ownerReferences\":[{\"apiVersion\":"
		       "\"test.example.com/v1\",\"kind\":\"Gadget\",\"name\":\"g\",\"uid\":\"%s\"}]}}",
		       obj_uid(g));
	create(&KUBE_CONFIGMAP, ns, text);
	delete (&gadget, ns, "g", NULL);
	expect(&KUBE_CONFIGMAP, ns, "of-g", NULL, NULL);
}

/* --- namespaces --- */

static void namespace_goes_with_all_that_is_in_it(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_STATEFULSET, ns, SET("web", "2", "", ""));
	make_config(ns, "a", NULL, "");
	make_config(ns, "held", NULL, ",\"finalizers\":[\"test/holds\"]");
	expect(&KUBE_STATEFULSET, ns, "web", "status.readyReplicas", "2");
	delete (&KUBE_NAMESPACE, "", ns, NULL);
	JSON_AUTO n = await(&KUBE_NAMESPACE, "", ns, "status.conditions[type=NamespaceFinalizersRemaining].message",
			    "Some content in the namespace has finalizers remaining: test/holds");
	assert_string_equal(json_str(n, "status.phase", ""), "Terminating");
	expect_count(&KUBE_POD, ns, NULL, 0);
	merge(&KUBE_CONFIGMAP, ns, "held", NULL, "{\"metadata\":{\"finalizers\":null}}");
	expect(&KUBE_NAMESPACE, "", ns, NULL, NULL);
}

/* --- nodes --- */

static void silent_node_is_unknown_and_tainted(void **state)
{
	(void)state;
	add_node("n2", "");
	expect(&KUBE_NODE, "", "n2", "status.conditions[type=Ready].status", "Unknown");
	expect(&KUBE_NODE, "", "n2", "spec.taints",
	       "[{\"key\":\"node.kubernetes.io/unreachable\",\"effect\":\"NoSchedule\"}]");
	node_is_ready("n2");
	expect(&KUBE_NODE, "", "n2", "spec.taints", "");
	delete (&KUBE_NODE, "", "n2", NULL);
	expect(&KUBE_NODE, "", "n2", NULL, NULL);
}

/* --- endpoints --- */

static void endpoints_follow_the_pods(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	create(&KUBE_SERVICE, ns,
	       "{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{\"name\":\"svc\"},\"spec\":{\"clusterIP\":"
	       "\"None\",\"selector\":{\"app\":"
	       "\"web\"},\"ports\":[{\"name\":\"http\",\"port\":80,\"targetPort\":8080}]}}");
	create(&KUBE_STATEFULSET, ns, SET("web", "1", "", ""));
	JSON_AUTO ep = await(&KUBE_ENDPOINTS, ns, "svc", "subsets[0].addresses[0].ip", "127.0.0.1");
	assert_string_equal(json_str(ep, "subsets[0].addresses[0].hostname", ""), "web-0");
	assert_string_equal(json_str(ep, "subsets[0].addresses[0].targetRef.name", ""), "web-0");
	assert_int_equal(json_int(ep, "subsets[0].ports[0].port", 0), 8080);
	assert_string_equal(json_str(ep, "subsets[0].ports[0].name", ""), "http");
	merge(&KUBE_STATEFULSET, ns, "web", NULL, "{\"spec\":{\"replicas\":0}}");
	expect(&KUBE_ENDPOINTS, ns, "svc", "subsets[0].addresses[0].ip", "");
	delete (&KUBE_SERVICE, ns, "svc", NULL);
	expect(&KUBE_ENDPOINTS, ns, "svc", NULL, NULL);
}

/* --- the world --- */

/* A live node: its Lease is renewed by a thread of its own, and a beat that came late (under valgrind, say) is made good. */
static pthread_t heart;
static atomic_bool heart_stop;

static void *beat(void *arg)
{
	(void)arg;
	for (int i = 0; !atomic_load(&heart_stop); i++) {
		char text[256];
		(void)snprintf(text, sizeof text,
			       "{\"spec\":{\"holderIdentity\":\"n1\",\"renewTime\":\"2026-01-01T00:00:00.%06dZ\"}}", i);
		JSON_AUTO patch = json_loads(text, 0, NULL);
		(void)kube_patch(w.c, &KUBE_LEASE, "kube-node-lease", "n1", NULL, KUBE_PATCH_MERGE, patch, NULL, NULL);
		JSON_AUTO node = NULL;
		if (kube_get(w.c, &KUBE_NODE, "", "n1", &node, NULL) == 0 &&
		    strcmp(json_str(node, "status.conditions[type=Ready].status", ""), "True") != 0)
			node_is_ready("n1");
		(void)poll(NULL, 0, 500);
	}
	return NULL;
}

static int controllers_start(struct error *err)
{
	int rc = manager_new(&(struct manager_options){.client = w.c}, &w.m, err);
	if (rc == 0)
		rc = workload_controllers_register(w.m, &(struct workload_options){.node_grace_ns = 3 * NSEC_PER_SEC},
						   err);
	return rc == 0 ? manager_start(w.m, -1, err) : rc;
}

static void what_happened_meanwhile_is_made_up_for(void **state)
{
	(void)state;
	const char *ns = fresh_ns();
	struct error err = {0};
	make_config(ns, "owner", NULL, "");
	make_config(ns, "child", "owner", "");
	make_config(ns, "waits", NULL, "");
	make_config(ns, "blocks", "waits", "");
	create(&KUBE_STATEFULSET, ns, SET("web", "2", "", ""));
	expect(&KUBE_STATEFULSET, ns, "web", "status.readyReplicas", "2");
	manager_free(w.m);
	w.m = NULL;
	delete (&KUBE_CONFIGMAP, ns, "owner", "Background"); /* nobody sees it go */
	delete (&KUBE_CONFIGMAP, ns, "waits", "Foreground");
	delete (&KUBE_POD, ns, "web-0", NULL);
	expect(&KUBE_POD, ns, "web-0", NULL, NULL);
	merge(&KUBE_STATEFULSET, ns, "web", NULL, "{\"spec\":{\"replicas\":3}}");
	create(&KUBE_PV, "", PV("pv-meanwhile", "meanwhile", "1Gi", ""));
	create(&KUBE_PVC, ns, PVC("meanwhile", "meanwhile", ""));
	if (controllers_start(&err) < 0)
		fail_msg("%s", err.msg);
	expect(&KUBE_CONFIGMAP, ns, "child", NULL, NULL);
	expect(&KUBE_CONFIGMAP, ns, "waits", NULL, NULL);
	expect(&KUBE_CONFIGMAP, ns, "blocks", NULL, NULL);
	expect(&KUBE_STATEFULSET, ns, "web", "status.readyReplicas", "3");
	expect(&KUBE_PVC, ns, "meanwhile", "status.phase", "Bound");
}

static int world_begin(void **state)
{
	(void)state;
	struct error err = {0};
	char kubeconfig[96];
	struct kube_config *cfg = NULL;
	(void)snprintf(w.dir, sizeof w.dir, "/tmp/test-workload-XXXXXX");
	if (mkdtemp(w.dir) == NULL)
		return -1;
	(void)snprintf(kubeconfig, sizeof kubeconfig, "%s/kubeconfig", w.dir);
	const struct api_server_options o = {.data_dir = w.dir, .address = "127.0.0.1", .kubeconfig = kubeconfig};
	int rc = api_server_new(&o, &w.api, &err);
	if (rc == 0)
		rc = kube_config_load(kubeconfig, NULL, &cfg, &err);
	if (rc == 0)
		rc = kube_client_new(cfg, NULL, &w.c, &err);
	kube_config_free(cfg);
	if (rc == 0)
		rc = controllers_start(&err);
	if (rc == 0)
		rc = informer_new(w.c, &KUBE_POD, NULL, &w.agent, &err);
	if (rc == 0)
		rc = informer_add_handler(w.agent, agent_step, NULL);
	if (rc == 0)
		rc = informer_start(w.agent, &err);
	if (rc < 0) {
		fprintf(stderr, "set up: %s\n", err.msg);
		return -1;
	}
	add_node("n1", "");
	JSON_AUTO ns = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "Namespace", "metadata", "name",
				 "kube-node-lease");
	(void)kube_create(w.c, &KUBE_NAMESPACE, "", ns, NULL, NULL); /* it may be there */
	create(&KUBE_LEASE, "kube-node-lease",
	       "{\"apiVersion\":\"coordination.k8s.io/"
	       "v1\",\"kind\":\"Lease\",\"metadata\":{\"name\":\"n1\"},\"spec\":{\"holderIdentity\":\"n1\"}}");
	return pthread_create(&heart, NULL, beat, NULL);
}

static int world_end(void **state)
{
	(void)state;
	atomic_store(&heart_stop, true);
	(void)pthread_join(heart, NULL);
	manager_free(w.m);
	informer_free(w.agent);
	kube_client_free(w.c);
	api_server_free(w.api);
	return file_remove_all(w.dir, NULL);
}

int main(void)
{
	log_init(2, LOG_LVL_WARN, "test");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statefulset_runs_scales_and_updates),
		cmocka_unit_test(statefulset_keeps_its_order),
		cmocka_unit_test(a_hundred_pods_find_their_place),
		cmocka_unit_test(statefulset_on_delete_waits_for_the_user),
		cmocka_unit_test(statefulset_says_what_it_does_not_do),
		cmocka_unit_test(orphaned_pods_are_adopted),
		cmocka_unit_test(daemonset_follows_the_nodes),
		cmocka_unit_test(scheduler_says_why_and_tries_again),
		cmocka_unit_test(anti_affinity_makes_the_second_wait_for_the_first),
		cmocka_unit_test(unschedulable_nodes_and_missing_claims_are_named),
		cmocka_unit_test(claims_and_volumes_meet),
		cmocka_unit_test(volumes_in_use_are_protected),
		cmocka_unit_test(dependents_go_with_their_owner),
		cmocka_unit_test(foreground_owner_waits_for_its_dependents),
		cmocka_unit_test(orphans_stay),
		cmocka_unit_test(owner_that_never_was_counts_as_gone),
		cmocka_unit_test(custom_resources_are_collected_too),
		cmocka_unit_test(namespace_goes_with_all_that_is_in_it),
		cmocka_unit_test(what_happened_meanwhile_is_made_up_for),
		cmocka_unit_test(silent_node_is_unknown_and_tainted),
		cmocka_unit_test(endpoints_follow_the_pods),
	};
	return cmocka_run_group_tests_name("workload", tests, world_begin, world_end);
}
