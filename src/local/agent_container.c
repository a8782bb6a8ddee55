/* One container: start, look, stop, remove. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/event.h"
#include "kube/resource.h"
#include "local/agent_cgroup.h"
#include "local/agent_env.h"
#include "local/agent_image.h"
#include "local/agent_log.h"
#include "local/agent_mount.h"
#include "local/agent_oci.h"
#include "local/agent_private.h"
#include "json/json.h"

#define CONFIG_RETRY_NS         (5 * NSEC_PER_SEC)
#define HOOK_TIMEOUT_NS         (60 * NSEC_PER_SEC)
#define GROUP_TIMEOUT_NS        (5 * NSEC_PER_SEC)
#define KILL_PATIENCE_NS        (10 * NSEC_PER_SEC)
#define BACKOFF_FIRST_NS        (10 * NSEC_PER_SEC)
#define BACKOFF_MAX_NS          (300 * NSEC_PER_SEC)
#define BACKOFF_FORGET_NS       (600 * NSEC_PER_SEC)
#define TERMINATION_MESSAGE_MAX 4096
#define TERMINATION_LINES       80

int container_log_path(const struct agent *a, const char *ns, const char *pod, const char *uid, const char *container,
		       int n, struct path *ret, struct error *err)
{
	return path_set(ret, err, "%s/logs/pods/%s_%s_%s/%s/%d.log", a->paths.data_dir, ns, pod, uid, container, n);
}

int pod_group(const struct agent *a, const char *uid, struct path *ret, struct error *err)
{
	return path_set(ret, err, CGROUP_PARENT "/%s-pod%s", a->tag, uid);
}

static void set_phase(struct pod_run *p, struct container_run *c, enum container_phase phase)
{
	pthread_mutex_lock(&p->lock);
	c->phase = phase;
	if (phase != CONTAINER_RUNNING)
		c->ready = c->started = false;
	pthread_mutex_unlock(&p->lock);
}

static void wait_for(struct pod_run *p, struct container_run *c, const char *reason, const char *message,
		     int64_t retry_ns)
{
	const bool news = !str_same(c->wait_reason, reason) || !str_same(c->wait_message, message);
	(void)str_copy(c->wait_reason, sizeof c->wait_reason, reason);
	(void)str_copy(c->wait_message, sizeof c->wait_message, message);
	c->next_start_ns = clock_mono_ns() + retry_ns;
	if (c->phase == CONTAINER_ENDED)
		c->last = c->end;
	set_phase(p, c, CONTAINER_WAITING);
	if (news)
		event_emit(p->agent->events, p->ref, "Warning", "Failed", "Error: %s: %s", reason, message);
}

static int lookup(void *ctx, const char *kind, const char *name, json_t **ret, struct error *err)
{
	const struct pod_run *p = ctx;
	return kube_get(p->agent->client, strcmp(kind, "Secret") == 0 ? &KUBE_SECRET : &KUBE_CONFIGMAP, p->ns, name,
			ret, err);
}

/* All that the configuration needs: wrong things here are the pod's own. */
static int build_config(struct pod_run *p, struct container_run *c, const char *id, json_t **ret, struct error *err)
{
	struct agent *a = p->agent;
	const json_t *spec = container_spec(p, c);
	JSON_AUTO env = NULL;
	JSON_AUTO args = NULL;
	JSON_AUTO image = NULL;
	JSON_AUTO mounts = NULL;
	JSON_AUTO files = NULL;
	JSON_AUTO devices = oci_privileged(spec) ? image_devices() : NULL;
	struct path binary, group;
	const struct env_input in = {.pod = p->obj,
				     .container = spec,
				     .node_name = a->node_name,
				     .address = AGENT_ADDRESS,
				     .path = IMAGE_HOST_PATH,
				     .hostname = pod_hostname(p),
				     .lookup = lookup,
				     .ctx = p};
	int rc = env_build(&in, &env, err);
	rc = rc ?: env_command(spec, env, &args, err);
	rc = rc ?: path_set(&binary, err, "%s/agent/bin/sluice", a->paths.data_dir);
	rc = rc ?: image_mounts(binary.p, &image, err);
	rc = rc ?: volumes_mounts(&a->volumes, p->obj, spec, p->volumes, env, &mounts, err);
	rc = rc ?: pod_files(p, c, &files, err);
	rc = rc ?: pod_group(a, p->uid, &group, err);
	if (rc < 0)
		return rc;
	if (json_array_extend(mounts, files) < 0 || strlen(group.p) + 1 + strlen(id) >= sizeof group.p)
		return error_set(err, -ENOMEM, "out of memory");
	(void)snprintf(group.p + strlen(group.p), sizeof group.p - strlen(group.p), "/%s", id);
	const struct oci_input oci = {.pod = p->obj,
				      .container = spec,
				      .args = args,
				      .env = env,
				      .image_mounts = image,
				      .volume_mounts = mounts,
				      .devices = devices,
				      .cgroups_path = group.p,
				      .hostname = pod_host_network(p->obj) ? NULL : pod_hostname(p),
				      .capabilities = a->capabilities,
				      .oom_score_adj = a->oom_score_adj,
				      .cgroup_v2 = a->cgroup_v2};
	return oci_config(&oci, ret, err);
}

