/* Volumes that show data of the API as files: configMap, secret, downwardAPI, projected. */
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/resource.h"
#include "local/agent_env.h"
#include "local/agent_mount.h"
#include "local/agent_paths.h"
#include "local/agent_payload.h"
#include "local/agent_volume_private.h"
#include "json/json.h"

#define DEFAULT_MODE 0644

struct projection {
	const struct volume_host *h;
	const json_t *pod;
	mode_t mode; /* of files without one of their own */
	struct payload out;
};

static int add_value(struct projection *p, const char *path, const char *text, bool base64, mode_t mode,
		     struct error *err)
{
	if (!base64)
		return payload_add(&p->out, path, text, strlen(text), mode, err);
	CLEANUP(free_p) char *raw = NULL;
	size_t n = 0;
	const int rc = base64_decode(text, &raw, &n);
	if (rc < 0)
		return error_set(err, rc, "key '%s' is not valid base64", path);
	return payload_add(&p->out, path, raw, n, mode, err);
}

static mode_t item_mode(const struct projection *p, const json_t *item)
{
	return (mode_t)json_int(item, "mode", p->mode) & 0777;
}

static const char *find_value(const json_t *obj, const char *key, bool secret, bool *ret_base64)
{
	const char *v = json_string_value(json_object_get(json_object_get(obj, "data"), key));
	*ret_base64 = secret;
	if (v == NULL && !secret) {
		v = json_string_value(json_object_get(json_object_get(obj, "binaryData"), key));
		*ret_base64 = v != NULL;
	}
	return v;
}

static int add_items(struct projection *p, const json_t *obj, const json_t *items, bool secret, bool optional,
		     struct error *err)
{
	size_t i;
	const json_t *item;
	json_array_foreach (items, i, item) {
		const char *key = json_str(item, "key", "");
		bool base64 = false;
		const char *v = find_value(obj, key, secret, &base64);
		if (v == NULL && optional)
			continue;
		if (v == NULL)
			return error_set(err, -ENOENT, "references non-existent %s key: %s",
					 secret ? "secret" : "config", key);
		const int rc = add_value(p, json_str(item, "path", ""), v, base64, item_mode(p, item), err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_all(struct projection *p, const json_t *data, bool base64, struct error *err)
{
	const char *key;
	json_t *v;
	json_object_foreach ((json_t *)data, key, v) {
		const int rc = add_value(p, key, json_string_value(v) ?: "", base64, p->mode, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* @source has items, optional and the object's name under @name_key. */
static int add_object(struct projection *p, const json_t *source, bool secret, const char *name_key, struct error *err)
{
	const char *name = json_str(source, name_key, ""), *ns = obj_namespace(p->pod);
	const bool optional = json_bool(source, "optional", false);
	JSON_AUTO obj = NULL;
	int rc = p->h->fetch(p->h->ctx, secret ? &KUBE_SECRET : &KUBE_CONFIGMAP, ns, name, &obj, err);
	if (rc == -ENOENT)
		return optional ? 0 : error_set(err, rc, "%s \"%s\" not found", secret ? "secret" : "configmap", name);
	if (rc < 0)
		return rc;
	const json_t *items = json_object_get(source, "items");
	if (json_array_size(items) > 0)
		return add_items(p, obj, items, secret, optional, err);
	rc = add_all(p, json_object_get(obj, "data"), secret, err);
	return rc ?: secret ? rc : add_all(p, json_object_get(obj, "binaryData"), true, err);
}

static int add_fields(struct projection *p, const json_t *source, struct error *err)
{
	size_t i;
	const json_t *item;
	json_array_foreach (json_object_get(source, "items"), i, item) {
		const char *field = json_str(item, "fieldRef.fieldPath", NULL);
		if (field == NULL)
			return error_set(err, -EINVAL, "items[%zu]: only fieldRef works here yet", i);
		CLEANUP(free_p) char *text = NULL;
		int rc = env_field(p->pod, field, p->h->node_name, p->h->address, &text, err);
		rc = rc ?: add_value(p, json_str(item, "path", ""), text, false, item_mode(p, item), err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int add_sources(struct projection *p, const json_t *sources, struct error *err)
{
	size_t i;
	const json_t *s, *part;
	json_array_foreach (sources, i, s) {
		int rc;
		if ((part = json_object_get(s, "configMap")) != NULL)
			rc = add_object(p, part, false, "name", err);
		else if ((part = json_object_get(s, "secret")) != NULL)
			rc = add_object(p, part, true, "name", err);
		else if ((part = json_object_get(s, "downwardAPI")) != NULL)
			rc = add_fields(p, part, err);
		else
			rc = error_set(err, -EINVAL, "only configMap, secret and downwardAPI work here yet");
		if (rc < 0)
			return error_wrap(err, rc, "projected.sources[%zu]", i);
	}
	return 0;
}

static const struct {
	const char *field, *plugin;
	bool tmpfs;
} kinds[] = {
	{"configMap", "kubernetes.io~configmap", false},
	{"secret", "kubernetes.io~secret", true},
	{"downwardAPI", "kubernetes.io~downward-api", false},
	{"projected", "kubernetes.io~projected", true},
};

static int kind_of(const json_t *volume)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (json_object_get(volume, kinds[i].field) != NULL)
			return (int)i;
	return -1;
}

bool volume_is_projected(const json_t *volume)
{
	return kind_of(volume) >= 0;
}

static int collect(struct projection *p, int kind, const json_t *source, struct error *err)
{
	switch (kind) {
	case 0:
		return add_object(p, source, false, "name", err);
	case 1:
		return add_object(p, source, true, "secretName", err);
	case 2:
		return add_fields(p, source, err);
	default:
		return add_sources(p, json_object_get(source, "sources"), err);
	}
}

int volume_project(const struct volume_host *h, const json_t *pod, const json_t *volume, struct path *ret,
		   struct error *err)
{
	const int kind = kind_of(volume);
	const json_t *source = json_object_get(volume, kinds[kind].field);
	struct projection p = {
		.h = h, .pod = pod, .mode = (mode_t)json_int(source, "defaultMode", DEFAULT_MODE) & 0777};
	int rc = collect(&p, kind, source, err);
	rc = rc ?: volume_dir(h, pod, kinds[kind].plugin, json_str(volume, "name", ""), 0755, ret, err);
	if (rc == 0 && kinds[kind].tmpfs) {
		const int n = mount_count(ret->p, false, err);
		rc = n < 0 ? n : n > 0 ? 0 : mount_tmpfs(ret->p, 0755, PAYLOAD_BYTES_MAX * 4, err);
	}
	rc = rc ?: payload_write(&p.out, ret->p, volume_group(pod), err);
	payload_clear(&p.out);
	return rc;
}
