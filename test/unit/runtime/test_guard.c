#include "runtime/fake_api.h"

#include "runtime/guard.h"

static void test_host_path(void **state)
{
	(void)state;
	static const char *const allowed[] = {"/data", "/var/cache/", "relative", NULL};
	static const struct {
		const char *dir;
		int rc;
	} cases[] = {
		{"/data", 0},
		{"/data/x", 0},
		{"/data//x", 0},
		{"/var/cache/y", 0},
		{"/var/cache", 0},
		{"/dat", -EACCES},
		{"/data2", -EACCES},
		{"/", -EACCES},
		{"/etc", -EACCES},
		{"relative/x", -EINVAL},
		{"", -EINVAL},
		{"data", -EINVAL},
		{"/data/../etc", -EINVAL},
		{"/data/./x", -EINVAL},
		{"/data/..", -EINVAL},
		{"/data/..x", 0},
	};
	const struct engine_limits l = {.allowed_host_paths = allowed}, none = {0};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		int rc = guard_host_path(&l, "spec.x", cases[i].dir, &err);
		if (rc != cases[i].rc || (rc < 0 && strncmp(err.msg, "spec.x: ", 8) != 0))
			fail_msg("case '%s': rc %d, '%s'", cases[i].dir, rc, err.msg);
		if (guard_host_path(&none, "spec.x", cases[i].dir, &err) == 0)
			fail_msg("case '%s': allowed although nothing is", cases[i].dir);
	}
}

static void test_root_allows_everything(void **state)
{
	(void)state;
	static const char *const allowed[] = {"/", NULL};
	const struct engine_limits l = {.allowed_host_paths = allowed};
	struct error err = {0};
	assert_int_equal(guard_host_path(&l, "spec.x", "/usr/share", &err), 0);
	assert_int_equal(guard_host_path(&l, "spec.x", "/usr/../etc", &err), -EINVAL);
}

static void test_image(void **state)
{
	(void)state;
	static const char *const allowed[] = {"sluice.local/", "", "registry.example.org/cache:", NULL};
	static const struct {
		const char *image;
		int rc;
	} cases[] = {{"sluice.local/host", 0},
		     {"registry.example.org/cache:1", 0},
		     {"sluice.local", -EACCES},
		     {"evil/sluice.local/host", -EACCES},
		     {"", -EACCES}};
	const struct engine_limits l = {.allowed_images = allowed};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct error err = {0};
		int rc = guard_image(&l, "spec.fuse", cases[i].image, &err);
		if (rc != cases[i].rc || (rc < 0 && strstr(err.msg, "--allowed-images") == NULL))
			fail_msg("case '%s': rc %d, '%s'", cases[i].image, rc, err.msg);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_host_path),
					   cmocka_unit_test(test_root_allows_everything), cmocka_unit_test(test_image)};
	return cmocka_run_group_tests_name("runtime/guard", tests, NULL, NULL);
}
