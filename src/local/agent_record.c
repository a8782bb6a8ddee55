/* What outlives the agent: a file for each pod and one beside each container's bundle. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "kube/client.h"
#include "local/agent_mount.h"
#include "local/agent_private.h"
#include "json/json.h"

#define RECORD_MAX (4u << 20)

static json_t *end_json(const struct container_end *e)
{
	return json_pack("{s:s, s:i, s:s, s:o, s:I, s:I}", "id", e->id, "code", e->code, "reason", e->reason, "message",
			 json_string(e->message) ?: json_string(""), "startedNs", (json_int_t)e->started_wall_ns,
			 "finishedNs", (json_int_t)e->finished_wall_ns);
}

static void end_read(const json_t *j, struct container_end *e)
{
	if (json_is_object(j))
		container_end_set(e, json_str(j, "id", ""), (int)json_int(j, "code", 0), json_str(j, "reason", ""),
				  json_str(j, "message", ""), json_int(j, "startedNs", 0),
				  json_int(j, "finishedNs", 0));
}

int record_save(const struct pod_run *p, const struct container_run *c, struct error *err)
{
	JSON_AUTO r =
		json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:i, s:I, s:I}", "id", c->id, "image", c->image, "podUID",
			  p->uid, "container", c->name, "init", c->init, "begun", c->begun, "restarts", c->restarts,
			  "startedNs", (json_int_t)c->started_wall_ns, "backoffNs", (json_int_t)c->backoff_ns);
	if (r != NULL && c->phase == CONTAINER_ENDED)
		(void)json_object_set_new(r, "end", end_json(&c->end));
	if (r != NULL && c->last.valid)
		(void)json_object_set_new(r, "last", end_json(&c->last));
	CLEANUP(free_p) char *text = r != NULL ? json_to_text(r, NULL) : NULL;
	if (text == NULL)
		return error_set(err, -ENOMEM, "container's record: out of memory");
	struct path path;
	const int rc = path_set(&path, err, "%s/containers/%s/record.json", p->agent->paths.data_dir, c->id);
	return rc ?: file_write_atomic(path.p, 0600, text, strlen(text), err);
}

static int pod_file(const struct agent *a, const char *uid, struct path *ret, struct error *err)
{
	if (*uid == '\0' || *uid == '.' || strchr(uid, '/') != NULL)
		return error_set(err, -EINVAL, "'%s' is no pod's uid", uid);
	return path_set(ret, err, "%s/agent/pods/%s.json", a->paths.data_dir, uid);
}

int record_save_pod(struct pod_run *p, struct error *err)
{
	JSON_AUTO slim = json_pack("{s:O?, s:O?}", "metadata", json_object_get(p->obj, "metadata"), "spec",
				   json_object_get(p->obj, "spec"));
	CLEANUP(free_p) char *text = slim != NULL ? json_to_text(slim, NULL) : NULL;
	if (text == NULL)
		return error_set(err, -ENOMEM, "pod's record: out of memory");
	if (str_same(text, p->saved_text))
		return 0;
	struct path path;
	int rc = pod_file(p->agent, p->uid, &path, err);
	rc = rc ?: file_write_atomic(path.p, 0600, text, strlen(text), err);
	if (rc == 0) {
		free(p->saved_text);
		p->saved_text = TAKE(text);
	}
	return rc;
}

void record_remove_pod(const struct agent *a, const char *uid)
{
	struct path path;
	if (pod_file(a, uid, &path, NULL) == 0)
		(void)unlink(path.p); /* absent: removed before */
}

static int read_json(const char *path, json_t **ret, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	size_t n = 0;
	const int rc = file_read(path, RECORD_MAX, &text, &n, err);
	return rc ?: json_parse(text, n, ret, err);
}

