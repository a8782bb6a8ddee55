/* Pods: defaults that depend on other members, quality of service, and what of a pod may change. */
#include <string.h>

#include "api/schema.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "local/api_strategy.h"
#include "json/json.h"
#include "json/quantity.h"

/** "latest", or no tag and no digest, is pulled always. */
static const char *pull_policy(const char *image)
{
	const char *slash = strrchr(image, '/');
	const char *name = slash != NULL ? slash + 1 : image;
	if (strchr(name, '@') != NULL)
		return "IfNotPresent";
	const char *colon = strchr(name, ':');
	return colon == NULL || strcmp(colon, ":latest") == 0 ? "Always" : "IfNotPresent";
}

static int default_requests(json_t *c)
{
	const char *key;
	json_t *v;
	json_object_foreach (json_at(c, "resources.limits"), key, v) {
		json_t *requests = json_at(c, "resources.requests");
		if (!json_is_object(requests) && json_put(c, "resources.requests", json_object()) < 0)
			return -ENOMEM;
		requests = json_at(c, "resources.requests");
		if (json_object_get(requests, key) == NULL && json_object_set(requests, key, v) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int container_default(json_t *c, bool host_network)
{
	int rc = 0;
	if (json_object_get(c, "imagePullPolicy") == NULL)
		rc |= json_put_str(c, "imagePullPolicy", pull_policy(json_str(c, "image", "")));
	size_t i;
	json_t *port;
	json_array_foreach (json_object_get(c, "ports"), i, port)
		if (host_network && json_object_get(port, "hostPort") == NULL &&
		    json_object_get(port, "containerPort") != NULL)
			rc |= json_object_set(port, "hostPort", json_object_get(port, "containerPort"));
	rc |= default_requests(c);
	return rc == 0 ? 0 : -ENOMEM;
}

int api_pod_spec_default(json_t *spec)
{
	static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
	bool host_network = json_bool(spec, "hostNetwork", false);
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		size_t i;
		json_t *c;
		json_array_foreach (json_object_get(spec, lists[l]), i, c)
			if (container_default(c, host_network) < 0)
				return -ENOMEM;
	}
	/* The two names of one field agree. */
	const char *name = json_str(spec, "serviceAccountName", ""), *old = json_str(spec, "serviceAccount", "");
	int rc = 0;
	if (name[0] != '\0' && strcmp(name, old) != 0)
		rc |= json_put_str(spec, "serviceAccount", name);
	if (name[0] == '\0' && old[0] != '\0')
		rc |= json_put_str(spec, "serviceAccountName", old);
	return rc == 0 ? 0 : -ENOMEM;
}

static int add_toleration(json_t *spec, const char *key)
{
	size_t i;
	json_t *t;
	json_array_foreach (json_object_get(spec, "tolerations"), i, t) {
		const char *k = json_str(t, "key", ""), *effect = json_str(t, "effect", "");
		bool all = k[0] == '\0' && strcmp(json_str(t, "operator", ""), "Exists") == 0;
		if ((all || strcmp(k, key) == 0) && (effect[0] == '\0' || strcmp(effect, "NoExecute") == 0))
			return 0;
	}
	return json_push(spec, "tolerations",
			 json_pack("{s:s, s:s, s:s, s:i}", "key", key, "operator", "Exists", "effect", "NoExecute",
				   "tolerationSeconds", 300));
}

/* No token is mounted here: pods reach the API only with what they are given. */
int api_pod_create(struct api_request *r, json_t *pod)
{
	json_t *spec = json_object_get(pod, "spec");
	if (!json_is_object(spec))
		return 0;
	int rc = 0;
	if (json_str(spec, "serviceAccountName", "")[0] == '\0' && json_str(spec, "serviceAccount", "")[0] == '\0') {
		rc |= json_put_str(spec, "serviceAccountName", "default");
		rc |= json_put_str(spec, "serviceAccount", "default");
	}
	rc |= add_toleration(spec, "node.kubernetes.io/not-ready");
	rc |= add_toleration(spec, "node.kubernetes.io/unreachable");
	if (json_object_get(spec, "enableServiceLinks") == NULL)
		rc |= json_put_bool(spec, "enableServiceLinks", true);
	return rc == 0 ? api_pod_priority(r, pod) : api_fail_memory(r);
}

/** Whether @c says @what of cpu and memory: 0 nothing, 1 some, 2 both with requests equal to limits. */
static int container_class(const json_t *c)
{
	static const char *const names[] = {"cpu", "memory"};
	int equal = 0, some = 0;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *limit = json_string_value(json_object_get(json_at(c, "resources.limits"), names[i]));
		const char *request = json_string_value(json_object_get(json_at(c, "resources.requests"), names[i]));
		int64_t x = 0;
		some += limit != NULL || request != NULL;
		bool valid = limit != NULL && request != NULL && quantity_parse_milli(limit, &x, NULL) == 0 &&
			     quantity_parse_milli(request, &x, NULL) == 0;
		equal += valid && quantity_compare(limit, request) == 0;
	}
	return equal == 2 ? 2 : some > 0;
}

const char *api_pod_qos(const json_t *spec)
{
	static const char *const lists[] = {"initContainers", "containers"};
	bool guaranteed = true, best_effort = true;
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		size_t i;
		json_t *c;
		json_array_foreach (json_object_get(spec, lists[l]), i, c) {
			int class = container_class(c);
			guaranteed &= class == 2;
			best_effort &= class == 0;
		}
	}
	return best_effort ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

static void check_mounts(const json_t *spec, const json_t *container, const char *path, struct violations *vs)
{
	size_t i;
	json_t *m;
	json_array_foreach (json_object_get(container, "volumeMounts"), i, m) {
		const char *name = json_str(m, "name", "");
		size_t k;
		json_t *v;
		bool found = false;
		json_array_foreach (json_object_get(spec, "volumes"), k, v)
			found |= strcmp(json_str(v, "name", ""), name) == 0;
		CLEANUP(free_p) char *at = str_printf("%s.volumeMounts[%zu].name", path, i);
		if (!found && at != NULL)
			violation_add(vs, at, "FieldValueNotFound", "Not found: \"%s\"", name);
	}
}

static void new_pod_validate(const json_t *spec, struct violations *vs)
{
	static const char *const lists[] = {"initContainers", "containers"};
	if (json_array_size(json_object_get(spec, "containers")) == 0)
		violation_add(vs, "spec.containers", "FieldValueRequired", "Required value");
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		size_t i;
		json_t *c;
		json_array_foreach (json_object_get(spec, lists[l]), i, c) {
			CLEANUP(free_p) char *path = str_printf("spec.%s[%zu]", lists[l], i);
			if (path == NULL)
				return;
			CLEANUP(free_p) char *image = str_printf("%s.image", path);
			if (json_str(c, "image", "")[0] == '\0' && image != NULL)
				violation_add(vs, image, "FieldValueRequired", "Required value");
			check_mounts(spec, c, path, vs);
		}
	}
}

