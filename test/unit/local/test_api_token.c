/* Tokens: signed and known again, and nothing that was changed on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "local/api_token.h"
#include "net/cert.h"
#include "json/json.h"

static struct api_tokens *ours, *theirs;

static struct api_tokens *make(void)
{
	CLEANUP(cert_pair_clear) struct cert_pair p = {0};
	struct api_tokens *t = NULL;
	struct error err = {0};
	if (cert_make_ca("test", &p, &err) < 0 || api_tokens_new(p.key_pem, &t, &err) < 0)
		fail_msg("%s", err.msg);
	return t;
}

static int setup(void **state)
{
	(void)state;
	ours = make();
	theirs = make();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	api_tokens_free(ours);
	api_tokens_free(theirs);
	return 0;
}

static char *token_of(const struct api_tokens *t)
{
	JSON_AUTO claims = json_pack("{s:s, s:i}", "sub", "somebody", "exp", 12345);
	char *token = NULL;
	assert_int_equal(api_token_sign(t, claims, &token, NULL), 0);
	return token;
}

static void test_known_again(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) { /* r and s are sometimes shorter than 32 bytes */
		CLEANUP(free_p) char *token = token_of(ours);
		JSON_AUTO claims = NULL;
		assert_int_equal(api_token_verify(ours, token, &claims), 0);
		assert_string_equal(json_str(claims, "sub", ""), "somebody");
		assert_int_equal(json_int(claims, "exp", 0), 12345);
	}
}

static void test_strangers(void **state)
{
	(void)state;
	CLEANUP(free_p) char *token = token_of(ours);
	CLEANUP(free_p) char *other = token_of(theirs);
	json_t *claims = NULL;
	assert_int_equal(api_token_verify(ours, other, &claims), -EBADMSG);
	assert_int_equal(api_token_verify(theirs, token, &claims), -EBADMSG);
	for (size_t i = 0; token[i] != '\0';
	     i++) { /* any other character at any place but the last, whose low bits say nothing */
		char was = token[i];
		if (token[i + 1] == '\0')
			break;
		token[i] = was == 'A' ? 'B' : 'A';
		if (api_token_verify(ours, token, &claims) != -EBADMSG)
			fail_msg("changed at %zu: %s", i, token);
		token[i] = was;
	}
	assert_null(claims);
}

static void test_no_tokens(void **state)
{
	(void)state;
	/* One has {"alg":"none","typ":"JWT"} as its header. */
	static const char *const cases[] = {"",
					    ".",
					    "..",
					    "...",
					    "a.b",
					    "a.b.c",
					    "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30.",
					    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.e30.",
					    "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA"};
	json_t *claims = NULL;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (api_token_verify(ours, cases[i], &claims) != -EBADMSG)
			fail_msg("'%s' was taken", cases[i]);
	CLEANUP(free_p) char *token = token_of(ours);
	CLEANUP(free_p) char *more = str_printf("%s.x", token);
	assert_int_equal(api_token_verify(ours, more, &claims), -EBADMSG);
	struct api_tokens *t = NULL;
	assert_int_equal(api_tokens_new("no key", &t, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_again),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_no_tokens),
	};
	return cmocka_run_group_tests_name("api_token", tests, setup, teardown);
}
