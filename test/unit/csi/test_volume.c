#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "csi/volume.h"

static void test_paths(void **state)
{
	static const struct {
		const char *path, *want;
	} cases[] = {
		{"/r/a", "a"},
		{"/r/a/b c,d", "a/b c,d"},
		{"/r", NULL},
		{"/r/", NULL},
		{"/ra", NULL},
		{"/r/../x", NULL},
		{"/r/a/..", NULL},
		{"/r/./a", NULL},
		{"/r//a", NULL},
		{"/r/a/", NULL},
		{"/r/a\nb", NULL},
		{"/r/a\x7f", NULL},
		{"r/a", NULL},
		{"", NULL},
		{"/r/..a/...", "..a/..."},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *got = path_below("/r", cases[i].path);
		if ((got == NULL) != (cases[i].want == NULL) || (got != NULL && strcmp(got, cases[i].want) != 0))
			fail_msg("case '%s': '%s'", cases[i].path, got == NULL ? "(null)" : got);
	}
	char longest[PATH_MAX + 8];
	memset(longest, 'a', sizeof longest);
	memcpy(longest, "/r/", 3);
	longest[3 + NAME_MAX] = '\0';
	assert_non_null(path_below("/r", longest));
	longest[3 + NAME_MAX] = 'a';
	longest[4 + NAME_MAX] = '\0';
	assert_null(path_below("/r", longest));
}

static void test_labels(void **state)
{
	static const struct {
		const char *key;
		bool want;
	} cases[] = {
		{"fluid.io/f-default-demo", true},
		{"fluid.io/f-58df5bd9-cc", true},
		{"fluid.io/f-", false},
		{"fluid.io/s-default-demo", false},
		{"node-role.kubernetes.io/control-plane", false},
		{"fluid.io/f-a/b", false},
		{"fluid.io/f-a\"b", false},
		{"", false},
		{"fluid.io/f-a.", false},
		{"fluid.io/f-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", true},
		{"fluid.io/f-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (fuse_label_is_valid(cases[i].key) != cases[i].want)
			fail_msg("case '%s'", cases[i].key);
}

static void test_attributes(void **state)
{
	static const struct {
		const char *name;
		struct volume_attribute a[3];
		size_t n;
		int rc;
		const char *msg, *sub, *type;
		enum publish_method method;
		bool skip;
	} cases[] = {
		{"least", {{"fluid_path", "/r/x"}}, 1, 0, NULL, "", "alluxio-fuse", PUBLISH_BIND, false},
		{"type",
		 {{"fluid_path", "/r/x"}, {"mount_type", "fuse.reservoir-fuse"}},
		 2,
		 0,
		 NULL,
		 "",
		 "fuse.reservoir-fuse",
		 PUBLISH_BIND,
		 false},
		{"sub path",
		 {{"fluid_path", "/r/x"}, {"fluid_sub_path", "/a/b/"}},
		 2,
		 0,
		 NULL,
		 "a/b",
		 "alluxio-fuse",
		 PUBLISH_BIND,
		 false},
		{"symlink",
		 {{"fluid_path", "/r/x"}, {"node_publish_method", "symlink"}},
		 2,
		 0,
		 NULL,
		 "",
		 "alluxio-fuse",
		 PUBLISH_SYMLINK,
		 false},
		{"skip",
		 {{"fluid_path", "/r/x"}, {"fluid.io/skip-check-mount-ready-target", "Sidecar,MountPod"}},
		 2,
		 0,
		 NULL,
		 "",
		 "alluxio-fuse",
		 PUBLISH_BIND,
		 true},
		{"skip elsewhere",
		 {{"fluid_path", "/r/x"}, {"fluid.io/skip-check-mount-ready-target", "Sidecar"}},
		 2,
		 0,
		 NULL,
		 "",
		 "alluxio-fuse",
		 PUBLISH_BIND,
		 false},
		{"unknown is the kubelet's",
		 {{"fluid_path", "/r/x"}, {"csi.storage.k8s.io/pod.name", "p"}},
		 2,
		 0,
		 NULL,
		 "",
		 "alluxio-fuse",
		 PUBLISH_BIND,
		 false},
		{"no path",
		 {{"mount_type", "fuse"}},
		 1,
		 -EINVAL,
		 "volume attribute fluid_path: is missing",
		 NULL,
		 NULL,
		 PUBLISH_BIND,
		 false},
		{"path elsewhere",
		 {{"fluid_path", "/etc"}},
		 1,
		 -EINVAL,
		 "volume attribute fluid_path: must be a path below /r, without '.', '..' and control characters",
		 NULL,
		 NULL,
		 PUBLISH_BIND,
		 false},
		{"path upward",
		 {{"fluid_path", "/r/../etc"}},
		 1,
		 -EINVAL,
		 "volume attribute fluid_path: must be a path below /r, without '.', '..' and control characters",
		 NULL,
		 NULL,
		 PUBLISH_BIND,
		 false},
		{"sub path upward",
		 {{"fluid_path", "/r/x"}, {"fluid_sub_path", "a/../../b"}},
		 2,
		 -EINVAL,
		 "volume attribute fluid_sub_path: must be a path below the dataset, without '.', '..' and control "
		 "characters",
		 NULL,
		 NULL,
		 PUBLISH_BIND,
		 false},
		{"label",
		 {{"fluid_path", "/r/x"}, {"mount_pod_node_selector_key", "a/b"}},
		 2,
		 -EINVAL,
		 "volume attribute mount_pod_node_selector_key: must be a label that begins with fluid.io/f-",
		 NULL,
		 NULL,
		 PUBLISH_BIND,
		 false},
		{"method",
		 {{"fluid_path", "/r/x"}, {"node_publish_method", "hardlink"}},
		 2,
		 -EINVAL,
		 "volume attribute node_publish_method: must be bindMount or symlink",
		 NULL,
		 NULL,
		 PUBLISH_BIND,
		 false},
		{"bad skip",
		 {{"fluid_path", "/r/x"}, {"fluid.io/skip-check-mount-ready-target", "Pod"}},
		 2,
		 -EINVAL,
		 "volume attribute fluid.io/skip-check-mount-ready-target: must be a list of All, MountPod, Sidecar "
		 "and None",
		 NULL,
		 NULL,
		 PUBLISH_BIND,
		 false},
		{"EFC",
		 {{"fluid_path", "/r/x"}, {"efc_sessmgr_workdir", "/w"}},
		 2,
		 -EINVAL,
		 "volume attribute efc_sessmgr_workdir: volumes of EFC are not served yet",
		 NULL,
		 NULL,
		 PUBLISH_BIND,
		 false},
		{"runtime",
		 {{"fluid_path", "/r/x"}, {"runtime_name", "../x"}},
		 2,
		 -EINVAL,
		 "volume attribute runtime_name: is no name of a runtime",
		 NULL,
		 NULL,
		 PUBLISH_BIND,
		 false},
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct volume v;
		struct error err = {0};
		const int rc = volume_parse("/r", PUBLISH_BIND, cases[i].a, cases[i].n, &v, &err);
		if (rc != cases[i].rc || (rc < 0 && strcmp(err.msg, cases[i].msg) != 0) ||
		    (rc == 0 && (strcmp(v.sub_path, cases[i].sub) != 0 || strcmp(v.mount_type, cases[i].type) != 0 ||
				 v.method != cases[i].method || v.skip_mount_check != cases[i].skip ||
				 strcmp(v.fluid_rel, "x") != 0)))
			fail_msg("case '%s': rc %d, '%s'", cases[i].name, rc, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_paths), cmocka_unit_test(test_labels),
					   cmocka_unit_test(test_attributes)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
