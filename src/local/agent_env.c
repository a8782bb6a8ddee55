#include "local/agent_env.h"

#include <ctype.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/client.h"
#include "json/json.h"

#define EXPANDED_MAX (1u << 20)
#define ENV_MAX      4096

static const char *env_value(const json_t *env, const char *name, size_t n)
{
	/* The last one wins, as it does in the container. */
	for (size_t i = json_array_size(env); i-- > 0;) {
		const char *e = json_string_value(json_array_get(env, i));
		if (e != NULL && strncmp(e, name, n) == 0 && e[n] == '=')
			return e + n + 1;
	}
	return NULL;
}

char *env_expand(const char *text, const json_t *env)
{
	struct strbuf b = STRBUF_INIT(EXPANDED_MAX);
	while (*text != '\0') {
		const char *dollar = strchr(text, '$');
		if (dollar == NULL) {
			strbuf_adds(&b, text);
			break;
		}
		strbuf_add(&b, text, (size_t)(dollar - text));
		text = dollar + 1;
		const char *end = *text == '(' ? strchr(text, ')') : NULL;
		if (*text == '$') {
			strbuf_addc(&b, '$');
			text++;
		} else if (end != NULL) {
			const char *value = env_value(env, text + 1, (size_t)(end - text - 1));
			if (value != NULL)
				strbuf_adds(&b, value);
			else
				strbuf_add(&b, dollar, (size_t)(end + 1 - dollar));
			text = end + 1;
		} else {
			strbuf_addc(&b, '$');
		}
	}
	char *out = NULL;
	if (strbuf_take(&b, &out) < 0)
		strbuf_clear(&b);
	return out;
}

static int key_of_map(const json_t *map, const char *prefix, const char *path, char **ret)
{
	/* metadata.labels['key'] */
	const size_t n = strlen(prefix), len = strlen(path);
	if (strncmp(path, prefix, n) != 0 || len < n + 4 || strncmp(path + n, "['", 2) != 0 ||
	    strcmp(path + len - 2, "']") != 0)
		return -ENOENT;
	CLEANUP(free_p) char *key = strndup(path + n + 2, len - n - 4);
	if (key == NULL)
		return -ENOMEM;
	const char *v = json_string_value(json_object_get(map, key));
	*ret = strdup(v != NULL ? v : "");
	return *ret != NULL ? 0 : -ENOMEM;
}

/* All labels or annotations, one key="value" a line, as the downward API prints them. */
static int whole_map(const json_t *map, char **ret)
{
	struct strbuf b = STRBUF_INIT(EXPANDED_MAX);
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)map, key, v) {
		if (!json_is_string(v))
			continue;
		strbuf_addf(&b, "%s%s=", b.n > 0 ? "\n" : "", key);
		strbuf_add_json(&b, json_string_value(v), json_string_length(v));
	}
	const int rc = strbuf_take(&b, ret);
	strbuf_clear(&b);
	return rc;
}

int env_field(const json_t *pod, const char *path, const char *node_name, const char *address, char **ret,
	      struct error *err)
{
	const json_t *labels = json_at(pod, "metadata.labels"), *annotations = json_at(pod, "metadata.annotations");
	const struct {
		const char *path, *value;
	} fields[] = {
		{"metadata.name", obj_name(pod)},
		{"metadata.namespace", obj_namespace(pod)},
		{"metadata.uid", obj_uid(pod)},
		{"spec.nodeName", node_name},
		{"spec.serviceAccountName", json_str(pod, "spec.serviceAccountName", "default")},
		{"status.hostIP", address},
		{"status.hostIPs", address},
		{"status.podIP", address},
		{"status.podIPs", address},
	};
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		if (strcmp(path, fields[i].path) == 0)
			return (*ret = strdup(fields[i].value)) != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
	int rc = strcmp(path, "metadata.labels") == 0 ? whole_map(labels, ret) : -ENOENT;
	if (rc == -ENOENT && strcmp(path, "metadata.annotations") == 0)
		rc = whole_map(annotations, ret);
	if (rc == -ENOENT)
		rc = key_of_map(labels, "metadata.labels", path, ret);
	if (rc == -ENOENT)
		rc = key_of_map(annotations, "metadata.annotations", path, ret);
	if (rc == -ENOENT)
		return error_set(err, -EINVAL, "fieldRef: there is no field '%s' for pods", path);
	return rc < 0 ? error_set(err, rc, "fieldRef '%s': out of memory", path) : 0;
}

