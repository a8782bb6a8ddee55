/* A container's OCI configuration as a function of the pod. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "local/agent_oci.h"
#include "json/json.h"

#define ALL_CAPS UINT64_C(0x1fffeffffff) /* as a machine without CAP_SYS_RESOURCE has them */

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct error err = {0};
	if (json_parse(text, strlen(text), &j, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return j;
}

struct made {
	json_t *config;
	int rc;
	struct error err;
};

static struct made make(const char *pod_json, const char *volume_mounts, const char *hostname)
{
	JSON_AUTO pod = parse(pod_json);
	JSON_AUTO args = parse("[\"true\"]");
	JSON_AUTO env = parse("[\"A=b\"]");
	JSON_AUTO image = parse(
		"[{\"destination\":\"/usr\",\"type\":\"bind\",\"source\":\"/usr\",\"options\":[\"rbind\",\"rro\"]}]");
	JSON_AUTO mounts = parse(volume_mounts != NULL ? volume_mounts : "[]");
	JSON_AUTO devices = parse("[{\"path\":\"/dev/fuse\",\"type\":\"c\",\"major\":10,\"minor\":229}]");
	const struct oci_input in = {.pod = pod,
				     .container = json_at(pod, "spec.containers[0]"),
				     .args = args,
				     .env = env,
				     .image_mounts = image,
				     .volume_mounts = mounts,
				     .devices = devices,
				     .cgroups_path = "/sluice/x/y",
				     .hostname = hostname,
				     .capabilities = ALL_CAPS};
	struct made m = {0};
	m.rc = oci_config(&in, &m.config, &m.err);
	return m;
}

/* Text at a path of the configuration, for a pod of one container. */
static void test_values(void **state)
{
	(void)state;
	static const struct {
		const char *name, *pod, *path, *want; /* want NULL: nothing there */
	} cases[] = {
		{"defaults: root", "{\"spec\":{\"containers\":[{}]}}", "process.user",
		 "{\"uid\":0,\"gid\":0,\"additionalGids\":[]}"},
		{"defaults: cwd", "{\"spec\":{\"containers\":[{}]}}", "process.cwd", "\"/\""},
		{"defaults: writable root", "{\"spec\":{\"containers\":[{}]}}", "root",
		 "{\"path\":\"rootfs\",\"readonly\":false}"},
		{"defaults: escalation allowed", "{\"spec\":{\"containers\":[{}]}}", "process.noNewPrivileges",
		 "false"},
		{"defaults: no memory limit", "{\"spec\":{\"containers\":[{}]}}", "linux.resources.memory", NULL},
		{"defaults: no devices", "{\"spec\":{\"containers\":[{}]}}", "linux.devices", NULL},
		{"defaults: devices denied", "{\"spec\":{\"containers\":[{}]}}", "linux.resources.devices",
		 "[{\"allow\":false,\"access\":\"rwm\"}]"},
		{"pod's user",
		 "{\"spec\":{\"securityContext\":{\"runAsUser\":7,\"runAsGroup\":8,\"fsGroup\":9,"
		 "\"supplementalGroups\":[10]},\"containers\":[{}]}}",
		 "process.user", "{\"uid\":7,\"gid\":8,\"additionalGids\":[10,9]}"},
		{"container's user wins",
		 "{\"spec\":{\"securityContext\":{\"runAsUser\":7},\"containers\":[{\"securityContext\":{\"runAsUser\":"
		 "5}}]}}",
		 "process.user.uid", "5"},
		{"working directory", "{\"spec\":{\"containers\":[{\"workingDir\":\"/w\"}]}}", "process.cwd", "\"/w\""},
		{"read-only root",
		 "{\"spec\":{\"containers\":[{\"securityContext\":{\"readOnlyRootFilesystem\":true}}]}}",
		 "root.readonly", "true"},
		{"no escalation",
		 "{\"spec\":{\"containers\":[{\"securityContext\":{\"allowPrivilegeEscalation\":false}}]}}",
		 "process.noNewPrivileges", "true"},
		{"limits",
		 "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"500m\",\"memory\":\"64Mi\"}}}]}}",
		 "linux.resources.memory", "{\"limit\":67108864}"},
		{"cpu limit is the request, too",
		 "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"500m\"}}}]}}", "linux.resources.cpu",
		 "{\"shares\":512,\"quota\":50000,\"period\":100000}"},
		{"cpu as a number", "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":2}}}]}}",
		 "linux.resources.cpu", "{\"shares\":2048,\"quota\":200000,\"period\":100000}"},
		{"cpu request", "{\"spec\":{\"containers\":[{\"resources\":{\"requests\":{\"cpu\":\"1m\"}}}]}}",
		 "linux.resources.cpu", "{\"shares\":2}"},
		{"a quota below the kernel's least",
		 "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"cpu\":\"1m\"}}}]}}",
		 "linux.resources.cpu.quota", "1000"},
		{"privileged: devices", "{\"spec\":{\"containers\":[{\"securityContext\":{\"privileged\":true}}]}}",
		 "linux.devices[0].path", "\"/dev/fuse\""},
		{"privileged: all devices allowed",
		 "{\"spec\":{\"containers\":[{\"securityContext\":{\"privileged\":true}}]}}", "linux.resources.devices",
		 "[{\"allow\":true,\"access\":\"rwm\"}]"},
		{"privileged: only the host's keys are masked",
		 "{\"spec\":{\"containers\":[{\"securityContext\":{\"privileged\":true}}]}}", "linux.maskedPaths",
		 "[\"/etc/ssl/private\"]"},
		{"privileged: nothing read-only in /proc",
		 "{\"spec\":{\"containers\":[{\"securityContext\":{\"privileged\":true}}]}}", "linux.readonlyPaths",
		 NULL},
		{"drop all, add one",
		 "{\"spec\":{\"containers\":[{\"securityContext\":{\"capabilities\":{\"drop\":[\"ALL\"],\"add\":[\"NET_"
		 "ADMIN\"]}}}]}}",
		 "process.capabilities.effective", "[\"CAP_NET_ADMIN\"]"},
		{"add all, drop one",
		 "{\"spec\":{\"containers\":[{\"securityContext\":{\"capabilities\":{\"add\":[\"ALL\"],\"drop\":[\"CAP_"
		 "CHOWN\"]}}}]}}",
		 "process.capabilities.bounding[0]", "\"CAP_DAC_OVERRIDE\""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct made m = make(cases[i].pod, NULL, "h");
		if (m.rc < 0)
			fail_msg("%s: %s", cases[i].name, m.err.msg);
		const json_t *v = json_at(m.config, cases[i].path);
		CLEANUP(free_p) char *got = v != NULL ? json_dumps(v, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
		if ((got == NULL) != (cases[i].want == NULL) || (got != NULL && strcmp(got, cases[i].want) != 0))
			fail_msg("%s: %s is %s", cases[i].name, cases[i].path, got != NULL ? got : "absent");
		json_decref(m.config);
	}
}

