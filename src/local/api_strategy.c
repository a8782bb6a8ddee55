/* Built-in kinds: what the server sets, keeps and refuses. One row a kind; the order of calls is api_write.c's. */
#include "local/api_strategy.h"

#include <string.h>

#include "api/schema.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/str.h"
#include "local/api_internal.h"
#include "json/json.h"

#define CONFIG_MAX (1u << 20)

/* ---- secrets and config maps ---- */

/** stringData is written into data, encoded. */
static int secret_fill(json_t *obj, const json_t *old)
{
	(void)old;
	const char *key;
	json_t *v;
	json_object_foreach (json_object_get(obj, "stringData"), key, v) {
		if (!json_is_string(v))
			continue; /* validation names it */
		CLEANUP(free_p) char *text = base64_encode(json_string_value(v), json_string_length(v));
		json_t *data = json_object_get(obj, "data");
		if (!json_is_object(data)) {
			if (text == NULL || json_object_set_new(obj, "data", json_object()) < 0)
				return -ENOMEM;
			data = json_object_get(obj, "data");
		}
		if (text == NULL || json_object_set_new(data, key, json_string(text)) < 0)
			return -ENOMEM;
	}
	(void)json_object_del(obj, "stringData");
	if (json_str(obj, "type", "")[0] == '\0' && json_put_str(obj, "type", "Opaque") < 0)
		return -ENOMEM;
	return 0;
}

static bool config_key(const char *s)
{
	static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
	size_t n = strlen(s);
	return n > 0 && n <= 253 && strspn(s, set) == n && strcmp(s, ".") != 0 && !str_has_prefix(s, "..");
}

static void check_keys(const json_t *map, const char *path, struct violations *vs)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)map, key, v) {
		CLEANUP(free_p) char *at = str_printf("%s[%s]", path, key);
		if (!config_key(key) && at != NULL)
			violation_add(vs, at, "FieldValueInvalid",
				      "Invalid value: \"%s\": a valid config key must consist of alphanumeric "
				      "characters, '-', '_' or '.' (e.g. 'key.name', "
				      " or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')",
				      key);
	}
}

static void check_immutable(const json_t *old, const json_t *obj, const char *member, struct violations *vs)
{
	if (old != NULL && !json_same(json_object_get(old, member), json_object_get(obj, member)))
		violation_add(vs, member, "FieldValueForbidden",
			      "Forbidden: field is immutable when `immutable` is set");
}

/** Bytes of all values; base64 counts as what it stands for. */
static size_t data_bytes(const json_t *map, bool base64)
{
	size_t total = 0;
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)map, key, v)
		total += base64 ? json_string_length(v) / 4 * 3 : json_string_length(v);
	return total;
}

static void check_size(size_t bytes, const char *path, struct violations *vs)
{
	if (bytes > CONFIG_MAX)
		violation_add(vs, path, "FieldValueTooLong", "Too long: may not be more than %u bytes", CONFIG_MAX);
}

static void config_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	check_keys(json_object_get(obj, "data"), "data", vs);
	check_keys(json_object_get(obj, "binaryData"), "binaryData", vs);
	bool secret = strcmp(json_str(obj, "kind", ""), "Secret") == 0;
	check_size(data_bytes(json_object_get(obj, "data"), secret) +
			   data_bytes(json_object_get(obj, "binaryData"), true),
		   secret ? "data" : "", vs);
	if (!json_bool(old, "immutable", false))
		return;
	if (!json_bool(obj, "immutable", false))
		violation_add(vs, "immutable", "FieldValueForbidden",
			      "Forbidden: field is immutable when `immutable` is set");
	check_immutable(old, obj, "data", vs);
	check_immutable(old, obj, "binaryData", vs);
}

void api_check_same(const json_t *old, const json_t *obj, const char *path, struct violations *vs)
{
	json_t *a = json_at(old, path), *b = json_at(obj, path);
	if (old == NULL || (a == NULL && b == NULL) || (a != NULL && b != NULL && json_same(a, b)))
		return;
	CLEANUP(free_p) char *text = b != NULL ? json_to_text(b, NULL) : NULL;
	violation_add(vs, path, "FieldValueInvalid", "Invalid value: %s: field is immutable",
		      text != NULL ? text : "null");
}

