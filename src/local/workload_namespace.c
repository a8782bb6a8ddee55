/* Namespace deletion: everything in it is deleted, then it is finalized. What it waits for stands in its conditions. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "local/workload_served.h"
#include "json/json.h"

#define PAGE        500
#define MESSAGE_MAX 1000
#define FINALIZER   "kubernetes"

struct sweep {
	struct workload *w;
	const char *ns;
	size_t deleted, left; /* in this round */
	struct strbuf what;   /* "pods. has 2 resource instances" ... */
	struct strbuf held;   /* finalizers that hold something */
};

static void sweep_clear(struct sweep *s)
{
	strbuf_clear(&s->what);
	strbuf_clear(&s->held);
}

static void note_finalizers(struct sweep *s, const json_t *obj)
{
	size_t i;
	json_t *f;
	json_array_foreach (json_at(obj, "metadata.finalizers"), i, f) {
		const char *name = json_string_value(f);
		if (name == NULL || s->held.n + strlen(name) + 3 > MESSAGE_MAX ||
		    (s->held.p != NULL && strstr(s->held.p, name) != NULL))
			continue;
		strbuf_addf(&s->held, "%s%s", s->held.n > 0 ? ", " : "", name);
	}
}

static int sweep_object(struct sweep *s, const struct kube_resource *r, const json_t *obj, struct error *err)
{
	note_finalizers(s, obj);
	if (obj_deleting(obj))
		return 0;
	const struct kube_delete_options o = {.grace_seconds = -1, .uid = obj_uid(obj), .propagation = "Background"};
	int rc = kube_delete(s->w->client, r, s->ns, obj_name(obj), &o, err);
	s->deleted += rc == 0;
	return rc == -ENOENT || rc == -ESTALE || rc == -EOPNOTSUPP ? 0 : rc;
}

static int sweep_resource(void *ctx, const struct kube_resource *r, struct error *err)
{
	struct sweep *s = ctx;
	size_t found = 0;
	CLEANUP(free_p) char *cont = NULL;
	do {
		JSON_AUTO page = NULL;
		int rc = kube_list(s->w->client, r, s->ns, &(struct kube_list_options){.limit = PAGE, .cont = cont},
				   &page, err);
		if (rc < 0)
			return rc == -ENOENT ? 0 : rc; /* no longer served */
		size_t i;
		json_t *obj;
		json_array_foreach (json_object_get(page, "items"), i, obj) {
			if ((rc = sweep_object(s, r, obj, err)) < 0)
				return rc;
		}
		found += json_array_size(json_object_get(page, "items"));
		free(TAKE(cont));
		const char *next = json_str(page, "metadata.continue", "");
		if (next[0] != '\0' && (cont = strdup(next)) == NULL)
			return error_set(err, -ENOMEM, "namespace %s: out of memory", s->ns);
	} while (cont != NULL);
	s->left += found;
	if (found > 0 && s->what.n + 200 < MESSAGE_MAX)
		strbuf_addf(&s->what, "%s%s has %zu resource instances", s->what.n > 0 ? ", " : "", r->plural, found);
	return 0;
}

/* Delete until a round finds nothing to delete any more: what goes at once has gone then, what is left takes its time. */
static int sweep_all(struct sweep *s, struct error *err)
{
	for (int round = 0; round < 3; round++) {
		s->deleted = s->left = 0;
		strbuf_reset(&s->what);
		strbuf_reset(&s->held);
		int rc = served_each_namespaced(s->w->served, sweep_resource, s, err);
		if (rc < 0)
			return rc;
		if (s->deleted == 0)
			break;
	}
	return 0;
}

/* --- what the namespace says of itself --- */

