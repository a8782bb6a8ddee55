/* A pod's row: Ready, Status and Restarts are computed from the states of its containers, as kubectl users know them. */
#include <stdio.h>
#include <string.h>

#include "api/kubernetes/columns.h"
#include "base/clock.h"
#include "base/strbuf.h"
#include "json/json.h"

struct pod_row {
	char status[256];
	long long ready, total, restarts;
	int64_t last_restart; /* wall ns; 0: none */
};

static void set_status(struct pod_row *row, const char *prefix, const char *text)
{
	(void)snprintf(row->status, sizeof row->status, "%s%s", prefix, text); /* cut when long */
}

/* How a container ended: its reason, or else by signal or exit code. */
static void set_ended(struct pod_row *row, const char *prefix, const json_t *terminated)
{
	const char *reason = json_str(terminated, "reason", "");
	const long long sig = json_int(terminated, "signal", 0);
	char text[64];
	if (reason[0] == '\0') {
		(void)snprintf(text, sizeof text, sig != 0 ? "Signal:%lld" : "ExitCode:%lld",
			       sig != 0 ? sig : (long long)json_int(terminated, "exitCode", 0));
		reason = text;
	}
	set_status(row, prefix, reason);
}

static void count_restarts(struct pod_row *row, const json_t *container)
{
	int64_t at;
	row->restarts += json_int(container, "restartCount", 0);
	if (clock_parse_rfc3339(json_str(container, "lastState.terminated.finishedAt", ""), &at) == 0 &&
	    at > row->last_restart)
		row->last_restart = at;
}

static bool has_condition(const json_t *pod, const char *type)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(pod, "status.conditions"), i, c)
		if (strcmp(json_str(c, "type", ""), type) == 0)
			return strcmp(json_str(c, "status", ""), "True") == 0;
	return false;
}

static const json_t *named(const json_t *list, const char *name)
{
	size_t i;
	json_t *item;
	json_array_foreach (list, i, item)
		if (strcmp(json_str(item, "name", ""), name) == 0)
			return item;
	return NULL;
}

/* An init container that stays and serves beside the others (restartPolicy Always). */
static bool is_sidecar(const json_t *pod, const json_t *status)
{
	const json_t *c = named(json_at(pod, "spec.initContainers"), json_str(status, "name", ""));
	return strcmp(json_str(c, "restartPolicy", ""), "Always") == 0;
}

/* True when the pod is still initializing. @sidecars gathers what sidecars add to the restarts of a running pod. */
static bool add_init(struct pod_row *row, const json_t *pod, struct pod_row *sidecars)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(pod, "status.initContainerStatuses"), i, c) {
		const bool sidecar = is_sidecar(pod, c);
		const json_t *terminated = json_at(c, "state.terminated");
		const char *waiting = json_str(c, "state.waiting.reason", "");
		count_restarts(row, c);
		if (sidecar)
			count_restarts(sidecars, c);
		if (terminated != NULL && json_int(terminated, "exitCode", 0) == 0)
			continue;
		if (sidecar && json_bool(c, "started", false)) {
			row->ready += json_bool(c, "ready", false);
			continue;
		}
		if (terminated != NULL)
			set_ended(row, "Init:", terminated);
		else if (waiting[0] != '\0' && strcmp(waiting, "PodInitializing") != 0)
			set_status(row, "Init:", waiting);
		else
			(void)snprintf(row->status, sizeof row->status, "Init:%zu/%zu", i,
				       json_array_size(json_at(pod, "spec.initContainers")));
		return true;
	}
	return false;
}

static void add_containers(struct pod_row *row, const json_t *pod)
{
	const json_t *list = json_at(pod, "status.containerStatuses");
	bool running = false;
	for (size_t i = json_array_size(list); i-- > 0;) {
		const json_t *c = json_array_get(list, i);
		const json_t *terminated = json_at(c, "state.terminated");
		const char *waiting = json_str(c, "state.waiting.reason", "");
		count_restarts(row, c);
		if (waiting[0] != '\0') {
			set_status(row, "", waiting);
		} else if (terminated != NULL) {
			set_ended(row, "", terminated);
		} else if (json_bool(c, "ready", false) && json_at(c, "state.running") != NULL) {
			running = true;
			row->ready++;
		}
	}
	if (strcmp(row->status, "Completed") == 0 && running)
		set_status(row, "", has_condition(pod, "Ready") ? "Running" : "NotReady");
}

