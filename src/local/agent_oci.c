#include "local/agent_oci.h"

#include <linux/capability.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"
#include "json/quantity.h"

#define CPU_PERIOD_US  100000
#define CPU_SHARES_MIN 2
#define CPU_SHARES_MAX 262144

static const char *const capability_name[] = {
	"CHOWN",
	"DAC_OVERRIDE",
	"DAC_READ_SEARCH",
	"FOWNER",
	"FSETID",
	"KILL",
	"SETGID",
	"SETUID",
	"SETPCAP",
	"LINUX_IMMUTABLE",
	"NET_BIND_SERVICE",
	"NET_BROADCAST",
	"NET_ADMIN",
	"NET_RAW",
	"IPC_LOCK",
	"IPC_OWNER",
	"SYS_MODULE",
	"SYS_RAWIO",
	"SYS_CHROOT",
	"SYS_PTRACE",
	"SYS_PACCT",
	"SYS_ADMIN",
	"SYS_BOOT",
	"SYS_NICE",
	"SYS_RESOURCE",
	"SYS_TIME",
	"SYS_TTY_CONFIG",
	"MKNOD",
	"LEASE",
	"AUDIT_WRITE",
	"AUDIT_CONTROL",
	"SETFCAP",
	"MAC_OVERRIDE",
	"MAC_ADMIN",
	"SYSLOG",
	"WAKE_ALARM",
	"BLOCK_SUSPEND",
	"AUDIT_READ",
	"PERFMON",
	"BPF",
	"CHECKPOINT_RESTORE",
};
_Static_assert(ARRAY_LEN(capability_name) == CAP_LAST_CAP + 1, "a capability is missing in the table");

/* What container runtimes give to a container that asks for nothing. */
static const char *const default_capabilities[] = {
	"CHOWN",  "DAC_OVERRIDE", "FSETID",  "FOWNER",           "MKNOD",      "NET_RAW", "SETGID",
	"SETUID", "SETFCAP",      "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",    "AUDIT_WRITE",
};

static const char *const masked_paths[] = {
	"/proc/asound",
	"/proc/acpi",
	"/proc/kcore",
	"/proc/keys",
	"/proc/latency_stats",
	"/proc/timer_list",
	"/proc/timer_stats",
	"/proc/sched_debug",
	"/proc/scsi",
	"/sys/firmware",
	"/sys/devices/virtual/powercap",
};
static const char *const readonly_paths[] = {
	"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};
/* The host's private keys lie inside a directory that the host image shows: hidden even from a privileged container. */
static const char *const always_masked[] = {"/etc/ssl/private"};

bool oci_privileged(const json_t *container)
{
	return json_bool(container, "securityContext.privileged", false);
}

int oci_capability(const char *name)
{
	if (str_has_prefix(name, "CAP_"))
		name += 4;
	for (size_t i = 0; i < ARRAY_LEN(capability_name); i++)
		if (strcmp(capability_name[i], name) == 0)
			return (int)i;
	return -1;
}

/* The container's own security context stands before the pod's. */
static json_t *security_value(const json_t *pod, const json_t *container, const char *key)
{
	json_t *v = json_object_get(json_object_get(container, "securityContext"), key);
	if (v != NULL && !json_is_null(v))
		return v;
	v = json_object_get(json_at(pod, "spec.securityContext"), key);
	return json_is_null(v) ? NULL : v;
}

int oci_user(const json_t *pod, const json_t *container, int64_t *ret_uid, int64_t *ret_gid, struct error *err)
{
	const json_t *user = security_value(pod, container, "runAsUser");
	const json_t *group = security_value(pod, container, "runAsGroup");
	const int64_t uid = json_is_integer(user) ? json_integer_value(user) : 0;
	const int64_t gid = json_is_integer(group) ? json_integer_value(group) : 0;

	if (uid < 0 || uid > INT32_MAX || gid < 0 || gid > INT32_MAX)
		return error_set(err, -EINVAL,
				 "securityContext: runAsUser and runAsGroup must be from 0 to 2147483647");
	if (uid == 0 && json_is_true(security_value(pod, container, "runAsNonRoot")))
		return error_set(
			err, -EINVAL,
			"container has runAsNonRoot and image will run as root: set securityContext.runAsUser");
	*ret_uid = uid;
	*ret_gid = gid;
	return 0;
}

static int add_strings(json_t *list, const char *const *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(list, json_string(s[i])) < 0)
			return -ENOMEM;
	return 0;
}

