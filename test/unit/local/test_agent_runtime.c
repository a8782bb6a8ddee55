/* Containers of the host image by conmon and runc: needs root, and is skipped without it. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/process.h"
#include "base/str.h"
#include "local/agent_cgroup.h"
#include "local/agent_image.h"
#include "local/agent_mount.h"
#include "local/agent_oci.h"
#include "local/agent_paths.h"
#include "local/agent_runtime.h"
#include "json/json.h"

static char dir[] = "/tmp/sluice-test-runtime-XXXXXX";
static struct agent_paths paths;
static json_t *devices;

static void check(int rc, const struct error *err)
{
	if (rc < 0)
		fail_msg("%s", err->msg);
}

static int setup(void **state)
{
	(void)state;
	if (geteuid() != 0 || access("/usr/bin/conmon", X_OK) < 0)
		return 0;
	struct error err = {0};
	assert_non_null(mkdtemp(dir));
	check(agent_paths_init(&paths, dir, NULL, &err), &err);
	struct path binary;
	check(path_set(&binary, &err, "%s/agent/bin/sluice", paths.data_dir), &err);
	check(image_install_binary(binary.p, &err), &err);
	devices = image_devices();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	json_decref(devices);
	if (paths.data_dir == NULL)
		return 0;
	struct error err = {0};
	agent_paths_clear(&paths);
	cgroup_remove_parent();
	check(mount_remove_tree(dir, &err), &err);
	return 0;
}

struct run {
	char id[CONTAINER_ID_MAX + 1];
	struct path log;
	int monitor;
};

#define GROUP CGROUP_PARENT "/podtest"

static void begin(struct run *r, const char *pod_json, int want_rc, const char *want_msg)
{
	struct error err = {0};
	JSON_AUTO pod = NULL;
	check(json_parse(pod_json, strlen(pod_json), &pod, &err), &err);
	const json_t *container = json_at(pod, "spec.containers[0]");
	JSON_AUTO env = json_pack("[s, s]", "PATH=" IMAGE_HOST_PATH, "GREETING=good day");
	JSON_AUTO mounts = NULL;
	JSON_AUTO config = NULL;
	struct path binary, bundle, root, group;

	runtime_new_id(r->id);
	check(path_set(&binary, &err, "%s/agent/bin/sluice", paths.data_dir), &err);
	check(path_set(&bundle, &err, "%s/containers/%s", paths.data_dir, r->id), &err);
	check(path_set(&root, &err, "%s/rootfs", bundle.p), &err);
	check(path_set(&r->log, &err, "%s/logs/%s.log", paths.data_dir, r->id), &err);
	check(path_set(&group, &err, GROUP "/%s", r->id), &err);
	check(file_mkdir_all(bundle.p, 0700, &err), &err);
	check(image_prepare_root(root.p, &err), &err);
	check(image_mounts(binary.p, &mounts, &err), &err);
	const struct oci_input in = {.pod = pod,
				     .container = container,
				     .args = json_at(container, "command"),
				     .env = env,
				     .image_mounts = mounts,
				     .devices = devices,
				     .cgroups_path = group.p,
				     .hostname = "testpod",
				     .capabilities = UINT64_C(0x1ff) << 0 | UINT64_C(1) << 21};
	check(oci_config(&in, &config, &err), &err);
	const int rc = runtime_create(&paths, r->id, config, r->log.p, &(struct runtime_io){0}, &err);
	if (want_rc == 0)
		check(rc, &err);
	assert_int_equal(rc, want_rc);
	if (want_msg != NULL && strstr(err.msg, want_msg) == NULL)
		fail_msg("'%s' is not in: %s", want_msg, err.msg);
	if (rc < 0)
		return;
	r->monitor = runtime_monitor_fd(&paths, r->id);
	assert_true(r->monitor >= 0);
	check(runtime_start(&paths, r->id, &err), &err);
}

static void wait_end(struct run *r)
{
	struct pollfd p = {.fd = r->monitor, .events = POLLIN};
	assert_int_equal(poll(&p, 1, 20000), 1);
	(void)close(r->monitor);
}

static void finish(struct run *r)
{
	struct error err = {0};
	check(runtime_delete(&paths, r->id, &err), &err);
	check(runtime_delete(&paths, r->id, &err), &err);
	check(cgroup_remove(GROUP, 5 * NSEC_PER_SEC, &err), &err);
}

static char *log_text(const struct run *r)
{
	char *text = NULL;
	struct error err = {0};
	check(file_read(r->log.p, 1u << 20, &text, NULL, &err), &err);
	return text;
}

#define SKIP_WITHOUT_ROOT()                                                                                            \
	if (paths.data_dir == NULL)                                                                                    \
	skip()

static void test_exit_code_and_log(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct run r;
	begin(&r,
	      "{\"spec\":{\"containers\":[{\"command\":[\"sh\",\"-c\",\"echo $GREETING from $(hostname); echo no >&2; "
	      "id -u; exit 7\"]}]}}",
	      0, NULL);
	wait_end(&r);
	struct runtime_exit e;
	assert_int_equal(runtime_look(&paths, r.id, &e), RUNTIME_EXITED);
	assert_int_equal(e.code, 7);
	assert_true(e.finished_wall_ns > 0);
	assert_false(e.oom_killed);
	CLEANUP(free_p) char *text = log_text(&r);
	assert_non_null(strstr(text, " stdout F good day from testpod\n"));
	assert_non_null(strstr(text, " stderr F no\n"));
	assert_non_null(strstr(text, " stdout F 0\n"));
	finish(&r);
}

/* Whatever of the machine a pod must not see. Each line of the script prints a name that is there but must not be. */
static void test_host_is_hidden(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct run r;
	CLEANUP(free_p)
	char *pod =
		str_printf("{\"spec\":{\"containers\":[{\"command\":[\"sh\",\"-c\",\"for p in %s /home /boot /srv "
			   "/etc/shadow /etc/gshadow /etc/sudoers "
			   "/etc/ssh /etc/hostname /etc/fstab /etc/machine-id /etc/crontab /var/lib/dpkg "
			   "/var/lib/sluice /var/run/docker.sock /work "
			   "/lost+found /dev/vda /dev/mem /dev/kmsg /dev/fuse; do test -e $p && echo SEEN $p; done; "
			   "for d in /root /tmp /run/lock /var/log /var/lib /opt/sluice/lib /etc/ssl/private /mnt; do "
			   "test -d $d && ls -A $d | sed s/^/SEEN/; done; "
			   "for d in / /run /etc /opt /proc/1/root /var; do ls $d | sed s-^-LIST-; done; "
			   "for f in /usr/x /bin/x /etc/ssl/x /etc/passwd /opt/sluice/bin/sluice /lib64/x /sys/x "
			   "/proc/sys/x /etc/alternatives/x; do (echo >>$f) 2>/dev/null && echo WROTE $f; done; "
			   "for d in /x /tmp/x /run/x /var/x /dev/shm/x; do echo y >$d || echo FAILED $d; done; "
			   "test -x /opt/sluice/bin/sluice && test $(command -v sluice) = /opt/sluice/bin/sluice && "
			   "getent passwd root && echo DONE\"]}]}}",
			   paths.data_dir);
	begin(&r, pod, 0, NULL);
	wait_end(&r);
	CLEANUP(free_p) char *text = log_text(&r);
	if (strstr(text, "SEEN") != NULL || strstr(text, "WROTE") != NULL || strstr(text, "FAILED") != NULL ||
	    strstr(text, "DONE") == NULL)
		fail_msg("%s", text);
	static const char *const lists[] = {
		"home", "boot", "work", "farm", "shadow", "sudoers", "container_info.json", "old_root"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		CLEANUP(free_p) char *line = str_printf("LIST%s\n", lists[i]);
		if (strstr(text, line) != NULL)
			fail_msg("a pod sees '%s'", lists[i]);
	}
	finish(&r);
	assert_int_equal(access("/usr/x", F_OK), -1);
}

