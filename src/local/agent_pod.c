/* A pod's life as a state machine. */
#include <assert.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/event.h"
#include "kube/informer.h"
#include "kube/resource.h"
#include "local/agent_cgroup.h"
#include "local/agent_private.h"
#include "json/json.h"

#define RETRY_FIRST_NS   (250 * NSEC_PER_MSEC)
#define RETRY_MAX_NS     (5 * NSEC_PER_SEC)
#define REFRESH_NS       (60 * NSEC_PER_SEC)
#define LOOK_NS          (100 * NSEC_PER_MSEC)
#define GROUP_TIMEOUT_NS (10 * NSEC_PER_SEC)
#define GRACE_DEFAULT    30
#define GRACE_MAX        86400

static const char *const state_name[POD_STATES] = {"new",      "volumes",  "init",     "running",
						   "finished", "stopping", "cleaning", "gone"};

static const unsigned state_next[POD_STATES] = {
	[POD_NEW] = 1u << POD_VOLUMES | 1u << POD_FINISHED | 1u << POD_STOPPING,
	[POD_VOLUMES] = 1u << POD_INIT | 1u << POD_STOPPING,
	[POD_INIT] = 1u << POD_RUNNING | 1u << POD_FINISHED | 1u << POD_STOPPING,
	[POD_RUNNING] = 1u << POD_FINISHED | 1u << POD_STOPPING,
	[POD_FINISHED] = 1u << POD_STOPPING,
	[POD_STOPPING] = 1u << POD_CLEANING,
	[POD_CLEANING] = 1u << POD_GONE,
};

static void move(struct pod_run *p, enum pod_state to)
{
	assert(state_next[p->state] & 1u << to);
	LOG(p->agent->log, LOG_LVL_DEBUG, "pod moves", LOG_STR("namespace", p->ns), LOG_STR("name", p->name),
	    LOG_STR("from", state_name[p->state]), LOG_STR("to", state_name[to]));
	p->state = to;
	p->retry_ns = 0;
}

static void sooner(int64_t *again, int64_t ns)
{
	if (ns < 1)
		ns = 1;
	if (*again == 0 || ns < *again)
		*again = ns;
}

static void retry_later(struct pod_run *p, int64_t *again)
{
	p->retry_ns = p->retry_ns == 0 ? RETRY_FIRST_NS : p->retry_ns * 2;
	if (p->retry_ns > RETRY_MAX_NS)
		p->retry_ns = RETRY_MAX_NS;
	sooner(again, p->retry_ns);
}

static int64_t grace_ns(const struct pod_run *p)
{
	int64_t s = json_int(p->obj, "spec.terminationGracePeriodSeconds", GRACE_DEFAULT);
	s = json_int(p->obj, "metadata.deletionGracePeriodSeconds", s);
	return (s < 0 ? 0 : s > GRACE_MAX ? GRACE_MAX : s) * NSEC_PER_SEC;
}

static void set_waiting(struct pod_run *p, const char *reason, const char *message)
{
	for (size_t i = 0; i < p->n_containers; i++) {
		struct container_run *c = &p->containers[i];
		if (c->phase != CONTAINER_WAITING || c->id[0] != '\0')
			continue;
		(void)str_copy(c->wait_reason, sizeof c->wait_reason, reason);
		(void)str_copy(c->wait_message, sizeof c->wait_message, message);
	}
}

/* The newest object; what of it matters may have changed: deletion, image, annotations. */
static void take_object(struct pod_run *p)
{
	JSON_AUTO obj = informer_get(p->agent->pods, p->ns, p->name);
	if (obj == NULL || strcmp(obj_uid(obj), p->uid) != 0) {
		p->forgotten = true;
		return;
	}
	if (!p->seen)
		pod_take_status(p, obj);
	p->seen = true;
	json_decref(p->obj);
	p->obj = TAKE(obj);
}