/* Call @fn for each entry of @dir that does not begin with a dot. */
static int each_entry(const char *dir, int (*fn)(struct agent *a, const char *dir, const char *name), struct agent *a,
		      struct error *err)
{
	DIR *d = opendir(dir);
	if (d == NULL)
		return error_set(err, -errno, "open '%s': %s", dir, strerror(errno));
	int rc = 0;
	for (struct dirent *e; rc == 0 && (e = readdir(d)) != NULL;)
		if (e->d_name[0] != '.')
			rc = fn(a, dir, e->d_name);
	(void)closedir(d);
	return rc < 0 ? error_set(err, rc, "read '%s': %s", dir, strerror(-rc)) : 0;
}

static int load_pod(struct agent *a, const char *dir, const char *name)
{
	struct path path;
	if (!str_has_suffix(name, ".json") || path_set(&path, NULL, "%s/%s", dir, name) < 0)
		return 0;
	JSON_AUTO obj = NULL;
	struct error err = {0};
	if (read_json(path.p, &obj, &err) < 0) {
		/* Its containers are swept below, as those of a pod that nobody knows. */
		LOG(a->log, LOG_LVL_WARN, "record of a pod is not readable, it is dropped", LOG_STR("file", path.p),
		    LOG_STR("err", err.msg));
		(void)unlink(path.p);
		return 0;
	}
	return agent_add(a, obj) != NULL ? 0 : -ENOMEM;
}

static void sweep_bundle(struct agent *a, const char *id)
{
	struct error err = {0};
	LOG(a->log, LOG_LVL_INFO, "container of an earlier time is removed", LOG_STR("container", id));
	if (container_clean(a, id, &err) < 0)
		LOG(a->log, LOG_LVL_WARN, "container of an earlier time cannot be removed", LOG_STR("container", id),
		    LOG_STR("err", err.msg));
}

static void take_record(const struct agent *a, struct container_run *c, const char *id, const json_t *r)
{
	(void)str_copy(c->id, sizeof c->id, id);
	(void)str_copy(c->image, sizeof c->image, json_str(r, "image", ""));
	c->restarts = (int)json_int(r, "restarts", 0);
	c->started_wall_ns = json_int(r, "startedNs", 0);
	c->started_ns = clock_mono_ns() - (clock_wall_ns() - c->started_wall_ns);
	c->backoff_ns = json_int(r, "backoffNs", 0);
	c->end = c->last = (struct container_end){0};
	end_read(json_object_get(r, "end"), &c->end);
	end_read(json_object_get(r, "last"), &c->last);
	/* Died between making and beginning it: nobody would ever begin what is made. It is made again. */
	c->begun = json_bool(r, "begun", false) || c->end.valid || runtime_is_begun(&a->paths, id);
	c->phase = c->end.valid ? CONTAINER_ENDED : c->begun ? CONTAINER_RUNNING : CONTAINER_WAITING;
}

static int load_container(struct agent *a, const char *dir, const char *id)
{
	if (strcmp(id, "runc") == 0)
		return 0;
	struct path path;
	JSON_AUTO r = NULL;
	if (strlen(id) > CONTAINER_ID_MAX || path_set(&path, NULL, "%s/%s/record.json", dir, id) < 0 ||
	    read_json(path.p, &r, NULL) < 0) {
		sweep_bundle(a, id); /* died before its record was written: it never ran */
		return 0;
	}
	struct pod_run *p = agent_find(a, json_str(r, "podUID", ""));
	struct container_run *c = p != NULL ? pod_container(p, json_str(r, "container", "")) : NULL;
	if (c == NULL) {
		sweep_bundle(a, id);
	} else if (c->id[0] == '\0' || json_int(r, "restarts", 0) > c->restarts) {
		if (c->id[0] != '\0')
			sweep_bundle(a, c->id);
		take_record(a, c, id, r);
	} else {
		sweep_bundle(a, id);
	}
	pod_run_unref(p);
	return 0;
}

int record_load(struct agent *a, struct error *err)
{
	struct path dir;
	int rc = path_set(&dir, err, "%s/agent/pods", a->paths.data_dir);
	rc = rc ?: each_entry(dir.p, load_pod, a, err);
	rc = rc ?: path_set(&dir, err, "%s/containers", a->paths.data_dir);
	return rc ?: each_entry(dir.p, load_container, a, err);
}
