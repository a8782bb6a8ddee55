#include "local/agent.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/event.h"
#include "kube/resource.h"
#include "kube/workqueue.h"
#include "local/agent_cgroup.h"
#include "local/agent_csi.h"
#include "local/agent_image.h"
#include "local/agent_private.h"
#include "local/agent_shared.h"
#include "net/http_client.h"
#include "json/json.h"

#define SYNC_RETRY_NS   NSEC_PER_SEC
#define END_PATIENCE_NS (60 * NSEC_PER_SEC)

/* One agent for a data directory; the file's text is the pid of whoever holds the lock. */
static int take_lock(struct agent *a, struct error *err)
{
	struct path path;
	int rc = path_set(&path, err, "%s/agent/lock", a->paths.data_dir);
	if (rc < 0)
		return rc;
	a->lock_fd = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (a->lock_fd < 0)
		return error_set(err, -errno, "open '%s': %s", path.p, strerror(errno));
	char pid[16] = "";
	if (flock(a->lock_fd, LOCK_EX | LOCK_NB) < 0) {
		(void)file_pread_full(a->lock_fd, pid, sizeof pid - 1, 0); /* only for the message */
		return error_set(err, -EBUSY, "a node agent (pid %s) already runs with data directory '%s'", pid,
				 a->paths.data_dir);
	}
	const int n = snprintf(pid, sizeof pid, "%d", (int)getpid());
	if (ftruncate(a->lock_fd, 0) < 0 || file_pwrite_all(a->lock_fd, pid, (size_t)n, 0) < 0)
		return error_set(err, -EIO, "write '%s': %s", path.p, strerror(errno));
	return 0;
}

static uint64_t capabilities(void)
{
	uint64_t mask = 0;
	for (int i = 0; i < 64; i++)
		if (prctl(PR_CAPBSET_READ, i) == 1)
			mask |= UINT64_C(1) << i;
	return mask;
}

/* Without CAP_SYS_RESOURCE it can only be raised: containers keep ours, or zero where ours is lower. */
static int oom_score(void)
{
	CLEANUP(free_p) char *text = NULL;
	int64_t v = 0;
	if (file_read("/proc/self/oom_score_adj", 32, &text, NULL, NULL) == 0) {
		text[strcspn(text, "\n")] = '\0';
		(void)str_to_i64(text, &v); /* stays 0 */
	}
	return v > 0 ? (int)v : 0;
}

/* FNV-1a: the same at each start, different for another directory. */
static void make_tag(const char *dir, char out[static 9])
{
	uint32_t h = 2166136261u;
	for (; *dir != '\0'; dir++)
		h = (h ^ (unsigned char)*dir) * 16777619u;
	(void)snprintf(out, 9, "%08x", h);
}