/** A pod's spec without what may change. */
static json_t *fixed_part(const json_t *spec)
{
	static const char *const lists[] = {"initContainers", "containers"};
	json_t *s = json_deep_copy(spec);
	for (size_t l = 0; l < ARRAY_LEN(lists) && s != NULL; l++) {
		size_t i;
		json_t *c;
		json_array_foreach (json_object_get(s, lists[l]), i, c)
			(void)json_object_del(c, "image");
	}
	static const char *const free_members[] = {"activeDeadlineSeconds", "tolerations",
						   "terminationGracePeriodSeconds", "schedulingGates",
						   "ephemeralContainers"};
	for (size_t i = 0; i < ARRAY_LEN(free_members) && s != NULL; i++)
		(void)json_object_del(s, free_members[i]);
	return s;
}

void api_pod_validate(const json_t *old, const json_t *pod, struct violations *vs)
{
	if (old == NULL) {
		new_pod_validate(json_object_get(pod, "spec"), vs);
		return;
	}
	JSON_AUTO a = fixed_part(json_object_get(old, "spec"));
	JSON_AUTO b = fixed_part(json_object_get(pod, "spec"));
	if (a != NULL && b != NULL && !json_same(a, b))
		violation_add(
			vs, "spec", "FieldValueForbidden",
			"Forbidden: pod updates may not change fields other than "
			"`spec.containers[*].image`,`spec.initContainers[*].image`,"
			"`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
			"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)");
}