static int add_env(json_t *list, const char *name, const char *value, struct error *err)
{
	if (json_array_size(list) >= ENV_MAX)
		return error_set(err, -E2BIG, "env: more than %d variables", ENV_MAX);
	CLEANUP(free_p) char *text = str_printf("%s=%s", name, value);
	json_t *v = text != NULL ? json_string(text) : NULL;
	/* One entry a name: getenv() finds the first, and the last one given counts. */
	const size_t n = strlen(name);
	for (size_t i = 0; v != NULL && i < json_array_size(list); i++) {
		const char *old = json_string_value(json_array_get(list, i));
		if (strncmp(old, name, n) == 0 && old[n] == '=')
			return json_array_set_new(list, i, v) < 0 ? error_set(err, -ENOMEM, "env: out of memory") : 0;
	}
	if (v == NULL || json_array_append_new(list, v) < 0)
		return error_set(err, -EINVAL, "env '%s': the value is no text", name);
	return 0;
}

/* Text of a Secret's value; bytes that are no text cannot be in an environment. */
static int decode_secret(const char *name, const char *key, const char *base64, char **ret, struct error *err)
{
	size_t n = 0;
	int rc = base64_decode(base64, ret, &n);
	if (rc == 0 && strlen(*ret) != n) {
		free(TAKE(*ret));
		rc = -EINVAL;
	}
	return rc < 0 ? error_set(err, rc, "secret \"%s\": key '%s' cannot be an environment variable", name, key) : 0;
}

static int value_of(const char *kind, const json_t *obj, const char *name, const char *key, char **ret,
		    struct error *err)
{
	const char *v = json_string_value(json_object_get(json_object_get(obj, "data"), key));
	if (v == NULL)
		return -ENOENT;
	if (strcmp(kind, "Secret") == 0)
		return decode_secret(name, key, v, ret, err);
	*ret = strdup(v);
	return *ret != NULL ? 0 : error_set(err, -ENOMEM, "out of memory");
}

/* configMapKeyRef or secretKeyRef. *@ret stays NULL when an optional one is absent. */
static int key_ref(const struct env_input *in, const char *kind, const json_t *ref, char **ret, struct error *err)
{
	const char *name = json_str(ref, "name", ""), *key = json_str(ref, "key", "");
	const bool optional = json_bool(ref, "optional", false);
	JSON_AUTO obj = NULL;
	int rc = in->lookup(in->ctx, kind, name, &obj, err);
	if (rc == -ENOENT)
		return optional ? 0
				: error_set(err, rc, "%s \"%s\" not found",
					    strcmp(kind, "Secret") == 0 ? "secret" : "configmap", name);
	if (rc < 0)
		return rc;
	rc = value_of(kind, obj, name, key, ret, err);
	if (rc == -ENOENT)
		return optional ? 0
				: error_set(err, rc, "couldn't find key %s in %s %s/%s", key, kind,
					    obj_namespace(in->pod), name);
	return rc;
}

static int value_from(const struct env_input *in, const json_t *from, char **ret, struct error *err)
{
	const json_t *ref;
	if ((ref = json_object_get(from, "fieldRef")) != NULL)
		return env_field(in->pod, json_str(ref, "fieldPath", ""), in->node_name, in->address, ret, err);
	if ((ref = json_object_get(from, "configMapKeyRef")) != NULL)
		return key_ref(in, "ConfigMap", ref, ret, err);
	if ((ref = json_object_get(from, "secretKeyRef")) != NULL)
		return key_ref(in, "Secret", ref, ret, err);
	return error_set(err, -EINVAL, "valueFrom: only fieldRef, configMapKeyRef and secretKeyRef work here yet");
}