/* ---- namespaces and nodes ---- */

static int namespace_create(struct api_request *r, json_t *obj)
{
	int rc = json_put(obj, "spec.finalizers", json_pack("[s]", "kubernetes"));
	json_t *labels = json_at(obj, "metadata.labels");
	if (rc == 0 && !json_is_object(labels))
		rc = json_put(obj, "metadata.labels", json_object());
	if (rc == 0)
		rc = json_object_set_new(json_at(obj, "metadata.labels"), "kubernetes.io/metadata.name",
					 json_string(json_str(obj, "metadata.name", "")));
	return rc == 0 ? 0 : api_fail_memory(r);
}

/** spec.finalizers change by /finalize alone. */
static int namespace_update(struct api_request *r, const json_t *old, json_t *obj)
{
	if (strcmp(r->sub, "finalize") == 0)
		return 0;
	json_t *spec = json_object_get(old, "spec");
	return spec == NULL || json_object_set_new(obj, "spec", json_deep_copy(spec)) == 0 ? 0 : api_fail_memory(r);
}

static int node_create(struct api_request *r, json_t *obj)
{
	json_t *taints = json_at(obj, "spec.taints");
	size_t i;
	json_t *t;
	json_array_foreach (taints, i, t)
		if (strcmp(json_str(t, "key", ""), "node.kubernetes.io/not-ready") == 0)
			return 0;
	json_t *taint = json_pack("{s:s, s:s}", "key", "node.kubernetes.io/not-ready", "effect", "NoSchedule");
	return json_push(obj, "spec.taints", taint) == 0 ? 0 : api_fail_memory(r);
}

/* ---- volumes ---- */

static int add_finalizer(struct api_request *r, json_t *obj, const char *name)
{
	size_t i;
	json_t *f;
	json_array_foreach (json_at(obj, "metadata.finalizers"), i, f)
		if (str_same(json_string_value(f), name))
			return 0;
	return json_push(obj, "metadata.finalizers", json_string(name)) == 0 ? 0 : api_fail_memory(r);
}

static int pvc_create(struct api_request *r, json_t *obj)
{
	return add_finalizer(r, obj, "kubernetes.io/pvc-protection");
}

static int pv_create(struct api_request *r, json_t *obj)
{
	return add_finalizer(r, obj, "kubernetes.io/pv-protection");
}

static void pvc_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	if (json_array_size(json_at(obj, "spec.accessModes")) == 0)
		violation_add(vs, "spec.accessModes", "FieldValueRequired",
			      "Required value: at least 1 access mode is required");
	if (json_at(obj, "spec.resources.requests.storage") == NULL)
		violation_add(vs, "spec.resources[storage]", "FieldValueRequired", "Required value");
	if (old == NULL)
		return;
	JSON_AUTO a = json_deep_copy(json_object_get(old, "spec"));
	JSON_AUTO b = json_deep_copy(json_object_get(obj, "spec"));
	json_drop(a, "resources.requests");
	json_drop(b, "resources.requests");
	if (json_at(a, "volumeName") == NULL) /* the binder sets it once, and the class with it */
		json_drop(b, "volumeName");
	if (json_at(a, "storageClassName") == NULL)
		json_drop(b, "storageClassName");
	if (!json_same(a, b))
		violation_add(vs, "spec", "FieldValueForbidden",
			      "Forbidden: spec is immutable after creation except resources.requests and "
			      "volumeAttributesClassName for bound claims");
}

static const char *const volume_sources[] = {"hostPath",
					     "csi",
					     "nfs",
					     "local",
					     "iscsi",
					     "fc",
					     "rbd",
					     "cephfs",
					     "glusterfs",
					     "azureFile",
					     "azureDisk",
					     "awsElasticBlockStore",
					     "gcePersistentDisk",
					     "cinder",
					     "flexVolume",
					     "flocker",
					     "photonPersistentDisk",
					     "portworxVolume",
					     "quobyte",
					     "scaleIO",
					     "storageos",
					     "vsphereVolume"};

