/* Leftovers of pods that nobody knows any more, found by their names on the machine: after a kill -9 of everything, or a reboot. */
#include <dirent.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "local/agent_cgroup.h"
#include "local/agent_private.h"
#include "local/agent_shared.h"

static bool is_known(struct agent *a, const char *uid)
{
	struct pod_run *p = agent_find(a, uid);
	pod_run_unref(p);
	return p != NULL;
}

static void report(struct agent *a, const char *what, const char *name, int rc, const struct error *err)
{
	if (rc < 0)
		LOG(a->log, LOG_LVL_WARN, "leftover cannot be removed", LOG_STR("what", what), LOG_STR("name", name),
		    LOG_STR("err", err->msg));
	else
		LOG(a->log, LOG_LVL_INFO, "leftover removed", LOG_STR("what", what), LOG_STR("name", name));
}

static int sweep_group(void *ctx, const char *name)
{
	struct agent *a = ctx;
	char prefix[32];
	(void)snprintf(prefix, sizeof prefix, "%s-pod", a->tag);
	const size_t n = strlen(prefix);
	if (strncmp(name, prefix, n) != 0 || is_known(a, name + n))
		return 0; /* another agent's, or a pod's that runs */
	struct error err = {0};
	struct path group;
	const int rc =
		path_set(&group, &err, CGROUP_PARENT "/%s", name) ?: cgroup_remove(group.p, 10 * NSEC_PER_SEC, &err);
	report(a, "control group", name, rc, &err);
	return 0;
}

static void sweep_volumes(struct agent *a, const char *uid)
{
	if (is_known(a, uid))
		return;
	struct error err = {0};
	report(a, "volumes", uid, volumes_teardown(&a->volumes, uid, &err), &err);
}

/* "<ns>_<pod>_<uid>": none of the three has an underscore. */
static void sweep_logs(struct agent *a, const char *name)
{
	const char *last = strrchr(name, '_');
	if (last == NULL || is_known(a, last + 1))
		return;
	struct error err = {0};
	struct path dir;
	const int rc = path_set(&dir, &err, "%s/logs/pods/%s", a->paths.data_dir, name) ?: file_remove_all(dir.p, &err);
	report(a, "logs", name, rc, &err);
}

static void each_name(struct agent *a, const char *dir, void (*fn)(struct agent *a, const char *name))
{
	DIR *d = opendir(dir);
	if (d == NULL)
		return; /* nothing there */
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			fn(a, e->d_name);
	(void)closedir(d);
}

static int is_user(void *ctx, const char *user)
{
	return strcmp(user, "agent") == 0 || is_known(ctx, user);
}

void sweep(struct agent *a)
{
	struct path dir;
	struct error err = {0};
	/* Processes first: they hold the rest. */
	if (cgroup_each_pod(sweep_group, a, &err) < 0)
		LOG(a->log, LOG_LVL_WARN, "control groups cannot be listed", LOG_STR("err", err.msg));
	if (path_set(&dir, NULL, "%s/pods", a->paths.kubelet_root) == 0)
		each_name(a, dir.p, sweep_volumes);
	if (path_set(&dir, NULL, "%s/logs/pods", a->paths.data_dir) == 0)
		each_name(a, dir.p, sweep_logs);
	if (shared_mounts_sweep(a->shared, is_user, a, &err) < 0)
		LOG(a->log, LOG_LVL_WARN, "shared mounts cannot be undone", LOG_STR("err", err.msg));
}