static void test_signal_and_exec(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct run r;
	begin(&r,
	      "{\"spec\":{\"containers\":[{\"command\":[\"sh\",\"-c\",\"trap 'exit 3' TERM; while :; do sleep 0.05; "
	      "done\"]}]}}",
	      0, NULL);
	struct runtime_exit e;
	assert_int_equal(runtime_look(&paths, r.id, &e), RUNTIME_RUNNING);

	struct error err = {0};
	struct process_result res = {0};
	check(runtime_exec(&paths, r.id, (const char *const[]){"sh", "-c", "echo $GREETING; exit 4", NULL}, 4096,
			   10 * NSEC_PER_SEC, &res, &err),
	      &err);
	assert_int_equal(res.status, 4);
	assert_string_equal(res.out, "good day\n");
	process_result_clear(&res);

	int rc = runtime_exec(&paths, r.id, (const char *const[]){"sleep", "4321", NULL}, 4096, NSEC_PER_SEC / 2, &res,
			      &err);
	assert_int_equal(rc, -ETIMEDOUT);
	/* Ended inside as well: nothing but the first process and its sleep is left. */
	check(runtime_exec(&paths, r.id,
			   (const char *const[]){"sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '", NULL}, 65536,
			   10 * NSEC_PER_SEC, &res, &err),
	      &err);
	assert_null(strstr(res.out, "4321"));
	process_result_clear(&res);

	check(runtime_signal(&paths, r.id, SIGTERM, &err), &err);
	wait_end(&r);
	assert_int_equal(runtime_look(&paths, r.id, &e), RUNTIME_EXITED);
	assert_int_equal(e.code, 3);
	assert_int_equal(runtime_signal(&paths, r.id, SIGTERM, &err), -ESRCH);
	finish(&r);
}

