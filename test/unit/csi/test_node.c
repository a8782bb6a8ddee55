/*
 * The whole plug-in over its socket, with real mounts in a mount namespace of the test's own: tmpfs stands for a fuse mount where only
 * its type matters, /dev/fuse without a server for one that hangs or is dead. Needs root; skipped without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/str.h"
#include "csi/plugin.h"
#include "kube/client.h"
#include "net/grpc.h"
#include "net/proto/csi.pb-c.h"
#include "net/proto/registration.pb-c.h"
#include "json/json.h"

struct fixture {
	char dir[64], kubelet[96], mounts[96], staging[160], target[200];
	struct csi_plugin *plugin;
	pthread_mutex_t lock; /* guards the rest */
	json_t *pv, *dataset, *runtime;
	char patch[256];
	int patches, patch_rc;
};

#define PV   "default-demo"
#define PATH "reservoir/default/demo/reservoir-fuse"

static int fake_get(void *ctx, const struct kube_resource *r, const char *ns, const char *name, json_t **ret,
		    struct error *err)
{
	struct fixture *f = ctx;
	(void)ns;
	pthread_mutex_lock(&f->lock);
	json_t *obj = strcmp(r->kind, "PersistentVolume") == 0 ? f->pv
		      : strcmp(r->kind, "Dataset") == 0        ? f->dataset
							       : f->runtime;
	*ret = json_incref(obj);
	pthread_mutex_unlock(&f->lock);
	if (*ret == NULL)
		return error_set(err, -ENOENT, "%s %s not found", r->plural, name);
	return 0;
}

static int fake_patch(void *ctx, const char *name, const json_t *patch, struct error *err)
{
	struct fixture *f = ctx;
	CLEANUP(free_p) char *text = json_to_text(patch, NULL);
	pthread_mutex_lock(&f->lock);
	f->patches++;
	(void)snprintf(f->patch, sizeof f->patch, "%s %s", name, text);
	const int rc = f->patch_rc;
	pthread_mutex_unlock(&f->lock);
	return rc < 0 ? error_set(err, rc, "nodes \"%s\": refused", name) : 0;
}

static int setup(void **state)
{
	if (geteuid() != 0)
		skip();
	struct fixture *f = calloc(1, sizeof *f);
	struct error err = {0};
	assert_non_null(f);
	pthread_mutex_init(&f->lock, NULL);
	(void)str_copy(f->dir, sizeof f->dir, "/tmp/sluice-csi-XXXXXX"); /* fits */
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(mount("test", f->dir, "tmpfs", 0, "size=1m"), 0);
	(void)snprintf(f->kubelet, sizeof f->kubelet, "%s/kubelet", f->dir);
	(void)snprintf(f->mounts, sizeof f->mounts, "%s/mnt", f->dir);
	(void)snprintf(f->staging, sizeof f->staging, "%s/plugins/x/globalmount", f->kubelet);
	(void)snprintf(f->target, sizeof f->target, "%s/pods/u1/volumes/kubernetes.io~csi/" PV "/mount", f->kubelet);
	CLEANUP(free_p) char *parent = strndup(f->target, strlen(f->target) - strlen("/mount"));
	CLEANUP(free_p) char *endpoint = str_printf("unix://%s/csi/csi.sock", f->dir);
	assert_int_equal(file_mkdir_all(parent, 0755, &err), 0);
	assert_int_equal(file_mkdir_all(f->mounts, 0755, &err), 0);
	/* A slash too many: the roots are what a person may have typed. */
	CLEANUP(free_p) char *kubelet = str_printf("%s/", f->kubelet);
	const struct csi_options o = {.endpoint = endpoint,
				      .registration_dir = f->dir,
				      .node_id = "n1",
				      .kubelet_root = kubelet,
				      .mount_root = f->mounts,
				      .api = {.get = fake_get, .patch_node = fake_patch, .ctx = f}};
	if (csi_plugin_new(&o, &f->plugin, &err) != 0)
		fail_msg("%s", err.msg);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	csi_plugin_free(f->plugin);
	assert_int_equal(umount2(f->dir, MNT_DETACH), 0);
	assert_int_equal(rmdir(f->dir), 0);
	json_decref(f->pv);
	json_decref(f->dataset);
	json_decref(f->runtime);
	pthread_mutex_destroy(&f->lock);
	free(f);
	return 0;
}