static int make_bundle(struct pod_run *p, struct container_run *c, struct path *ret_log, struct error *err)
{
	struct agent *a = p->agent;
	struct path bundle, root, dir;
	int rc = path_set(&bundle, err, "%s/containers/%s", a->paths.data_dir, c->id);
	rc = rc ?: file_mkdir_all(bundle.p, 0700, err);
	rc = rc ?: record_save(p, c, err);
	rc = rc ?: path_set(&root, err, "%s/rootfs", bundle.p);
	rc = rc ?: image_prepare_root(root.p, err);
	rc = rc ?: container_log_path(a, p->ns, p->name, p->uid, c->name, c->restarts, ret_log, err);
	rc = rc ?: path_set(&dir, err, "%s", ret_log->p);
	if (rc == 0)
		*strrchr(dir.p, '/') = '\0';
	return rc ?: file_mkdir_all(dir.p, 0750, err);
}

/* The log of the attempt before stays for `kubectl logs --previous`; older ones go. */
static void drop_old_log(struct pod_run *p, struct container_run *c)
{
	struct path path, rotated;
	if (c->restarts < 2 ||
	    container_log_path(p->agent, p->ns, p->name, p->uid, c->name, c->restarts - 2, &path, NULL) < 0)
		return;
	(void)unlink(path.p); /* absent when the agent was away then */
	if (path_set(&rotated, NULL, "%s.1", path.p) == 0)
		(void)unlink(rotated.p);
}

/* From here on a new attempt exists: what ends it counts as its end. */
static void new_attempt(struct pod_run *p, struct container_run *c, const char *id)
{
	char old[CONTAINER_ID_MAX + 1];
	(void)str_copy(old, sizeof old, c->id);
	pthread_mutex_lock(&p->lock);
	if (c->id[0] != '\0') {
		if (c->end.valid) /* not one that was made and never begun */
			c->last = c->end;
		c->restarts++;
	}
	(void)str_copy(c->id, sizeof c->id, id);
	c->end = (struct container_end){0};
	c->started_wall_ns = clock_wall_ns();
	c->started_ns = clock_mono_ns();
	c->begun = c->stopping = c->hooked = c->killed = c->unhealthy = false;
	c->wait_reason[0] = c->wait_message[0] = '\0';
	(void)str_copy(c->image, sizeof c->image, json_str(container_spec(p, c), "image", ""));
	c->phase = CONTAINER_WAITING;
	pthread_mutex_unlock(&p->lock);
	/* Longer each time it ends soon; from the first start on, so that the second one is immediate. */
	c->backoff_ns = c->restarts == 0 ? 0 : c->backoff_ns == 0 ? BACKOFF_FIRST_NS : c->backoff_ns * 2;
	if (c->backoff_ns > BACKOFF_MAX_NS)
		c->backoff_ns = BACKOFF_MAX_NS;
	drop_old_log(p, c);
	struct error err = {0};
	if (old[0] != '\0' && container_clean(p->agent, old, &err) < 0)
		LOG(p->agent->log, LOG_LVL_WARN, "container cannot be removed", LOG_STR("container", old),
		    LOG_STR("err", err.msg));
}

