/* Volumes of pods, CSI ones with a scripted driver: needs root for mounts, and is skipped without it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/resource.h"
#include "local/agent_csi.h"
#include "local/agent_mount.h"
#include "local/agent_paths.h"
#include "local/agent_payload.h"
#include "local/agent_shared.h"
#include "local/agent_volume.h"
#include "net/grpc.h"
#include "net/proto/csi.pb-c.h"
#include "json/json.h"

static char dir[] = "/tmp/sluice-test-volume-XXXXXX";
static struct agent_paths paths;
static struct volume_host host;
static json_t *objects; /* "Kind/ns/name" → object */

static void check(int rc, const struct error *err)
{
	if (rc < 0)
		fail_msg("%s", err->msg);
}

static json_t *parse(const char *text)
{
	json_t *j = NULL;
	struct error err = {0};
	check(json_parse(text, strlen(text), &j, &err), &err);
	return j;
}

static int fetch(void *ctx, const struct kube_resource *r, const char *ns, const char *name, json_t **ret,
		 struct error *err)
{
	(void)ctx;
	CLEANUP(free_p) char *key = str_printf("%s/%s/%s", r->kind, ns, name);
	json_t *o = json_object_get(objects, key);
	if (o == NULL)
		return error_set(err, -ENOENT, "%s not found", key);
	*ret = json_deep_copy(o);
	return 0;
}

static void put(const char *key, const char *text)
{
	assert_int_equal(json_object_set_new(objects, key, parse(text)), 0);
}

/* ---- a CSI driver that mounts a tmpfs and writes down what it is asked ---- */

static struct grpc_server *driver;
static struct strbuf calls;
static bool refuse_publish, without_stage;

static void note(const char *what)
{
	strbuf_addf(&calls, "%s;", what);
}

static void answer(struct grpc_reply *reply, const ProtobufCMessage *m)
{
	reply->n = protobuf_c_message_get_packed_size(m);
	reply->data = malloc(reply->n + 1);
	assert_non_null(reply->data);
	(void)protobuf_c_message_pack(m, reply->data);
}

static void get_capabilities(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)in;
	(void)n;
	(void)deadline;
	Csi__V1__NodeServiceCapability__RPC rpc = CSI__V1__NODE_SERVICE_CAPABILITY__RPC__INIT;
	Csi__V1__NodeServiceCapability cap = CSI__V1__NODE_SERVICE_CAPABILITY__INIT, *list[] = {&cap};
	Csi__V1__NodeGetCapabilitiesResponse r = CSI__V1__NODE_GET_CAPABILITIES_RESPONSE__INIT;
	rpc.type = CSI__V1__NODE_SERVICE_CAPABILITY__RPC__TYPE__STAGE_UNSTAGE_VOLUME;
	cap.rpc = &rpc;
	r.capabilities = list;
	r.n_capabilities = without_stage ? 0 : 1;
	answer(reply, &r.base);
}

static void get_info(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)in;
	(void)n;
	(void)deadline;
	Csi__V1__NodeGetInfoResponse r = CSI__V1__NODE_GET_INFO_RESPONSE__INIT;
	r.node_id = "node-1";
	answer(reply, &r.base);
}

static void stage(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)deadline;
	Csi__V1__NodeStageVolumeRequest *r = csi__v1__node_stage_volume_request__unpack(NULL, n, in);
	assert_non_null(r);
	strbuf_addf(&calls, "stage %s secret=%s;", r->volume_id, r->n_secrets > 0 ? r->secrets[0]->value : "");
	assert_int_equal(access(r->staging_target_path, F_OK), 0);
	csi__v1__node_stage_volume_request__free_unpacked(r, NULL);
	Csi__V1__NodeStageVolumeResponse a = CSI__V1__NODE_STAGE_VOLUME_RESPONSE__INIT;
	answer(reply, &a.base);
}