static int capability_list(const json_t *names, const char *what, uint64_t *ret, struct error *err)
{
	size_t i;
	const json_t *v;
	*ret = 0;
	json_array_foreach (names, i, v) {
		const char *name = json_string_value(v);
		if (name != NULL && strcmp(name, "ALL") == 0) {
			*ret = UINT64_MAX;
			continue;
		}
		const int bit = name != NULL ? oci_capability(name) : -1;
		if (bit < 0)
			return error_set(err, -EINVAL,
					 "securityContext.capabilities.%s[%zu]: no capability is called '%s'", what, i,
					 name != NULL ? name : "");
		*ret |= UINT64_C(1) << bit;
	}
	return 0;
}

static int capability_mask(const struct oci_input *in, uint64_t *ret, struct error *err)
{
	if (oci_privileged(in->container)) {
		*ret = in->capabilities;
		return 0;
	}
	uint64_t mask = 0, add = 0, drop = 0;
	for (size_t i = 0; i < ARRAY_LEN(default_capabilities); i++)
		mask |= UINT64_C(1) << oci_capability(default_capabilities[i]);
	mask &= in->capabilities;

	const json_t *caps = json_at(in->container, "securityContext.capabilities");
	int rc = capability_list(json_object_get(caps, "add"), "add", &add, err);
	if (rc == 0)
		rc = capability_list(json_object_get(caps, "drop"), "drop", &drop, err);
	if (rc < 0)
		return rc;
	if (add != UINT64_MAX && (add & ~in->capabilities) != 0)
		return error_set(err, -EINVAL,
				 "securityContext.capabilities.add: this machine does not let us give capability %s",
				 capability_name[__builtin_ctzll(add & ~in->capabilities)]);
	/* As container runtimes do it: "ALL" first, then single names, so that drop ALL with add X gives X. */
	if (add == UINT64_MAX)
		mask = in->capabilities & ~(drop == UINT64_MAX ? 0 : drop);
	else if (drop == UINT64_MAX)
		mask = add;
	else
		mask = (mask | add) & ~drop;
	*ret = mask & in->capabilities;
	return 0;
}

static json_t *capability_names(uint64_t mask)
{
	json_t *list = json_array();
	for (size_t i = 0; i < ARRAY_LEN(capability_name); i++) {
		if (!(mask & UINT64_C(1) << i))
			continue;
		char name[40];
		(void)snprintf(name, sizeof name, "CAP_%s", capability_name[i]); /* the longest name fits */
		(void)json_array_append_new(list, json_string(name));
	}
	return list;
}

static json_t *capabilities_json(uint64_t mask)
{
	json_t *o = json_object();
	static const char *const sets[] = {"bounding", "effective", "permitted"};
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		(void)json_object_set_new(o, sets[i], capability_names(mask));
	return o;
}

static json_t *additional_gids(const struct oci_input *in)
{
	json_t *list = json_array();
	const json_t *sc = json_at(in->pod, "spec.securityContext");
	size_t i;
	json_t *v;
	json_array_foreach (json_object_get(sc, "supplementalGroups"), i, v)
		if (json_is_integer(v))
			(void)json_array_append(list, v);
	json_t *fs_group = json_object_get(sc, "fsGroup");
	if (json_is_integer(fs_group))
		(void)json_array_append(list, fs_group);
	return list;
}

