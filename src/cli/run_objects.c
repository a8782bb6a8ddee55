/* The Dataset, the ReservoirRuntime and the mounting pod of one run: created, waited for, deleted. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/kind.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "cli/run.h"
#include "cli/trouble.h"
#include "kube/client.h"
#include "kube/informer.h"
#include "json/json.h"

#define RUN_NAMESPACE     "default"
#define RUN_LABEL         "sluice.local/run" /* value: PID-STARTTIME of the run that owns the object */
#define BIND_TIMEOUT_NS   (120 * NSEC_PER_SEC)
#define DELETE_TIMEOUT_NS (90 * NSEC_PER_SEC)

enum { WATCH_DATASET, WATCH_RUNTIME, WATCH_PODS, WATCHES };

struct run_objects {
	struct kube_client *client;
	char *name, *pod, *secret, *mount_dir;
	bool made_mount_dir;
	int changed; /* eventfd: an informer saw something */
	struct informer *watch[WATCHES];
};

static const struct kube_resource *watched(int i)
{
	const struct kube_resource *const resources[WATCHES] = {&dataset_kind.resource,
								&reservoir_runtime_kind.resource, &KUBE_POD};
	return resources[i];
}

/* "PID-STARTTIME" of a living process; its start time tells it from a later one with the same number. */
static int process_identity(pid_t pid, char out[static 48])
{
	char path[40];
	(void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
	CLEANUP(free_p) char *stat = NULL;
	const int rc = file_read(path, 4096, &stat, NULL, NULL);
	if (rc != 0)
		return rc;
	const char *p = strrchr(stat, ')'); /* the name may hold anything, also blanks and brackets */
	for (int field = 2; p != NULL && field < 22; field++)
		p = strchr(p + 1, ' ');
	if (p == NULL)
		return -EINVAL;
	(void)snprintf(out, 48, "%d-%.*s", pid, (int)strcspn(p + 1, " \n"), p + 1);
	return 0;
}

static bool owner_lives(const char *identity)
{
	CLEANUP(free_p) char *pid_text = strndup(identity, strcspn(identity, "-"));
	int64_t pid = 0;
	char now[48];
	return pid_text != NULL && str_to_i64(pid_text, &pid) == 0 && pid > 0 && pid <= INT32_MAX &&
	       process_identity((pid_t)pid, now) == 0 && strcmp(now, identity) == 0;
}

static void on_change(void *ctx, enum informer_event ev, const json_t *old, const json_t *obj)
{
	(void)ev, (void)old, (void)obj;
	const struct run_objects *ro = ctx;
	(void)eventfd_write(ro->changed, 1); /* it can only fail when it is readable anyway */
}

static int start_watches(struct run_objects *ro, int signal_fd, struct error *err)
{
	for (int i = 0; i < WATCHES; i++) {
		int rc = informer_new(ro->client, watched(i), &(struct informer_options){.ns = RUN_NAMESPACE},
				      &ro->watch[i], err);
		if (rc == 0)
			rc = informer_add_handler(ro->watch[i], on_change, ro);
		if (rc == 0)
			rc = informer_start(ro->watch[i], err);
		if (rc != 0)
			return rc;
	}
	for (int i = 0; i < WATCHES; i++) {
		const int rc = informer_wait_synced(ro->watch[i], clock_mono_ns() + 30 * NSEC_PER_SEC, signal_fd);
		if (rc == -ECANCELED)
			return error_set(err, -EINTR, "interrupted");
		if (rc != 0)
			return error_set(err, rc, "watch %s: %s", watched(i)->plural, strerror(-rc));
	}
	return 0;
}

/* Call @done each time something changed until it says non-zero (1: done). -EINTR on a signal, -ETIMEDOUT. */
static int wait_until(struct run_objects *ro, int signal_fd, int64_t timeout_ns,
		      int (*done)(struct run_objects *ro, struct error *err), const char *what, struct error *err)
{
	const int64_t deadline = clock_mono_ns() + timeout_ns;
	for (;;) {
		const int rc = done(ro, err);
		if (rc != 0)
			return rc > 0 ? 0 : rc;
		const int64_t left = deadline - clock_mono_ns();
		if (left <= 0)
			return error_set(err, -ETIMEDOUT, "%s", what);
		struct pollfd fds[] = {{.fd = ro->changed, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
		(void)poll(fds, signal_fd >= 0 ? 2 : 1, (int)(left / NSEC_PER_MSEC) + 1);
		if (signal_fd >= 0 && fds[1].revents != 0)
			return error_set(err, -EINTR, "interrupted");
		eventfd_t n;
		(void)eventfd_read(ro->changed, &n); /* non-blocking: nothing to read is fine */
	}
}

static json_t *labels_of_run(void)
{
	char identity[48];
	if (process_identity(getpid(), identity) != 0)
		return NULL;
	return json_pack("{s:s}", RUN_LABEL, identity);
}

static json_t *dataset_object(const struct run_objects *ro, const struct run_options *o)
{
	const struct run_source *source = o->source;
	JSON_AUTO mount = source->kind == RUN_BUCKET ? run_bucket_mount(&source->bucket, ro->secret) : json_object();
	JSON_AUTO common = json_pack("{s:s, s:s, s:s, s:b}", "mountPoint", source->mount_point, "name", o->name, "path",
				     "/", "readOnly", 1);
	if (mount == NULL || common == NULL || json_object_update(mount, common) != 0)
		return NULL;
	/* clang-format off */
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:o}, s:{s:s, s:[s], s:[O]}}",
			 "apiVersion", "data.fluid.io/v1alpha1", "kind", "Dataset",
			 "metadata", "name", o->name, "namespace", RUN_NAMESPACE, "labels", labels_of_run(),
			 "spec", "placement", "Shared", "accessModes", "ReadOnlyMany", "mounts", mount);
	/* clang-format on */
}