static void pv_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	const json_t *spec = json_object_get(obj, "spec");
	size_t sources = 0;
	if (json_array_size(json_object_get(spec, "accessModes")) == 0)
		violation_add(vs, "spec.accessModes", "FieldValueRequired", "Required value");
	if (json_at(spec, "capacity.storage") == NULL)
		violation_add(vs, "spec.capacity", "FieldValueRequired", "Required value");
	for (size_t i = 0; i < ARRAY_LEN(volume_sources); i++) {
		const json_t *now = json_object_get(spec, volume_sources[i]);
		sources += now != NULL;
		const json_t *before = json_object_get(json_object_get(old, "spec"), volume_sources[i]);
		if (old != NULL && (now == NULL) != (before == NULL))
			violation_add(vs, "spec.persistentvolumesource", "FieldValueForbidden",
				      "Forbidden: spec.persistentvolumesource is immutable after creation");
		else if (old != NULL && now != NULL && !json_same(now, before))
			violation_add(vs, "spec.persistentvolumesource", "FieldValueForbidden",
				      "Forbidden: spec.persistentvolumesource is immutable after creation");
	}
	if (sources == 0)
		violation_add(vs, "spec", "FieldValueRequired", "Required value: must specify a volume type");
	if (sources > 1)
		violation_add(vs, "spec", "FieldValueForbidden", "Forbidden: may not specify more than 1 volume type");
	if (old != NULL)
		api_check_same(old, obj, "spec.volumeMode", vs);
}

static void class_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	static const char *const fixed[] = {"provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"};
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		api_check_same(old, obj, fixed[i], vs);
	if (json_str(obj, "provisioner", "")[0] == '\0')
		violation_add(vs, "provisioner", "FieldValueRequired", "Required value");
}

/* ---- services ---- */

static int service_fill(json_t *obj, const json_t *old)
{
	(void)old;
	size_t i;
	json_t *port;
	json_array_foreach (json_at(obj, "spec.ports"), i, port)
		if (json_object_get(port, "targetPort") == NULL && json_object_get(port, "port") != NULL &&
		    json_object_set(port, "targetPort", json_object_get(port, "port")) < 0)
			return -ENOMEM;
	const char *ip = json_str(obj, "spec.clusterIP", "");
	if (ip[0] != '\0' && json_array_size(json_at(obj, "spec.clusterIPs")) == 0)
		return json_put(obj, "spec.clusterIPs", json_pack("[s]", ip));
	return 0;
}

/** An update that says nothing of the address keeps it. */
static int service_update(struct api_request *r, const json_t *old, json_t *obj)
{
	static const char *const kept[] = {"clusterIP", "clusterIPs"};
	json_t *spec = json_object_get(obj, "spec");
	for (size_t i = 0; i < ARRAY_LEN(kept) && json_is_object(spec); i++) {
		json_t *v = json_object_get(json_object_get(old, "spec"), kept[i]);
		if (v != NULL && json_object_get(spec, kept[i]) == NULL && json_object_set(spec, kept[i], v) < 0)
			return api_fail_memory(r);
	}
	return 0;
}

static void service_validate(const json_t *old, const json_t *obj, struct violations *vs)
{
	const char *type = json_str(obj, "spec.type", "ClusterIP"), *ip = json_str(obj, "spec.clusterIP", "");
	json_t *ports = json_at(obj, "spec.ports");
	if (json_array_size(ports) == 0 && strcmp(type, "ExternalName") != 0 && strcmp(ip, "None") != 0)
		violation_add(vs, "spec.ports", "FieldValueRequired", "Required value");
	size_t i;
	json_t *port;
	json_array_foreach (ports, i, port) {
		CLEANUP(free_p) char *path = str_printf("spec.ports[%zu].name", i);
		if (json_array_size(ports) > 1 && json_str(port, "name", "")[0] == '\0' && path != NULL)
			violation_add(vs, path, "FieldValueRequired", "Required value");
	}
	const char *before = json_str(old, "spec.clusterIP", "");
	if (old != NULL && before[0] != '\0' && strcmp(type, "ExternalName") != 0 && strcmp(before, ip) != 0)
		violation_add(vs, "spec.clusterIPs[0]", "FieldValueInvalid",
			      "Invalid value: [\"%s\"]: may not change once set", ip);
}

/* ---- pods ---- */

