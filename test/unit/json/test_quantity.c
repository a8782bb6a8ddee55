#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "json/quantity.h"

static void quantities(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
		int64_t units;
	} cases[] = {
		{"0", 0, 0},
		{"1", 0, 1},
		{"-1", 0, -1},
		{"+5", 0, 5},
		{"1Ki", 0, 1024},
		{"4Gi", 0, INT64_C(4) << 30},
		{"1.5Gi", 0, INT64_C(3) << 29},
		{"100m", 0, 1},
		{"-100m", 0, -1},
		{"1000m", 0, 1},
		{"1001m", 0, 2},
		{"1n", 0, 1},
		{"1e3", 0, 1000},
		{"1E3", 0, 1000},
		{"1E", 0, INT64_C(1000000000000000000)},
		{"1e-3", 0, 1},
		{"12.5k", 0, 12500},
		{".5", 0, 1},
		{"5.", 0, 5},
		{"0.0000000000000000000000000000000000000000000001", 0, 1},
		{"0000000000000000000000000000000000000000000000001", 0, 1},
		{"0.1Ki", 0, 103},
		{"7Ei", 0, INT64_C(7) << 60},
		{"9223372036854775807", 0, INT64_MAX},
		{"9223372036854775808", -ERANGE, 0},
		{"9223372036854775807.1", -ERANGE, 0},
		{"8Ei", -ERANGE, 0},
		{"1e30", -ERANGE, 0},
		{"1e9999999999999999999", -ERANGE, 0},
		{"1e-9999999999999999999", 0, 1},
		{"99999999999999999999999999999999999999999999999999", -ERANGE, 0},
		{"", -EINVAL, 0},
		{".", -EINVAL, 0},
		{"-", -EINVAL, 0},
		{"x", -EINVAL, 0},
		{"1x", -EINVAL, 0},
		{"1KI", -EINVAL, 0},
		{"1ki", -EINVAL, 0},
		{"1e", -EINVAL, 0},
		{"1e3Ki", -EINVAL, 0},
		{"1 Gi", -EINVAL, 0},
		{"1.2.3", -EINVAL, 0},
		{"--1", -EINVAL, 0},
		{NULL, -EINVAL, 0},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t v = 0;
		const int rc = quantity_parse(cases[i].text, &v, NULL);
		if (rc != cases[i].rc || v != cases[i].units)
			fail_msg("'%s': %d, %lld", cases[i].text, rc, (long long)v);
	}
	struct error e = {0};
	int64_t v = 0;
	(void)quantity_parse("4GB", &v, &e);
	assert_string_equal(e.msg, "'4GB' is not a quantity");
	(void)quantity_parse("99E", &v, &e);
	assert_string_equal(e.msg, "'99E' is too large");
	assert_int_equal(quantity_parse_milli("1500m", &v, &e), 0);
	assert_int_equal(v, 1500);
	assert_int_equal(quantity_parse_milli("0.0001", &v, &e), 0);
	assert_int_equal(v, 1);
	assert_int_equal(quantity_parse_milli("2", &v, &e), 0);
	assert_int_equal(v, 2000);
}

static void comparing(void **state)
{
	(void)state;
	static const struct {
		const char *a, *b;
		int want;
	} cases[] = {
		{"1", "1000m", 0}, {"1Ki", "1k", 1},      {"1Ki", "1024", 0},   {"-1", "1", -1},
		{"-2", "-1", -1},  {"0", "-0", 0},        {"1n", "2n", -1},     {"1e3", "1k", 0},
		{"8Ei", "7Ei", 1}, {"0.5Gi", "512Mi", 0}, {"1e15", "1e16", -1},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if (quantity_compare(cases[i].a, cases[i].b) != cases[i].want ||
		    quantity_compare(cases[i].b, cases[i].a) != -cases[i].want)
			fail_msg("%s, %s", cases[i].a, cases[i].b);
	}
}

static void formats(void **state)
{
	(void)state;
	static const struct {
		int64_t v;
		const char *binary;
	} binary[] = {
		{0, "0"},
		{1000, "1000"},
		{1024, "1Ki"},
		{INT64_C(4) << 30, "4Gi"},
		{INT64_C(1536) << 20, "1536Mi"},
		{-2048, "-2Ki"},
		{INT64_C(7) << 60, "7Ei"},
		{INT64_MIN, "-8Ei"},
		{INT64_MAX, "9223372036854775807"},
	};
	char out[32];
	for (size_t i = 0; i < ARRAY_LEN(binary); i++) {
		quantity_format_binary(binary[i].v, out);
		assert_string_equal(out, binary[i].binary);
	}
	static const struct {
		uint64_t v;
		const char *text;
	} fluid[] = {
		{0, "0.00B"},
		{1023, "1023.00B"},
		{1024, "1.00KiB"},
		{UINT64_C(5) << 30, "5.00GiB"},
		{1536, "1.50KiB"},
		{UINT64_C(1) << 50, "1.00PiB"},
		{UINT64_MAX, "16.00EiB"},
	};
	for (size_t i = 0; i < ARRAY_LEN(fluid); i++) {
		bytes_format_fluid(fluid[i].v, out);
		assert_string_equal(out, fluid[i].text);
	}
}

static void durations(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int64_t ns;
		const char *out; /* NULL: refused */
	} cases[] = {
		{"0", 0, "0s"},
		{"1h30m", INT64_C(5400000000000), "1h30m0s"},
		{"1.5s", 1500000000, "1.5s"},
		{"100ms", 100000000, "100ms"},
		{"1500us", 1500000, "1.5ms"},
		{"3\xc2\xb5s", 3000, "3\xc2\xb5s"},
		{"1.5\xce\xbcs", 1500, "1.5\xc2\xb5s"},
		{"7ns", 7, "7ns"},
		{"-2m", -INT64_C(120000000000), "-2m0s"},
		{"+.5h", INT64_C(1800000000000), "30m0s"},
		{"1m0.000000001s", INT64_C(60000000001), "1m0.000000001s"},
		{"9223372036854775807ns", INT64_MAX, "2562047h47m16.854775807s"},
		{"-9223372036854775808ns", INT64_MIN, "-2562047h47m16.854775808s"},
		{"", 0, NULL},
		{"-", 0, NULL},
		{"1", 0, NULL},
		{"s", 0, NULL},
		{".s", 0, NULL},
		{"1d", 0, NULL},
		{"1 s", 0, NULL},
		{"1h-1m", 0, NULL},
		{NULL, 0, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t ns = 0;
		char out[32];
		const int rc = duration_parse(cases[i].text, &ns, NULL);
		if (rc != (cases[i].out != NULL ? 0 : -EINVAL) || ns != cases[i].ns)
			fail_msg("'%s': %d, %lld", cases[i].text, rc, (long long)ns);
		if (rc < 0)
			continue;
		duration_format(ns, out);
		assert_string_equal(out, cases[i].out);
	}
	int64_t ns = 0;
	struct error e = {0};
	assert_int_equal(duration_parse("9223372036854775808ns", &ns, &e), -ERANGE);
	assert_string_equal(e.msg, "'9223372036854775808ns' is too long a duration");
	assert_int_equal(duration_parse("99999999999999999999999h", &ns, &e), -ERANGE);
	assert_int_equal(duration_parse("2562047h48m", &ns, &e), -ERANGE);
	(void)duration_parse("soon", &ns, &e);
	assert_string_equal(e.msg, "'soon' is not a duration (like \"1h30m\" or \"1.5s\")");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quantities),
		cmocka_unit_test(comparing),
		cmocka_unit_test(formats),
		cmocka_unit_test(durations),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