/* What opens the bucket: the worker's pod has it as files. */
static json_t *secret_object(const struct run_objects *ro, const struct run_options *o)
{
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:o}, s:o}", "apiVersion", "v1", "kind", "Secret", "metadata", "name",
			 ro->secret, "namespace", RUN_NAMESPACE, "labels", labels_of_run(), "stringData",
			 run_bucket_secret_data(&o->source->bucket));
}

static json_t *runtime_object(const struct run_options *o)
{
	CLEANUP(free_p) char *cache = str_printf("%s/cache", o->data_dir);
	CLEANUP(free_p) char *quota = str_printf("%lld", (long long)o->cache_bytes);
	if (cache == NULL || quota == NULL)
		return NULL;
	/* clang-format off */
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:o}, s:{s:i, s:{s:[{s:s, s:s, s:s, s:s}]}}}",
			 "apiVersion", "data.fluid.io/v1alpha1", "kind", "ReservoirRuntime",
			 "metadata", "name", o->name, "namespace", RUN_NAMESPACE, "labels", labels_of_run(),
			 "spec", "replicas", 1, "tieredstore", "levels",
			 "mediumtype", "SSD", "volumeType", "hostPath", "path", cache, "quota", quota);
	/* clang-format on */
}

/* The pod binds its claim onto a host directory that propagates back: so the mount that the user sees came through the CSI plug-in. */
static json_t *pod_object(const struct run_objects *ro)
{
	/* clang-format off */
	return json_pack("{s:s, s:s, s:{s:s, s:s, s:o}, s:{s:s, s:i, s:b, s:[{s:s, s:s, s:[s,s,s,s], s:{s:b}, s:[{s:s,s:s,s:b,s:s},{s:s,s:s,s:s}]}],"
			 " s:[{s:s, s:{s:s,s:b}}, {s:s, s:{s:s, s:s}}]}}",
			 "apiVersion", "v1", "kind", "Pod",
			 "metadata", "name", ro->pod, "namespace", RUN_NAMESPACE, "labels", labels_of_run(),
			 "spec", "restartPolicy", "Always", "terminationGracePeriodSeconds", 2, "hostNetwork", 1,
			 "containers", "name", "mount", "image", "sluice.local/host", "command", "sluice", "bind", "/data", "/host",
			 "securityContext", "privileged", 1,
			 "volumeMounts", "name", "data", "mountPath", "/data", "readOnly", 1, "mountPropagation", "HostToContainer",
			 "name", "host", "mountPath", "/host", "mountPropagation", "Bidirectional",
			 "volumes", "name", "data", "persistentVolumeClaim", "claimName", ro->name, "readOnly", 1,
			 "name", "host", "hostPath", "path", ro->mount_dir, "type", "Directory");
	/* clang-format on */
}