static int pod_fill(json_t *pod, const json_t *old)
{
	json_t *spec = json_object_get(pod, "spec");
	if (!json_is_object(spec))
		return 0;
	int rc = api_pod_spec_default(spec);
	if (rc == 0 && old == NULL)
		rc = json_put_str(pod, "status.qosClass", api_pod_qos(spec));
	return rc;
}

static const struct api_strategy own[] = {
	{"", "configmaps", NULL, NULL, NULL, NULL, config_validate},
	{"", "secrets", NULL, NULL, NULL, secret_fill, config_validate},
	{"", "namespaces", "{\"phase\":\"Active\"}", namespace_create, namespace_update, NULL, NULL},
	{"", "nodes",
	 "{\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":0}},\"nodeInfo\":{\"machineID\":\"\",\"systemUUID\":\"\","
	 "\"bootID\":\"\",\"kernelVersion\":\"\","
	 "\"osImage\":\"\",\"containerRuntimeVersion\":\"\",\"kubeletVersion\":\"\",\"kubeProxyVersion\":\"\","
	 "\"operatingSystem\":\"\",\"architecture\":\"\"}}",
	 node_create, NULL, NULL, NULL},
	{"", "persistentvolumeclaims", "{\"phase\":\"Pending\"}", pvc_create, NULL, NULL, pvc_validate},
	{"", "persistentvolumes", "{\"phase\":\"Pending\"}", pv_create, NULL, NULL, pv_validate},
	{"", "services", "{\"loadBalancer\":{}}", api_service_create, service_update, service_fill, service_validate},
	{"", "pods", "{\"phase\":\"Pending\"}", api_pod_create, NULL, pod_fill, api_pod_validate},
	{"storage.k8s.io", "storageclasses", NULL, NULL, NULL, NULL, class_validate},
	{NULL},
};

static const struct api_strategy *const strategies[] = {own,
							api_workload_strategies,
							api_job_strategies,
							api_policy_strategies,
							api_admission_strategies,
							api_event_strategies};

static const struct api_strategy *find(const struct api_request *r)
{
	for (size_t i = 0; i < ARRAY_LEN(strategies) && !r->kind->custom; i++)
		for (const struct api_strategy *s = strategies[i]; s->plural != NULL; s++)
			if (strcmp(s->plural, r->plural) == 0 && strcmp(s->group, r->group) == 0)
				return s;
	return NULL;
}

/** Kinds with a spec have one, though it be empty: their fields have defaults. */
static int ensure_spec(struct api_request *r, json_t *obj)
{
	const struct field *f = r->kind->custom ? NULL : schema_field(r->kind->k->schema, "spec");
	if (f == NULL || f->schema->type != SCHEMA_OBJECT || json_object_get(obj, "spec") != NULL)
		return 0;
	return json_object_set_new(obj, "spec", json_object()) == 0 ? 0 : api_fail_memory(r);
}

int api_strategy_create(struct api_request *r, json_t *obj)
{
	const struct api_strategy *s = find(r);
	bool has_status = (r->kind->k->subresources & SUB_STATUS) != 0;
	if (!r->kind->custom && has_status)
		(void)json_object_del(obj, "status");
	if (s == NULL)
		return ensure_spec(r, obj);
	int rc = ensure_spec(r, obj);
	if (rc == 0 && s->status != NULL && json_object_set_new(obj, "status", json_loads(s->status, 0, NULL)) < 0)
		rc = api_fail_memory(r);
	return rc == 0 && s->create != NULL ? s->create(r, obj) : rc;
}

int api_strategy_update(struct api_request *r, const json_t *old, json_t *obj)
{
	const struct api_strategy *s = find(r);
	return s != NULL && s->update != NULL ? s->update(r, old, obj) : 0;
}

int api_strategy_default(const struct api_request *r, json_t *obj, const json_t *old)
{
	const struct api_strategy *s = find(r);
	return s != NULL && s->fill != NULL ? s->fill(obj, old) : 0;
}

void api_strategy_validate(const struct api_request *r, const json_t *old, const json_t *obj, struct violations *vs)
{
	const struct api_strategy *s = find(r);
	if (s != NULL && s->validate != NULL && strcmp(r->sub, "status") != 0)
		s->validate(old, obj, vs);
}
