#include "local/workload_placement.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "kube/client.h"
#include "json/json.h"
#include "json/selector.h"

#define HOSTNAME "kubernetes.io/hostname"

/* --- node selector and node affinity --- */

static bool in_values(const json_t *values, const char *v)
{
	size_t i;
	json_t *s;
	json_array_foreach (values, i, s) {
		if (str_same(json_string_value(s), v))
			return true;
	}
	return false;
}

/* Gt and Lt compare integers; anything else does not match. */
static bool ordered(const json_t *values, const char *have, bool greater)
{
	int64_t a, b;
	const char *want = json_string_value(json_array_get(values, 0));
	if (have == NULL || want == NULL || str_to_i64(have, &a) < 0 || str_to_i64(want, &b) < 0)
		return false;
	return greater ? a > b : a < b;
}

/* One NodeSelectorRequirement against a value (NULL: there is none). */
static bool requirement_holds(const json_t *req, const char *have)
{
	const char *op = json_str(req, "operator", "");
	const json_t *values = json_object_get(req, "values");
	if (strcmp(op, "In") == 0)
		return have != NULL && in_values(values, have);
	if (strcmp(op, "NotIn") == 0)
		return have == NULL || !in_values(values, have);
	if (strcmp(op, "Exists") == 0)
		return have != NULL;
	if (strcmp(op, "DoesNotExist") == 0)
		return have == NULL;
	if (strcmp(op, "Gt") == 0)
		return ordered(values, have, true);
	return strcmp(op, "Lt") == 0 && ordered(values, have, false);
}

static bool term_holds(const json_t *term, const json_t *node)
{
	const json_t *exprs = json_object_get(term, "matchExpressions"), *fields = json_object_get(term, "matchFields");
	size_t i;
	json_t *req;
	if (json_array_size(exprs) + json_array_size(fields) == 0)
		return false; /* an empty term matches no node */
	json_array_foreach (exprs, i, req) {
		if (!requirement_holds(req, obj_label(node, json_str(req, "key", ""))))
			return false;
	}
	json_array_foreach (fields, i, req) {
		const bool by_name = strcmp(json_str(req, "key", ""), "metadata.name") == 0;
		if (!by_name || !requirement_holds(req, obj_name(node)))
			return false;
	}
	return true;
}