/* --- calls --- */

static int call(struct fixture *f, const char *method, const ProtobufCMessage *m, int64_t timeout, uint8_t **ret,
		size_t *ret_n, struct error *err)
{
	uint8_t in[8192];
	assert_true(protobuf_c_message_get_packed_size(m) <= sizeof in);
	const size_t n = protobuf_c_message_pack(m, in);
	CLEANUP(free_p) char *path = str_printf("/csi.v1.%s", method);
	const int rc = grpc_call(csi_plugin_socket(f->plugin), path, in, n, timeout, ret, ret_n, err);
	return rc == -EREMOTEIO ? err->status : rc;
}

struct publish {
	const char *volume, *target, *path, *type, *sub, *method, *flag;
	int mode;
	bool readonly;
	int64_t timeout;
};

static int publish(struct fixture *f, const struct publish *p, struct error *err)
{
	CLEANUP(free_p) char *path = str_printf("%s/%s", f->mounts, p->path != NULL ? p->path : PATH);
	char *flags[] = {(char *)p->flag};
	Csi__V1__NodePublishVolumeRequest__VolumeContextEntry e[4], *list[4];
	const char *const pairs[4][2] = {{"fluid_path", path},
					 {"mount_type", p->type != NULL ? p->type : "tmpfs"},
					 {"fluid_sub_path", p->sub != NULL ? p->sub : ""},
					 {"node_publish_method", p->method != NULL ? p->method : ""}};
	for (size_t i = 0; i < 4; i++) {
		e[i] = (Csi__V1__NodePublishVolumeRequest__VolumeContextEntry)
			CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__VOLUME_CONTEXT_ENTRY__INIT;
		e[i].key = (char *)pairs[i][0];
		e[i].value = (char *)pairs[i][1];
		list[i] = &e[i];
	}
	Csi__V1__VolumeCapability__MountVolume m = CSI__V1__VOLUME_CAPABILITY__MOUNT_VOLUME__INIT;
	m.n_mount_flags = p->flag != NULL;
	m.mount_flags = flags;
	Csi__V1__VolumeCapability__AccessMode a = CSI__V1__VOLUME_CAPABILITY__ACCESS_MODE__INIT;
	a.mode = (Csi__V1__VolumeCapability__AccessMode__Mode)(p->mode != 0 ? p->mode : 5);
	Csi__V1__VolumeCapability c = CSI__V1__VOLUME_CAPABILITY__INIT;
	c.access_mode = &a;
	c.access_type_case = CSI__V1__VOLUME_CAPABILITY__ACCESS_TYPE_MOUNT;
	c.mount = &m;
	Csi__V1__NodePublishVolumeRequest r = CSI__V1__NODE_PUBLISH_VOLUME_REQUEST__INIT;
	r.volume_id = (char *)(p->volume != NULL ? p->volume : PV);
	r.target_path = (char *)(p->target != NULL ? p->target : f->target);
	r.readonly = p->readonly;
	r.volume_capability = &c;
	r.n_volume_context = 4;
	r.volume_context = list;
	CLEANUP(free_p) uint8_t *out = NULL;
	size_t n = 0;
	return call(f, "Node/NodePublishVolume", &r.base, p->timeout != 0 ? p->timeout : 10 * NSEC_PER_SEC, &out, &n,
		    err);
}

static int unpublish(struct fixture *f, const char *target, struct error *err)
{
	Csi__V1__NodeUnpublishVolumeRequest r = CSI__V1__NODE_UNPUBLISH_VOLUME_REQUEST__INIT;
	CLEANUP(free_p) uint8_t *out = NULL;
	size_t n = 0;
	r.volume_id = (char *)PV;
	r.target_path = (char *)(target != NULL ? target : f->target);
	return call(f, "Node/NodeUnpublishVolume", &r.base, 20 * NSEC_PER_SEC, &out, &n, err);
}