static int look_at_machine(struct agent *a, struct error *err)
{
	if (geteuid() != 0)
		return error_set(err, -EPERM, "the node agent must run as root");
	char name[256] = "";
	if (gethostname(name, sizeof name - 1) < 0)
		return error_set(err, -errno, "host name: %s", strerror(errno));
	a->host_name = strdup(name);
	if (a->host_name != NULL && a->node_name == NULL)
		a->node_name = strdup(name);
	if (a->host_name == NULL || a->node_name == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	a->capabilities = capabilities();
	a->oom_score_adj = oom_score();
	a->cgroup_v2 = cgroup_is_v2();
	make_tag(a->paths.data_dir, a->tag);
	struct path binary;
	const int rc = path_set(&binary, err, "%s/agent/bin/sluice", a->paths.data_dir);
	return rc ?: image_install_binary(binary.p, err);
}

static int open_shared_mounts(struct agent *a, struct error *err)
{
	struct path file;
	const int rc = path_set(&file, err, "%s/agent/shared-mounts.json", a->paths.data_dir);
	return rc ?: shared_mounts_new(file.p, &a->shared, err);
}

static int connect_api(struct agent *a, const char *kubeconfig, struct error *err)
{
	struct kube_config *cfg = NULL;
	int rc = kube_config_load(kubeconfig, NULL, &cfg, err);
	if (rc == 0)
		rc = kube_client_new(cfg, "sluice-agent", &a->client, err);
	kube_config_free(cfg);
	rc = rc ?: event_recorder_new(a->client, "kubelet", &a->events, err);
	const struct http_client_options o = {.user_agent = "kube-probe/1.34", .insecure = true, .no_proxy = true};
	return rc ?: http_client_new(&o, &a->http, err);
}

static int fetch(void *ctx, const struct kube_resource *r, const char *ns, const char *name, json_t **ret,
		 struct error *err)
{
	return kube_get(((struct agent *)ctx)->client, r, ns, name, ret, err);
}

static void sync_one(struct agent *a, const char *uid)
{
	struct pod_run *p = agent_find(a, uid);
	if (p == NULL)
		return;
	int64_t again = 0;
	struct error err = {0};
	const int rc = pod_sync(p, &again, &err);
	if (rc < 0 && rc != -ESTALE && !p->warned)
		LOG(a->log, LOG_LVL_WARN, "pod cannot be brought on", LOG_STR("namespace", p->ns),
		    LOG_STR("name", p->name), LOG_STR("err", err.msg));
	p->warned = rc < 0;
	if (rc < 0)
		again = SYNC_RETRY_NS;
	if (again > 0)
		(void)workqueue_add_after(a->work, uid, again); /* only the end or memory can fail it */
	pod_run_unref(p);
}

static void *worker_main(void *arg)
{
	struct agent *a = arg;
	for (char *uid; workqueue_get(a->work, &uid) == 0; free(uid)) {
		sync_one(a, uid);
		workqueue_done(a->work, uid);
	}
	return NULL;
}

static int start_workers(struct agent *a, struct error *err)
{
	for (; a->n_workers < AGENT_WORKERS; a->n_workers++) {
		const int rc = -pthread_create(&a->workers[a->n_workers], NULL, worker_main, a);
		if (rc < 0)
			return error_set(err, rc, "thread: %s", strerror(-rc));
	}
	return 0;
}

static void drop_pod(void *p)
{
	pod_run_unref(p);
}

static int make_parts(struct agent *a, struct error *err)
{
	pthread_condattr_t attr;
	(void)pthread_mutex_init(&a->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&a->went, &attr);
	(void)pthread_condattr_destroy(&attr);
	a->runs = map_new(drop_pod);
	a->work = workqueue_new(0, 0);
	if (a->runs == NULL || a->work == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = monitor_new(a->work, &a->monitor, err);
	rc = rc ?: prober_new(a, &a->prober, err);
	return rc ?: agent_csi_new(&a->paths, a->node_name, &a->csi, err);
}

static int bring_up(struct agent *a, const struct agent_options *o, struct error *err)
{
	int rc = agent_paths_init(&a->paths, o->data_dir, o->kubelet_root, err);
	rc = rc ?: take_lock(a, err);
	rc = rc ?: look_at_machine(a, err);
	rc = rc ?: connect_api(a, o->kubeconfig, err);
	rc = rc ?: make_parts(a, err);
	rc = rc ?: open_shared_mounts(a, err);
	if (rc < 0)
		return rc;
	a->volumes = (struct volume_host){.paths = &a->paths,
					  .node_name = a->node_name,
					  .address = AGENT_ADDRESS,
					  .shared = a->shared,
					  .csi = a->csi,
					  .fetch = fetch,
					  .ctx = a};
	rc = record_load(a, err);
	rc = rc ?: watch_new(a, err);
	rc = rc ?: watch_start(a, err);
	rc = rc ?: shared_mounts_acquire(a->shared, a->paths.kubelet_root, "agent", err);
	if (rc < 0)
		return rc;
	sweep(a);
	rc = log_server_new(a, &a->logs, err);
	rc = rc ?: start_workers(a, err);
	if (rc == 0)
		agent_queue_all(a);
	return rc ?: node_new(a, &a->node, err);
}

int agent_new(const struct agent_options *o, struct agent **ret, struct error *err)
{
	struct agent *a = calloc(1, sizeof *a);
	if (a == NULL)
		return error_set(err, -ENOMEM, "node agent: out of memory");
	a->log = o->log;
	a->lock_fd = -1;
	a->stop_fd = o->stop_fd;
	a->node_name = o->node_name != NULL ? strdup(o->node_name) : NULL;
	const int rc = bring_up(a, o, err);
	if (rc < 0) {
		agent_free(a);
		return rc;
	}
	*ret = a;
	return 0;
}

struct ending {
	size_t left;
	int64_t grace_ns;
};

static void count_left(void *ctx, struct pod_run *p)
{
	struct ending *e = ctx;
	e->left += !atomic_load_explicit(&p->gone, memory_order_acquire);
	if (p->grace_hint_ns > e->grace_ns)
		e->grace_ns = p->grace_hint_ns;
}

int agent_end_pods(struct agent *a, struct error *err)
{
	struct ending e = {0};
	atomic_store_explicit(&a->end_pods, true, memory_order_release);
	agent_each(a, count_left, &e);
	agent_queue_all(a);
	const int64_t deadline = clock_mono_ns() + e.grace_ns + END_PATIENCE_NS;
	for (;;) {
		e.left = 0;
		agent_each(a, count_left, &e);
		if (e.left == 0)
			break;
		if (clock_mono_ns() >= deadline)
			return error_set(err, -ETIMEDOUT,
					 "%zu pods have not ended in time: they are taken up again at the next start",
					 e.left);
		struct timespec until;
		(void)clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec++;
		pthread_mutex_lock(&a->lock);
		(void)pthread_cond_timedwait(&a->went, &a->lock, &until);
		pthread_mutex_unlock(&a->lock);
	}
	cgroup_remove_parent();
	return shared_mounts_end(a->shared, "agent", err);
}

void agent_free(struct agent *a)
{
	if (a == NULL)
		return;
	node_free(a->node);
	log_server_free(a->logs);
	if (a->work != NULL)
		workqueue_shutdown(a->work);
	for (int i = 0; i < a->n_workers; i++)
		(void)pthread_join(a->workers[i], NULL);
	watch_free(a);
	prober_free(a->prober);
	monitor_free(a->monitor);
	event_recorder_free(a->events);
	map_free(a->runs);
	workqueue_free(a->work);
	agent_csi_free(a->csi);
	shared_mounts_free(a->shared);
	http_client_free(a->http);
	kube_client_free(a->client);
	close_fd(&a->lock_fd);
	free(a->node_name);
	free(a->host_name);
	agent_paths_clear(&a->paths);
	free(a);
}
