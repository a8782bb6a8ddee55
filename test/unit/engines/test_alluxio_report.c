/* What Alluxio 2.9.3 and 2.9.6 print: what is understood, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "engines/alluxio/alluxio.h"
#include "json/json.h"

static void test_bytes(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t want;
	} cases[] = {
		{"0B", 0},
		{"0", 0},
		{"256.00MB", 268435456},
		{"7.77MB", 8147436},
		{"4882.81KB", 4999997},
		{"8,145,742", 8145742},
		{"8145742", 8145742},
		{"9223372036854775807", INT64_MAX},
		{"1.5GiB", 1610612736},
		{"5.00GiB", INT64_C(5368709120)},
		{"2 TB", INT64_C(2199023255552)},
		{"-1B", -EINVAL},
		{"-1", -EINVAL},
		{"", -EINVAL},
		{"B", -EINVAL},
		{"7,77MB", -EINVAL},    /* of another language */
		{"1.234.567", -EINVAL}, /* as above */
		{"8,14,742", -EINVAL},
		{"1,234.5MB", 1294467072},
		{"7.77MBs", -EINVAL},
		{"7.77XB", -EINVAL},
		{"١٢", -EINVAL},
		{"1e9", -EINVAL},
		{"nan", -EINVAL},
		{"99999999PB", -ERANGE},
		{"11111111111111111111111111111111111111111111", -ERANGE},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int64_t got = 0;
		int rc = alluxio_bytes(cases[i].text, &got);
		if (cases[i].want < 0 ? rc != cases[i].want : rc != 0 || got != cases[i].want)
			fail_msg("'%s': %d, %lld", cases[i].text, rc, (long long)got);
	}
}

#define METRICS                                                                                                        \
	"Cluster.BytesReadLocal  (Type: COUNTER, Value: 4882.81KB)\n"                                                  \
	"Cluster.BytesReadLocalThroughput  (Type: GAUGE, Value: 2.00KB/MIN)\n"                                         \
	"Cluster.BytesReadRemoteThroughput  (Type: GAUGE, Value: 1.00KB/MIN)\n"                                        \
	"Cluster.BytesReadUfsThroughput  (Type: GAUGE, Value: 0B/MIN)\n"                                               \
	"Cluster.BytesReadRemote  (Type: COUNTER, Value: 1.00KB)\n"                                                    \
	"Cluster.BytesReadUfsAll  (Type: COUNTER, Value: 7.77MB)\n"                                                    \
	"Cluster.CapacityTotal  (Type: GAUGE, Value: 268,435,456)\n"                                                   \
	"Cluster.CapacityUsed  (Type: GAUGE, Value: 8,145,742)\n"

static void test_metrics(void **state)
{
	(void)state;
	struct engine_figures f;
	struct error err = {0};
	assert_int_equal(alluxio_read_metrics("WARN something of Java's\n" METRICS, &f, &err), 0);
	assert_true(f.ready);
	assert_int_equal(f.capacity_bytes, 268435456);
	assert_int_equal(f.cached_bytes, 8145742);
	assert_int_equal(f.local_hit_bytes, 4999997);
	assert_int_equal(f.hit_bytes, 4999997 + 1024);
	assert_int_equal(f.miss_bytes, 8147436);
	assert_int_equal(f.ufs_bytes, -1);
	assert_true(f.has_rates);
	assert_int_equal(f.hit_rate, 3072);
	assert_int_equal(f.local_hit_rate, 2048);
	assert_int_equal(f.miss_rate, 0);
}

/* Cut anywhere before its end, it is refused: a part of a number is no number. */
static void test_metrics_cut(void **state)
{
	(void)state;
	struct engine_figures f;
	struct error err;
	char text[] = METRICS;
	for (size_t n = strlen(text) - 1; n-- > 0;) {
		text[n] = '\0';
		if (alluxio_read_metrics(text, &f, &err) == 0)
			fail_msg("understood with %zu bytes", n);
	}
}

static void test_metrics_refuses(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} cases[] = {
		{"", "no line of Cluster.CapacityTotal"},
		{"Cluster.CapacityTotal  (Type: GAUGE)\n", "Cluster.CapacityTotal  has no value"},
		{"Cluster.CapacityTotal  (Type: GAUGE, Value: -1)\n", "'-1' is no size"},
		{"Cluster.CapacityTotal  (Type: GAUGE, Value: 8.145.742)\n", "'8.145.742' is no size"},
		{"Cluster.CapacityTotalTierMEM  (Type: GAUGE, Value: 1)\n", "no line of Cluster.CapacityTotal"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct engine_figures f;
		struct error err = {0};
		assert_int_equal(alluxio_read_metrics(cases[i].text, &f, &err), -EINVAL);
		if (strstr(err.msg, cases[i].why) == NULL)
			fail_msg("case %zu: %s", i, err.msg);
	}
}

#define JSON_METRICS(used)                                                                                                                                                                                                                                              \
	"{\"gauges\":{\"Cluster.CapacityTotal\":{\"value\":268435456},\"Cluster.CapacityUsed\":{\"value\":" used                                                                                                                                                        \
	"},\"Cluster.BytesReadLocalThroughput\":{\"value\":1},\"Cluster.BytesReadRemoteThroughput\":{\"value\":2},\"Cluster.BytesReadUfsThroughput\":{\"value\":3}},\"counters\":{\"Cluster.BytesReadLocal\":{\"count\":10},\"Cluster.BytesReadRemote\":{\"count\":5}," \
	"\"Cluster.BytesReadUfsAll\":{\"count\":15}}}"