static void publish(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)deadline;
	if (refuse_publish) {
		note("publish refused");
		reply->code = GRPC_INTERNAL;
		(void)str_copy(reply->message, sizeof reply->message, "the cache is not mounted yet");
		return;
	}
	Csi__V1__NodePublishVolumeRequest *r = csi__v1__node_publish_volume_request__unpack(NULL, n, in);
	assert_non_null(r);
	strbuf_addf(&calls, "publish %s ro=%d mode=%d flags=%zu:", r->volume_id, r->readonly,
		    r->volume_capability->access_mode->mode, r->volume_capability->mount->n_mount_flags);
	for (size_t i = 0; i < r->n_volume_context; i++)
		strbuf_addf(&calls, "%s=%s,", r->volume_context[i]->key, r->volume_context[i]->value);
	strbuf_addc(&calls, ';');
	assert_int_equal(mkdir(r->target_path, 0755), 0);
	assert_int_equal(mount("x", r->target_path, "tmpfs", 0, "size=1m"), 0);
	csi__v1__node_publish_volume_request__free_unpacked(r, NULL);
	Csi__V1__NodePublishVolumeResponse a = CSI__V1__NODE_PUBLISH_VOLUME_RESPONSE__INIT;
	answer(reply, &a.base);
}

static void unpublish(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)deadline;
	Csi__V1__NodeUnpublishVolumeRequest *r = csi__v1__node_unpublish_volume_request__unpack(NULL, n, in);
	assert_non_null(r);
	strbuf_addf(&calls, "unpublish %s;", r->volume_id);
	(void)umount2(r->target_path, 0); /* not mounted when publishing failed */
	csi__v1__node_unpublish_volume_request__free_unpacked(r, NULL);
	Csi__V1__NodeUnpublishVolumeResponse a = CSI__V1__NODE_UNPUBLISH_VOLUME_RESPONSE__INIT;
	answer(reply, &a.base);
}

static void unstage(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)deadline;
	Csi__V1__NodeUnstageVolumeRequest *r = csi__v1__node_unstage_volume_request__unpack(NULL, n, in);
	assert_non_null(r);
	strbuf_addf(&calls, "unstage %s;", r->volume_id);
	csi__v1__node_unstage_volume_request__free_unpacked(r, NULL);
	Csi__V1__NodeUnstageVolumeResponse a = CSI__V1__NODE_UNSTAGE_VOLUME_RESPONSE__INIT;
	answer(reply, &a.base);
}

static const struct grpc_method methods[] = {
	{"/csi.v1.Node/NodeGetCapabilities", get_capabilities},
	{"/csi.v1.Node/NodeGetInfo", get_info},
	{"/csi.v1.Node/NodeStageVolume", stage},
	{"/csi.v1.Node/NodePublishVolume", publish},
	{"/csi.v1.Node/NodeUnpublishVolume", unpublish},
	{"/csi.v1.Node/NodeUnstageVolume", unstage},
};

static void driver_start(void)
{
	struct error err = {0};
	struct path sock;
	check(path_set(&sock, &err, "%s/csi-plugins/d.example", paths.kubelet_root), &err);
	check(file_mkdir_all(sock.p, 0755, &err), &err);
	check(path_set(&sock, &err, "%s/csi-plugins/d.example/csi.sock", paths.kubelet_root), &err);
	check(grpc_server_new(sock.p, methods, ARRAY_LEN(methods), NULL, &driver, &err), &err);
}

static void driver_stop(void)
{
	grpc_server_free(driver);
	driver = NULL;
}

static void expect_calls(const char *want)
{
	if (strcmp(calls.p != NULL ? calls.p : "", want) != 0)
		fail_msg("the driver was asked '%s'", calls.p != NULL ? calls.p : "");
	strbuf_reset(&calls);
	if (calls.p != NULL)
		calls.p[0] = '\0';
}

/* ---- */