static bool already_finished(const struct pod_run *p)
{
	const char *phase = json_str(p->obj, "status.phase", "");
	return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

static int step_new(struct pod_run *p, int64_t *again, struct error *err)
{
	(void)again;
	int rc = record_save_pod(p, err);
	if (rc < 0)
		return rc;
	if (already_finished(p)) {
		move(p, POD_FINISHED);
		return 0;
	}
	struct error why = {0};
	if (pod_check(p->obj, &why) < 0) {
		if (!p->refused)
			event_emit(p->agent->events, p->ref, "Warning", "Failed", "Error: %s", why.msg);
		p->refused = true;
		set_waiting(p, "CreateContainerConfigError", why.msg);
		return 0;
	}
	move(p, POD_VOLUMES);
	return 0;
}

/* Whether an earlier agent already had its containers run. */
static bool has_run(const struct pod_run *p)
{
	for (size_t i = p->n_init; i < p->n_containers; i++)
		if (p->containers[i].id[0] != '\0')
			return true;
	return false;
}

/* What the server last heard of it holds until the probes speak: an agent that comes back must not make pods unready. */
static void adopt(struct pod_run *p, struct container_run *c)
{
	(void)monitor_watch(p->agent->monitor, &p->agent->paths, c->id, p->uid); /* its end is seen at the next pass */
	prober_begin(p->agent->prober, p, c);
	size_t i;
	const json_t *s;
	json_array_foreach (json_at(p->obj, "status.containerStatuses"), i, s) {
		if (strcmp(json_str(s, "name", ""), c->name) != 0 ||
		    strstr(json_str(s, "containerID", ""), c->id) == NULL)
			continue;
		pthread_mutex_lock(&p->lock);
		c->ready = c->ready || json_bool(s, "ready", false);
		pthread_mutex_unlock(&p->lock);
	}
}

static int step_volumes(struct pod_run *p, int64_t *again, struct error *err)
{
	(void)err;
	struct error why = {0};
	json_t *volumes = NULL;
	if (volumes_setup(&p->agent->volumes, p->obj, &volumes, &why) < 0) {
		event_emit(p->agent->events, p->ref, "Warning", "FailedMount", "%s", why.msg);
		set_waiting(p, "ContainerCreating", why.msg);
		retry_later(p, again);
		return 0;
	}
	set_waiting(p, p->n_init > 0 ? "PodInitializing" : "ContainerCreating", "");
	json_decref(p->volumes);
	p->volumes = volumes;
	p->refresh_at_ns = clock_mono_ns() + REFRESH_NS;
	for (size_t i = 0; i < p->n_containers; i++)
		if (p->containers[i].phase == CONTAINER_RUNNING && !container_observe(p, &p->containers[i]))
			adopt(p, &p->containers[i]);
	move(p, POD_INIT);
	return 0;
}

/* Start a container that is to run, now or when its back-off is over. */
static void start_or_wait(struct pod_run *p, struct container_run *c, int64_t *again)
{
	const int64_t left = c->next_start_ns - clock_mono_ns();
	if (left <= 0) {
		container_start(p, c);
		if (c->phase != CONTAINER_RUNNING) /* now it has a time to be tried again */
			sooner(again, c->phase == CONTAINER_ENDED ? LOOK_NS : c->next_start_ns - clock_mono_ns());
		return;
	}
	if (c->phase == CONTAINER_ENDED) {
		char seconds[32];
		(void)snprintf(seconds, sizeof seconds, "%lld", (long long)(c->backoff_ns / NSEC_PER_SEC));
		(void)str_copy(c->wait_reason, sizeof c->wait_reason, "CrashLoopBackOff");
		(void)snprintf(c->wait_message, sizeof c->wait_message,
			       "back-off %ss restarting failed container=%s pod=%s_%s(%s)", seconds, c->name, p->name,
			       p->ns, p->uid);
		event_emit(p->agent->events, p->ref, "Warning", "BackOff",
			   "Back-off restarting failed container %s in pod %s_%s(%s)", c->name, p->name, p->ns, p->uid);
		pthread_mutex_lock(&p->lock);
		c->last = c->end;
		c->phase = CONTAINER_WAITING;
		pthread_mutex_unlock(&p->lock);
	}
	sooner(again, left);
}

static bool is_restarted(const struct pod_run *p, const struct container_run *c)
{
	const char *policy = json_str(p->obj, "spec.restartPolicy", "Always");
	if (strcmp(policy, "Never") == 0)
		return false;
	return c->end.code != 0 || (!c->init && strcmp(policy, "Always") == 0);
}

static int step_init(struct pod_run *p, int64_t *again, struct error *err)
{
	(void)err;
	for (size_t i = 0; i < p->n_init && !has_run(p); i++) {
		struct container_run *c = &p->containers[i];
		(void)container_observe(p, c);
		if (c->phase == CONTAINER_ENDED && c->end.code == 0)
			continue;
		if (c->phase == CONTAINER_RUNNING)
			return 0;
		if (c->phase == CONTAINER_ENDED && !is_restarted(p, c)) {
			move(p, POD_FINISHED);
			return 0;
		}
		start_or_wait(p, c, again);
		return 0;
	}
	set_waiting(p, "ContainerCreating", "");
	move(p, POD_RUNNING);
	return 0;
}

/* One whose liveness probe failed, or whose image is another one now. */
static void stop_unfit(struct pod_run *p, struct container_run *c, int64_t *again)
{
	pthread_mutex_lock(&p->lock);
	const bool unhealthy = c->unhealthy;
	const int64_t own = c->unhealthy_grace;
	pthread_mutex_unlock(&p->lock);
	const bool changed = strcmp(c->image, json_str(container_spec(p, c), "image", "")) != 0;
	if (!unhealthy && !changed && !c->stopping)
		return;
	char why[400];
	(void)snprintf(why, sizeof why,
		       changed ? "Container %s definition changed, will be restarted"
			       : "Container %s failed its probe, will be restarted",
		       c->name);
	if (!container_stop(p, c, own >= 0 ? own * NSEC_PER_SEC : grace_ns(p), why))
		sooner(again, c->kill_at_ns > clock_mono_ns() ? c->kill_at_ns - clock_mono_ns() : LOOK_NS);
}

static void refresh_files(struct pod_run *p, int64_t *again)
{
	struct error err = {0};
	const bool now = atomic_exchange_explicit(&p->refresh_now, false, memory_order_acq_rel);
	if (now || clock_mono_ns() >= p->refresh_at_ns) {
		if (volumes_refresh(&p->agent->volumes, p->obj, &err) < 0)
			event_emit(p->agent->events, p->ref, "Warning", "FailedMount", "%s", err.msg);
		p->refresh_at_ns = clock_mono_ns() + REFRESH_NS;
	}
	if (pod_files_refresh(p, &err) < 0)
		LOG(p->agent->log, LOG_LVL_WARN, "pod's hosts file cannot be written", LOG_STR("namespace", p->ns),
		    LOG_STR("name", p->name), LOG_STR("err", err.msg));
	sooner(again, p->refresh_at_ns - clock_mono_ns());
}

static int step_running(struct pod_run *p, int64_t *again, struct error *err)
{
	(void)err;
	size_t over = 0;
	for (size_t i = p->n_init; i < p->n_containers; i++) {
		struct container_run *c = &p->containers[i];
		(void)container_observe(p, c);
		if (c->phase == CONTAINER_RUNNING)
			stop_unfit(p, c, again);
		if (c->phase == CONTAINER_RUNNING)
			continue;
		if (c->phase == CONTAINER_ENDED && !is_restarted(p, c))
			over++;
		else
			start_or_wait(p, c, again);
	}
	if (over == p->n_containers - p->n_init)
		move(p, POD_FINISHED);
	else
		refresh_files(p, again);
	return 0;
}

static int step_finished(struct pod_run *p, int64_t *again, struct error *err)
{
	(void)err;
	struct error why = {0};
	if (p->volumes_down)
		return 0;
	if (volumes_teardown(&p->agent->volumes, p->uid, &why) < 0) {
		event_emit(p->agent->events, p->ref, "Warning", "FailedUnmount", "%s", why.msg);
		retry_later(p, again);
		return 0;
	}
	p->volumes_down = true;
	return 0;
}

static int step_stopping(struct pod_run *p, int64_t *again, struct error *err)
{
	(void)err;
	bool all = true;
	for (size_t i = 0; i < p->n_containers; i++) {
		struct container_run *c = &p->containers[i];
		char why[300];
		(void)snprintf(why, sizeof why, "Stopping container %s", c->name);
		if (container_stop(p, c, grace_ns(p), why))
			continue;
		all = false;
		sooner(again, c->kill_at_ns > clock_mono_ns() ? c->kill_at_ns - clock_mono_ns() : LOOK_NS);
	}
	if (all)
		move(p, POD_CLEANING);
	return 0;
}

static int clean(struct pod_run *p, struct error *err)
{
	struct agent *a = p->agent;
	struct path path;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < p->n_containers; i++)
		if (p->containers[i].id[0] != '\0')
			rc = container_clean(a, p->containers[i].id, err);
	rc = rc ?: pod_group(a, p->uid, &path, err);
	rc = rc ?: cgroup_remove(path.p, GROUP_TIMEOUT_NS, err);
	rc = rc ?: volumes_teardown(&a->volumes, p->uid, err);
	rc = rc ?: path_set(&path, err, "%s/logs/pods/%s_%s_%s", a->paths.data_dir, p->ns, p->name, p->uid);
	rc = rc ?: file_remove_all(path.p, err);
	if (rc == 0) {
		cgroup_remove_parent();
		record_remove_pod(a, p->uid);
	}
	return rc;
}