bool placement_selects(const json_t *pod_spec, const json_t *node)
{
	const char *key;
	json_t *want, *term;
	size_t i;
	json_object_foreach (json_object_get(pod_spec, "nodeSelector"), key, want) {
		const char *have = obj_label(node, key);
		if (have == NULL || !str_same(have, json_string_value(want)))
			return false;
	}
	const json_t *required =
		json_at(pod_spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution");
	if (!json_is_object(required))
		return true;
	json_array_foreach (json_object_get(required, "nodeSelectorTerms"), i, term) {
		if (term_holds(term, node))
			return true;
	}
	return false;
}

/* --- taints --- */

bool placement_tolerates(const json_t *toleration, const json_t *taint)
{
	const char *effect = json_str(toleration, "effect", ""), *key = json_str(toleration, "key", "");
	const char *op = json_str(toleration, "operator", "");
	if (effect[0] != '\0' && strcmp(effect, json_str(taint, "effect", "")) != 0)
		return false;
	if (key[0] != '\0' && strcmp(key, json_str(taint, "key", "")) != 0)
		return false;
	if (strcmp(op, "Exists") == 0)
		return true;
	if (key[0] == '\0' || (op[0] != '\0' && strcmp(op, "Equal") != 0))
		return false;
	return strcmp(json_str(toleration, "value", ""), json_str(taint, "value", "")) == 0;
}

static unsigned effect_of(const json_t *taint)
{
	const char *e = json_str(taint, "effect", "");
	return strcmp(e, "NoSchedule") == 0 ? TAINT_NO_SCHEDULE : strcmp(e, "NoExecute") == 0 ? TAINT_NO_EXECUTE : 0;
}

const json_t *placement_untolerated(const json_t *pod_spec, const json_t *node, unsigned effects)
{
	size_t i, k;
	json_t *taint, *toleration;
	json_array_foreach (json_at(node, "spec.taints"), i, taint) {
		bool tolerated = (effect_of(taint) & effects) == 0;
		json_array_foreach (json_object_get(pod_spec, "tolerations"), k, toleration) {
			tolerated = tolerated || placement_tolerates(toleration, taint);
		}
		if (!tolerated)
			return taint;
	}
	return NULL;
}

/* --- pod anti-affinity --- */

static const json_t *anti_terms(const json_t *pod)
{
	return json_at(pod, "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution");
}

/* Whether the term of a pod in @own_ns speaks of pods in namespace @ns. namespaceSelector {} means all of them. */
static bool term_in_namespace(const json_t *term, const char *own_ns, const char *ns)
{
	const json_t *list = json_object_get(term, "namespaces"),
		     *selector = json_object_get(term, "namespaceSelector");
	if (json_is_object(selector) && json_object_size(selector) == 0)
		return true;
	if (json_array_size(list) > 0)
		return in_values(list, ns);
	return strcmp(own_ns, ns) == 0;
}

static bool term_hits(const json_t *term, const char *own_ns, const json_t *other)
{
	struct label_selector *sel = NULL;
	if (!term_in_namespace(term, own_ns, obj_namespace(other)) ||
	    label_selector_from_json(json_object_get(term, "labelSelector"), &sel, NULL) < 0)
		return false;
	const bool hit = label_selector_matches(sel, json_at(other, "metadata.labels"));
	label_selector_free(sel);
	return hit;
}

static bool repels(const json_t *from, const json_t *other, const char **ret_unknown)
{
	size_t i;
	json_t *term;
	json_array_foreach (anti_terms(from), i, term) {
		const char *topology = json_str(term, "topologyKey", "");
		if (strcmp(topology, HOSTNAME) != 0)
			*ret_unknown = topology;
		else if (other != NULL && term_hits(term, obj_namespace(from), other))
			return true;
	}
	return false;
}

bool placement_repelled(const json_t *pod, const json_t *there, const char **ret_unknown)
{
	const char *theirs = NULL;
	size_t i;
	json_t *other;
	*ret_unknown = NULL;
	(void)repels(pod, NULL, ret_unknown); /* only to learn of unknown topologies */
	json_array_foreach (there, i, other) {
		if (strcmp(obj_uid(other), obj_uid(pod)) == 0)
			continue;
		if (repels(pod, other, ret_unknown) || repels(other, pod, &theirs))
			return true;
	}
	return false;
}

/* --- host ports --- */

static bool clash(const json_t *a, const json_t *b)
{
	const char *ip_a = json_str(a, "hostIP", ""), *ip_b = json_str(b, "hostIP", "");
	const bool any =
		ip_a[0] == '\0' || ip_b[0] == '\0' || strcmp(ip_a, "0.0.0.0") == 0 || strcmp(ip_b, "0.0.0.0") == 0;
	return json_int(a, "hostPort", 0) > 0 && json_int(a, "hostPort", 0) == json_int(b, "hostPort", 0) &&
	       strcmp(json_str(a, "protocol", "TCP"), json_str(b, "protocol", "TCP")) == 0 &&
	       (any || strcmp(ip_a, ip_b) == 0);
}

static bool pod_uses(const json_t *pod, const json_t *port)
{
	size_t i, k;
	json_t *c, *p;
	json_array_foreach (json_at(pod, "spec.containers"), i, c) {
		json_array_foreach (json_object_get(c, "ports"), k, p) {
			if (clash(p, port))
				return true;
		}
	}
	return false;
}

static bool any_uses(const json_t *pods, const char *not_uid, const json_t *port)
{
	size_t i;
	json_t *pod;
	json_array_foreach (pods, i, pod) {
		if (strcmp(obj_uid(pod), not_uid) != 0 && pod_uses(pod, port))
			return true;
	}
	return false;
}

bool placement_ports_taken(const json_t *pod, const json_t *there)
{
	size_t i, k;
	json_t *c, *p;
	json_array_foreach (json_at(pod, "spec.containers"), i, c) {
		json_array_foreach (json_object_get(c, "ports"), k, p) {
			if (any_uses(there, obj_uid(pod), p))
				return true;
		}
	}
	return false;
}
