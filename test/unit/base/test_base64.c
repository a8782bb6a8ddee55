/* Base64: both ways, what is no base64, and where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"

static void both_ways(void **state)
{
	(void)state;
	/* RFC 4648, section 10, and bytes that are no text. */
	static const struct {
		const char *bytes;
		size_t n;
		const char *text;
	} cases[] = {
		{"", 0, ""},
		{"f", 1, "Zg=="},
		{"fo", 2, "Zm8="},
		{"foo", 3, "Zm9v"},
		{"foob", 4, "Zm9vYg=="},
		{"fooba", 5, "Zm9vYmE="},
		{"foobar", 6, "Zm9vYmFy"},
		{"\0\377\376", 3, "AP/+"},
		{"\373\377\277", 3, "+/+/"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		CLEANUP(free_p) char *text = base64_encode(cases[i].bytes, cases[i].n);
		assert_string_equal(text, cases[i].text);
		CLEANUP(free_p) char *bytes = NULL;
		size_t n = 99;
		assert_int_equal(base64_decode(text, &bytes, &n), 0);
		assert_int_equal(n, cases[i].n);
		assert_memory_equal(bytes, cases[i].bytes, n);
		assert_int_equal(bytes[n], '\0');
	}
}

static void refused(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t at;
	} cases[] = {
		{"!", 0},    {"Zg", 2},   {"Zm9vY", 5},    {"Zm9v YmFy", 4}, {"Zg=", 3},
		{"Z===", 1}, {"====", 4}, {"Zg==Zg==", 4}, {"Zm-_", 2},      {"Zm9v\n", 4},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char *bytes = NULL;
		size_t n = 99;
		if (base64_decode(cases[i].text, &bytes, &n) != -EINVAL)
			fail_msg("'%s' was decoded", cases[i].text);
		assert_null(bytes);
		assert_int_equal(n, 99);
		if (base64_bad_byte(cases[i].text) != cases[i].at)
			fail_msg("'%s': bad byte %zu", cases[i].text, base64_bad_byte(cases[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),
		cmocka_unit_test(refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