static void ended(struct pod_run *p, struct container_run *c, int code, const char *reason, const char *message,
		  int64_t when)
{
	struct agent *a = p->agent;
	struct error err = {0};
	container_end_set(&c->end, c->id, code, reason, message, c->started_wall_ns, when);
	if (clock_mono_ns() - c->started_ns > BACKOFF_FORGET_NS)
		c->backoff_ns = 0;
	c->next_start_ns = clock_mono_ns() + c->backoff_ns;
	set_phase(p, c, CONTAINER_ENDED);
	LOG(a->log, LOG_LVL_INFO, "container ended", LOG_STR("namespace", p->ns), LOG_STR("pod", p->name),
	    LOG_STR("container", c->name), LOG_INT("code", code), LOG_STR("reason", reason));
	if (record_save(p, c, &err) < 0)
		LOG(a->log, LOG_LVL_WARN, "container's record cannot be written", LOG_STR("container", c->id),
		    LOG_STR("err", err.msg));
}

/* Everything but the record and the log. */
static void reap(struct agent *a, const struct pod_run *p, const char *id)
{
	struct error err = {0};
	struct path root, group;
	int rc = runtime_delete(&a->paths, id, &err);
	rc = rc ?: pod_group(a, p->uid, &group, &err);
	if (rc == 0 && strlen(group.p) + strlen(id) + 2 < sizeof group.p) {
		(void)snprintf(group.p + strlen(group.p), sizeof group.p - strlen(group.p), "/%s", id);
		rc = cgroup_remove(group.p, GROUP_TIMEOUT_NS, &err);
	}
	rc = rc ?: path_set(&root, &err, "%s/containers/%s/rootfs", a->paths.data_dir, id);
	rc = rc ?: mount_remove_tree(root.p, &err);
	if (rc < 0)
		LOG(a->log, LOG_LVL_WARN, "container's rest cannot be removed yet", LOG_STR("container", id),
		    LOG_STR("err", err.msg));
}

int container_clean(struct agent *a, const char *id, struct error *err)
{
	struct path path;
	int rc = runtime_delete(&a->paths, id, err);
	rc = rc ?: path_set(&path, err, "%s/containers/%s", a->paths.data_dir, id);
	rc = rc ?: mount_remove_tree(path.p, err);
	rc = rc ?: path_set(&path, err, "%s/agent/exits/%s", a->paths.data_dir, id);
	if (rc == 0)
		(void)unlink(path.p); /* absent when it never ran */
	return rc;
}

static void start_failed(struct pod_run *p, struct container_run *c, const struct error *err)
{
	event_emit(p->agent->events, p->ref, "Warning", "Failed", "Error: failed to start container \"%s\": %s",
		   c->name, err->msg);
	ended(p, c, 128, "StartError", err->msg, clock_wall_ns());
	reap(p->agent, p, c->id);
}

static bool run_hook(struct pod_run *p, struct container_run *c, const char *hook, int64_t timeout_ns)
{
	const json_t *command =
		json_at(container_spec(p, c), strcmp(hook, "PostStart") == 0 ? "lifecycle.postStart.exec.command"
									     : "lifecycle.preStop.exec.command");
	const size_t n = json_array_size(command);
	if (n == 0)
		return true;
	CLEANUP(free_p) const char **argv = calloc(n + 1, sizeof *argv);
	if (argv == NULL)
		return false;
	for (size_t i = 0; i < n; i++)
		argv[i] = json_string_value(json_array_get(command, i)) ?: "";
	struct process_result r = {0};
	struct error err = {0};
	const int rc = runtime_exec(&p->agent->paths, c->id, argv, 64u << 10, timeout_ns, &r, &err);
	const bool ok = rc == 0 && r.status == 0;
	if (!ok)
		event_emit(p->agent->events, p->ref, "Warning",
			   strcmp(hook, "PostStart") == 0 ? "FailedPostStartHook" : "FailedPreStopHook",
			   "%s hook of container %s failed: %s%.*s", hook, c->name, rc < 0 ? err.msg : "", 200,
			   rc == 0 ? r.err : "");
	if (rc == 0)
		process_result_clear(&r);
	return ok;
}