static json_t *condition(const json_t *ns, const char *type, bool status, const char *reason, const char *message)
{
	char now[32];
	size_t i;
	json_t *c;
	const char *since = NULL;
	json_array_foreach (json_at(ns, "status.conditions"), i, c) {
		if (str_same(json_str(c, "type", NULL), type) &&
		    str_same(json_str(c, "status", NULL), status ? "True" : "False"))
			since = json_str(c, "lastTransitionTime", NULL);
	}
	clock_format_rfc3339(clock_wall_ns(), now);
	return json_pack("{s:s, s:s, s:s, s:s, s:s}", "type", type, "status", status ? "True" : "False", "reason",
			 reason, "message", message, "lastTransitionTime", since != NULL ? since : now);
}

static int say_what_is_left(struct workload *w, const json_t *ns, const struct sweep *s, struct error *err)
{
	char remaining[MESSAGE_MAX + 64], held[MESSAGE_MAX + 64];
	(void)snprintf(remaining, sizeof remaining, "Some resources are remaining: %s",
		       s->what.p != NULL ? s->what.p : "");
	(void)snprintf(held, sizeof held, "Some content in the namespace has finalizers remaining: %s",
		       s->held.p != NULL ? s->held.p : "");
	json_t *a = condition(ns, "NamespaceContentRemaining", true, "SomeResourcesRemain", remaining);
	json_t *b = s->held.n > 0 ? condition(ns, "NamespaceFinalizersRemaining", true, "SomeFinalizersRemain", held)
				  : condition(ns, "NamespaceFinalizersRemaining", false, "ContentHasNoFinalizers",
					      "All content-preserving finalizers finished");
	json_t *status = json_pack("{s:[o, o]}", "conditions", a, b);
	return workload_patch_status(w, &KUBE_NAMESPACE, ns, status, err);
}

static int finalize(struct workload *w, const char *name, struct error *err)
{
	JSON_AUTO ns = NULL;
	int rc = kube_get(w->client, &KUBE_NAMESPACE, "", name, &ns, err);
	if (rc < 0)
		return rc;
	JSON_AUTO left = json_array();
	size_t i;
	json_t *f;
	json_array_foreach (json_at(ns, "spec.finalizers"), i, f) {
		if (!str_same(json_string_value(f), FINALIZER) && json_array_append(left, f) < 0)
			return error_set(err, -ENOMEM, "namespace %s: out of memory", name);
	}
	if (json_put(ns, "spec.finalizers", json_incref(left)) < 0)
		return error_set(err, -ENOMEM, "namespace %s: out of memory", name);
	return kube_update(w->client, &KUBE_NAMESPACE, "", name, "finalize", ns, NULL, err);
}

static bool awaits_us(const json_t *ns)
{
	size_t i;
	json_t *f;
	json_array_foreach (json_at(ns, "spec.finalizers"), i, f) {
		if (str_same(json_string_value(f), FINALIZER))
			return true;
	}
	return false;
}

static int reconcile(void *ctx, const char *unused, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	(void)unused;
	JSON_AUTO ns = informer_get(w->namespaces, "", name);
	if (ns == NULL || !obj_deleting(ns) || !awaits_us(ns))
		return 0;
	CLEANUP(sweep_clear)
	struct sweep s = {.w = w, .ns = name, .what = STRBUF_INIT(MESSAGE_MAX), .held = STRBUF_INIT(MESSAGE_MAX)};
	int rc = sweep_all(&s, err);
	if (rc == -EAGAIN) { /* discovery is under way */
		ret->requeue_after_ns = 200 * NSEC_PER_MSEC;
		return 0;
	}
	if (rc < 0)
		return rc;
	/* the end of what is left brings us back: the collector watches it all */
	rc = s.left > 0 ? say_what_is_left(w, ns, &s, err) : finalize(w, name, err);
	return rc == -ENOENT ? 0 : rc;
}

int workload_add_namespace(struct workload *w, struct error *err)
{
	const struct controller_options o = {.name = "namespace", .reconcile = reconcile, .ctx = w};
	int rc = controller_new(w->manager, &o, &w->namespace_queue, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(w->namespace_queue, &KUBE_NAMESPACE);
	return rc == 0 ? 0 : error_set(err, rc, "namespace controller: out of memory");
}