static int stage(struct fixture *f, const char *label, const char *staging, struct error *err)
{
	CLEANUP(free_p) char *path = str_printf("%s/" PATH, f->mounts);
	Csi__V1__NodeStageVolumeRequest__VolumeContextEntry e[2], *list[2] = {&e[0], &e[1]};
	const char *const pairs[2][2] = {{"fluid_path", path}, {"mount_pod_node_selector_key", label}};
	for (size_t i = 0; i < 2; i++) {
		e[i] = (Csi__V1__NodeStageVolumeRequest__VolumeContextEntry)
			CSI__V1__NODE_STAGE_VOLUME_REQUEST__VOLUME_CONTEXT_ENTRY__INIT;
		e[i].key = (char *)pairs[i][0];
		e[i].value = (char *)pairs[i][1];
	}
	Csi__V1__NodeStageVolumeRequest r = CSI__V1__NODE_STAGE_VOLUME_REQUEST__INIT;
	r.volume_id = (char *)PV;
	r.staging_target_path = (char *)(staging != NULL ? staging : f->staging);
	r.n_volume_context = 2;
	r.volume_context = list;
	CLEANUP(free_p) uint8_t *out = NULL;
	size_t n = 0;
	return call(f, "Node/NodeStageVolume", &r.base, 10 * NSEC_PER_SEC, &out, &n, err);
}

static int unstage(struct fixture *f, struct error *err)
{
	Csi__V1__NodeUnstageVolumeRequest r = CSI__V1__NODE_UNSTAGE_VOLUME_REQUEST__INIT;
	CLEANUP(free_p) uint8_t *out = NULL;
	size_t n = 0;
	r.volume_id = (char *)PV;
	r.staging_target_path = f->staging;
	return call(f, "Node/NodeUnstageVolume", &r.base, 10 * NSEC_PER_SEC, &out, &n, err);
}

/* --- mounts --- */

static char *make_dir(struct fixture *f, const char *rel)
{
	struct error err = {0};
	char *path = str_printf("%s/%s", f->mounts, rel);
	assert_int_equal(file_mkdir_all(path, 0755, &err), 0);
	return path;
}

static void mount_tmpfs(struct fixture *f, const char *rel)
{
	CLEANUP(free_p) char *path = make_dir(f, rel);
	assert_int_equal(mount("data", path, "tmpfs", 0, "size=64k"), 0);
	CLEANUP(free_p) char *sub = str_printf("%s/sub/dir", path), *file = str_printf("%s/sub/file", path);
	CLEANUP(free_p) char *out = str_printf("%s/out", path), *in = str_printf("%s/in", path);
	assert_int_equal(file_mkdir_all(sub, 0755, NULL), 0);
	assert_int_equal(file_write_atomic(file, 0644, "hello", 5, NULL), 0);
	assert_int_equal(symlink("/etc", out), 0);
	assert_int_equal(symlink("sub", in), 0);
}

/* A fuse mount whose server is the returned descriptor: it hangs while that is open and is dead afterwards. */
static int mount_fuse(struct fixture *f, const char *rel)
{
	CLEANUP(free_p) char *path = make_dir(f, rel);
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	CLEANUP(free_p) char *options = str_printf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	assert_true(fd >= 0);
	assert_int_equal(mount("test", path, "fuse.test", MS_NOSUID | MS_NODEV, options), 0);
	return fd;
}