static void running(struct pod_run *p, struct container_run *c)
{
	struct agent *a = p->agent;
	c->started_wall_ns = clock_wall_ns();
	c->started_ns = clock_mono_ns();
	event_emit(a->events, p->ref, "Normal", "Created", "Created container: %s", c->name);
	event_emit(a->events, p->ref, "Normal", "Started", "Started container %s", c->name);
	LOG(a->log, LOG_LVL_INFO, "container started", LOG_STR("namespace", p->ns), LOG_STR("pod", p->name),
	    LOG_STR("container", c->name), LOG_INT("restarts", c->restarts));
	c->begun = true;
	struct error err = {0};
	if (record_save(p, c, &err) < 0)
		LOG(a->log, LOG_LVL_WARN, "container's record cannot be written", LOG_STR("container", c->id),
		    LOG_STR("err", err.msg));
	set_phase(p, c, CONTAINER_RUNNING);
	(void)monitor_watch(a->monitor, &a->paths, c->id, p->uid); /* no memory: its end is seen at the next pass */
	if (!run_hook(p, c, "PostStart", HOOK_TIMEOUT_NS)) {
		(void)container_stop(p, c, 0, "FailedPostStartHook");
		return;
	}
	prober_begin(a->prober, p, c);
}

void container_start(struct pod_run *p, struct container_run *c)
{
	struct agent *a = p->agent;
	const char *image = json_str(container_spec(p, c), "image", "");
	struct error err = {0};
	if (!image_is_host(image)) {
		char text[300];
		(void)snprintf(text, sizeof text,
			       "image \"%.100s\" cannot be had: only " IMAGE_HOST
			       " (the machine itself) runs on this node yet; set image: " IMAGE_HOST,
			       image);
		wait_for(p, c, "ImagePullBackOff", text, CONFIG_RETRY_NS);
		return;
	}
	char id[CONTAINER_ID_MAX + 1];
	JSON_AUTO config = NULL;
	runtime_new_id(id);
	if (build_config(p, c, id, &config, &err) < 0) {
		wait_for(p, c, "CreateContainerConfigError", err.msg, CONFIG_RETRY_NS);
		return;
	}
	struct path log;
	const json_t *spec = container_spec(p, c);
	const struct runtime_io io = {.tty = json_bool(spec, "tty", false),
				      .in = json_bool(spec, "stdin", false),
				      .in_once = json_bool(spec, "stdinOnce", false)};
	new_attempt(p, c, id);
	if (make_bundle(p, c, &log, &err) < 0 || runtime_create(&a->paths, id, config, log.p, &io, &err) < 0 ||
	    runtime_start(&a->paths, id, &err) < 0) {
		start_failed(p, c, &err);
		return;
	}
	running(p, c);
}

static void printable(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s >= 0x80 || ((unsigned char)*s < 0x20 && *s != '\n' && *s != '\t'))
			*s = '?';
}

struct tail {
	char *out;
	size_t size, n;
};

/* Keeps the end: what came before is pushed out. */
static int keep_tail(void *ctx, const char *data, size_t n)
{
	struct tail *t = ctx;
	const size_t room = t->size - 1;
	if (n > room) {
		data += n - room;
		n = room;
	}
	const size_t keep = t->n < room - n ? t->n : room - n;
	memmove(t->out, t->out + t->n - keep, keep);
	memcpy(t->out + keep, data, n);
	t->n = keep + n;
	t->out[t->n] = '\0';
	return 0;
}

