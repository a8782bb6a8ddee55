#include "runtime/fixed.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/arena.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "kube/resource.h"
#include "runtime/status.h"
#include "sluice/engine.h"
#include "json/json.h"

#define CONDITION_ACCEPTED "SpecAccepted"
#define REASON_CHANGED     "FieldIsImmutable"

/* A spec that is larger is not remembered: the object must stay one that a server takes. */
#define MAX_TEXT    (256u << 10)
#define CHECK_ARENA (64u << 10)

static const struct schema *spec_of(const struct kind *k)
{
	const struct field *f = k != NULL ? schema_field(k->schema, "spec") : NULL;
	return f != NULL ? f->schema : NULL;
}

/* {"fields": hash of the table's immutable fields, "spec": their values}; NULL: there is none, or it speaks of another table. */
static json_t *accepted(const struct schema *s, const json_t *status)
{
	const char *text = json_str(condition_get(status, CONDITION_ACCEPTED), "message", "");
	JSON_AUTO doc = NULL;
	char hash[17];
	(void)snprintf(hash, sizeof hash, "%016" PRIx64, schema_fixed_hash(s)); /* always 16 digits */
	if (*text == '\0' || json_parse(text, strlen(text), &doc, NULL) < 0 ||
	    strcmp(json_str(doc, "fields", ""), hash) != 0 || !json_is_object(json_object_get(doc, "spec")))
		return NULL;
	return json_incref(json_object_get(doc, "spec"));
}

/* Values are left out: they may be what only readers of the object should see. */
static void say_paths(const struct violations *vs, char *why, size_t size)
{
	size_t n = 0;
	for (size_t i = 0; i < vs->n && n < size; i++)
		n += (size_t)snprintf(why + n, size - n, "%s%s", i > 0 ? ", " : "", vs->v[i].path);
	static const char rest[] = ": may not change after creation; what it was goes on";
	const bool cut = n + sizeof rest > size;
	if (cut)
		n = size - sizeof rest - 3;
	(void)snprintf(why + n, size - n, "%s%s", cut ? "..." : "", rest);
}

/* @ret: a copy of @obj with the accepted values, when it has others. */
static int look_at(const struct schema *s, const json_t *obj, json_t **ret, char *why, size_t size, struct error *err)
{
	JSON_AUTO was = s != NULL ? accepted(s, json_object_get(obj, "status")) : NULL;
	if (was == NULL)
		return 0;
	CLEANUP(arena_free) struct arena arena = ARENA_INIT(CHECK_ARENA);
	CLEANUP(free_p) struct violations *vs = calloc(1, sizeof *vs);
	if (vs == NULL)
		return error_set(err, -ENOMEM, "spec: out of memory");
	vs->arena = &arena;
	schema_validate_update(s, was, json_object_get(obj, "spec"), "spec", vs);
	if (vs->n == 0)
		return 0;
	JSON_AUTO copy = json_deep_copy(obj);
	json_t *spec = json_object_get(copy, "spec");
	if (copy != NULL && !json_is_object(spec)) {
		spec = json_object();
		if (json_object_set_new(copy, "spec", spec) < 0)
			spec = NULL;
	}
	if (spec == NULL || schema_fixed_restore(s, was, spec) < 0)
		return error_set(err, -ENOMEM, "spec: out of memory");
	say_paths(vs, why, size);
	*ret = TAKE(copy);
	return 0;
}

int fixed_look(struct fixed *f, struct reconcile_ctx *ctx, const struct kind *runtime, struct error *err)
{
	int rc = look_at(spec_of(runtime), ctx->runtime, &f->runtime, f->runtime_why, sizeof f->runtime_why, err);
	if (rc == 0 && ctx->dataset != NULL)
		rc = look_at(spec_of(&dataset_kind), ctx->dataset, &f->dataset, f->dataset_why, sizeof f->dataset_why,
			     err);
	if (rc == 0 && f->runtime != NULL)
		ctx->runtime = f->runtime;
	if (rc == 0 && f->dataset != NULL)
		ctx->dataset = f->dataset;
	return rc;
}

void fixed_clear(struct fixed *f)
{
	json_decref(f->runtime);
	json_decref(f->dataset);
	*f = (struct fixed){0};
}

/* An Event when it is news. */
static void warn_once(struct reconcile_ctx *ctx, const json_t *obj, const json_t *status, const char *why)
{
	if (!str_same(json_str(condition_get(status, CONDITION_SPEC), "message", NULL), why))
		ctx->api->event(ctx->api->ctx, obj, "Warning", REASON_CHANGED, why);
}

int fixed_tell(const struct fixed *f, struct reconcile_ctx *ctx)
{
	int rc = 0;
	if (f->runtime != NULL) {
		warn_once(ctx, ctx->runtime, ctx->runtime_status, f->runtime_why);
		rc = runtime_condition_set(ctx, CONDITION_SPEC, false, REASON_CHANGED, f->runtime_why);
	}
	if (f->dataset == NULL) {
		condition_drop(ctx->dataset_status, CONDITION_SPEC);
		return rc;
	}
	warn_once(ctx, ctx->dataset, ctx->dataset_status, f->dataset_why);
	const int rc2 = dataset_condition_set(ctx, CONDITION_SPEC, false, REASON_CHANGED, f->dataset_why);
	return rc < 0 ? rc : rc2;
}

/* The condition's message for the spec of @obj; NULL with 0: too large. */
static int text_of(const struct schema *s, const json_t *obj, char **ret)
{
	char hash[17];
	(void)snprintf(hash, sizeof hash, "%016" PRIx64, schema_fixed_hash(s)); /* always 16 digits */
	JSON_AUTO doc = json_pack("{s:s,s:o}", "fields", hash, "spec", schema_fixed(s, json_object_get(obj, "spec")));
	size_t n = 0;
	CLEANUP(free_p) char *text = doc != NULL ? json_to_text(doc, &n) : NULL;
	if (text == NULL)
		return -ENOMEM;
	*ret = n <= MAX_TEXT ? TAKE(text) : NULL;
	return 0;
}

int fixed_accept(struct reconcile_ctx *ctx, const struct kind *runtime)
{
	const struct {
		const struct schema *s;
		const json_t *obj, *status;
		int (*set)(struct reconcile_ctx *ctx, const char *type, bool value, const char *reason,
			   const char *message);
	} both[] = {{spec_of(runtime), ctx->runtime, ctx->runtime_status, runtime_condition_set},
		    {spec_of(&dataset_kind), ctx->dataset, ctx->dataset_status, dataset_condition_set}};
	int rc = 0;
	for (size_t i = 0; i < ARRAY_LEN(both) && rc == 0 && runtime != NULL; i++) {
		JSON_AUTO had = both[i].s != NULL ? accepted(both[i].s, both[i].status) : NULL;
		CLEANUP(free_p) char *text = NULL;
		if (both[i].s == NULL || had != NULL)
			continue;
		rc = text_of(both[i].s, both[i].obj, &text);
		if (text != NULL)
			rc = both[i].set(ctx, CONDITION_ACCEPTED, true, CONDITION_ACCEPTED, text);
	}
	return rc;
}
