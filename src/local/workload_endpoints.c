/* Endpoints: for each Service with a selector, the addresses of its pods, ready ones apart from the others. */
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
#include "json/selector.h"

#define ADDRESSES_MAX 1000 /* as Kubernetes: more are left out */

static bool selects(const json_t *service, const json_t *pod)
{
	const char *key;
	json_t *v;
	const json_t *selector = json_at(service, "spec.selector");
	json_object_foreach ((json_t *)selector, key, v) {
		if (!str_same(obj_label(pod, key), json_string_value(v)) || json_string_value(v) == NULL)
			return false;
	}
	return json_object_size(selector) > 0;
}

/* --- ports --- */

static int64_t named_port(const json_t *pod, const char *name, const char *protocol)
{
	size_t i, k;
	json_t *c, *p;
	json_array_foreach (json_at(pod, "spec.containers"), i, c) {
		json_array_foreach (json_object_get(c, "ports"), k, p) {
			if (str_same(json_str(p, "name", NULL), name) &&
			    strcmp(json_str(p, "protocol", "TCP"), protocol) == 0)
				return json_int(p, "containerPort", 0);
		}
	}
	return 0;
}

/* The number behind a service port on this pod; 0: the pod has no port of that name. */
static int64_t target_port(const json_t *port, const json_t *pod)
{
	const json_t *target = json_object_get(port, "targetPort");
	if (json_is_integer(target) && json_integer_value(target) > 0)
		return json_integer_value(target);
	if (json_is_string(target) && json_string_value(target)[0] != '\0')
		return named_port(pod, json_string_value(target), json_str(port, "protocol", "TCP"));
	return json_int(port, "port", 0);
}

/* EndpointPorts of @service on @pod; NULL on no memory. */
static json_t *ports_on(const json_t *service, const json_t *pod)
{
	JSON_AUTO list = json_array();
	size_t i;
	json_t *port;
	json_array_foreach (json_at(service, "spec.ports"), i, port) {
		const int64_t number = target_port(port, pod);
		const char *name = json_str(port, "name", "");
		if (number == 0)
			continue;
		JSON_AUTO p = json_pack("{s:I, s:s}", "port", (json_int_t)number, "protocol",
					json_str(port, "protocol", "TCP"));
		if (p == NULL || (name[0] != '\0' && json_object_set_new(p, "name", json_string(name)) < 0) ||
		    json_array_append(list, p) < 0)
			return NULL;
	}
	return TAKE(list);
}

/* --- addresses --- */

static json_t *address_of(const json_t *service, const json_t *pod)
{
	JSON_AUTO a = json_pack("{s:s, s:s, s:{s:s, s:s, s:s, s:s}}", "ip", json_str(pod, "status.podIP", ""),
				"nodeName", json_str(pod, "spec.nodeName", ""), "targetRef", "kind", "Pod", "namespace",
				obj_namespace(pod), "name", obj_name(pod), "uid", obj_uid(pod));
	const char *host = json_str(pod, "spec.hostname", "");
	const bool named = host[0] != '\0' && strcmp(json_str(pod, "spec.subdomain", ""), obj_name(service)) == 0;
	if (a == NULL || (named && json_object_set_new(a, "hostname", json_string(host)) < 0))
		return NULL;
	return TAKE(a);
}

/* The subset with these ports, made when it is not there yet. Borrowed; NULL on no memory. */
static json_t *subset_for(json_t *subsets, const json_t *ports)
{
	size_t i;
	json_t *s;
	json_array_foreach (subsets, i, s) {
		const json_t *have = json_object_get(s, "ports");
		if (have == NULL ? json_array_size(ports) == 0 : json_same(have, ports))
			return s;
	}
	s = json_object();
	if (json_array_size(ports) > 0 && json_object_set(s, "ports", (json_t *)ports) < 0) {
		json_decref(s);
		return NULL;
	}
	return json_array_append_new(subsets, s) == 0 ? s : NULL;
}

static int add_pod(json_t *subsets, const json_t *service, const json_t *pod)
{
	const bool headless = strcmp(json_str(service, "spec.clusterIP", ""), "None") == 0;
	JSON_AUTO ports = ports_on(service, pod);
	if (ports == NULL)
		return -ENOMEM;
	if (json_array_size(ports) == 0 && !(headless && json_array_size(json_at(service, "spec.ports")) == 0))
		return 0; /* nothing of it can be reached */
	json_t *subset = subset_for(subsets, ports);
	JSON_AUTO address = address_of(service, pod);
	const bool ready = pod_ready(pod) || json_bool(service, "spec.publishNotReadyAddresses", false);
	if (subset == NULL || address == NULL)
		return -ENOMEM;
	const char *list = ready ? "addresses" : "notReadyAddresses";
	if (json_array_size(json_object_get(subset, list)) >= ADDRESSES_MAX)
		return 0;
	return json_push(subset, list, TAKE(address));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(obj_name(*(json_t *const *)a), obj_name(*(json_t *const *)b));
}

