#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "net/cert.h"

static X509 *parse(const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	BIO_free(bio);
	assert_non_null(x);
	return x;
}

static void test_leaf(void **state)
{
	static const char *const orgs[] = {"system:masters", "b", NULL}, *const sans[] = {"localhost", "127.0.0.1",
											  "::1", NULL};
	struct cert_pair ca = {0}, leaf = {0};
	struct error err = {0};
	(void)state;
	assert_int_equal(cert_make_ca("the CA", &ca, &err), 0);
	const struct cert_options o = {
		.cn = "admin", .organizations = orgs, .sans = sans, .server = true, .client = true, .days = 10};
	assert_int_equal(cert_issue(&ca, &o, &leaf, &err), 0);
	X509 *x = parse(leaf.cert_pem), *c = parse(ca.cert_pem);
	char text[128];
	X509_NAME_oneline(X509_get_subject_name(x), text, sizeof text);
	assert_string_equal(text, "/O=system:masters/O=b/CN=admin");
	X509_NAME_oneline(X509_get_issuer_name(x), text, sizeof text);
	assert_string_equal(text, "/CN=the CA");
	assert_int_equal(X509_check_host(x, "localhost", 0, 0, NULL), 1);
	assert_int_equal(X509_check_host(x, "other", 0, 0, NULL), 0);
	assert_int_equal(X509_check_ip_asc(x, "127.0.0.1", 0), 1);
	assert_int_equal(X509_check_ip_asc(x, "::1", 0), 1);
	assert_int_equal(X509_check_ca(c), 1);
	assert_int_equal(X509_check_ca(x), 0);
	assert_int_equal(X509_get_extended_key_usage(x), XKU_SSL_SERVER | XKU_SSL_CLIENT);
	assert_int_equal(X509_check_issued(c, x), X509_V_OK);
	X509_free(x);
	X509_free(c);
	cert_pair_clear(&ca);
	cert_pair_clear(&leaf);
	assert_null(leaf.key_pem);
}

static void test_fresh(void **state)
{
	struct cert_pair ca = {0}, other = {0}, leaf = {0}, second = {0};
	struct error err = {0};
	(void)state;
	const struct cert_options o = {.cn = "x", .server = true, .days = 10};
	assert_int_equal(cert_make_ca("a", &ca, &err), 0);
	assert_int_equal(cert_make_ca("a", &other, &err), 0);
	assert_int_equal(cert_issue(&ca, &o, &leaf, &err), 0);
	assert_int_equal(cert_issue(&ca, &o, &second, &err), 0);
	const struct cert_pair mixed = {.cert_pem = leaf.cert_pem, .key_pem = second.key_pem};
	const struct cert_pair garbage = {.cert_pem = (char *)"garbage", .key_pem = leaf.key_pem};
	assert_true(cert_is_fresh(&ca, &leaf, 9));
	assert_false(cert_is_fresh(&ca, &leaf, 11));
	assert_false(cert_is_fresh(&other, &leaf, 1));
	assert_false(cert_is_fresh(&ca, &mixed, 1));
	assert_false(cert_is_fresh(&ca, &garbage, 1));
	assert_false(cert_is_fresh(&ca, &(struct cert_pair){0}, 1));
	cert_pair_clear(&ca);
	cert_pair_clear(&other);
	cert_pair_clear(&leaf);
	cert_pair_clear(&second);
}

static void test_refused(void **state)
{
	static const char *const injected[] = {"a,DNS:evil", NULL}, *const empty[] = {"", NULL};
	const struct {
		const char *name;
		struct cert_options o;
		const char *msg;
	} cases[] = {
		{"comma",
		 {.cn = "x", .sans = injected, .server = true, .days = 1},
		 "'a,DNS:evil' is not a DNS name or IP address"},
		{"empty name",
		 {.cn = "x", .sans = empty, .server = true, .days = 1},
		 "'' is not a DNS name or IP address"},
	};
	struct cert_pair ca = {0}, leaf = {0};
	struct error err = {0};
	(void)state;
	assert_int_equal(cert_make_ca("a", &ca, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (cert_issue(&ca, &cases[i].o, &leaf, &err) != -EINVAL || strcmp(err.msg, cases[i].msg) != 0)
			fail_msg("case '%s': '%s'", cases[i].name, err.msg);
	const struct cert_pair broken = {.cert_pem = (char *)"x", .key_pem = ca.key_pem};
	assert_int_equal(cert_issue(&broken, &(struct cert_options){.cn = "x", .days = 1}, &leaf, &err), -EINVAL);
	assert_memory_equal(err.msg, "read the CA: ", 13);
	cert_pair_clear(&ca);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_leaf), cmocka_unit_test(test_fresh),
					   cmocka_unit_test(test_refused)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
