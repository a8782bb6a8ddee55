#include "net/cert.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/random.h"
#include "base/str.h"
#include "base/strbuf.h"

#define CA_DAYS      3650
#define SAN_MAX      8192
#define DAY_SECONDS  86400L
#define BACKDATE_SEC 300L /* peers whose clock runs a little behind must accept a fresh certificate */

static void x509_free_p(X509 **p)
{
	X509_free(*p);
}

static void pkey_free_p(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

static void bio_free_p(BIO **p)
{
	BIO_free(*p);
}

static int openssl_error(struct error *err, const char *what)
{
	char text[160] = "unknown reason";
	unsigned long code = ERR_get_error();
	if (code != 0)
		ERR_error_string_n(code, text, sizeof text);
	ERR_clear_error();
	return error_set(err, -EINVAL, "%s: %s", what, text);
}

void cert_pair_clear(struct cert_pair *p)
{
	if (p == NULL)
		return;
	free(p->cert_pem);
	if (p->key_pem != NULL)
		OPENSSL_cleanse(p->key_pem, strlen(p->key_pem));
	free(p->key_pem);
	*p = (struct cert_pair){0};
}

static void cert_pair_clear_p(struct cert_pair *p)
{
	cert_pair_clear(p);
}

static char *bio_take_text(BIO *bio)
{
	char *data = NULL;
	long n = BIO_get_mem_data(bio, &data);
	return n < 0 ? NULL : strndup(data, (size_t)n);
}

static X509 *cert_from_pem(const char *pem)
{
	CLEANUP(bio_free_p) BIO *bio = BIO_new_mem_buf(pem, -1);
	return bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);
}

static EVP_PKEY *key_from_pem(const char *pem)
{
	CLEANUP(bio_free_p) BIO *bio = BIO_new_mem_buf(pem, -1);
	return bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
}

static int pair_to_pem(X509 *x, EVP_PKEY *key, struct cert_pair *ret, struct error *err)
{
	CLEANUP(cert_pair_clear_p) struct cert_pair pair = {0};
	CLEANUP(bio_free_p) BIO *cert_bio = BIO_new(BIO_s_mem());
	CLEANUP(bio_free_p) BIO *key_bio = BIO_new(BIO_s_secmem());
	if (cert_bio == NULL || key_bio == NULL || PEM_write_bio_X509(cert_bio, x) != 1 ||
	    PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return openssl_error(err, "write certificate as PEM");
	pair.cert_pem = bio_take_text(cert_bio);
	pair.key_pem = bio_take_text(key_bio);
	if (pair.cert_pem == NULL || pair.key_pem == NULL)
		return error_set(err, -ENOMEM, "write certificate as PEM: out of memory");
	*ret = TAKE_STRUCT(pair);
	return 0;
}

static int add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	if (ext == NULL)
		return 0;
	int ok = X509_add_ext(x, ext, -1);
	X509_EXTENSION_free(ext);
	return ok;
}

static int name_add(X509_NAME *name, const char *field, const char *value)
{
	return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1, -1, 0);
}

/* Serial, validity, key: what a CA and a leaf have in common. */
static X509 *cert_skeleton(EVP_PKEY *key, int days)
{
	unsigned char serial[16];
	random_bytes(serial, sizeof serial);
	serial[0] &= 0x7f; /* RFC 5280, 4.1.2.2: positive */
	serial[0] |= 0x40; /* and of full length, never zero */

	CLEANUP(x509_free_p) X509 *x = X509_new();
	BIGNUM *bn = BN_bin2bn(serial, sizeof serial, NULL);
	bool ok = x != NULL && bn != NULL && X509_set_version(x, X509_VERSION_3) == 1 &&
		  BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(x)) != NULL &&
		  X509_gmtime_adj(X509_getm_notBefore(x), -BACKDATE_SEC) != NULL &&
		  X509_gmtime_adj(X509_getm_notAfter(x), (long)days * DAY_SECONDS) != NULL &&
		  X509_set_pubkey(x, key) == 1;
	BN_free(bn);
	return ok ? TAKE(x) : NULL;
}

int cert_make_ca(const char *cn, struct cert_pair *ret, struct error *err)
{
	CLEANUP(pkey_free_p) EVP_PKEY *key = EVP_EC_gen("P-256");
	if (key == NULL)
		return openssl_error(err, "make CA key");
	CLEANUP(x509_free_p) X509 *x = cert_skeleton(key, CA_DAYS);
	if (x == NULL || name_add(X509_get_subject_name(x), "CN", cn) != 1 ||
	    X509_set_issuer_name(x, X509_get_subject_name(x)) != 1 ||
	    add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE") != 1 ||
	    add_extension(x, x, NID_key_usage, "critical,digitalSignature,keyCertSign,cRLSign") != 1 ||
	    add_extension(x, x, NID_subject_key_identifier, "hash") != 1 || X509_sign(x, key, EVP_sha256()) == 0)
		return openssl_error(err, "make CA certificate");
	return pair_to_pem(x, key, ret, err);
}