static int setup(void **state)
{
	(void)state;
	struct error err = {0};
	assert_non_null(mkdtemp(dir));
	objects = json_object();
	calls = STRBUF_INIT(65536);
	if (geteuid() != 0)
		return 0;
	check(agent_paths_init(&paths, dir, NULL, &err), &err);
	struct path file;
	check(path_set(&file, &err, "%s/agent/shared.json", paths.data_dir), &err);
	host = (struct volume_host){.paths = &paths, .node_name = "n", .address = "127.0.0.1", .fetch = fetch};
	check(shared_mounts_new(file.p, &host.shared, &err), &err);
	check(agent_csi_new(&paths, "n", &host.csi, &err), &err);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	struct error err = {0};
	driver_stop();
	agent_csi_free(host.csi);
	shared_mounts_free(host.shared);
	agent_paths_clear(&paths);
	json_decref(objects);
	strbuf_clear(&calls);
	check(mount_remove_tree(dir, &err), &err);
	return 0;
}

#define SKIP_WITHOUT_ROOT()                                                                                            \
	if (paths.data_dir == NULL)                                                                                    \
	skip()

static char *text_at(const char *fmt, const char *arg)
{
	struct error err = {0};
	CLEANUP(free_p) char *path = str_printf("%s/%s", fmt, arg);
	char *text = NULL;
	check(file_read(path, 65536, &text, NULL, &err), &err);
	return text;
}

#define POD(volumes)                                                                                                   \
	"{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u1\",\"labels\":{\"l\":\"v\"}},\"spec\":{"       \
	"\"containers\":[{\"name\":\"c\"}],\"volumes\":" volumes "}}"

static const char *path_of(const json_t *ready, const char *name)
{
	return json_str(json_object_get(ready, name), "path", "");
}

static void test_files(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct error err = {0};
	put("ConfigMap/ns/cm", "{\"data\":{\"a\":\"1\",\"b\":\"2\"},\"binaryData\":{\"raw\":\"AAE=\"}}");
	put("Secret/ns/s", "{\"data\":{\"pw\":\"c2VjcmV0\"}}");
	JSON_AUTO pod = parse(POD("[{\"name\":\"cm\",\"configMap\":{\"name\":\"cm\"}},"
				  "{\"name\":\"some\",\"configMap\":{\"name\":\"cm\",\"items\":[{\"key\":\"b\","
				  "\"path\":\"x/y/b\",\"mode\":256}]}},"
				  "{\"name\":\"s\",\"secret\":{\"secretName\":\"s\",\"defaultMode\":256}},"
				  "{\"name\":\"gone\",\"secret\":{\"secretName\":\"none\",\"optional\":true}},"
				  "{\"name\":\"all\",\"projected\":{\"sources\":[{\"configMap\":{\"name\":\"cm\"}},{"
				  "\"secret\":{\"name\":\"s\"}},"
				  "{\"downwardAPI\":{\"items\":[{\"path\":\"labels\",\"fieldRef\":{\"fieldPath\":"
				  "\"metadata.labels\"}}]}}]}}]"));
	JSON_AUTO ready = NULL;
	check(volumes_setup(&host, pod, &ready, &err), &err);
	CLEANUP(free_p) char *a = text_at(path_of(ready, "cm"), "a");
	assert_string_equal(a, "1");
	CLEANUP(free_p) char *nested = text_at(path_of(ready, "some"), "x/y/b");
	assert_string_equal(nested, "2");
	CLEANUP(free_p) char *pw = text_at(path_of(ready, "s"), "pw");
	assert_string_equal(pw, "secret");
	CLEANUP(free_p) char *labels = text_at(path_of(ready, "all"), "labels");
	assert_string_equal(labels, "l=\"v\"");
	CLEANUP(free_p) char *all_pw = text_at(path_of(ready, "all"), "pw");
	assert_string_equal(all_pw, "secret");
	CLEANUP(free_p) char *file = str_printf("%s/pw", path_of(ready, "s"));
	struct stat st;
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);
	assert_int_equal(mount_count(path_of(ready, "s"), false, &err), 1); /* on memory */
	assert_true(json_bool(json_object_get(ready, "s"), "readOnly", false));

	/* A change replaces all files at once; no change touches nothing. */
	CLEANUP(free_p) char *link = str_printf("%s/..data", path_of(ready, "cm"));
	char before[64] = "", same[64] = "", after[64] = "";
	assert_true(readlink(link, before, sizeof before - 1) > 0);
	check(volumes_refresh(&host, pod, &err), &err);
	assert_true(readlink(link, same, sizeof same - 1) > 0);
	assert_string_equal(before, same);
	put("ConfigMap/ns/cm", "{\"data\":{\"a\":\"new\",\"c\":\"3\"}}");
	assert_int_equal(volumes_refresh(&host, pod, &err),
			 -ENOENT); /* "some" wants b; the others are refreshed all the same */
	assert_string_equal(err.msg,
			    "MountVolume.SetUp failed for volume \"some\": references non-existent config key: b");
	assert_true(readlink(link, after, sizeof after - 1) > 0);
	assert_string_not_equal(before, after);
	CLEANUP(free_p) char *now = text_at(path_of(ready, "cm"), "a");
	assert_string_equal(now, "new");
	CLEANUP(free_p) char *old = str_printf("%s/b", path_of(ready, "cm"));
	assert_int_equal(access(old, F_OK), -1);
	CLEANUP(free_p) char *old_dir = str_printf("%s/%s", path_of(ready, "cm"), before);
	assert_int_equal(access(old_dir, F_OK), -1);

	check(volumes_teardown(&host, "u1", &err), &err);
	assert_int_equal(mount_count(paths.kubelet_root, true, &err), 0);
	CLEANUP(free_p) char *pod_dir = str_printf("%s/pods/u1", paths.kubelet_root);
	assert_int_equal(access(pod_dir, F_OK), -1);
	check(volumes_teardown(&host, "u1", &err), &err); /* again: nothing to do */
}