static void end_of_log(const struct pod_run *p, const struct container_run *c, char *out, size_t size)
{
	struct path path;
	if (container_log_path(p->agent, p->ns, p->name, p->uid, c->name, c->restarts, &path, NULL) < 0)
		return;
	struct log_reader *r =
		log_reader_new(path.p, &(struct log_options){.tail_lines = TERMINATION_LINES, .limit_bytes = -1});
	struct tail t = {.out = out, .size = size};
	if (r != NULL)
		(void)log_reader_read(r, keep_tail, &t, NULL); /* without it there is no message */
	log_reader_free(r);
	printable(out);
}

/* What the container left in its termination log. */
static void termination_message(const struct pod_run *p, const struct container_run *c, char *out, size_t size)
{
	struct path path;
	out[0] = '\0';
	if (path_set(&path, NULL, "%s/pods/%s/containers/%s/termination-log", p->agent->paths.kubelet_root, p->uid,
		     c->name) < 0)
		return;
	CLEANUP(close_fd) int fd = open(path.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	const ssize_t n =
		fd >= 0 ? file_pread_full(fd, out,
					  (size < TERMINATION_MESSAGE_MAX ? size : TERMINATION_MESSAGE_MAX) - 1, 0)
			: 0;
	out[n > 0 ? n : 0] = '\0';
	printable(out);
}

bool container_observe(struct pod_run *p, struct container_run *c)
{
	if (c->phase != CONTAINER_RUNNING)
		return false;
	struct runtime_exit e;
	const enum runtime_state s = runtime_look(&p->agent->paths, c->id, &e);
	if (s == RUNTIME_RUNNING)
		return false;
	char message[sizeof c->end.message];
	termination_message(p, c, message, sizeof message);
	const char *policy = json_str(container_spec(p, c), "terminationMessagePolicy", "File");
	if (message[0] == '\0' && s == RUNTIME_EXITED && e.code != 0 && strcmp(policy, "FallbackToLogsOnError") == 0)
		end_of_log(p, c, message, sizeof message);
	if (s == RUNTIME_EXITED) {
		const char *reason = e.oom_killed ? "OOMKilled" : e.code == 0 ? "Completed" : "Error";
		ended(p, c, e.code, reason, message, e.finished_wall_ns);
	} else {
		ended(p, c, 137, "ContainerStatusUnknown",
		      "it ended while nobody watched: the machine was restarted or its monitor was killed",
		      clock_wall_ns());
	}
	reap(p->agent, p, c->id);
	return true;
}

bool container_stop(struct pod_run *p, struct container_run *c, int64_t grace_ns, const char *why)
{
	struct agent *a = p->agent;
	if (c->phase != CONTAINER_RUNNING || container_observe(p, c))
		return true;
	const int64_t at = clock_mono_ns() + grace_ns;
	if (!c->stopping)
		event_emit(a->events, p->ref, "Normal", "Killing", "%s", why);
	if (!c->stopping || at < c->kill_at_ns)
		c->kill_at_ns = at;
	c->stopping = true;
	struct error err = {0};
	if (!c->hooked) {
		c->hooked = true;
		if (grace_ns > 0)
			(void)run_hook(p, c, "PreStop",
				       c->kill_at_ns - clock_mono_ns()); /* failing is told by an Event */
		if (runtime_signal(&a->paths, c->id, SIGTERM, &err) < 0 && err.code != -ESRCH)
			LOG(a->log, LOG_LVL_WARN, "container cannot be signalled", LOG_STR("container", c->id),
			    LOG_STR("err", err.msg));
	}
	const int64_t now = clock_mono_ns();
	if (now >= c->kill_at_ns && !c->killed) {
		c->killed = true;
		(void)runtime_signal(&a->paths, c->id, SIGKILL, NULL); /* gone by itself: seen below */
	}
	if (now >= c->kill_at_ns + KILL_PATIENCE_NS && !container_observe(p, c)) {
		/* Neither it nor its monitor ends: take it apart. */
		ended(p, c, 137, "ContainerStatusUnknown", "it did not end after SIGKILL", clock_wall_ns());
		reap(a, p, c->id);
	}
	return c->phase != CONTAINER_RUNNING || container_observe(p, c);
}