static void test_refused_command(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct run r;
	begin(&r, "{\"spec\":{\"containers\":[{\"command\":[\"no-such-program\"]}]}}", -EIO,
	      "\"no-such-program\": executable file not found");
	finish(&r);
}

static void test_lost_monitor(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct run r;
	begin(&r, "{\"spec\":{\"hostPID\":true,\"containers\":[{\"command\":[\"sleep\",\"1000\"]}]}}", 0, NULL);
	struct path file;
	struct error err = {0};
	CLEANUP(free_p) char *text = NULL;
	int64_t pid = 0;
	check(path_set(&file, &err, "%s/containers/%s/conmon.pid", paths.data_dir, r.id), &err);
	check(file_read(file.p, 32, &text, NULL, &err), &err);
	assert_int_equal(str_to_i64(text, &pid), 0);
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	wait_end(&r);
	struct runtime_exit e;
	assert_int_equal(runtime_look(&paths, r.id, &e), RUNTIME_LOST);
	finish(&r); /* takes the process with it although it has no pid namespace of its own */
}

static void test_privileged(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct run r;
	begin(&r,
	      "{\"spec\":{\"containers\":[{\"securityContext\":{\"privileged\":true},\"resources\":{\"limits\":{"
	      "\"memory\":\"64Mi\",\"cpu\":\"500m\"}},"
	      "\"command\":[\"sh\",\"-c\",\"test -c /dev/fuse && exec 3<>/dev/fuse && mount -t tmpfs x /mnt && ls -A "
	      "/etc/ssl/private && touch /proc/sys/kernel/hostname && echo GOOD\"]}]}}",
	      0, NULL);
	wait_end(&r);
	CLEANUP(free_p) char *text = log_text(&r);
	if (strstr(text, "stdout F GOOD") == NULL)
		fail_msg("%s", text);
	assert_null(strstr(text, ".key"));
	finish(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exit_code_and_log), cmocka_unit_test(test_host_is_hidden),
		cmocka_unit_test(test_signal_and_exec),   cmocka_unit_test(test_refused_command),
		cmocka_unit_test(test_lost_monitor),      cmocka_unit_test(test_privileged),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