static bool has_file(const char *dir, const char *name)
{
	CLEANUP(free_p) char *path = str_printf("%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static unsigned long flags_of(const char *path)
{
	struct statvfs st;
	assert_int_equal(statvfs(path, &st), 0);
	return st.f_flag & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC);
}

/* --- tests --- */

static void test_identity(void **state)
{
	struct fixture *f = *state;
	struct error err = {0};
	uint8_t *out = NULL;
	size_t n = 0;
	const Csi__V1__GetPluginInfoRequest info = CSI__V1__GET_PLUGIN_INFO_REQUEST__INIT;
	assert_int_equal(call(f, "Identity/GetPluginInfo", &info.base, NSEC_PER_SEC * 5, &out, &n, &err), 0);
	Csi__V1__GetPluginInfoResponse *i = csi__v1__get_plugin_info_response__unpack(NULL, n, out);
	assert_string_equal(i->name, "fuse.csi.fluid.io");
	assert_true(*i->vendor_version != '\0');
	csi__v1__get_plugin_info_response__free_unpacked(i, NULL);
	free(out);
	const Csi__V1__ProbeRequest probe = CSI__V1__PROBE_REQUEST__INIT;
	assert_int_equal(call(f, "Identity/Probe", &probe.base, NSEC_PER_SEC * 5, &out, &n, &err), 0);
	Csi__V1__ProbeResponse *p = csi__v1__probe_response__unpack(NULL, n, out);
	assert_true(p->ready->value);
	csi__v1__probe_response__free_unpacked(p, NULL);
	free(out);
	const Csi__V1__NodeGetInfoRequest node = CSI__V1__NODE_GET_INFO_REQUEST__INIT;
	assert_int_equal(call(f, "Node/NodeGetInfo", &node.base, NSEC_PER_SEC * 5, &out, &n, &err), 0);
	Csi__V1__NodeGetInfoResponse *ni = csi__v1__node_get_info_response__unpack(NULL, n, out);
	assert_string_equal(ni->node_id, "n1");
	csi__v1__node_get_info_response__free_unpacked(ni, NULL);
	free(out);
	const Csi__V1__NodeGetCapabilitiesRequest caps = CSI__V1__NODE_GET_CAPABILITIES_REQUEST__INIT;
	assert_int_equal(call(f, "Node/NodeGetCapabilities", &caps.base, NSEC_PER_SEC * 5, &out, &n, &err), 0);
	Csi__V1__NodeGetCapabilitiesResponse *c = csi__v1__node_get_capabilities_response__unpack(NULL, n, out);
	assert_int_equal(c->n_capabilities, 1);
	assert_int_equal(c->capabilities[0]->rpc->type, 1);
	csi__v1__node_get_capabilities_response__free_unpacked(c, NULL);
	free(out);
	assert_int_equal(call(f, "Node/NodeGetVolumeStats", &caps.base, NSEC_PER_SEC * 5, &out, &n, &err),
			 GRPC_UNIMPLEMENTED);
}

static void test_publish(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name;
		struct publish p;
		const char *file;
		unsigned long flags;
	} cases[] = {
		{"read-write", {0}, "sub/file", ST_NOSUID | ST_NODEV},
		{"readonly of the request", {.readonly = true}, "sub/file", ST_NOSUID | ST_NODEV | ST_RDONLY},
		{"many readers", {.mode = 3}, "sub/file", ST_NOSUID | ST_NODEV | ST_RDONLY},
		{"one reader", {.mode = 2}, "sub/file", ST_NOSUID | ST_NODEV | ST_RDONLY},
		{"mount option", {.flag = "noexec"}, "sub/file", ST_NOSUID | ST_NODEV | ST_NOEXEC},
		{"sub path", {.sub = "/sub/", .mode = 3}, "file", ST_NOSUID | ST_NODEV | ST_RDONLY},
		{"link inside", {.sub = "in"}, "file", ST_NOSUID | ST_NODEV},
		{"part of the type", {.type = "mpf"}, "sub/file", ST_NOSUID | ST_NODEV},
	};
	mount_tmpfs(f, PATH);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		for (int turn = 0; turn < 2; turn++) { /* again: the same answer, and one mount alone */
			const int rc = publish(f, &cases[i].p, &err);
			if (rc != 0)
				fail_msg("case '%s': %d, '%s'", cases[i].name, rc, err.msg);
		}
		if (!has_file(f->target, cases[i].file) || flags_of(f->target) != cases[i].flags)
			fail_msg("case '%s': flags %lx", cases[i].name, flags_of(f->target));
		for (int turn = 0; turn < 2; turn++)
			assert_int_equal(unpublish(f, NULL, &err), 0);
		if (access(f->target, F_OK) == 0)
			fail_msg("case '%s': the target is still there", cases[i].name);
	}
	CLEANUP(free_p) char *source = str_printf("%s/" PATH, f->mounts);
	assert_int_equal(flags_of(source), 0); /* the dataset's own mount is as it was */
}

