/*
 * A scripted API for tests of the framework, engines and controllers: objects in one JSON tree, with resourceVersions, conditional
 * patches, finalizers and status apart from the rest, as the real one has them. Single-threaded.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "kube/client.h"
#include "sluice/engine.h"
#include "json/json.h"
#include "json/patch.h"

struct fake_api {
	json_t *objects; /* "plural/ns/name" → object */
	json_t *events;  /* ["Warning Reason on Kind: message"] */
	json_t *writes;  /* ["patch datasets/status default/demo"] */
	int version, uid;
	int conflicts; /* so many of the next writes meet a conflict */
	struct engine_api ops;
};

static inline void fake_key(char out[static 512], const struct kube_resource *r, const char *ns, const char *name)
{
	(void)snprintf(out, 512, "%s/%s/%s", r->plural, r->namespaced ? ns : "", name);
}

static inline json_t *fake_live(const struct fake_api *f, const struct kube_resource *r, const char *ns,
				const char *name)
{
	char key[512];
	fake_key(key, r, ns, name);
	return json_object_get(f->objects, key);
}

static inline void fake_touch(struct fake_api *f, json_t *obj)
{
	char text[32];
	(void)snprintf(text, sizeof text, "%d", ++f->version);
	assert_int_equal(json_put_str(obj, "metadata.resourceVersion", text), 0);
}

static inline void fake_store(struct fake_api *f, const struct kube_resource *r, json_t *obj)
{
	char key[512];
	fake_key(key, r, obj_namespace(obj), obj_name(obj));
	if (*obj_uid(obj) == '\0') {
		char uid[40];
		(void)snprintf(uid, sizeof uid, "00000000-0000-0000-0000-%012d", ++f->uid);
		assert_int_equal(json_put_str(obj, "metadata.uid", uid), 0);
	}
	if (json_at(obj, "metadata.generation") == NULL)
		assert_int_equal(json_put_int(obj, "metadata.generation", 1), 0);
	fake_touch(f, obj);
	assert_int_equal(json_object_set_new(f->objects, key, obj), 0);
}