static int process_json(const struct oci_input *in, json_t **ret, struct error *err)
{
	int64_t uid = 0, gid = 0;
	uint64_t caps = 0;
	int rc = oci_user(in->pod, in->container, &uid, &gid, err);
	if (rc == 0)
		rc = capability_mask(in, &caps, err);
	if (rc < 0)
		return rc;

	const char *cwd = json_str(in->container, "workingDir", "");
	if (*cwd == '\0')
		cwd = "/";
	if (*cwd != '/')
		return error_set(err, -EINVAL, "workingDir: '%s' must be an absolute path", cwd);
	const json_t *escalation = json_at(in->container, "securityContext.allowPrivilegeEscalation");

	*ret = json_pack("{s:b, s:{s:I, s:I, s:o}, s:O, s:O, s:s, s:o, s:b, s:i}", "terminal",
			 json_bool(in->container, "tty", false), "user", "uid", (json_int_t)uid, "gid", (json_int_t)gid,
			 "additionalGids", additional_gids(in), "args", in->args, "env", in->env, "cwd", cwd,
			 "capabilities", capabilities_json(caps), "noNewPrivileges", json_is_false(escalation) ? 1 : 0,
			 "oomScoreAdj", in->oom_score_adj);
	return *ret != NULL ? 0 : error_set(err, -ENOMEM, "container's process: out of memory");
}

static int add_mount(json_t *list, const char *dest, const char *type, const char *source, const char *options)
{
	json_t *opts = json_array();
	struct str rest = str_from(options), o;
	while (str_split_next(&rest, ',', &o))
		if (o.n > 0)
			(void)json_array_append_new(opts, json_stringn(o.p, o.n));
	return json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "destination", dest, "type", type,
						     "source", source, "options", opts)) < 0
		       ? -ENOMEM
		       : 0;
}