static void test_publish_link(void **state)
{
	struct fixture *f = *state;
	struct error err = {0};
	mount_tmpfs(f, PATH);
	assert_int_equal(mkdir(f->target, 0755), 0);
	const struct publish p = {.method = "symlink", .sub = "sub"};
	assert_int_equal(publish(f, &p, &err), 0);
	assert_int_equal(publish(f, &p, &err), 0);
	struct stat st;
	assert_true(lstat(f->target, &st) == 0 && S_ISLNK(st.st_mode));
	assert_true(has_file(f->target, "file"));
	assert_int_equal(publish(f, &(struct publish){0}, &err),
			 0); /* the method changed: a link is replaced by a mount */
	assert_true(lstat(f->target, &st) == 0 && S_ISDIR(st.st_mode));
	assert_int_equal(unpublish(f, NULL, &err), 0);
	assert_int_equal(publish(f, &p, &err), 0);
	assert_int_equal(unpublish(f, NULL, &err), 0);
	assert_int_equal(lstat(f->target, &st), -1);
	CLEANUP(free_p) char *source = str_printf("%s/" PATH, f->mounts);
	assert_true(has_file(source, "sub/file"));
}

static void test_publish_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name;
		struct publish p;
		int code;
		const char *msg;
	} cases[] = {
		{"no volume", {.volume = ""}, GRPC_INVALID_ARGUMENT, "volume_id and target_path are needed"},
		{"no target", {.target = ""}, GRPC_INVALID_ARGUMENT, "volume_id and target_path are needed"},
		{"target elsewhere", {.target = "/etc/x"}, GRPC_INVALID_ARGUMENT, "target path must lie below"},
		{"upward", {.path = "../../etc"}, GRPC_INVALID_ARGUMENT, "fluid_path: must be a path below"},
		{"through a link", {.path = "link/default"}, GRPC_INVALID_ARGUMENT, "leads through a symbolic link"},
		{"sub path upward", {.sub = "../x"}, GRPC_INVALID_ARGUMENT, "fluid_sub_path: must be"},
		{"sub path out by a link", {.sub = "out"}, GRPC_INVALID_ARGUMENT, "leads out of the dataset"},
		{"unknown option", {.flag = "uid=0,suid"}, GRPC_INVALID_ARGUMENT, "mount option 'uid=0,suid'"},
		{"other type",
		 {.type = "fuse.other", .timeout = NSEC_PER_SEC / 4},
		 GRPC_INTERNAL,
		 "is a mount of type tmpfs, not fuse.other"},
		{"not there", {.path = "nothing", .timeout = NSEC_PER_SEC / 4}, GRPC_INTERNAL, "does not exist yet"},
		{"not mounted",
		 {.path = "reservoir/default", .timeout = NSEC_PER_SEC / 4},
		 GRPC_INTERNAL,
		 "nothing is mounted at"},
		{"no such sub path", {.sub = "none", .timeout = NSEC_PER_SEC / 4}, GRPC_INTERNAL, "sub path 'none'"},
	};
	mount_tmpfs(f, PATH);
	CLEANUP(free_p) char *link = str_printf("%s/link", f->mounts);
	assert_int_equal(symlink("reservoir", link), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		const int rc = publish(f, &cases[i].p, &err);
		if (rc != cases[i].code || strstr(err.msg, cases[i].msg) == NULL)
			fail_msg("case '%s': %d, '%s'", cases[i].name, rc, err.msg);
		if (access(f->target, F_OK) == 0)
			fail_msg("case '%s': left a target behind", cases[i].name);
	}
}

struct waiter {
	struct fixture *f;
	int rc;
	struct error err;
};

static void *publish_main(void *arg)
{
	struct waiter *w = arg;
	do {
		w->rc = publish(w->f, &(struct publish){.timeout = 30 * NSEC_PER_SEC}, &w->err);
	} while (w->rc == GRPC_ABORTED); /* until it is the one that waits */
	return NULL;
}

