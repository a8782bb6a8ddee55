/* Rotation of container logs: the file is renamed to <n>.log.1 (replacing the one before) and conmon begins a new one. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "local/agent_private.h"

#define LOG_SIZE_MAX (10u << 20)

static void rotate_one(struct agent *a, const struct pod_run *p, const char *name, const char *id, int attempt)
{
	struct path path, old;
	struct stat st;
	struct error err = {0};
	int rc = container_log_path(a, p->ns, p->name, p->uid, name, attempt, &path, &err);
	if (rc < 0)
		return;
	/* Absent: an agent died between renaming it and having it opened anew. */
	const bool absent = stat(path.p, &st) < 0;
	if (!absent && st.st_size < LOG_SIZE_MAX)
		return;
	rc = path_set(&old, &err, "%s.1", path.p);
	if (rc == 0 && !absent && rename(path.p, old.p) < 0)
		rc = error_set(&err, -errno, "rename '%s': %s", path.p, strerror(errno));
	rc = rc ?: runtime_reopen_log(&a->paths, id, &err);
	if (rc < 0)
		LOG(a->log, LOG_LVL_WARN, "log cannot be rotated", LOG_STR("file", path.p), LOG_STR("err", err.msg));
}

static void rotate_pod(void *ctx, struct pod_run *p)
{
	for (size_t i = 0; i < p->n_containers; i++) {
		const struct container_run *c = &p->containers[i];
		char id[CONTAINER_ID_MAX + 1];
		pthread_mutex_lock(&p->lock);
		const bool running = c->phase == CONTAINER_RUNNING;
		const int attempt = c->restarts;
		(void)str_copy(id, sizeof id, c->id);
		pthread_mutex_unlock(&p->lock);
		if (running)
			rotate_one(ctx, p, c->name, id, attempt);
	}
}

void logs_rotate(struct agent *a)
{
	agent_each(a, rotate_pod, a);
}
