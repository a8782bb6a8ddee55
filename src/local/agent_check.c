/* What a pod may not ask for here: refused with its path before anything of it runs, never ignored. */
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/agent_private.h"
#include "json/json.h"

/* Fields that would change what the pod is. Everything not named here either works or has no meaning on one machine. */
static const char *const refused_pod[] = {
	"spec.runtimeClassName",
	"spec.shareProcessNamespace",
	"spec.securityContext.sysctls",
	"spec.securityContext.seLinuxOptions",
	"spec.securityContext.windowsOptions",
	"spec.ephemeralContainers",
	"spec.resourceClaims",
	"spec.activeDeadlineSeconds",
	"spec.setHostnameAsFQDN",
};
static const char *const refused_container[] = {
	"volumeDevices",      "securityContext.seLinuxOptions", "securityContext.windowsOptions", "restartPolicy",
	"restartPolicyRules", "lifecycle.stopSignal",
};

static bool is_set(const json_t *v)
{
	if (v == NULL || json_is_null(v) || json_is_false(v))
		return false;
	if (json_is_array(v))
		return json_array_size(v) > 0;
	if (json_is_object(v))
		return json_object_size(v) > 0;
	return !json_is_string(v) || *json_string_value(v) != '\0';
}

static int refuse(struct error *err, const char *prefix, const char *field, const char *why)
{
	return error_set(err, -EOPNOTSUPP, "%s%s: %s", prefix, field, why);
}

static int check_profile(const json_t *of, const char *field, const char *prefix, struct error *err)
{
	CLEANUP(free_p) char *path = str_printf("%s.type", field);
	const char *type = path != NULL ? json_str(of, path, "Unconfined") : "Unconfined";
	if (strcmp(type, "Unconfined") == 0)
		return 0;
	return refuse(err, prefix, field, "only type Unconfined works on this node yet");
}

static int check_hooks(const json_t *c, const char *prefix, struct error *err)
{
	static const char *const hooks[] = {"postStart", "preStop"};
	for (size_t i = 0; i < ARRAY_LEN(hooks); i++) {
		const json_t *h = json_object_get(json_object_get(c, "lifecycle"), hooks[i]);
		if (h != NULL && json_object_get(h, "exec") == NULL)
			return error_set(err, -EOPNOTSUPP, "%slifecycle.%s: only exec works on this node yet", prefix,
					 hooks[i]);
	}
	return 0;
}

static int check_container(const json_t *c, const char *list, size_t i, struct error *err)
{
	char prefix[64];
	(void)snprintf(prefix, sizeof prefix, "spec.%s[%zu].", list, i);
	for (size_t k = 0; k < ARRAY_LEN(refused_container); k++)
		if (is_set(json_at(c, refused_container[k])))
			return refuse(err, prefix, refused_container[k], "does not work on this node yet");
	if (strcmp(json_str(c, "securityContext.procMount", "Default"), "Default") != 0)
		return refuse(err, prefix, "securityContext.procMount", "only Default works on this node yet");
	int rc = check_profile(c, "securityContext.seccompProfile", prefix, err);
	rc = rc ?: check_profile(c, "securityContext.appArmorProfile", prefix, err);
	rc = rc ?: check_hooks(c, prefix, err);
	for (int kind = 0; rc == 0 && kind < PROBE_KINDS; kind++) {
		struct probe *p = NULL;
		rc = probe_parse(c, kind, AGENT_ADDRESS, &p, err);
		if (rc < 0)
			rc = error_wrap(err, -EOPNOTSUPP, "%.*s", (int)strlen(prefix) - 1, prefix);
		probe_free(p);
	}
	return rc;
}

int pod_check(const json_t *obj, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(refused_pod); i++)
		if (is_set(json_at(obj, refused_pod[i])))
			return refuse(err, "", refused_pod[i], "does not work on this node yet");
	if (json_is_false(json_at(obj, "spec.hostUsers")))
		return refuse(err, "", "spec.hostUsers", "user namespaces do not work on this node yet");
	int rc = check_profile(obj, "spec.securityContext.seccompProfile", "", err);
	rc = rc ?: check_profile(obj, "spec.securityContext.appArmorProfile", "", err);
	static const char *const lists[] = {"initContainers", "containers"};
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		size_t i;
		const json_t *c;
		json_array_foreach (json_object_get(json_object_get(obj, "spec"), lists[k]), i, c)
			if (rc == 0)
				rc = check_container(c, lists[k], i, err);
	}
	return rc;
}