static void test_metrics_json(void **state)
{
	(void)state;
	struct engine_figures f;
	struct error err = {0};
	assert_int_equal(alluxio_read_metrics_json(JSON_METRICS("7"), strlen(JSON_METRICS("7")), &f, &err), 0);
	assert_int_equal(f.capacity_bytes, 268435456);
	assert_int_equal(f.cached_bytes, 7);
	assert_int_equal(f.hit_bytes, 15);
	assert_int_equal(f.miss_bytes, 15);
	static const char *const bad[] = {"-7", "7.5", "\"7\"", "null", "9223372036854775808"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		char text[512];
		(void)snprintf(text, sizeof text,
			       "{\"gauges\":{\"Cluster.CapacityTotal\":{\"value\":%s}},\"counters\":{}}", bad[i]);
		assert_int_equal(alluxio_read_metrics_json(text, strlen(text), &f, &err), -EINVAL);
	}
	/* A standby has no such gauges. */
	assert_int_equal(alluxio_read_metrics_json("{\"gauges\":{}}", 13, &f, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "Cluster.CapacityTotal is no whole number"));
}

static void test_count(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{"File Count               Folder Count             Folder Size    \n"
		 "4                        3                        8145748        \n",
		 0},
		{"WARN: 1 2 3 4\n4 3 8145748", 0},
		{"File Count               Folder Count             Folder Size    \n4   3\n", -EINVAL},
		{"4 3 -1\n", -EINVAL},
		{"4 3 8145748 9\n", -EINVAL},
		{"4 3 8.145.748\n", -EINVAL},
		{"4 3 99999999999999999999999999\n", -EINVAL},
		{"", -EINVAL},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int64_t files = 0, bytes = 0;
		struct error err = {0};
		int rc = alluxio_read_count(cases[i].text, &files, &bytes, &err);
		if (rc != cases[i].rc || (rc == 0 && (files != 4 || bytes != 8145748)))
			fail_msg("case %zu: %d, %lld, %lld", i, rc, (long long)files, (long long)bytes);
	}
}

#define ROOT "/data  on  /  (local, capacity=251.97GB, used=30.65GB(12%), read-only, shared, properties={})\n"

static void test_mounts(void **state)
{
	(void)state;
	struct error err = {0};
	JSON_AUTO m = NULL;
	assert_int_equal(alluxio_read_mounts(ROOT "s3://b/x  on  /b  (s3, capacity=-1B, used=-1B, not read-only, not "
						  "shared, properties={s3a.secretKey=******})\n",
					     &m, &err),
			 0);
	assert_int_equal(json_object_size(m), 2);
	assert_string_equal(json_string_value(json_object_get(m, "/")), "/data");
	assert_string_equal(json_string_value(json_object_get(m, "/b")), "s3://b/x");
	static const char *const bad[] = {"", "s3://b  on", "s3://b  at  /  (x)\n", "\xff  on  /  (x)\n",
					  "s3://b  on  /b  (x)\n"};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		json_t *none = NULL;
		assert_int_equal(alluxio_read_mounts(bad[i], &none, &err), -EINVAL);
		assert_null(none);
	}
}

/* Real answers of 2.9.6, the seeds of the fuzzer; the first byte says whose they are. */
static void test_real(void **state)
{
	(void)state;
	struct engine_figures f, g;
	struct error err = {0};
	int64_t files, bytes;
	JSON_AUTO mounts = NULL;
	static const char *const names[] = {"real-m", "real-j", "real-c", "real-u"};
	char *text[4];
	size_t n[4];
	for (size_t i = 0; i < 4; i++) {
		CLEANUP(free_p) char *path = str_printf("%s/%s", CORPUS_DIR, names[i]);
		if (file_read(path, 1 << 20, &text[i], &n[i], &err) < 0)
			fail_msg("%s", err.msg);
	}
	assert_int_equal(alluxio_read_metrics(text[0] + 1, &f, &err), 0);
	assert_int_equal(alluxio_read_metrics_json(text[1] + 1, n[1] - 1, &g, &err), 0);
	assert_int_equal(f.capacity_bytes, 268435456);
	assert_int_equal(g.capacity_bytes, 268435456);
	assert_int_equal(alluxio_read_count(text[2] + 1, &files, &bytes, &err), 0);
	assert_int_equal(files, 2);
	assert_int_equal(bytes, 3001000);
	assert_int_equal(alluxio_read_mounts(text[3] + 1, &mounts, &err), 0);
	assert_string_equal(json_string_value(json_object_get(mounts, "/")), "/data/ufs");
	for (size_t i = 0; i < 4; i++)
		free(text[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bytes),        cmocka_unit_test(test_metrics),
		cmocka_unit_test(test_metrics_cut),  cmocka_unit_test(test_metrics_refuses),
		cmocka_unit_test(test_metrics_json), cmocka_unit_test(test_count),
		cmocka_unit_test(test_mounts),       cmocka_unit_test(test_real),
	};
	return cmocka_run_group_tests_name("engines/alluxio_report", tests, NULL, NULL);
}