/** Put an object given as JSON with single quotes for double ones. */
static inline json_t *fake_put(struct fake_api *f, const struct kube_resource *r, const char *text)
{
	char *copy = strdup(text);
	for (char *p = copy; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	json_t *obj = NULL;
	struct error err = {0};
	if (json_parse(copy, strlen(copy), &obj, &err) < 0)
		fail_msg("%s: %s", err.msg, copy);
	free(copy);
	fake_store(f, r, obj);
	return obj;
}

/** Set one member of a stored object's tree; a change of spec raises the generation. */
static inline void fake_set(struct fake_api *f, json_t *obj, const char *path, json_t *value)
{
	assert_int_equal(json_put(obj, path, value), 0);
	if (strncmp(path, "spec", 4) == 0)
		assert_int_equal(json_put_int(obj, "metadata.generation", json_int(obj, "metadata.generation", 0) + 1),
				 0);
	fake_touch(f, obj);
}

static inline void fake_note(struct fake_api *f, const char *verb, const struct kube_resource *r, const char *sub,
			     const char *ns, const char *name)
{
	char text[640];
	(void)snprintf(text, sizeof text, "%s %s%s%s %s%s%s", verb, r->plural, sub != NULL ? "/" : "",
		       sub != NULL ? sub : "", ns, *ns != '\0' ? "/" : "", name);
	assert_int_equal(json_array_append_new(f->writes, json_string(text)), 0);
}

static inline json_t *fake_get(void *ctx, const struct kube_resource *r, const char *ns, const char *name)
{
	json_t *live = fake_live(ctx, r, ns, name);
	return live != NULL ? json_deep_copy(live) : NULL;
}

static inline json_t *fake_list(void *ctx, const struct kube_resource *r, const char *ns, const char *label,
				const char *value)
{
	struct fake_api *f = ctx;
	json_t *out = json_array();
	size_t n = strlen(r->plural);
	const char *key;
	json_t *obj;
	json_object_foreach (f->objects, key, obj) {
		if (strncmp(key, r->plural, n) != 0 || key[n] != '/' ||
		    (ns != NULL && strcmp(obj_namespace(obj), ns) != 0))
			continue;
		if (label != NULL && strcmp(label, ENGINE_LIST_CLAIMS) == 0)
			label = NULL;
		if (label != NULL && strcmp(label, ENGINE_LIST_CACHES) == 0) {
			if (obj_label(obj, "fluid.io/dataset") != NULL &&
			    strcmp(json_str(obj, "spec.nodeName", ""), value) == 0)
				assert_int_equal(json_array_append_new(out, json_deep_copy(obj)), 0);
			continue;
		}
		const char *have = label != NULL ? obj_label(obj, label) : "";
		if (have != NULL && (label == NULL || value == NULL || strcmp(have, value) == 0))
			assert_int_equal(json_array_append_new(out, json_deep_copy(obj)), 0);
	}
	return out;
}

static inline int fake_visit(void *ctx, const struct kube_resource *r, bool (*fn)(void *arg, const json_t *obj),
			     void *arg)
{
	json_t *all = fake_list(ctx, r, NULL, NULL, NULL), *obj;
	size_t i;
	json_array_foreach (all, i, obj)
		if (!fn(arg, obj))
			break;
	json_decref(all);
	return 0;
}

static inline int fake_conflict(struct fake_api *f, struct error *err)
{
	if (f->conflicts == 0)
		return 0;
	f->conflicts--;
	return error_set(err, -ESTALE, "scripted conflict");
}

static inline int fake_apply(void *ctx, const struct kube_resource *r, const char *ns, const char *name,
			     const json_t *obj, struct error *err)
{
	struct fake_api *f = ctx;
	fake_note(f, "apply", r, NULL, ns, name);
	int rc = fake_conflict(f, err);
	if (rc < 0)
		return rc;
	json_t *live = fake_live(f, r, ns, name), *fresh = json_deep_copy(obj);
	if (live != NULL) {
		json_t *status = json_object_get(live, "status");
		if (status != NULL)
			assert_int_equal(json_object_set(fresh, "status", status), 0);
		assert_int_equal(json_put_str(fresh, "metadata.uid", obj_uid(live)), 0);
		assert_int_equal(
			json_put_int(fresh, "metadata.generation", json_int(live, "metadata.generation", 0) + 1), 0);
	}
	fake_store(f, r, fresh);
	return 0;
}

static inline void fake_reap(struct fake_api *f, const struct kube_resource *r, const char *ns, const char *name)
{
	json_t *live = fake_live(f, r, ns, name);
	char key[512];
	fake_key(key, r, ns, name);
	if (live != NULL && obj_deleting(live) && json_array_size(json_at(live, "metadata.finalizers")) == 0)
		(void)json_object_del(f->objects, key);
}

static inline int fake_patch(void *ctx, const struct kube_resource *r, const char *ns, const char *name,
			     const char *sub, const json_t *patch, struct error *err)
{
	struct fake_api *f = ctx;
	fake_note(f, "patch", r, sub, ns, name);
	int rc = fake_conflict(f, err);
	if (rc < 0)
		return rc;
	json_t *live = fake_live(f, r, ns, name), *fresh = NULL;
	if (live == NULL)
		return error_set(err, -ENOENT, "%s %s/%s: not found", r->plural, ns, name);
	const char *version = json_str(patch, "metadata.resourceVersion", NULL);
	if (version != NULL && strcmp(version, obj_resource_version(live)) != 0)
		return error_set(err, -ESTALE, "%s %s/%s: the object has been modified", r->plural, ns, name);
	if (sub == NULL && json_object_get(patch, "status") != NULL)
		return error_set(err, -EINVAL, "status is written through its subresource");
	if (json_merge_patch(live, patch, &fresh, err) < 0)
		return err != NULL ? err->code : -EINVAL;
	bool spec = !json_equal(json_object_get(live, "spec"), json_object_get(fresh, "spec"));
	if (spec)
		assert_int_equal(
			json_put_int(fresh, "metadata.generation", json_int(live, "metadata.generation", 0) + 1), 0);
	fake_store(f, r, fresh);
	fake_reap(f, r, ns, name);
	return 0;
}

static inline int fake_remove(void *ctx, const struct kube_resource *r, const char *ns, const char *name,
			      struct error *err)
{
	struct fake_api *f = ctx;
	fake_note(f, "delete", r, NULL, ns, name);
	int rc = fake_conflict(f, err);
	json_t *live = fake_live(f, r, ns, name);
	if (rc < 0 || live == NULL)
		return rc;
	assert_int_equal(json_put_str(live, "metadata.deletionTimestamp", "2026-01-02T03:04:05Z"), 0);
	fake_touch(f, live);
	fake_reap(f, r, ns, name);
	return 0;
}

static inline void fake_event(void *ctx, const json_t *obj, const char *type, const char *reason, const char *message)
{
	struct fake_api *f = ctx;
	char text[1024];
	(void)snprintf(text, sizeof text, "%s %s on %s: %s", type, reason, json_str(obj, "kind", "?"), message);
	assert_int_equal(json_array_append_new(f->events, json_string(text)), 0);
}

static inline struct fake_api *fake_new(void)
{
	struct fake_api *f = calloc(1, sizeof *f);
	assert_non_null(f);
	f->objects = json_object();
	f->events = json_array();
	f->writes = json_array();
	f->ops = (struct engine_api){.get = fake_get,
				     .list = fake_list,
				     .apply = fake_apply,
				     .patch = fake_patch,
				     .remove = fake_remove,
				     .event = fake_event,
				     .visit = fake_visit,
				     .ctx = f};
	return f;
}

static inline void fake_free(struct fake_api *f)
{
	json_decref(f->objects);
	json_decref(f->events);
	json_decref(f->writes);
	free(f);
}

/** Whether an Event holds @text. */
static inline bool fake_has_event(const struct fake_api *f, const char *text)
{
	size_t i;
	json_t *e;
	json_array_foreach (f->events, i, e)
		if (strstr(json_string_value(e), text) != NULL)
			return true;
	return false;
}

static inline size_t fake_count_writes(const struct fake_api *f, const char *text)
{
	size_t i, n = 0;
	json_t *w;
	json_array_foreach (f->writes, i, w)
		n += strstr(json_string_value(w), text) != NULL;
	return n;
}

/** The message of a condition of a stored object, or "" when there is none with that status. */
static inline const char *fake_condition(const json_t *obj, const char *type, const char *status)
{
	size_t i;
	json_t *c;
	json_array_foreach (json_at(obj, "status.conditions"), i, c)
		if (strcmp(json_str(c, "type", ""), type) == 0 && strcmp(json_str(c, "status", ""), status) == 0)
			return json_str(c, "message", "");
	return "";
}
