#include "local/agent_cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/map.h"
#include "base/str.h"
#include "local/agent_mount.h"
#include "local/agent_paths.h"

#define CGROUP2_MAGIC 0x63677270
#define DEPTH_MAX     32
#define PROCS_MAX     (1u << 20)

bool cgroup_is_v2(void)
{
	struct statfs fs;
	return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
}

struct hierarchy_call {
	int (*fn)(void *ctx, const char *root);
	void *ctx;
};

static int call_for_hierarchy(void *ctx, const struct mount_entry *m)
{
	const struct hierarchy_call *c = ctx;
	if (strcmp(m->fstype, "cgroup") != 0 && strcmp(m->fstype, "cgroup2") != 0)
		return 0;
	return c->fn(c->ctx, m->target);
}

static int each_hierarchy(int (*fn)(void *ctx, const char *root), void *ctx, struct error *err)
{
	struct hierarchy_call c = {.fn = fn, .ctx = ctx};
	return mount_each(call_for_hierarchy, &c, err);
}

static void kill_listed(const char *dir)
{
	struct path path;
	CLEANUP(free_p) char *text = NULL;
	if (path_set(&path, NULL, "%s/cgroup.procs", dir) < 0 || file_read(path.p, PROCS_MAX, &text, NULL, NULL) < 0)
		return; /* the group is gone */
	char *save = NULL;
	for (char *w = strtok_r(text, "\n", &save); w != NULL; w = strtok_r(NULL, "\n", &save)) {
		int64_t pid = 0;
		if (str_to_i64(w, &pid) == 0 && pid > 1)
			(void)kill((pid_t)pid, SIGKILL); /* ended by itself meanwhile: fine */
	}
}

/* Depth first; -EBUSY as long as a process is left in it. */
static int remove_group(const char *dir, int depth)
{
	if (depth > DEPTH_MAX)
		return -ELOOP;
	DIR *d = opendir(dir);
	if (d == NULL)
		return errno == ENOENT ? 0 : -errno;
	struct path sub;
	for (struct dirent *e; (e = readdir(d)) != NULL;)
		if (e->d_type == DT_DIR && e->d_name[0] != '.' && path_set(&sub, NULL, "%s/%s", dir, e->d_name) == 0)
			(void)remove_group(sub.p, depth + 1); /* then removing this one fails, and says so */
	(void)closedir(d);
	if (rmdir(dir) == 0 || errno == ENOENT)
		return 0;
	const int rc = -errno;
	kill_listed(dir);
	return rc;
}

struct removal {
	const char *group;
	int rc;
};

static int remove_in_hierarchy(void *ctx, const char *root)
{
	struct removal *r = ctx;
	struct path dir;
	const int rc = path_set(&dir, NULL, "%s%s", root, r->group) ?: remove_group(dir.p, 0);
	if (rc < 0)
		r->rc = rc;
	return 0;
}

int cgroup_remove(const char *group, long long timeout_ns, struct error *err)
{
	const int64_t deadline = clock_mono_ns() + timeout_ns;
	for (int wait_ms = 2;; wait_ms = wait_ms < 100 ? wait_ms * 2 : 100) {
		struct removal r = {.group = group};
		const int rc = each_hierarchy(remove_in_hierarchy, &r, err);
		if (rc < 0)
			return rc;
		if (r.rc == 0)
			return 0;
		if (clock_mono_ns() >= deadline)
			return error_set(err, r.rc,
					 "control group '%s' cannot be removed: %s (a process in it does not end)",
					 group, strerror(-r.rc));
		(void)poll(NULL, 0, wait_ms); /* the kernel tells nobody that a killed process has left its group */
	}
}

static int remove_parent(void *ctx, const char *root)
{
	(void)ctx;
	struct path dir;
	if (path_set(&dir, NULL, "%s" CGROUP_PARENT, root) == 0)
		(void)rmdir(dir.p); /* in use by other pods: stays */
	return 0;
}

void cgroup_remove_parent(void)
{
	(void)each_hierarchy(remove_parent, NULL, NULL); /* an empty group left behind does no harm */
}

static int collect(void *ctx, const char *root)
{
	struct path dir;
	if (path_set(&dir, NULL, "%s" CGROUP_PARENT, root) < 0)
		return 0;
	DIR *d = opendir(dir.p);
	if (d == NULL)
		return 0;
	int rc = 0;
	for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;)
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			rc = map_set(ctx, e->d_name, NULL);
	(void)closedir(d);
	return rc;
}

int cgroup_each_pod(int (*fn)(void *ctx, const char *name), void *ctx, struct error *err)
{
	CLEANUP(map_free_p) struct map *names = map_new(NULL);
	if (names == NULL)
		return error_set(err, -ENOMEM, "control groups: out of memory");
	int rc = each_hierarchy(collect, names, err);
	size_t pos = 0;
	const char *name;
	while (rc == 0 && map_next(names, &pos, &name, NULL))
		rc = fn(ctx, name);
	return rc;
}
