/* Each allocation of the plug-in's own parts fails once: nothing leaks, nothing is half done, the error says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "csi/mountinfo.h"
#include "csi/plugin.h"
#include "fault.h"

static void tables(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		struct mount_table t = {0};
		const int rc = mount_table_parse("22 27 0:21 / /proc rw - proc proc rw\n", &t);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		assert_int_equal(t.n, fault_hit() ? 0 : 1);
		mount_table_clear(&t);
	}
	FAULT_LOOP
	{
		struct mount_table t = {0};
		struct error err = {0};
		const int rc = mount_table_read(&t, &err);
		FAULT_END;
		assert_true(rc == 0 ? !fault_hit() : rc == -ENOMEM && err.msg[0] != '\0');
		mount_table_clear(&t);
	}
}

static void plugins(void **state)
{
	char dir[] = "/tmp/sluice-fault-XXXXXX";
	(void)state;
	assert_non_null(mkdtemp(dir));
	CLEANUP(free_p) char *endpoint = str_printf("unix://%s/s", dir);
	FAULT_LOOP
	{
		struct csi_plugin *p = NULL;
		struct error err = {0};
		const struct csi_options o = {.endpoint = endpoint,
					      .node_id = "n",
					      .kubelet_root = "/var/lib/kubelet",
					      .mount_root = "/runtime-mnt"};
		const int rc = csi_plugin_new(&o, &p, &err);
		FAULT_END;
		assert_true(rc == 0 ? !fault_hit() : rc == -ENOMEM && err.msg[0] != '\0');
		csi_plugin_free(p);
	}
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(tables), cmocka_unit_test(plugins)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