/* The subsets of @service from @pods in the order of their names, so that nothing changes when nothing changes. NULL on no memory. */
static json_t *subsets_of(const json_t *service, const json_t *pods)
{
	JSON_AUTO subsets = json_array();
	const size_t n = json_array_size(pods);
	CLEANUP(free_p) json_t **sorted = calloc(n + 1, sizeof(json_t *));
	if (subsets == NULL || sorted == NULL)
		return NULL;
	for (size_t i = 0; i < n; i++)
		sorted[i] = json_array_get(pods, i);
	qsort(sorted, n, sizeof(json_t *), by_name);
	for (size_t i = 0; i < n; i++) {
		const json_t *pod = sorted[i];
		if (!selects(service, pod) || pod_finished(pod) || json_str(pod, "status.podIP", "")[0] == '\0')
			continue;
		if (obj_deleting(pod) && !json_bool(service, "spec.publishNotReadyAddresses", false))
			continue;
		if (add_pod(subsets, service, pod) < 0)
			return NULL;
	}
	return TAKE(subsets);
}

/* --- writing --- */

static json_t *endpoints_object(const json_t *service, json_t *subsets)
{
	JSON_AUTO ep = json_pack("{s:s, s:s, s:{s:s, s:s}, s:O}", "apiVersion", "v1", "kind", "Endpoints", "metadata",
				 "name", obj_name(service), "namespace", obj_namespace(service), "subsets", subsets);
	const json_t *labels = json_at(service, "metadata.labels");
	JSON_AUTO mine = json_is_object(labels) ? json_deep_copy(labels) : json_object();
	if (ep == NULL || mine == NULL)
		return NULL;
	if (strcmp(json_str(service, "spec.clusterIP", ""), "None") == 0 &&
	    json_object_set_new(mine, "service.kubernetes.io/headless", json_string("")) < 0)
		return NULL;
	return json_object_set(json_object_get(ep, "metadata"), "labels", mine) == 0 ? TAKE(ep) : NULL;
}

static bool up_to_date(const json_t *have, const json_t *want)
{
	const json_t *a = json_object_get(have, "subsets"), *b = json_object_get(want, "subsets");
	const json_t *la = json_at(have, "metadata.labels"), *lb = json_at(want, "metadata.labels");
	const bool same_labels =
		json_object_size(la) == json_object_size(lb) && (json_object_size(la) == 0 || json_same(la, lb));
	return same_labels && json_array_size(a) == json_array_size(b) && (json_array_size(a) == 0 || json_same(a, b));
}

/* In a merge patch null takes away. */
static int drop_old_labels(json_t *want, const json_t *have)
{
	json_t *labels = json_at(want, "metadata.labels");
	const char *key;
	json_t *v;
	json_object_foreach (json_at(have, "metadata.labels"), key, v) {
		if (json_object_get(labels, key) == NULL && json_object_set_new(labels, key, json_null()) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int write_endpoints(struct workload *w, const json_t *service, json_t *subsets, struct error *err)
{
	JSON_AUTO want = endpoints_object(service, subsets);
	JSON_AUTO have = informer_get(w->endpoints, obj_namespace(service), obj_name(service));
	if (want == NULL)
		return error_set(err, -ENOMEM, "endpoints of %s: out of memory", obj_name(service));
	if (have != NULL && up_to_date(have, want))
		return 0;
	if (have == NULL) {
		int rc = kube_create(w->client, &KUBE_ENDPOINTS, obj_namespace(service), want, NULL, err);
		return rc == -EPERM ? 0 : rc == -EEXIST ? -ESTALE : rc; /* the namespace ends, or the cache is late */
	}
	if (drop_old_labels(want, have) < 0)
		return error_set(err, -ENOMEM, "endpoints of %s: out of memory", obj_name(service));
	return kube_patch(w->client, &KUBE_ENDPOINTS, obj_namespace(service), obj_name(service), NULL, KUBE_PATCH_MERGE,
			  want, NULL, err);
}

static int reconcile(void *ctx, const char *ns, const char *name, struct reconcile_result *ret, struct error *err)
{
	struct workload *w = ctx;
	(void)ret;
	JSON_AUTO service = informer_get(w->services, ns, name);
	if (service == NULL) {
		JSON_AUTO left = informer_get(w->endpoints, ns, name);
		int rc = left != NULL ? kube_delete(w->client, &KUBE_ENDPOINTS, ns, name, NULL, err) : 0;
		return rc == -ENOENT ? 0 : rc;
	}
	if (json_object_size(json_at(service, "spec.selector")) == 0 || obj_deleting(service))
		return 0; /* somebody else writes them */
	JSON_AUTO pods = informer_list(w->pods, ns);
	JSON_AUTO subsets = pods != NULL ? subsets_of(service, pods) : NULL;
	if (subsets == NULL)
		return error_set(err, -ENOMEM, "endpoints of %s: out of memory", name);
	return write_endpoints(w, service, subsets, err);
}

static void on_pod(void *ctx, struct controller *c, const json_t *pod)
{
	struct workload *w = ctx;
	JSON_AUTO services = informer_list(w->services, obj_namespace(pod));
	size_t i;
	json_t *s;
	json_array_foreach (services, i, s) {
		if (selects(s, pod))
			controller_enqueue(c, obj_namespace(s), obj_name(s));
	}
}

int workload_add_endpoints(struct workload *w, struct error *err)
{
	struct controller *c = NULL;
	const struct controller_options o = {.name = "endpoints", .reconcile = reconcile, .ctx = w};
	int rc = controller_new(w->manager, &o, &c, err);
	if (rc < 0)
		return rc;
	rc = controller_watch(c, &KUBE_SERVICE);
	if (rc == 0)
		rc = controller_watch_mapped(c, &KUBE_POD, on_pod, w);
	return rc == 0 ? 0 : error_set(err, rc, "endpoints controller: out of memory");
}