static int step_cleaning(struct pod_run *p, int64_t *again, struct error *err)
{
	struct agent *a = p->agent;
	struct error why = {0};
	/* What it came to is told before it goes; a pod that only ends with the agent comes back, unless it runs but once. */
	const bool deleting = obj_deleting(p->obj) && !p->forgotten;
	if (deleting || strcmp(json_str(p->obj, "spec.restartPolicy", ""), "Never") == 0)
		(void)status_send(p, true, NULL); /* the deletion below matters more */
	if (clean(p, &why) < 0) {
		LOG(a->log, LOG_LVL_WARN, "pod cannot be cleaned up yet", LOG_STR("namespace", p->ns),
		    LOG_STR("name", p->name), LOG_STR("err", why.msg));
		event_emit(a->events, p->ref, "Warning", "FailedKillPod", "%s", why.msg);
		retry_later(p, again);
		return 0;
	}
	if (deleting) {
		const struct kube_delete_options o = {.grace_seconds = 0, .uid = p->uid};
		const int rc = kube_delete(a->client, &KUBE_POD, p->ns, p->name, &o, err);
		if (rc < 0 && rc != -ENOENT && rc != -ESTALE)
			return rc;
	}
	move(p, POD_GONE);
	pthread_mutex_lock(&a->lock);
	atomic_store_explicit(&p->gone, true, memory_order_release);
	(void)pthread_cond_broadcast(&a->went);
	pthread_mutex_unlock(&a->lock);
	return 0;
}

