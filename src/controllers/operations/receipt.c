/*
 * What the pods of a loader print: lines of JSON, "progress" while they run and one "receipt" at the end. Their figures become status.infos,
 * summed over the pods, of which each has a worker of its own.
 */
#include "controllers/operations/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "runtime/objects.h"
#include "json/json.h"

#define LINE_MAX_BYTES (512u * 1024)
#define PODS_MAX       64
#define FAILURES_BYTES (8u * 1024) /* of status.infos, which everybody's caches keep */

static const char *const figures[] = {"filesListed",  "bytesListed",  "filesLoaded", "bytesLoaded",
				      "filesSkipped", "bytesSkipped", "filesFailed"};
static const char *const texts[] = {"version", "reason"};

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "receipt: out of memory");
}

/* "path: reason" a line, as many as there is room for. */
static int add_failures(const json_t *receipts, json_t *infos)
{
	struct strbuf b = STRBUF_INIT(FAILURES_BYTES);
	size_t i, k;
	json_t *r, *f;
	json_array_foreach (receipts, i, r)
		json_array_foreach (json_object_get(r, "failures"), k, f) {
			const size_t n = strlen(json_str(f, "path", "")) + strlen(json_str(f, "reason", "")) + 3;
			if (b.n + n < FAILURES_BYTES)
				strbuf_addf(&b, "%s%s: %s", b.n > 0 ? "\n" : "", json_str(f, "path", ""),
					    json_str(f, "reason", ""));
		}
	const int rc =
		b.failed || (b.n > 0 && json_object_set_new(infos, "failures", json_string(b.p)) < 0) ? -ENOMEM : 0;
	strbuf_clear(&b);
	return rc;
}

int operation_infos_of(const json_t *receipts, json_t **ret, struct error *err)
{
	JSON_AUTO infos = json_object();
	size_t i;
	json_t *r;
	for (size_t k = 0; k < ARRAY_LEN(figures); k++) {
		json_int_t sum = 0;
		bool any = false;
		char text[24];
		json_array_foreach (receipts, i, r) {
			const json_t *v = json_object_get(r, figures[k]);
			any = any || json_is_integer(v);
			if (__builtin_add_overflow(sum, json_integer_value(v), &sum))
				return error_set(err, -EINVAL, "receipt: %s is no number of files or bytes",
						 figures[k]);
		}
		(void)snprintf(text, sizeof text, "%lld", (long long)sum); /* at most 20 characters */
		if (any && json_object_set_new(infos, figures[k], json_string(text)) < 0)
			return no_memory(err);
	}
	for (size_t k = 0; k < ARRAY_LEN(texts); k++)
		json_array_foreach (receipts, i, r) {
			json_t *v = json_object_get(r, texts[k]);
			if (json_is_string(v) && json_object_get(infos, texts[k]) == NULL &&
			    json_object_set(infos, texts[k], v) < 0)
				return no_memory(err);
		}
	if (add_failures(receipts, infos) < 0)
		return no_memory(err);
	*ret = TAKE(infos);
	return 0;
}

/* Whose last line counts: those that run, or that ended well; of a Job that failed the last pod that did. New array of names. */
static json_t *pods_that_count(const struct operation_pass *p, const json_t *job, bool done)
{
	JSON_AUTO pods = p->api->list(p->api->ctx, &KUBE_POD, p->ns, LABEL_RELEASE, p->release);
	JSON_AUTO names = json_array();
	const json_t *failed = NULL;
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod) {
		const char *phase = json_str(pod, "status.phase", "");
		if (!str_same(json_str(obj_controller_ref(pod), "uid", NULL), obj_uid(job)))
			continue;
		if (strcmp(phase, "Failed") == 0 &&
		    (failed == NULL || strcmp(json_str(pod, "metadata.creationTimestamp", ""),
					      json_str(failed, "metadata.creationTimestamp", "")) >= 0))
			failed = pod;
		if ((strcmp(phase, "Succeeded") == 0 || (!done && strcmp(phase, "Running") == 0)) &&
		    json_array_size(names) < PODS_MAX && json_array_append_new(names, json_string(obj_name(pod))) < 0)
			return NULL;
	}
	if (done && json_array_size(names) == 0 && failed != NULL &&
	    json_array_append_new(names, json_string(obj_name(failed))) < 0)
		return NULL;
	return TAKE(names);
}

int operation_read_receipt(struct operation_pass *p, const json_t *job, bool done, struct error *err)
{
	if (!p->k->has_receipt || p->api->last_line == NULL)
		return 0;
	JSON_AUTO names = pods_that_count(p, job, done);
	JSON_AUTO receipts = json_array();
	if (names == NULL || receipts == NULL)
		return no_memory(err);
	size_t i;
	json_t *name;
	json_array_foreach (names, i, name) {
		CLEANUP(free_p) char *line = NULL;
		JSON_AUTO r = NULL;
		/* a pod that is gone, or a loader that prints something else: nothing is known */
		if (p->api->last_line(p->api->ctx, p->ns, json_string_value(name), LINE_MAX_BYTES, &line, NULL) == 0 &&
		    json_parse(line, strlen(line), &r, NULL) == 0 && json_is_object(r) &&
		    json_array_append(receipts, r) < 0)
			return no_memory(err);
	}
	JSON_AUTO infos = NULL;
	if (json_array_size(receipts) == 0 || operation_infos_of(receipts, &infos, NULL) < 0)
		return 0;
	return json_object_set(p->status, "infos", infos) < 0 ? no_memory(err) : 0;
}