/* The call waits for the mount, and a second one on the same target is sent away meanwhile. */
static void test_publish_waits(void **state)
{
	struct fixture *f = *state;
	struct waiter w = {.f = f};
	struct error err = {0};
	pthread_t thread;
	free(make_dir(f, PATH));
	assert_int_equal(pthread_create(&thread, NULL, publish_main, &w), 0);
	const int64_t until = clock_mono_ns() + 10 * NSEC_PER_SEC;
	int rc = 0;
	do { /* whoever comes second is aborted; this one gives up soon when it is first */
		rc = publish(f, &(struct publish){.timeout = NSEC_PER_SEC / 20}, &err);
	} while (rc != GRPC_ABORTED && clock_mono_ns() < until);
	assert_int_equal(rc, GRPC_ABORTED);
	assert_non_null(strstr(err.msg, "another call works on target path"));
	mount_tmpfs(f, PATH);
	pthread_join(thread, NULL);
	if (w.rc != 0)
		fail_msg("%d, '%s'", w.rc, w.err.msg);
	assert_true(has_file(f->target, "sub/file"));
	assert_int_equal(unpublish(f, NULL, &err), 0);
}

/* A fuse server that does not answer costs the call its deadline, no more; a dead one is replaced when a new one is mounted. */
static void test_fuse_hangs_and_dies(void **state)
{
	struct fixture *f = *state;
	struct error err = {0};
	if (access("/dev/fuse", R_OK | W_OK) != 0)
		skip();
	int server = mount_fuse(f, PATH);
	const int64_t begun = clock_mono_ns();
	const struct publish p = {.type = "fuse.test", .timeout = 2 * NSEC_PER_SEC};
	const int rc = publish(f, &p, &err);
	if (rc != GRPC_INTERNAL || strstr(err.msg, "does not answer") == NULL)
		fail_msg("%d, '%s'", rc, err.msg);
	assert_true(clock_mono_ns() - begun < 5 * NSEC_PER_SEC);
	(void)close(server);
	assert_int_equal(publish(f, &p, &err), GRPC_INTERNAL);
	assert_non_null(strstr(err.msg, "is dead"));
	assert_int_equal(stage(f, "fluid.io/f-default-demo", NULL, &err), 0); /* takes the dead mount away */
	mount_tmpfs(f, PATH);
	assert_int_equal(publish(f, &(struct publish){0}, &err), 0);

	/* The published mount itself dies and is published again. */
	assert_int_equal(unpublish(f, NULL, &err), 0);
	assert_int_equal(mkdir(f->target, 0755), 0);
	CLEANUP(free_p) char *options = NULL;
	server = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	options = str_printf("fd=%d,rootmode=40000,user_id=0,group_id=0", server);
	assert_int_equal(mount("test", f->target, "fuse.test", 0, options), 0);
	(void)close(server);
	assert_int_equal(publish(f, &(struct publish){0}, &err), 0);
	assert_true(has_file(f->target, "sub/file"));
	assert_int_equal(unpublish(f, NULL, &err), 0);
}

static void test_unpublish(void **state)
{
	struct fixture *f = *state;
	struct error err = {0};
	CLEANUP(free_p) char *gone = str_printf("%s/pods/none/volumes/kubernetes.io~csi/x/mount", f->kubelet);
	assert_int_equal(unpublish(f, NULL, &err), 0);
	assert_int_equal(unpublish(f, gone, &err), 0);
	assert_int_equal(unpublish(f, "/etc/passwd", &err), GRPC_INVALID_ARGUMENT);
	mount_tmpfs(f, PATH);
	assert_int_equal(publish(f, &(struct publish){0}, &err), 0);
	CLEANUP(free_p) char *file = str_printf("%s/sub/file", f->target);
	CLEANUP(close_fd) int busy = open(file, O_RDONLY | O_CLOEXEC);
	assert_true(busy >= 0);
	assert_int_equal(unpublish(f, NULL, &err), 0); /* in use: detached */
	assert_int_equal(access(f->target, F_OK), -1);
	char text[8] = "";
	assert_int_equal(read(busy, text, sizeof text), 5);

	assert_int_equal(mkdir(f->target, 0755), 0);
	CLEANUP(free_p) char *precious = str_printf("%s/precious", f->target);
	assert_int_equal(file_write_atomic(precious, 0644, "x", 1, NULL), 0);
	assert_int_equal(unpublish(f, NULL, &err), GRPC_INTERNAL); /* data that nobody mounted is never removed */
	assert_non_null(strstr(err.msg, "not empty"));
	assert_int_equal(access(precious, F_OK), 0);
}