static int standard_mounts(const struct oci_input *in, json_t *list)
{
	const bool privileged = oci_privileged(in->container);
	int rc = add_mount(list, "/proc", "proc", "proc", "nosuid,noexec,nodev");
	rc = rc ?: add_mount(list, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
	rc = rc
		     ?: add_mount(list, "/dev/pts", "devpts", "devpts",
				  "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
	rc = rc ?: add_mount(list, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
	rc = rc ?: add_mount(list, "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k");
	rc = rc
		     ?: add_mount(list, "/sys", "sysfs", "sysfs",
				  privileged ? "nosuid,noexec,nodev,rw" : "nosuid,noexec,nodev,ro");
	rc = rc
		     ?: add_mount(list, "/sys/fs/cgroup", "cgroup", "cgroup",
				  privileged ? "nosuid,noexec,nodev,relatime,rw" : "nosuid,noexec,nodev,relatime,ro");
	return rc;
}

static size_t path_depth(const char *p)
{
	size_t n = 0;
	for (; *p != '\0'; p++)
		n += *p == '/' && p[1] != '/' && p[1] != '\0';
	return n;
}

/* A mount inside another one must come after it: by depth, keeping the given order otherwise. */
static int append_by_depth(json_t *list, const json_t *mounts)
{
	size_t max = 0, i;
	json_t *m;
	json_array_foreach (mounts, i, m) {
		const size_t d = path_depth(json_str(m, "destination", ""));
		max = d > max ? d : max;
	}
	for (size_t depth = 0; depth <= max; depth++)
		json_array_foreach (mounts, i, m)
			if (path_depth(json_str(m, "destination", "")) == depth && json_array_append(list, m) < 0)
				return -ENOMEM;
	return 0;
}

/* A volume mounted at a standard path (/dev/shm, /tmp) takes its place. */
static bool is_replaced(const json_t *volume_mounts, const char *dest)
{
	size_t i;
	const json_t *m;
	json_array_foreach (volume_mounts, i, m)
		if (strcmp(json_str(m, "destination", ""), dest) == 0)
			return true;
	return false;
}

static int mounts_json(const struct oci_input *in, json_t **ret, struct error *err)
{
	JSON_AUTO standard = json_array();
	JSON_AUTO list = json_array();
	int rc = standard_mounts(in, standard);
	size_t i;
	json_t *m;
	json_array_foreach (standard, i, m)
		if (rc == 0 && !is_replaced(in->volume_mounts, json_str(m, "destination", "")))
			rc = json_array_append(list, m) < 0 ? -ENOMEM : 0;
	json_array_foreach (in->image_mounts, i, m)
		if (rc == 0)
			rc = json_array_append(list, m) < 0 ? -ENOMEM : 0;
	if (rc == 0)
		rc = append_by_depth(list, in->volume_mounts);
	if (rc < 0)
		return error_set(err, rc, "container's mounts: out of memory");
	*ret = TAKE(list);
	return 0;
}

/* The root of the container must pass mounts on when one of its volumes does. */
static const char *root_propagation(const json_t *volume_mounts)
{
	const char *found = NULL;
	size_t i, k;
	const json_t *m, *o;
	json_array_foreach (volume_mounts, i, m)
		json_array_foreach (json_object_get(m, "options"), k, o) {
			if (str_same(json_string_value(o), "rshared"))
				return "rshared";
			if (str_same(json_string_value(o), "rslave"))
				found = "rslave";
		}
	return found;
}

static int64_t clamp(int64_t v, int64_t min, int64_t max)
{
	return v < min ? min : v > max ? max : v;
}

static int quantity_at(const json_t *container, const char *path, bool milli, int64_t *ret, struct error *err)
{
	const json_t *v = json_at(container, path);
	*ret = -1;
	if (v == NULL || json_is_null(v))
		return 0;
	char number[32];
	const char *text = json_string_value(v);
	if (json_is_integer(v)) {
		(void)snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
		text = number;
	}
	if (text == NULL)
		return error_set(err, -EINVAL, "%s: is no quantity", path);
	const int rc = milli ? quantity_parse_milli(text, ret, err) : quantity_parse(text, ret, err);
	return rc < 0 ? error_wrap(err, rc, "%s", path) : 0;
}

static int cpu_json(const json_t *container, json_t *resources, struct error *err)
{
	int64_t request = -1, limit = -1;
	int rc = quantity_at(container, "resources.requests.cpu", true, &request, err);
	if (rc == 0)
		rc = quantity_at(container, "resources.limits.cpu", true, &limit, err);
	if (rc < 0)
		return rc;
	if (request < 0)
		request = limit;
	json_t *cpu = json_object();
	const int64_t shares = request > 0 ? clamp(request, 1, INT32_MAX) * 1024 / 1000 : CPU_SHARES_MIN;
	(void)json_object_set_new(cpu, "shares", json_integer(clamp(shares, CPU_SHARES_MIN, CPU_SHARES_MAX)));
	if (limit > 0) {
		/* The kernel refuses a quota below one millisecond. */
		const int64_t quota = clamp(clamp(limit, 1, INT32_MAX) * (CPU_PERIOD_US / 1000), 1000, INT64_MAX);
		(void)json_object_set_new(cpu, "quota", json_integer(quota));
		(void)json_object_set_new(cpu, "period", json_integer(CPU_PERIOD_US));
	}
	return json_object_set_new(resources, "cpu", cpu) < 0 ? error_set(err, -ENOMEM, "resources: out of memory") : 0;
}

static int add_device_rule(json_t *rules, bool allow, const char *type, int major, int minor)
{
	json_t *r = json_pack("{s:b, s:s}", "allow", allow, "access", "rwm");
	if (type != NULL)
		(void)json_object_set_new(r, "type", json_string(type));
	if (major >= 0)
		(void)json_object_set_new(r, "major", json_integer(major));
	if (minor >= 0)
		(void)json_object_set_new(r, "minor", json_integer(minor));
	return json_array_append_new(rules, r) < 0 ? -ENOMEM : 0;
}

static int resources_json(const struct oci_input *in, json_t **ret, struct error *err)
{
	JSON_AUTO r = json_object();
	json_t *rules = json_array();
	if (json_object_set_new(r, "devices", rules) < 0)
		return error_set(err, -ENOMEM, "resources: out of memory");
	/* runc adds the standard devices (null, zero, tty ...) by itself. */
	if (add_device_rule(rules, oci_privileged(in->container), NULL, -1, -1) < 0)
		return error_set(err, -ENOMEM, "resources: out of memory");

	int64_t memory = -1;
	int rc = quantity_at(in->container, "resources.limits.memory", false, &memory, err);
	if (rc == 0)
		rc = cpu_json(in->container, r, err);
	if (rc < 0)
		return rc;
	if (memory > 0)
		(void)json_object_set_new(r, "memory", json_pack("{s:I}", "limit", (json_int_t)memory));
	*ret = TAKE(r);
	return 0;
}

static json_t *namespaces_json(const struct oci_input *in)
{
	json_t *list = json_array();
	(void)json_array_append_new(list, json_pack("{s:s}", "type", "mount"));
	if (!json_bool(in->pod, "spec.hostPID", false))
		(void)json_array_append_new(list, json_pack("{s:s}", "type", "pid"));
	if (!json_bool(in->pod, "spec.hostIPC", false))
		(void)json_array_append_new(list, json_pack("{s:s}", "type", "ipc"));
	if (in->hostname != NULL)
		(void)json_array_append_new(list, json_pack("{s:s}", "type", "uts"));
	if (in->cgroup_v2 && !oci_privileged(in->container))
		(void)json_array_append_new(list, json_pack("{s:s}", "type", "cgroup"));
	return list;
}

static json_t *string_list(const char *const *a, size_t n, const char *const *b, size_t m)
{
	json_t *list = json_array();
	(void)add_strings(list, a, n);
	(void)add_strings(list, b, m);
	return list;
}

static int linux_json(const struct oci_input *in, json_t **ret, struct error *err)
{
	json_t *resources = NULL;
	const int rc = resources_json(in, &resources, err);
	if (rc < 0)
		return rc;
	JSON_AUTO l = json_pack("{s:o, s:s, s:o}", "namespaces", namespaces_json(in), "cgroupsPath", in->cgroups_path,
				"resources", resources);
	if (l == NULL)
		return error_set(err, -ENOMEM, "container's settings: out of memory");

	const bool privileged = oci_privileged(in->container);
	const size_t n_masked = privileged ? 0 : ARRAY_LEN(masked_paths);
	(void)json_object_set_new(l, "maskedPaths",
				  string_list(masked_paths, n_masked, always_masked, ARRAY_LEN(always_masked)));
	if (!privileged)
		(void)json_object_set_new(l, "readonlyPaths",
					  string_list(readonly_paths, ARRAY_LEN(readonly_paths), NULL, 0));
	if (privileged && in->devices != NULL)
		(void)json_object_set(l, "devices", (json_t *)in->devices);
	const char *propagation = root_propagation(in->volume_mounts);
	if (propagation != NULL)
		(void)json_object_set_new(l, "rootfsPropagation", json_string(propagation));
	*ret = TAKE(l);
	return 0;
}

int oci_config(const struct oci_input *in, json_t **ret, struct error *err)
{
	JSON_AUTO process = NULL;
	JSON_AUTO mounts = NULL;
	JSON_AUTO lin = NULL;
	int rc = process_json(in, &process, err);
	if (rc == 0)
		rc = mounts_json(in, &mounts, err);
	if (rc == 0)
		rc = linux_json(in, &lin, err);
	if (rc < 0)
		return rc;

	const bool readonly = json_bool(in->container, "securityContext.readOnlyRootFilesystem", false);
	json_t *config = json_pack("{s:s, s:O, s:{s:s, s:b}, s:O, s:O}", "ociVersion", "1.0.2", "process", process,
				   "root", "path", "rootfs", "readonly", readonly, "mounts", mounts, "linux", lin);
	if (config == NULL)
		return error_set(err, -ENOMEM, "container's configuration: out of memory");
	if (in->hostname != NULL)
		(void)json_object_set_new(config, "hostname", json_string(in->hostname));
	*ret = config;
	return 0;
}
