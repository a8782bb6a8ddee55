/* The pod's status as a kubelet writes it. */
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "kube/resource.h"
#include "local/agent_private.h"
#include "json/json.h"

void container_end_set(struct container_end *e, const char *id, int code, const char *reason, const char *message,
		       int64_t started, int64_t finished)
{
	*e = (struct container_end){
		.valid = true, .code = code, .started_wall_ns = started, .finished_wall_ns = finished};
	(void)str_copy(e->id, sizeof e->id, id);
	(void)str_copy(e->reason, sizeof e->reason, reason);
	(void)str_copy(e->message, sizeof e->message, message);
}

static json_t *time_json(int64_t wall_ns)
{
	char text[32];
	clock_format_rfc3339(wall_ns, text);
	return json_string(text);
}

static void set_id(json_t *o, const char *id)
{
	char text[CONTAINER_ID_MAX + 16] = "";
	if (*id != '\0')
		(void)snprintf(text, sizeof text, "runc://%s", id);
	(void)json_object_set_new(o, "containerID", json_string(text));
}

static json_t *terminated_json(const struct container_end *e)
{
	json_t *t = json_pack("{s:i, s:s}", "exitCode", e->code, "reason", e->reason);
	if (e->message[0] != '\0')
		(void)json_object_set_new(t, "message", json_string(e->message) ?: json_string("(not UTF-8)"));
	(void)json_object_set_new(t, "startedAt", time_json(e->started_wall_ns));
	(void)json_object_set_new(t, "finishedAt", time_json(e->finished_wall_ns));
	set_id(t, e->id);
	return json_pack("{s:o}", "terminated", t);
}

static json_t *state_json(const struct container_run *c)
{
	if (c->phase == CONTAINER_RUNNING)
		return json_pack("{s:{s:o}}", "running", "startedAt", time_json(c->started_wall_ns));
	if (c->phase == CONTAINER_ENDED)
		return terminated_json(&c->end);
	json_t *w = json_pack("{s:s}", "reason", c->wait_reason[0] != '\0' ? c->wait_reason : "ContainerCreating");
	if (c->wait_message[0] != '\0')
		(void)json_object_set_new(w, "message", json_string(c->wait_message) ?: json_string("(not UTF-8)"));
	return json_pack("{s:o}", "waiting", w);
}

static json_t *container_json(const struct pod_run *p, const struct container_run *c)
{
	const char *image = json_str(container_spec(p, c), "image", "");
	const bool ready =
		c->init ? c->phase == CONTAINER_ENDED && c->end.code == 0 : c->phase == CONTAINER_RUNNING && c->ready;
	json_t *o = json_pack("{s:s, s:o}", "name", c->name, "state", state_json(c));
	(void)json_object_set_new(o, "lastState", c->last.valid ? terminated_json(&c->last) : json_object());
	(void)json_object_set_new(o, "ready", json_boolean(ready));
	(void)json_object_set_new(o, "restartCount", json_integer(c->restarts));
	(void)json_object_set_new(o, "image", json_string(image));
	(void)json_object_set_new(o, "imageID", json_string(c->id[0] != '\0' ? image : ""));
	if (c->id[0] != '\0')
		set_id(o, c->id);
	(void)json_object_set_new(o, "started", json_boolean(c->phase == CONTAINER_RUNNING && c->started));
	return o;
}

const char *status_phase(const struct pod_run *p, bool final)
{
	const char *policy = json_str(p->obj, "spec.restartPolicy", "Always");
	size_t waiting = 0, running = 0, failed = 0, ended = 0;
	bool init_pending = false, init_failed = false;
	for (size_t i = 0; i < p->n_containers; i++) {
		const struct container_run *c = &p->containers[i];
		if (c->init) {
			const bool ok = c->phase == CONTAINER_ENDED && c->end.code == 0;
			const bool bad = c->phase == CONTAINER_ENDED && c->end.code != 0;
			init_pending |= !ok;
			init_failed |= bad && (final || strcmp(policy, "Never") == 0);
			continue;
		}
		/* A container in back-off has run: what counts is how it ended. */
		const struct container_end *e = c->phase == CONTAINER_ENDED ? &c->end : &c->last;
		if (c->phase == CONTAINER_RUNNING)
			running++;
		else if (!e->valid)
			waiting++;
		else if (e->code != 0)
			failed++;
		else
			ended++;
	}
	if (init_failed)
		return "Failed";
	if (final) /* what never began has not succeeded */
		return failed + waiting > 0 || init_pending ? "Failed" : "Succeeded";
	if (init_pending || waiting > 0)
		return "Pending";
	if (running > 0 || strcmp(policy, "Always") == 0)
		return "Running";
	if (failed == 0)
		return "Succeeded";
	return strcmp(policy, "Never") == 0 ? "Failed" : "Running";
}

/* Names of the containers that are not as they should be, "[a b]". */
static void unready_names(const struct pod_run *p, bool init, char *out, size_t size)
{
	struct strbuf b = STRBUF_INIT(4096);
	for (size_t i = 0; i < p->n_containers; i++) {
		const struct container_run *c = &p->containers[i];
		const bool good = c->init ? c->phase == CONTAINER_ENDED && c->end.code == 0
					  : c->phase == CONTAINER_RUNNING && c->ready;
		if (c->init == init && !good)
			strbuf_addf(&b, "%s%s", b.n > 0 ? " " : "", c->name);
	}
	(void)snprintf(out, size, "%s", b.p != NULL ? b.p : "");
	strbuf_clear(&b);
}