static void test_stage(void **state)
{
	struct fixture *f = *state;
	struct error err = {0};
	assert_int_equal(stage(f, "fluid.io/f-default-demo", NULL, &err), 0);
	assert_string_equal(f->patch, "n1 {\"metadata\":{\"labels\":{\"fluid.io/f-default-demo\":\"true\"}}}");
	assert_int_equal(stage(f, "fluid.io/f-default-demo", NULL, &err), 0);
	assert_int_equal(f->patches, 2);
	assert_int_equal(stage(f, "kubernetes.io/hostname", NULL, &err), GRPC_INVALID_ARGUMENT);
	assert_int_equal(stage(f, "", NULL, &err), GRPC_INVALID_ARGUMENT);
	assert_int_equal(stage(f, "fluid.io/f-default-demo", "/elsewhere", &err), GRPC_INVALID_ARGUMENT);
	assert_int_equal(f->patches, 2);
	static const struct {
		int rc, code;
	} failures[] = {{-EPERM, GRPC_PERMISSION_DENIED}, {-ECONNREFUSED, GRPC_UNAVAILABLE}, {-ENOENT, GRPC_INTERNAL}};
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		f->patch_rc = failures[i].rc;
		assert_int_equal(stage(f, "fluid.io/f-default-demo", NULL, &err), failures[i].code);
		assert_non_null(strstr(err.msg, "label node n1: nodes \"n1\": refused"));
	}
}

static void test_unstage(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name, *pv_key, *policy;
		bool no_pv, no_dataset, no_runtime, published;
		int code;
		const char *patch;
	} cases[] = {
		{"volume gone", NULL, "OnDemand", true, false, false, false, 0, ""},
		{"dataset gone", NULL, "OnDemand", false, true, false, false, 0, ""},
		{"runtime gone", NULL, "OnDemand", false, false, true, false, 0, ""},
		{"default", NULL, NULL, false, false, false, false, 0, ""},
		{"until deleted", NULL, "OnRuntimeDeleted", false, false, false, false, 0, ""},
		{"unknown", NULL, "OnFuseChanged", false, false, false, false, 0, ""},
		{"on demand, still used", NULL, "OnDemand", false, false, false, true, 0, ""},
		{"on demand", NULL, "OnDemand", false, false, false, false, 0,
		 "n1 {\"metadata\":{\"labels\":{\"fluid.io/f-default-demo\":null}}}"},
		{"label of the volume", "fluid.io/f-1234", "OnDemand", false, false, false, false, 0,
		 "n1 {\"metadata\":{\"labels\":{\"fluid.io/f-1234\":null}}}"},
		{"foreign label", "kubernetes.io/os", "OnDemand", false, false, false, false, GRPC_INVALID_ARGUMENT,
		 ""},
	};
	struct error err = {0};
	mount_tmpfs(f, PATH);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_decref(f->pv);
		json_decref(f->dataset);
		json_decref(f->runtime);
		f->pv = cases[i].no_pv
				? NULL
				: json_pack("{s:{s:s},s:{s:{s:{s:s,s:s}}}}", "metadata", "name", PV, "spec", "csi",
					    "volumeAttributes", "runtime_namespace", "default", "runtime_name", "demo");
		if (cases[i].pv_key != NULL)
			assert_int_equal(json_put_str(f->pv, "spec.csi.volumeAttributes.mount_pod_node_selector_key",
						      cases[i].pv_key),
					 0);
		f->dataset = cases[i].no_dataset ? NULL
						 : json_pack("{s:{s:[{s:s,s:s,s:s}]}}", "status", "runtimes", "type",
							     "reservoir", "name", "demo", "namespace", "default");
		f->runtime = cases[i].no_runtime ? NULL : json_pack("{s:{s:{}}}", "spec", "fuse");
		if (cases[i].policy != NULL && f->runtime != NULL)
			assert_int_equal(json_put_str(f->runtime, "spec.fuse.cleanPolicy", cases[i].policy), 0);
		if (cases[i].published)
			assert_int_equal(publish(f, &(struct publish){0}, &err), 0);
		f->patch[0] = '\0';
		const int code = unstage(f, &err);
		if (code != cases[i].code || strcmp(f->patch, cases[i].patch) != 0)
			fail_msg("case '%s': %d, patch '%s', '%s'", cases[i].name, code, f->patch, err.msg);
		if (cases[i].published)
			assert_int_equal(unpublish(f, NULL, &err), 0);
	}
}