static int add_variable(const struct env_input *in, const json_t *var, json_t *list, struct error *err)
{
	const char *name = json_str(var, "name", "");
	const json_t *from = json_object_get(var, "valueFrom");
	CLEANUP(free_p) char *value = NULL;
	if (from != NULL) {
		const int rc = value_from(in, from, &value, err);
		if (rc < 0 || value == NULL)
			return rc;
	} else {
		value = env_expand(json_str(var, "value", ""), list);
		if (value == NULL)
			return error_set(err, -E2BIG, "env '%s': the value is larger than 1 MiB", name);
	}
	return add_env(list, name, value, err);
}

static bool is_variable_name(const char *s)
{
	if (*s == '\0' || isdigit((unsigned char)*s))
		return false;
	for (; *s != '\0'; s++)
		if (!isalnum((unsigned char)*s) && strchr("_.-", *s) == NULL)
			return false;
	return true;
}

static int add_source(const struct env_input *in, const json_t *source, json_t *list, struct error *err)
{
	const char *prefix = json_str(source, "prefix", "");
	const json_t *ref = json_object_get(source, "configMapRef");
	const char *kind = ref != NULL ? "ConfigMap" : "Secret";
	if (ref == NULL)
		ref = json_object_get(source, "secretRef");
	if (ref == NULL)
		return error_set(err, -EINVAL, "envFrom: neither configMapRef nor secretRef");
	const char *name = json_str(ref, "name", "");
	JSON_AUTO obj = NULL;
	int rc = in->lookup(in->ctx, kind, name, &obj, err);
	if (rc == -ENOENT)
		return json_bool(ref, "optional", false)
			       ? 0
			       : error_set(err, rc, "%s \"%s\" not found",
					   strcmp(kind, "Secret") == 0 ? "secret" : "configmap", name);
	if (rc < 0)
		return rc;
	const char *key;
	json_t *unused;
	json_object_foreach (json_object_get(obj, "data"), key, unused) {
		CLEANUP(free_p) char *full = str_printf("%s%s", prefix, key);
		CLEANUP(free_p) char *value = NULL;
		if (full == NULL || !is_variable_name(full))
			continue; /* as a kubelet: such keys are left out */
		rc = value_of(kind, obj, name, key, &value, err);
		rc = rc ?: add_env(list, full, value, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int env_build(const struct env_input *in, json_t **ret, struct error *err)
{
	JSON_AUTO list = json_array();
	int rc = add_env(list, "PATH", in->path, err);
	rc = rc ?: add_env(list, "HOSTNAME", in->hostname, err);
	size_t i;
	json_t *v;
	json_array_foreach (json_object_get(in->container, "envFrom"), i, v)
		if (rc == 0)
			rc = add_source(in, v, list, err);
	json_array_foreach (json_object_get(in->container, "env"), i, v)
		if (rc == 0)
			rc = add_variable(in, v, list, err);
	if (rc == 0)
		*ret = TAKE(list);
	return rc;
}

static int add_words(const json_t *from, const char *field, const json_t *env, json_t *list, struct error *err)
{
	size_t i;
	json_t *v;
	json_array_foreach (json_object_get(from, field), i, v) {
		CLEANUP(free_p) char *word = json_is_string(v) ? env_expand(json_string_value(v), env) : NULL;
		if (word == NULL || json_array_append_new(list, json_string(word)) < 0)
			return error_set(err, -EINVAL, "%s[%zu]: is no text or larger than 1 MiB", field, i);
	}
	return 0;
}

int env_command(const json_t *container, const json_t *env, json_t **ret, struct error *err)
{
	JSON_AUTO list = json_array();
	const bool has_command = json_array_size(json_object_get(container, "command")) > 0;
	int rc = add_words(container, "command", env, list, err);
	rc = rc ?: add_words(container, "args", env, list, err);
	if (rc < 0)
		return rc;
	if (!has_command)
		return error_set(err, -EINVAL, "no command specified: the host image has none of its own, set command");
	*ret = TAKE(list);
	return 0;
}