static int create_object(struct run_objects *ro, const struct kube_resource *r, json_t *object, struct error *err)
{
	JSON_AUTO obj = object;
	if (obj == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	const int rc = kube_create(ro->client, r, RUN_NAMESPACE, obj, NULL, err);
	if (rc != -EEXIST)
		return rc;
	return error_set(err, rc, "there is a %s '%s' already: choose another name with --name", r->kind,
			 obj_name(obj));
}

/* Why a pod is not ready; "" when nothing is seen. */
static const char *pod_reason(const json_t *pod, struct pod_trouble *t)
{
	return pod_in_trouble(pod, t) ? t->problem : "";
}

static const char *dataset_reason(const json_t *dataset)
{
	size_t i;
	json_t *cond;
	const char *reason = "";
	json_array_foreach (json_at(dataset, "status.conditions"), i, cond) {
		const char *message = json_str(cond, "message", "");
		if (condition_is_bad(cond) && message[0] != '\0')
			reason = message;
	}
	return reason;
}

/* The first pod of this dataset that is not ready: what everybody waits for. New reference or NULL. */
static json_t *unready_pod(struct run_objects *ro)
{
	JSON_AUTO pods = informer_list(ro->watch[WATCH_PODS], RUN_NAMESPACE);
	size_t i, k;
	json_t *pod, *cond;
	json_array_foreach (pods, i, pod) {
		const char *release = obj_label(pod, "release");
		if (strcmp(obj_name(pod), ro->pod) != 0 && (release == NULL || strcmp(release, ro->name) != 0))
			continue;
		bool ready = false;
		json_array_foreach (json_at(pod, "status.conditions"), k, cond)
			ready = ready || (strcmp(json_str(cond, "type", ""), "Ready") == 0 &&
					  strcmp(json_str(cond, "status", ""), "True") == 0);
		if (!ready)
			return json_incref(pod);
	}
	return NULL;
}

static void show_waiting(struct run_objects *ro, const char *what, const char *reason)
{
	JSON_AUTO pod = unready_pod(ro);
	struct pod_trouble t;
	if (pod != NULL)
		progress("%s: waiting for pod %s: %s", what, obj_name(pod), pod_reason(pod, &t));
	else
		progress("%s %s", what, reason);
}

static int dataset_bound(struct run_objects *ro, struct error *err)
{
	(void)err;
	JSON_AUTO dataset = informer_get(ro->watch[WATCH_DATASET], RUN_NAMESPACE, ro->name);
	if (strcmp(json_str(dataset, "status.phase", ""), "Bound") == 0)
		return 1;
	show_waiting(ro, "binding the dataset", dataset_reason(dataset));
	return 0;
}

static bool is_mount_point(const char *dir)
{
	CLEANUP(free_p) char *text = NULL;
	CLEANUP(free_p) char *needle = str_printf(" %s ", dir);
	/* The type stands behind the separator: a FUSE mount at dir, not the directory bound onto itself. */
	if (needle == NULL || file_read("/proc/self/mountinfo", 16 << 20, &text, NULL, NULL) != 0)
		return false;
	struct str rest = str_from(text), line;
	bool found = false;
	while (str_split_next(&rest, '\n', &line)) {
		const char *at = memmem(line.p, line.n, needle, strlen(needle));
		if (at != NULL)
			found = memmem(at, line.n - (size_t)(at - line.p), " - fuse", 7) != NULL;
	}
	return found;
}

static int data_mounted(struct run_objects *ro, struct error *err)
{
	(void)err;
	JSON_AUTO pod = informer_get(ro->watch[WATCH_PODS], RUN_NAMESPACE, ro->pod);
	if (strcmp(json_str(pod, "status.phase", ""), "Running") == 0 && is_mount_point(ro->mount_dir))
		return 1;
	show_waiting(ro, "mounting", "");
	return 0;
}

/* A mount appears without any object changing: the table of mounts tells of itself. */
static int wait_mounted(struct run_objects *ro, int signal_fd, struct error *err)
{
	const int64_t deadline = clock_mono_ns() + BIND_TIMEOUT_NS;
	for (;;) {
		const int rc = wait_until(ro, signal_fd, 50 * NSEC_PER_MSEC, data_mounted, "", err);
		if (rc != -ETIMEDOUT)
			return rc;
		if (clock_mono_ns() < deadline)
			continue;
		JSON_AUTO pod = unready_pod(ro);
		struct pod_trouble t;
		return error_set(err, -ETIMEDOUT, "the data is not mounted at '%s' after %lld s: pod %s: %s",
				 ro->mount_dir, (long long)(BIND_TIMEOUT_NS / NSEC_PER_SEC),
				 pod == NULL ? ro->pod : obj_name(pod),
				 pod == NULL ? "ready, but its mount does not reach the host" : pod_reason(pod, &t));
	}
}

static int prepare_mount_dir(struct run_objects *ro, struct error *err)
{
	struct stat st;
	if (lstat(ro->mount_dir, &st) != 0) {
		const int rc = file_mkdir_all(ro->mount_dir, 0755, err);
		ro->made_mount_dir = rc == 0;
		return rc == 0 ? 0 : error_wrap(err, rc, "--mount");
	}
	if (!S_ISDIR(st.st_mode))
		return error_set(err, -ENOTDIR, "--mount '%s' is no directory", ro->mount_dir);
	return 0;
}

static void run_objects_free(struct run_objects *ro)
{
	for (int i = 0; i < WATCHES; i++)
		informer_free(ro->watch[i]);
	close_fd(&ro->changed);
	free(ro->name);
	free(ro->pod);
	free(ro->secret);
	free(ro->mount_dir);
	free(ro);
}

static int create_all(struct run_objects *ro, const struct run_options *o, int signal_fd, struct error *err)
{
	const bool keys = o->source->kind == RUN_BUCKET && run_bucket_has_secrets(&o->source->bucket);
	int rc = keys ? create_object(ro, &KUBE_SECRET, secret_object(ro, o), err) : 0;
	if (rc == 0)
		rc = create_object(ro, &dataset_kind.resource, dataset_object(ro, o), err);
	if (rc == 0)
		rc = create_object(ro, &reservoir_runtime_kind.resource, runtime_object(o), err);
	if (rc == 0)
		rc = wait_until(ro, signal_fd, BIND_TIMEOUT_NS, dataset_bound, "the dataset does not get Bound in time",
				err);
	if (rc == -ETIMEDOUT) {
		JSON_AUTO dataset = informer_get(ro->watch[WATCH_DATASET], RUN_NAMESPACE, ro->name);
		JSON_AUTO pod = unready_pod(ro);
		rc = error_set(err, rc, "the dataset is not Bound after %lld s: %s%s%s",
			       (long long)(BIND_TIMEOUT_NS / NSEC_PER_SEC), dataset_reason(dataset),
			       pod == NULL ? "" : "; pod ", pod == NULL ? "" : obj_name(pod));
	}
	if (rc == 0)
		rc = create_object(ro, &KUBE_POD, pod_object(ro), err);
	return rc == 0 ? wait_mounted(ro, signal_fd, err) : rc;
}

int run_objects_create(struct kube_client *c, const struct run_options *o, int signal_fd, struct run_objects **ret,
		       struct error *err)
{
	struct run_objects *ro = calloc(1, sizeof *ro);
	if (ro == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	ro->client = c;
	ro->name = strdup(o->name);
	ro->pod = str_printf("%s-mount", o->name);
	ro->secret = str_printf("%s-keys", o->name);
	ro->mount_dir = strdup(o->mount_dir);
	ro->changed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	int rc = ro->name == NULL || ro->pod == NULL || ro->secret == NULL || ro->mount_dir == NULL || ro->changed < 0
			 ? error_set(err, -ENOMEM, "out of memory or descriptors")
			 : 0;
	if (rc == 0)
		rc = start_watches(ro, signal_fd, err);
	if (rc == 0)
		rc = prepare_mount_dir(ro, err);
	if (rc != 0) {
		run_objects_free(ro);
		return rc;
	}
	*ret = ro; /* from here on the caller deletes what there is, whatever happened */
	return create_all(ro, o, signal_fd, err);
}

void run_objects_phase(struct run_objects *ro, char out[static 32])
{
	JSON_AUTO dataset = informer_get(ro->watch[WATCH_DATASET], RUN_NAMESPACE, ro->name);
	(void)str_copy(out, 32, json_str(dataset, "status.phase", ""));
}

static int delete_object(struct kube_client *c, const struct kube_resource *r, const char *name, struct error *err)
{
	const int rc = kube_delete(c, r, RUN_NAMESPACE, name, NULL, err);
	return rc == -ENOENT ? 0 : rc;
}

/* Only what carries our own label: an object of somebody else that stands in the way of ours is not ours to delete. */
static bool is_ours(const json_t *obj)
{
	char identity[48];
	const char *label = obj == NULL ? NULL : obj_label(obj, RUN_LABEL);
	return label != NULL && process_identity(getpid(), identity) == 0 && strcmp(label, identity) == 0;
}

static int gone(struct run_objects *ro, int which, const char *name)
{
	JSON_AUTO obj = informer_get(ro->watch[which], RUN_NAMESPACE, name);
	if (!is_ours(obj))
		return 1;
	struct pod_trouble t;
	const char *reason = which == WATCH_PODS ? pod_reason(obj, &t) : dataset_reason(obj);
	progress("cleaning up: waiting for %s %s to go %s", watched(which)->kind, name, reason);
	return 0;
}

static int pod_gone(struct run_objects *ro, struct error *err)
{
	(void)err;
	return gone(ro, WATCH_PODS, ro->pod);
}

/* The cluster may end with us: so its pods must be gone as well, not just their owners. */
static int all_gone(struct run_objects *ro, struct error *err)
{
	(void)err;
	if (!gone(ro, WATCH_RUNTIME, ro->name) || !gone(ro, WATCH_DATASET, ro->name))
		return 0;
	JSON_AUTO pods = informer_list(ro->watch[WATCH_PODS], RUN_NAMESPACE);
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod) {
		const char *release = obj_label(pod, "release");
		if (release != NULL && strcmp(release, ro->name) == 0) {
			progress("cleaning up: waiting for pod %s to end", obj_name(pod));
			return 0;
		}
	}
	return 1;
}

static void detach_mounts(const char *dir)
{
	for (int i = 0; i < 64 && umount2(dir, MNT_DETACH | UMOUNT_NOFOLLOW) == 0; i++)
		continue;
}

static int delete_if_ours(struct run_objects *ro, const struct kube_resource *r, const char *name, struct error *err)
{
	JSON_AUTO obj = NULL;
	const int rc = kube_get(ro->client, r, RUN_NAMESPACE, name, &obj, err);
	if (rc != 0)
		return rc == -ENOENT ? 0 : rc;
	return is_ours(obj) ? delete_object(ro->client, r, name, err) : 0;
}

int run_objects_delete(struct run_objects *ro, int signal_fd, struct error *err)
{
	if (ro == NULL)
		return 0;
	int rc = delete_if_ours(ro, &KUBE_POD, ro->pod, err);
	if (rc == 0)
		rc = wait_until(ro, signal_fd, DELETE_TIMEOUT_NS, pod_gone, "the mounting pod does not end", err);
	if (rc == 0)
		rc = delete_if_ours(ro, &reservoir_runtime_kind.resource, ro->name, err);
	if (rc == 0)
		rc = delete_if_ours(ro, &dataset_kind.resource, ro->name, err);
	if (rc == 0)
		rc = wait_until(ro, signal_fd, DELETE_TIMEOUT_NS, all_gone, "the dataset does not go away", err);
	if (rc == 0)
		rc = delete_if_ours(ro, &KUBE_SECRET, ro->secret, err);
	detach_mounts(ro->mount_dir);
	if (ro->made_mount_dir)
		(void)rmdir(ro->mount_dir); /* somebody may have put something into it */
	run_objects_free(ro);
	return rc;
}

static int delete_orphans_of(struct kube_client *c, const struct kube_resource *r, size_t *ret_left, struct error *err)
{
	JSON_AUTO list = NULL;
	const int rc =
		kube_list(c, r, RUN_NAMESPACE, &(struct kube_list_options){.label_selector = RUN_LABEL}, &list, err);
	if (rc != 0)
		return rc;
	size_t i;
	json_t *obj;
	json_array_foreach (json_at(list, "items"), i, obj) {
		if (owner_lives(obj_label(obj, RUN_LABEL)))
			continue;
		*ret_left += 1;
		if (r == &KUBE_POD)
			detach_mounts(json_str(obj, "spec.volumes[name=host].hostPath.path", "/nonexistent"));
		const int del = obj_deleting(obj) ? 0 : delete_object(c, r, obj_name(obj), err);
		if (del != 0)
			return del;
	}
	return 0;
}

int run_objects_clear_orphans(struct kube_client *c, int signal_fd, struct error *err)
{
	const int64_t deadline = clock_mono_ns() + DELETE_TIMEOUT_NS;
	for (;;) {
		size_t left = 0;
		const struct kube_resource *const order[] = {&KUBE_POD, &reservoir_runtime_kind.resource,
							     &dataset_kind.resource, &KUBE_SECRET};
		for (size_t i = 0; i < ARRAY_LEN(order); i++) {
			const int rc = delete_orphans_of(c, order[i], &left, err);
			if (rc != 0)
				return rc;
		}
		if (left == 0)
			return 0;
		if (clock_mono_ns() > deadline)
			return error_set(
				err, -ETIMEDOUT,
				"%zu objects of an earlier run do not go away: 'kubectl get pods,datasets -l %s' shows them",
				left, RUN_LABEL);
		progress("removing what an earlier run left behind (%zu objects)", left);
		if (poll(&(struct pollfd){.fd = signal_fd, .events = POLLIN}, 1, 100) > 0)
			return error_set(err, -EINTR, "interrupted");
	}
}