/* A kubelet is told where the plug-in's socket is, and may say how it went. */
static void test_registration(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_p) char *socket = str_printf("%s/fuse.csi.fluid.io-reg.sock", f->dir);
	CLEANUP(free_p) uint8_t *out = NULL;
	size_t n = 0;
	struct error err = {0};
	assert_int_equal(
		grpc_call(socket, "/pluginregistration.Registration/GetInfo", NULL, 0, NSEC_PER_SEC, &out, &n, &err),
		0);
	Pluginregistration__PluginInfo *info = pluginregistration__plugin_info__unpack(NULL, n, out);
	assert_non_null(info);
	assert_string_equal(info->type, "CSIPlugin");
	assert_string_equal(info->name, "fuse.csi.fluid.io");
	assert_string_equal(info->endpoint, csi_plugin_socket(f->plugin));
	assert_int_equal(info->n_supported_versions, 1);
	assert_string_equal(info->supported_versions[0], "1.0.0");
	pluginregistration__plugin_info__free_unpacked(info, NULL);

	const char *const path = "/pluginregistration.Registration/NotifyRegistrationStatus";
	static const uint8_t registered[] = {0x08, 0x01}, refused[] = {0x12, 0x02, 'n', 'o'}, nonsense[] = {0xff};
	CLEANUP(free_p) uint8_t *a = NULL;
	CLEANUP(free_p) uint8_t *b = NULL;
	assert_int_equal(grpc_call(socket, path, registered, sizeof registered, NSEC_PER_SEC, &a, &n, &err), 0);
	assert_int_equal(grpc_call(socket, path, refused, sizeof refused, NSEC_PER_SEC, &b, &n, &err), 0);
	uint8_t *none = NULL;
	assert_int_equal(grpc_call(socket, path, nonsense, sizeof nonsense, NSEC_PER_SEC, &none, &n, &err), -EREMOTEIO);
	assert_int_equal(err.status, GRPC_INVALID_ARGUMENT);
}

static void test_options(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *name, *endpoint, *kubelet, *msg;
	} cases[] = {
		{"no unix socket", "tcp://127.0.0.1:1", "/k",
		 "CSI plug-in: endpoint 'tcp://127.0.0.1:1': must be unix:// and an absolute path"},
		{"relative root", "unix:///tmp/x", "k",
		 "CSI plug-in: kubelet root 'k': must be an absolute path other than /"},
		{"slash as root", "unix:///tmp/x", "/",
		 "CSI plug-in: kubelet root '/': must be an absolute path other than /"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct csi_plugin *p = NULL;
		struct error err = {0};
		const struct csi_options o = {.endpoint = cases[i].endpoint,
					      .node_id = "n",
					      .kubelet_root = cases[i].kubelet,
					      .mount_root = f->mounts};
		if (csi_plugin_new(&o, &p, &err) != -EINVAL || strstr(err.msg, cases[i].msg) == NULL)
			fail_msg("case '%s': '%s'", cases[i].name, err.msg);
	}
}

int main(void)
{
	log_init(STDERR_FILENO, LOG_LVL_ERROR, "test");
	/* What the tests mount is nobody else's business and ends with the process. */
	if (geteuid() == 0 && (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)) {
		perror("unshare");
		return 1;
	}
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_identity),        TEST(test_publish),       TEST(test_publish_link),
		TEST(test_publish_refused), TEST(test_publish_waits), TEST(test_fuse_hangs_and_dies),
		TEST(test_unpublish),       TEST(test_stage),         TEST(test_unstage),
		TEST(test_options),         TEST(test_registration),
	};
	if (geteuid() != 0)
		return 77; /* meson: skipped */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