static void test_refused(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	put("ConfigMap/ns/up", "{\"data\":{\"k\":\"v\"}}");
	put("PersistentVolumeClaim/ns/unbound", "{\"spec\":{},\"status\":{\"phase\":\"Pending\"}}");
	put("PersistentVolumeClaim/ns/nfs",
	    "{\"metadata\":{\"uid\":\"c\"},\"spec\":{\"volumeName\":\"nfs\"},\"status\":{\"phase\":\"Bound\"}}");
	put("PersistentVolume//nfs", "{\"metadata\":{\"name\":\"nfs\"},\"spec\":{\"nfs\":{}}}");
	static const struct {
		const char *volume, *msg;
	} cases[] = {
		{"{\"configMap\":{\"name\":\"none\"}}", "configmap \"none\" not found"},
		{"{\"configMap\":{\"name\":\"up\",\"items\":[{\"key\":\"k\",\"path\":\"../x\"}]}}",
		 "path '../x' must be relative and must not contain '..'"},
		{"{\"configMap\":{\"name\":\"up\",\"items\":[{\"key\":\"k\",\"path\":\"a/../../x\"}]}}",
		 "path 'a/../../x' must be relative and must not contain '..'"},
		{"{\"configMap\":{\"name\":\"up\",\"items\":[{\"key\":\"k\",\"path\":\"/x\"}]}}",
		 "path '/x' must be relative and must not contain '..'"},
		{"{\"configMap\":{\"name\":\"up\",\"items\":[{\"key\":\"k\",\"path\":\"..data\"}]}}",
		 "path '..data' must be relative and must not contain '..'"},
		{"{\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"path\":\"t\"}}]}}",
		 "projected.sources[0]: only configMap, secret and downwardAPI work here yet"},
		{"{\"emptyDir\":{\"medium\":\"HugePages\"}}",
		 "emptyDir.medium: 'HugePages' is not offered here, only Memory"},
		{"{\"hostPath\":{\"path\":\"x\"}}", "hostPath.path: 'x' must be absolute"},
		{"{\"hostPath\":{\"path\":\"/no/such\",\"type\":\"Directory\"}}",
		 "hostPath type check failed: /no/such: No such file or directory"},
		{"{\"hostPath\":{\"path\":\"/etc/passwd\",\"type\":\"Directory\"}}",
		 "hostPath type check failed: /etc/passwd is not a directory"},
		{"{\"hostPath\":{\"path\":\"/dev\",\"type\":\"CharDevice\"}}",
		 "hostPath type check failed: /dev is not a character device"},
		{"{\"hostPath\":{\"path\":\"/dev\",\"type\":\"Planet\"}}", "hostPath.type: 'Planet' is unknown"},
		{"{\"nfs\":{}}", "its type does not work here: hostPath, emptyDir, configMap, secret, downwardAPI, "
				 "projected and persistentVolumeClaim do"},
		{"{\"persistentVolumeClaim\":{\"claimName\":\"none\"}}", "persistentvolumeclaim \"none\" not found"},
		{"{\"persistentVolumeClaim\":{\"claimName\":\"unbound\"}}",
		 "persistentvolumeclaim \"unbound\" is not bound yet"},
		{"{\"persistentVolumeClaim\":{\"claimName\":\"nfs\"}}",
		 "persistentvolume \"nfs\": only csi, hostPath and local work here"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO pod = parse(POD("[]"));
		json_t *v = parse(cases[i].volume);
		(void)json_object_set_new(v, "name", json_string("v"));
		assert_int_equal(json_push(pod, "spec.volumes", v), 0);
		JSON_AUTO ready = NULL;
		struct error err = {0};
		CLEANUP(free_p) char *want = str_printf("MountVolume.SetUp failed for volume \"v\": %s", cases[i].msg);
		if (volumes_setup(&host, pod, &ready, &err) >= 0 || strcmp(err.msg, want) != 0)
			fail_msg("%s: '%s'", cases[i].volume, err.msg);
	}
	struct error err = {0};
	check(volumes_teardown(&host, "u1", &err), &err);
	assert_int_equal(volumes_teardown(&host, "../..", &err), -EINVAL);
}

static json_t *mounts_of(const json_t *pod, const json_t *ready, struct error *err)
{
	json_t *list = NULL;
	JSON_AUTO env = parse("[\"N=sub\"]");
	if (volumes_mounts(&host, pod, json_at(pod, "spec.containers[0]"), ready, env, &list, err) < 0)
		return NULL;
	return list;
}

static void test_mounts(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct error err = {0};
	JSON_AUTO pod = parse("{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u2\"},\"spec\":{"
			      "\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}}],"
			      "\"containers\":[{\"name\":\"c\",\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/"
			      "e\",\"readOnly\":true},"
			      "{\"name\":\"e\",\"mountPath\":\"s\",\"subPath\":\"a/"
			      "b\"},{\"name\":\"e\",\"mountPath\":\"/x\",\"subPathExpr\":\"$(N)\"}]}]}}");
	JSON_AUTO ready = NULL;
	check(volumes_setup(&host, pod, &ready, &err), &err);
	JSON_AUTO list = mounts_of(pod, ready, &err);
	if (list == NULL)
		fail_msg("%s", err.msg);
	CLEANUP(free_p) char *first = json_to_text(json_array_get(list, 0), NULL);
	CLEANUP(free_p)
	char *want = str_printf("{\"destination\":\"/"
				"e\",\"type\":\"bind\",\"source\":\"%s\",\"options\":[\"rbind\",\"rprivate\",\"ro\"]}",
				path_of(ready, "e"));
	assert_string_equal(first, want);
	assert_string_equal(json_str(list, "[1].destination", ""), "/s");
	/* What is written through the bind of the subPath lies in the volume. */
	CLEANUP(free_p) char *file = str_printf("%s/f", json_str(list, "[1].source", ""));
	check(file_write_atomic(file, 0644, "hi", 2, &err), &err);
	CLEANUP(free_p) char *seen = text_at(path_of(ready, "e"), "a/b/f");
	assert_string_equal(seen, "hi");
	CLEANUP(free_p) char *sub = str_printf("%s/sub", path_of(ready, "e"));
	assert_int_equal(access(sub, F_OK), 0);
	check(volumes_teardown(&host, "u2", &err), &err);
	assert_int_equal(mount_count(paths.kubelet_root, true, &err), 0);
}

static void test_sub_path_stays_inside(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct error err = {0};
	static const struct {
		const char *sub, *msg;
	} cases[] = {
		{"../x", "volumeMounts[0] (e): subPath '../x': leads out of the volume"},
		{"a/../../x", "volumeMounts[0] (e): subPath 'a/../../x': leads out of the volume"},
		{"out", "volumeMounts[0] (e): subPath 'out': leads out of the volume"},
		{"out/etc", "volumeMounts[0] (e): subPath 'out/etc': leads out of the volume"},
		{"/etc", "volumeMounts[0] (e): subPath '/etc' must be relative"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO pod = parse(
			"{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u3\"},\"spec\":{\"volumes\":[{"
			"\"name\":\"e\",\"emptyDir\":{}}],"
			"\"containers\":[{\"name\":\"c\",\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/e\"}]}]}}");
		JSON_AUTO ready = NULL;
		check(volumes_setup(&host, pod, &ready, &err), &err);
		CLEANUP(free_p) char *link = str_printf("%s/out", path_of(ready, "e"));
		(void)symlink("/", link); /* a container may make such links; there from the second case on */
		assert_int_equal(json_put_str(pod, "spec.containers[0].volumeMounts[0].subPath", cases[i].sub), 0);
		if (mounts_of(pod, ready, &err) != NULL || strcmp(err.msg, cases[i].msg) != 0)
			fail_msg("'%s': '%s'", cases[i].sub, err.msg);
	}
	check(volumes_teardown(&host, "u3", &err), &err);
}

#define CSI_POD(uid)                                                                                                   \
	"{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"" uid                                            \
	"\"},\"spec\":{\"containers\":[{\"name\":\"c\"}],"                                                             \
	"\"volumes\":[{\"name\":\"v\",\"persistentVolumeClaim\":{\"claimName\":\"c\"}}]}}"

static void put_csi_objects(void)
{
	put("PersistentVolumeClaim/ns/c",
	    "{\"metadata\":{\"uid\":\"cu\"},\"spec\":{\"volumeName\":\"ns-c\"},\"status\":{\"phase\":\"Bound\"}}");
	put("PersistentVolume//ns-c", "{\"metadata\":{\"name\":\"ns-c\"},\"spec\":{\"accessModes\":[\"ReadOnlyMany\"],"
				      "\"mountOptions\":[\"noatime\"],\"csi\":{\"driver\":\"d.example\","
				      "\"volumeHandle\":\"ns/"
				      "c\",\"readOnly\":true,\"volumeAttributes\":{\"k\":\"v\"},\"nodeStageSecretRef\":"
				      "{\"namespace\":\"ns\",\"name\":\"st\"}}}}");
	put("Secret/ns/st", "{\"data\":{\"key\":\"cHc=\"}}");
	put("CSIDriver//d.example", "{\"spec\":{\"attachRequired\":false,\"podInfoOnMount\":false}}");
}

static void test_csi(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct error err = {0};
	put_csi_objects();
	JSON_AUTO one = parse(CSI_POD("u4"));
	JSON_AUTO two = parse(CSI_POD("u5"));
	JSON_AUTO ready = NULL;
	assert_true(volumes_setup(&host, one, &ready, &err) < 0); /* nobody listens yet */
	assert_non_null(strstr(err.msg, "CSI driver 'd.example'"));
	driver_start();

	refuse_publish = true;
	assert_int_equal(volumes_setup(&host, one, &ready, &err), -EREMOTEIO);
	assert_non_null(strstr(err.msg, "the cache is not mounted yet"));
	expect_calls("stage ns/c secret=pw;publish refused;");
	refuse_publish = false;

	check(volumes_setup(&host, one, &ready, &err), &err);
	expect_calls("stage ns/c secret=pw;publish ns/c ro=1 mode=3 flags=1:k=v,;");
	assert_true(json_bool(json_object_get(ready, "v"), "readOnly", false));
	assert_int_equal(mount_count(path_of(ready, "v"), false, &err), 1);
	CLEANUP(free_p) char *want = str_printf("%s/pods/u4/volumes/kubernetes.io~csi/ns-c/mount", paths.kubelet_root);
	assert_string_equal(path_of(ready, "v"), want);
	json_decref(ready);
	ready = NULL;
	check(volumes_setup(&host, one, &ready, &err), &err); /* there already: the driver is not asked */
	expect_calls("");

	JSON_AUTO ready_two = NULL;
	check(volumes_setup(&host, two, &ready_two, &err), &err);
	expect_calls("stage ns/c secret=pw;publish ns/c ro=1 mode=3 flags=1:k=v,;");
	check(volumes_teardown(&host, "u4", &err), &err);
	expect_calls("unpublish ns/c;"); /* the other pod still has it */
	check(volumes_teardown(&host, "u5", &err), &err);
	expect_calls("unpublish ns/c;unstage ns/c;");
	assert_int_equal(mount_count(paths.kubelet_root, true, &err), 0);

	JSON_AUTO list = NULL;
	check(agent_csi_drivers(host.csi, &list, &err), &err);
	CLEANUP(free_p) char *text = json_to_text(list, NULL);
	assert_string_equal(text, "[{\"name\":\"d.example\",\"nodeID\":\"node-1\",\"topologyKeys\":[]}]");
	driver_stop();
}

static void test_csi_pod_info_and_no_stage(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct error err = {0};
	put_csi_objects();
	put("CSIDriver//d.example", "{\"spec\":{\"attachRequired\":false,\"podInfoOnMount\":true}}");
	driver_start();
	without_stage = true;
	JSON_AUTO pod = parse(CSI_POD("u6"));
	JSON_AUTO ready = NULL;
	check(volumes_setup(&host, pod, &ready, &err), &err);
	without_stage = false;
	expect_calls("publish ns/c ro=1 mode=3 "
		     "flags=1:k=v,csi.storage.k8s.io/pod.name=p,csi.storage.k8s.io/pod.namespace=ns,"
		     "csi.storage.k8s.io/pod.uid=u6,csi.storage.k8s.io/serviceAccount.name=default,csi.storage.k8s.io/"
		     "ephemeral=false,;");
	/* A driver that has gone: what it mounted is removed without it. */
	driver_stop();
	check(volumes_teardown(&host, "u6", &err), &err);
	assert_int_equal(mount_count(paths.kubelet_root, true, &err), 0);
	put("CSIDriver//d.example", "{\"spec\":{\"attachRequired\":true}}");
	json_decref(ready);
	ready = NULL;
	assert_int_equal(volumes_setup(&host, pod, &ready, &err), -EOPNOTSUPP);
	check(volumes_teardown(&host, "u6", &err), &err);
}

/* A bind of a directory of the same file system looks like a plain directory: removing a pod must never walk into it. */
static void test_bound_data_survives(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct error err = {0};
	CLEANUP(free_p) char *data = str_printf("%s/precious", dir);
	CLEANUP(free_p) char *file = str_printf("%s/file", data);
	CLEANUP(free_p)
	char *target = str_printf("%s/pods/u7/volumes/kubernetes.io~empty-dir/x/deep", paths.kubelet_root);
	check(file_mkdir_all(data, 0755, &err), &err);
	check(file_mkdir_all(target, 0755, &err), &err);
	check(file_write_atomic(file, 0644, "x", 1, &err), &err);
	check(mount_bind(data, -1, target, false, &err), &err);
	CLEANUP(free_p) char *pod_dir = str_printf("%s/pods/u7", paths.kubelet_root);
	assert_int_equal(mount_remove_tree(pod_dir, &err), -EBUSY);
	assert_int_equal(access(file, F_OK), 0);
	check(volumes_teardown(&host, "u7", &err), &err);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(access(pod_dir, F_OK), -1);
}

static bool is_shared(const char *path)
{
	CLEANUP(free_p) char *text = NULL;
	struct error err = {0};
	check(file_read("/proc/self/mountinfo", 1u << 22, &text, NULL, &err), &err);
	CLEANUP(free_p) char *needle = str_printf(" %s rw", path);
	const char *line = strstr(text, needle);
	return line != NULL && memmem(line, strcspn(line, "\n"), " shared:", 8) != NULL;
}

static void test_shared_mounts(void **state)
{
	(void)state;
	SKIP_WITHOUT_ROOT();
	struct error err = {0};
	CLEANUP(free_p) char *outer = str_printf("%s/outer", dir);
	CLEANUP(free_p) char *inner = str_printf("%s/outer/in", dir);
	check(file_mkdir_all(inner, 0755, &err), &err);
	/* The inner one first, so that the outer one hides it; ended in every order. */
	for (int order = 0; order < 2; order++) {
		check(shared_mounts_acquire(host.shared, inner, "a", &err), &err);
		assert_true(is_shared(inner));
		check(shared_mounts_acquire(host.shared, inner, "b", &err), &err);
		check(shared_mounts_release(host.shared, "a", &err), &err);
		assert_true(is_shared(inner)); /* b still needs it */
		check(shared_mounts_acquire(host.shared, outer, "c", &err), &err);
		assert_true(is_shared(outer));
		check(shared_mounts_release(host.shared, order == 0 ? "b" : "c", &err), &err);
		check(shared_mounts_release(host.shared, order == 0 ? "c" : "b", &err), &err);
		assert_int_equal(mount_count(outer, false, &err), 0);
	}
	/* What lies inside one of ours holds it. */
	check(shared_mounts_acquire(host.shared, outer, "a", &err), &err);
	check(shared_mounts_acquire(host.shared, inner, "b", &err), &err);
	check(shared_mounts_release(host.shared, "a", &err), &err);
	assert_true(is_shared(outer));
	check(shared_mounts_release(host.shared, "b", &err), &err);
	assert_int_equal(mount_count(outer, false, &err), 0);

	/* What somebody has mounted in it stays, until it is gone or the end. */
	for (int end = 0; end < 2; end++) {
		check(shared_mounts_acquire(host.shared, outer, "a", &err), &err);
		assert_int_equal(mount("tmpfs", inner, "tmpfs", 0, NULL), 0);
		check(shared_mounts_release(host.shared, "a", &err), &err);
		assert_int_equal(mount_count(inner, false, &err), 1);
		check(shared_mounts_acquire(host.shared, outer, "b", &err), &err);
		assert_true(is_shared(outer));
		if (end == 0) {
			assert_int_equal(umount(inner), 0);
			check(shared_mounts_release(host.shared, "b", &err), &err);
		} else {
			check(shared_mounts_end(host.shared, "b", &err), &err);
		}
		assert_int_equal(mount_count(outer, false, &err), 0);
	}

	/* Another agent's time: the list is in the file. */
	check(shared_mounts_acquire(host.shared, outer, "lost", &err), &err);
	shared_mounts_free(host.shared);
	struct path file;
	check(path_set(&file, &err, "%s/agent/shared.json", paths.data_dir), &err);
	check(shared_mounts_new(file.p, &host.shared, &err), &err);
	check(shared_mounts_release(host.shared, "lost", &err), &err);
	assert_int_equal(mount_count(outer, false, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_sub_path_stays_inside),
		cmocka_unit_test(test_csi),
		cmocka_unit_test(test_csi_pod_info_and_no_stage),
		cmocka_unit_test(test_bound_data_survives),
		cmocka_unit_test(test_shared_mounts),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