static struct pod_row pod_row(const json_t *pod)
{
	struct pod_row row = {.total = (long long)json_array_size(json_at(pod, "spec.containers"))},
		       sidecars = {.total = 0};
	const char *phase = json_str(pod, "status.phase", ""), *reason = json_str(pod, "status.reason", "");
	set_status(&row, "", reason[0] != '\0' ? reason : phase);
	size_t i;
	json_t *c;
	json_array_foreach (json_at(pod, "status.conditions"), i, c)
		if (strcmp(json_str(c, "type", ""), "PodScheduled") == 0 &&
		    strcmp(json_str(c, "reason", ""), "SchedulingGated") == 0)
			set_status(&row, "", "SchedulingGated");
	json_array_foreach (json_at(pod, "spec.initContainers"), i, c)
		row.total += strcmp(json_str(c, "restartPolicy", ""), "Always") == 0;

	if (!add_init(&row, pod, &sidecars) || has_condition(pod, "Initialized")) {
		row.restarts = sidecars.restarts;
		row.last_restart = sidecars.last_restart;
		add_containers(&row, pod);
	}
	const bool ended = strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
	if (json_str(pod, "metadata.deletionTimestamp", NULL) != NULL) {
		if (strcmp(reason, "NodeLost") == 0)
			set_status(&row, "", "Unknown");
		else if (!ended)
			set_status(&row, "", "Terminating");
	}
	return row;
}

static json_t *pod_ready(const json_t *obj, int64_t now)
{
	(void)now;
	const struct pod_row row = pod_row(obj);
	return json_sprintf("%lld/%lld", row.ready, row.total);
}

static json_t *pod_status(const json_t *obj, int64_t now)
{
	(void)now;
	const struct pod_row row = pod_row(obj);
	return json_string(row.status);
}

static json_t *pod_restarts(const json_t *obj, int64_t now)
{
	const struct pod_row row = pod_row(obj);
	if (row.restarts == 0 || row.last_restart == 0)
		return json_sprintf("%lld", row.restarts);
	char ago[32];
	human_duration(now - row.last_restart, ago);
	return json_sprintf("%lld (%s ago)", row.restarts, ago);
}

static json_t *pod_ip(const json_t *obj, int64_t now)
{
	(void)now;
	const char *first = json_str(obj, "status.podIPs[0].ip", "");
	return first[0] != '\0' ? json_string(first) : cell_string(obj, "status.podIP", NONE);
}

static json_t *pod_node(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "spec.nodeName", NONE);
}

static json_t *pod_nominated(const json_t *obj, int64_t now)
{
	(void)now;
	return cell_string(obj, "status.nominatedNodeName", NONE);
}

static json_t *pod_gates(const json_t *obj, int64_t now)
{
	(void)now;
	const json_t *gates = json_at(obj, "spec.readinessGates");
	size_t i, open = 0;
	json_t *gate;
	json_array_foreach (gates, i, gate)
		open += has_condition(obj, json_str(gate, "conditionType", ""));
	return json_array_size(gates) == 0 ? json_string(NONE) : json_sprintf("%zu/%zu", open, json_array_size(gates));
}

const struct column pod_columns[] = {
	COLUMN_NAME,
	COLUMN("Ready", "string", pod_ready, "Containers that are ready, of all."),
	COLUMN("Status", "string", pod_status, "What the pod does, from its phase and its containers."),
	COLUMN("Restarts", "string", pod_restarts, "How often containers were started again, and when last."),
	COLUMN_AGE,
	WIDE("IP", "string", pod_ip, "Address of the pod."),
	WIDE("Node", "string", pod_node, "Node that the pod is on."),
	WIDE("Nominated Node", "string", pod_nominated, "Node where room is being made for the pod."),
	WIDE("Readiness Gates", "string", pod_gates, "Conditions beside the containers' that the pod waits for."),
	COLUMN_END,
};