static bool is_ip(const char *s)
{
	unsigned char buf[16];
	return inet_pton(AF_INET, s, buf) == 1 || inet_pton(AF_INET6, s, buf) == 1;
}

/* The value goes through OpenSSL's own little language, in which a comma begins a new entry: such names are refused. */
static int sans_text(const char *const *sans, char **ret, struct error *err)
{
	struct strbuf b = STRBUF_INIT(SAN_MAX);
	for (size_t i = 0; sans[i] != NULL; i++) {
		if (sans[i][0] == '\0' || strpbrk(sans[i], ", \t\n") != NULL) {
			strbuf_clear(&b);
			return error_set(err, -EINVAL, "'%s' is not a DNS name or IP address", sans[i]);
		}
		strbuf_addf(&b, "%s%s:%s", i == 0 ? "" : ",", is_ip(sans[i]) ? "IP" : "DNS", sans[i]);
	}
	int rc = strbuf_take(&b, ret);
	return rc == 0 ? 0 : error_set(err, rc, "list of subject alternative names is too long");
}

static int add_sans(X509 *x, X509 *issuer, const char *const *sans, struct error *err)
{
	if (sans == NULL || sans[0] == NULL)
		return 0;
	CLEANUP(free_p) char *text = NULL;
	int rc = sans_text(sans, &text, err);
	if (rc < 0)
		return rc;
	if (add_extension(x, issuer, NID_subject_alt_name, text) != 1)
		return openssl_error(err, "add subject alternative names");
	return 0;
}

static bool add_subject(X509 *x, const struct cert_options *o)
{
	X509_NAME *name = X509_get_subject_name(x);
	for (size_t i = 0; o->organizations != NULL && o->organizations[i] != NULL; i++)
		if (name_add(name, "O", o->organizations[i]) != 1)
			return false;
	return name_add(name, "CN", o->cn) == 1;
}

static const char *usages(const struct cert_options *o)
{
	if (o->server && o->client)
		return "serverAuth,clientAuth";
	return o->server ? "serverAuth" : "clientAuth";
}

int cert_issue(const struct cert_pair *ca, const struct cert_options *o, struct cert_pair *ret, struct error *err)
{
	CLEANUP(x509_free_p) X509 *ca_cert = cert_from_pem(ca->cert_pem);
	CLEANUP(pkey_free_p) EVP_PKEY *ca_key = key_from_pem(ca->key_pem);
	if (ca_cert == NULL || ca_key == NULL)
		return openssl_error(err, "read the CA");
	CLEANUP(pkey_free_p) EVP_PKEY *key = EVP_EC_gen("P-256");
	if (key == NULL)
		return openssl_error(err, "make key");

	CLEANUP(x509_free_p) X509 *x = cert_skeleton(key, o->days);
	if (x == NULL || !add_subject(x, o) || X509_set_issuer_name(x, X509_get_subject_name(ca_cert)) != 1 ||
	    add_extension(x, ca_cert, NID_basic_constraints, "critical,CA:FALSE") != 1 ||
	    add_extension(x, ca_cert, NID_key_usage, "critical,digitalSignature") != 1 ||
	    add_extension(x, ca_cert, NID_authority_key_identifier, "keyid") != 1)
		return openssl_error(err, "make certificate");
	if ((o->server || o->client) && add_extension(x, ca_cert, NID_ext_key_usage, usages(o)) != 1)
		return openssl_error(err, "add extended key usage");
	int rc = add_sans(x, ca_cert, o->sans, err);
	if (rc < 0)
		return rc;
	if (X509_sign(x, ca_key, EVP_sha256()) == 0)
		return openssl_error(err, "sign certificate");
	return pair_to_pem(x, key, ret, err);
}

bool cert_is_fresh(const struct cert_pair *ca, const struct cert_pair *pair, int days)
{
	if (ca->cert_pem == NULL || pair->cert_pem == NULL || pair->key_pem == NULL)
		return false;
	CLEANUP(x509_free_p) X509 *ca_cert = cert_from_pem(ca->cert_pem);
	CLEANUP(x509_free_p) X509 *x = cert_from_pem(pair->cert_pem);
	CLEANUP(pkey_free_p) EVP_PKEY *key = key_from_pem(pair->key_pem);
	bool ok = false;
	if (ca_cert != NULL && x != NULL && key != NULL) {
		time_t until = time(NULL) + (time_t)days * DAY_SECONDS;
		ok = X509_cmp_current_time(X509_get0_notBefore(x)) < 0 &&
		     X509_cmp_time(X509_get0_notAfter(x), &until) > 0 && X509_check_private_key(x, key) == 1 &&
		     X509_verify(x, X509_get0_pubkey(ca_cert)) == 1;
	}
	ERR_clear_error();
	return ok;
}
