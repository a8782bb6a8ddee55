#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "kube/packed.h"

static void expect_text(const struct packed *t, const char *want, size_t n)
{
	size_t got_n = 0;
	assert_non_null(t);
	assert_int_equal(packed_size(t), n);
	char *got = packed_text(t, &got_n);
	assert_non_null(got);
	assert_int_equal(got_n, n);
	assert_memory_equal(got, want, n);
	free(got);
}

static void every_text_comes_back(void **state)
{
	(void)state;
	struct packer *p = packer_new();
	assert_non_null(p);
	static char noise[70000], same[70000];
	random_bytes(noise, sizeof noise);
	memset(same, 'x', sizeof same);
	static const size_t sizes[] = {0, 1, 2, 3, 100, 4096, 8192, 20000, 70000};
	for (int squeeze = 0; squeeze < 2; squeeze++) {
		for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			struct packed *a = packed_new(p, noise, sizes[i], squeeze);
			struct packed *b = packed_new(p, same, sizes[i], squeeze);
			expect_text(a, noise, sizes[i]);
			expect_text(b, same, sizes[i]);
			packed_unref(a);
			packed_unref(b);
		}
	}
	packer_free(p);
	packer_free(NULL);
	packed_unref(NULL);
}

/* Texts outlive the packer and the pattern that they were packed against; a pattern that suits no more is replaced. */
static void texts_outlive_the_packer(void **state)
{
	(void)state;
	enum { N = 300 };
	struct packed *t[N];
	char text[N][300];
	struct packer *p = packer_new();
	assert_non_null(p);
	for (int i = 0; i < N; i++) { /* after the first hundred there is nothing in common with what was before */
		char hex[129];
		unsigned char raw[64];
		random_bytes(raw, sizeof raw);
		for (size_t k = 0; k < sizeof raw; k++)
			(void)snprintf(hex + 2 * k, 3, "%02x", raw[k]);
		(void)snprintf(text[i], sizeof text[i],
			       i < 100 ? "{\"kind\":\"Dataset\",\"metadata\":{\"name\":\"d-%d\"}}" : "%d %s", i, hex);
		t[i] = packed_new(p, text[i], strlen(text[i]), true);
		assert_non_null(t[i]);
	}
	struct packed *again = packed_ref(t[5]);
	packer_free(p);
	for (int i = N - 1; i >= 0; i--) {
		expect_text(t[i], text[i], strlen(text[i]));
		packed_unref(t[i]);
	}
	expect_text(again, text[5], strlen(text[5]));
	packed_unref(again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_text_comes_back),
		cmocka_unit_test(texts_outlive_the_packer),
	};
	return cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