static void test_refused(void **state)
{
	(void)state;
	static const struct {
		const char *name, *pod, *msg;
	} cases[] = {
		{"relative directory", "{\"spec\":{\"containers\":[{\"workingDir\":\"w\"}]}}",
		 "workingDir: 'w' must be an absolute path"},
		{"unknown capability",
		 "{\"spec\":{\"containers\":[{\"securityContext\":{\"capabilities\":{\"add\":[\"FLY\"]}}}]}}",
		 "securityContext.capabilities.add[0]: no capability is called 'FLY'"},
		{"a capability that we do not have",
		 "{\"spec\":{\"containers\":[{\"securityContext\":{\"capabilities\":{\"add\":[\"SYS_RESOURCE\"]}}}]}}",
		 "securityContext.capabilities.add: this machine does not let us give capability SYS_RESOURCE"},
		{"root although not root",
		 "{\"spec\":{\"securityContext\":{\"runAsNonRoot\":true},\"containers\":[{}]}}",
		 "container has runAsNonRoot and image will run as root: set securityContext.runAsUser"},
		{"negative user", "{\"spec\":{\"securityContext\":{\"runAsUser\":-1},\"containers\":[{}]}}",
		 "securityContext: runAsUser and runAsGroup must be from 0 to 2147483647"},
		{"bad quantity", "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{\"memory\":\"much\"}}}]}}",
		 "resources.limits.memory: 'much' is not a quantity"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct made m = make(cases[i].pod, NULL, NULL);
		if (m.rc != -EINVAL || strcmp(m.err.msg, cases[i].msg) != 0)
			fail_msg("%s: rc %d, '%s'", cases[i].name, m.rc, m.err.msg);
	}
}

static bool has_namespace(const json_t *config, const char *type)
{
	size_t i;
	const json_t *n;
	json_array_foreach (json_at(config, "linux.namespaces"), i, n)
		if (strcmp(json_str(n, "type", ""), type) == 0)
			return true;
	return false;
}

static void test_namespaces(void **state)
{
	(void)state;
	struct made m = make("{\"spec\":{\"containers\":[{}]}}", NULL, "h");
	assert_int_equal(m.rc, 0);
	assert_true(has_namespace(m.config, "pid") && has_namespace(m.config, "ipc") &&
		    has_namespace(m.config, "mount") && has_namespace(m.config, "uts"));
	assert_false(has_namespace(m.config, "network"));
	assert_string_equal(json_str(m.config, "hostname", ""), "h");
	json_decref(m.config);

	m = make("{\"spec\":{\"hostPID\":true,\"hostIPC\":true,\"containers\":[{}]}}", NULL, NULL);
	assert_int_equal(m.rc, 0);
	assert_false(has_namespace(m.config, "pid") || has_namespace(m.config, "ipc") ||
		     has_namespace(m.config, "uts"));
	assert_null(json_at(m.config, "hostname"));
	json_decref(m.config);
}

static size_t place_of(const json_t *config, const char *dest)
{
	size_t i, at = SIZE_MAX;
	const json_t *m;
	json_array_foreach (json_at(config, "mounts"), i, m)
		if (strcmp(json_str(m, "destination", ""), dest) == 0) {
			assert_int_equal(at, SIZE_MAX);
			at = i;
		}
	return at;
}

static void test_mount_order_and_propagation(void **state)
{
	(void)state;
	struct made m =
		make("{\"spec\":{\"containers\":[{}]}}",
		     "[{\"destination\":\"/a/b/c\",\"options\":[\"rslave\"]},{\"destination\":\"/"
		     "a\",\"options\":[\"rprivate\"]},"
		     "{\"destination\":\"/a/b/\",\"options\":[]},{\"destination\":\"/dev/shm\",\"options\":[]}]",
		     NULL);
	assert_int_equal(m.rc, 0);
	assert_true(place_of(m.config, "/usr") < place_of(m.config, "/a"));
	assert_true(place_of(m.config, "/a") < place_of(m.config, "/a/b/"));
	assert_true(place_of(m.config, "/a/b/") < place_of(m.config, "/a/b/c"));
	assert_true(place_of(m.config, "/dev") < place_of(m.config, "/dev/shm")); /* once: the volume's */
	assert_string_equal(json_str(m.config, "linux.rootfsPropagation", ""), "rslave");
	json_decref(m.config);

	m = make("{\"spec\":{\"containers\":[{}]}}",
		 "[{\"destination\":\"/a\",\"options\":[\"rslave\"]},{\"destination\":\"/"
		 "b\",\"options\":[\"rshared\"]}]",
		 NULL);
	assert_string_equal(json_str(m.config, "linux.rootfsPropagation", ""), "rshared");
	json_decref(m.config);

	m = make("{\"spec\":{\"containers\":[{}]}}", NULL, NULL);
	assert_null(json_at(m.config, "linux.rootfsPropagation"));
	json_decref(m.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_mount_order_and_propagation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