static int step_gone(struct pod_run *p, int64_t *again, struct error *err)
{
	(void)again;
	(void)err;
	/* Kept until the informer has dropped it, too: its object must not begin a new life. */
	if (p->forgotten)
		agent_remove(p->agent, p);
	return 0;
}

typedef int (*pod_step)(struct pod_run *p, int64_t *again, struct error *err);

static const pod_step steps[POD_STATES] = {step_new,      step_volumes,  step_init,     step_running,
					   step_finished, step_stopping, step_cleaning, step_gone};

int pod_sync(struct pod_run *p, int64_t *ret_again_ns, struct error *err)
{
	int64_t again = 0;
	take_object(p);
	const bool end =
		p->forgotten || obj_deleting(p->obj) || atomic_load_explicit(&p->agent->end_pods, memory_order_acquire);
	if (end && p->state < POD_STOPPING)
		move(p, POD_STOPPING);
	int rc = 0;
	for (enum pod_state before = POD_STATES; rc == 0 && p->state != before;) {
		before = p->state;
		again = 0;
		rc = steps[before](p, &again, err);
		/* Told as it happens: the next step may take long. What an earlier agent ran is told when it is known again. */
		const bool known = p->state >= POD_RUNNING || !has_run(p);
		if (rc == 0 && known && p->state < POD_CLEANING && !(p->state == POD_FINISHED && already_finished(p)))
			rc = status_send(p, false, err);
	}
	*ret_again_ns = again;
	return rc;
}