static void add_condition(struct pod_run *p, json_t *list, const char *type, bool yes, const char *reason,
			  const char *message)
{
	const char *status = yes ? "True" : "False";
	json_t *old = json_object_get(p->conditions, type);
	if (old == NULL || strcmp(json_str(old, "status", ""), status) != 0) {
		old = json_pack("{s:s, s:o}", "status", status, "lastTransitionTime", time_json(clock_wall_ns()));
		(void)json_object_set_new(p->conditions, type, old);
	}
	json_t *c = json_pack("{s:s, s:s, s:n, s:O}", "type", type, "status", status, "lastProbeTime",
			      "lastTransitionTime", json_object_get(old, "lastTransitionTime"));
	if (reason != NULL) {
		(void)json_object_set_new(c, "reason", json_string(reason));
		(void)json_object_set_new(c, "message", json_string(message != NULL ? message : ""));
	} else {
		(void)json_object_set_new(c, "reason", json_null()); /* removes the one that the server has */
		(void)json_object_set_new(c, "message", json_null());
	}
	(void)json_array_append_new(list, c);
}

static const char *missing_gate(const struct pod_run *p)
{
	size_t i, k;
	const json_t *gate, *cond;
	json_array_foreach (json_at(p->obj, "spec.readinessGates"), i, gate) {
		const char *type = json_str(gate, "conditionType", "");
		bool met = false;
		json_array_foreach (json_at(p->obj, "status.conditions"), k, cond)
			met |= strcmp(json_str(cond, "type", ""), type) == 0 &&
			       strcmp(json_str(cond, "status", ""), "True") == 0;
		if (!met)
			return type;
	}
	return NULL;
}

static void ready_condition(struct pod_run *p, json_t *list, bool ready, const char *reason, const char *message)
{
	const char *gate = missing_gate(p);
	char text[200];
	if (ready && gate != NULL) {
		(void)snprintf(text, sizeof text, "the status of pod readiness gate \"%s\" is not \"True\"", gate);
		add_condition(p, list, "Ready", false, "ReadinessGatesNotReady", text);
	} else {
		add_condition(p, list, "Ready", ready, reason, message);
	}
}

static json_t *conditions_json(struct pod_run *p, const char *phase)
{
	json_t *list = json_array();
	char names[480], message[560];
	const bool done = strcmp(phase, "Succeeded") == 0;
	unready_names(p, true, names, sizeof names);
	if (names[0] == '\0' || done) {
		add_condition(p, list, "Initialized", true, done ? "PodCompleted" : NULL, NULL);
	} else {
		(void)snprintf(message, sizeof message, "containers with incomplete status: [%s]", names);
		add_condition(p, list, "Initialized", false, "ContainersNotInitialized", message);
	}
	unready_names(p, false, names, sizeof names);
	(void)snprintf(message, sizeof message, "containers with unready status: [%s]", names);
	const bool ready = names[0] == '\0';
	const char *reason = ready                          ? NULL
			     : done                         ? "PodCompleted"
			     : strcmp(phase, "Failed") == 0 ? "PodFailed"
							    : "ContainersNotReady";
	const char *text = strcmp(reason ?: "", "ContainersNotReady") == 0 ? message : NULL;
	ready_condition(p, list, ready, reason, text);
	add_condition(p, list, "ContainersReady", ready, reason, text);
	add_condition(p, list, "PodScheduled", true, NULL, NULL);
	return list;
}

json_t *status_build(struct pod_run *p, bool final)
{
	const char *phase = status_phase(p, final);
	json_t *main_list = json_array(), *init_list = json_array();
	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->n_containers; i++)
		(void)json_array_append_new(p->containers[i].init ? init_list : main_list,
					    container_json(p, &p->containers[i]));
	json_t *s = json_pack("{s:s, s:o, s:s, s:s, s:[{s:s}], s:[{s:s}], s:o, s:o}", "phase", phase, "conditions",
			      conditions_json(p, phase), "hostIP", AGENT_ADDRESS, "podIP", AGENT_ADDRESS, "podIPs",
			      "ip", AGENT_ADDRESS, "hostIPs", "ip", AGENT_ADDRESS, "startTime",
			      time_json(p->started_wall_ns), "containerStatuses", main_list);
	pthread_mutex_unlock(&p->lock);
	if (p->n_init > 0)
		(void)json_object_set_new(s, "initContainerStatuses", init_list);
	else
		json_decref(init_list);
	return s;
}

int status_send(struct pod_run *p, bool final, struct error *err)
{
	if (p->forgotten)
		return 0;
	JSON_AUTO patch = json_pack("{s:{s:s}, s:o}", "metadata", "uid", p->uid, "status", status_build(p, final));
	CLEANUP(free_p) char *text = patch != NULL ? json_to_text(patch, NULL) : NULL;
	if (text == NULL)
		return error_set(err, -ENOMEM, "pod's status: out of memory");
	if (str_same(text, p->status_text))
		return 0;
	const int rc = kube_patch(p->agent->client, &KUBE_POD, p->ns, p->name, "status", KUBE_PATCH_STRATEGIC, patch,
				  NULL, err);
	if (rc == -ENOENT)
		return 0; /* deleted: the informer tells */
	if (rc < 0)
		return rc;
	free(p->status_text);
	p->status_text = TAKE(text);
	return 0;
}
