#include "local/workload_crowd.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/workload_pods.h"
#include "local/workload_private.h"
#include "json/json.h"

#define CREATE_MAX   500
#define NUMBERS_MAX  100000
#define POD_NAME_MAX 64

/* ---- names ---- */

/** "OWNER-x7k2p", of the owner's uid and a number. */
static void pod_name(const json_t *owner, size_t number, char out[static POD_NAME_MAX])
{
	char hash[16];
	JSON_AUTO seed = json_pack("[s, I]", obj_uid(owner), (json_int_t)number);
	template_hash(seed, hash);
	(void)snprintf(out, POD_NAME_MAX, "%.57s-%.5s", obj_name(owner),
		       hash); /* a host's name has at most 63 characters */
}

/** The names in use, as an object of true. NULL on no memory. */
static json_t *names_of(const json_t *pods)
{
	json_t *names = json_object();
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod)
		if (json_object_set_new(names, obj_name(pod), json_true()) < 0) {
			json_decref(names);
			return NULL;
		}
	return names;
}

static int create_one(struct workload *w, const struct kube_resource *kind, const json_t *owner, const char *name,
		      struct error *err)
{
	JSON_AUTO pod = pod_from_template(kind, owner, name);
	if (pod == NULL)
		return error_set(err, -ENOMEM, "pod of %s %s: out of memory", kind->kind, obj_name(owner));
	int rc = kube_create(w->client, &KUBE_POD, obj_namespace(owner), pod, NULL, err);
	if (rc == -EEXIST)
		return 0; /* the cache is late */
	if (rc < 0)
		event_emit(w->events, owner, "Warning", "FailedCreate", "Error creating: %s",
			   err != NULL ? err->msg : strerror(-rc));
	else
		event_emit(w->events, owner, "Normal", "SuccessfulCreate", "Created pod: %s", name);
	return rc;
}

int crowd_create(struct workload *w, const struct kube_resource *kind, const json_t *owner, const json_t *pods,
		 size_t n, struct error *err)
{
	JSON_AUTO names = names_of(pods);
	if (names == NULL)
		return error_set(err, -ENOMEM, "pods of %s %s: out of memory", kind->kind, obj_name(owner));
	if (n > CREATE_MAX)
		n = CREATE_MAX;
	int rc = 0;
	for (size_t number = 0; n > 0 && rc == 0 && number < NUMBERS_MAX; number++) {
		char name[POD_NAME_MAX];
		pod_name(owner, number, name);
		if (json_object_get(names, name) != NULL)
			continue;
		rc = create_one(w, kind, owner, name, err);
		(void)json_object_set_new(names, name, json_true()); /* without memory the server refuses the name */
		n--;
	}
	return rc;
}

/* ---- ends ---- */

int crowd_delete(struct workload *w, const json_t *owner, const json_t *pod, struct error *err)
{
	const struct kube_delete_options o = {.grace_seconds = -1, .uid = obj_uid(pod)};
	int rc = kube_delete(w->client, &KUBE_POD, obj_namespace(pod), obj_name(pod), &o, err);
	if (rc == -ENOENT || rc == -ESTALE)
		return 0; /* gone, or another one by now */
	if (rc < 0)
		event_emit(w->events, owner, "Warning", "FailedDelete", "Error deleting: %s",
			   err != NULL ? err->msg : strerror(-rc));
	else
		event_emit(w->events, owner, "Normal", "SuccessfulDelete", "Deleted pod: %s", obj_name(pod));
	return rc;
}

/** How great a loss the pod would be: without a node, not running, not ready come first. */
static int worth(const json_t *pod)
{
	int w = json_str(pod, "spec.nodeName", "")[0] != '\0' ? 4 : 0;
	w += strcmp(json_str(pod, "status.phase", ""), "Running") == 0 ? 2 : 0;
	return w + (pod_ready(pod) ? 1 : 0);
}

static int by_worth(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	int d = worth(x) - worth(y);
	if (d == 0) /* of equals the younger one goes */
		d = strcmp(json_str(y, "metadata.creationTimestamp", ""),
			   json_str(x, "metadata.creationTimestamp", ""));
	return d != 0 ? d : strcmp(obj_name(x), obj_name(y));
}

int crowd_shrink(struct workload *w, const json_t *owner, const json_t *pods, size_t n, struct error *err)
{
	size_t all = json_array_size(pods);
	CLEANUP(free_p) json_t **list = calloc(all + 1, sizeof(json_t *));
	if (list == NULL)
		return error_set(err, -ENOMEM, "pods of %s: out of memory", obj_name(owner));
	for (size_t i = 0; i < all; i++)
		list[i] = json_array_get(pods, i);
	qsort(list, all, sizeof *list, by_worth);
	int rc = 0;
	for (size_t i = 0; i < n && i < all && rc == 0; i++)
		rc = crowd_delete(w, owner, list[i], err);
	return rc;
}
