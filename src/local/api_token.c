#include "local/api_token.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <string.h>

#include "base/base64.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "json/json.h"

#define HALF   32 /* bytes of r and of s */
#define HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\"}"

struct api_tokens {
	EVP_PKEY *key;
};

static void md_free_p(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

static void sig_free_p(ECDSA_SIG **s)
{
	ECDSA_SIG_free(*s);
}

static void openssl_free_p(unsigned char **p)
{
	OPENSSL_free(*p);
}

int api_tokens_new(const char *key_pem, struct api_tokens **ret, struct error *err)
{
	struct api_tokens *t = calloc(1, sizeof *t);
	BIO *bio = BIO_new_mem_buf(key_pem, -1);
	if (t != NULL && bio != NULL)
		t->key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
	BIO_free(bio);
	if (t == NULL || t->key == NULL || EVP_PKEY_get_base_id(t->key) != EVP_PKEY_EC) {
		api_tokens_free(t);
		return error_set(err, -EINVAL,
				 "the key of service accounts' tokens is no EC key; remove it and start again");
	}
	*ret = t;
	return 0;
}

void api_tokens_free(struct api_tokens *t)
{
	if (t != NULL)
		EVP_PKEY_free(t->key);
	free(t);
}

/** Base64 of URLs (RFC 4648, section 5), without padding. */
static char *encode(const void *data, size_t n)
{
	char *text = base64_encode(data, n);
	if (text == NULL)
		return NULL;
	text[strcspn(text, "=")] = '\0';
	for (char *c = text; *c != '\0'; c++)
		*c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c);
	return text;
}

static int decode(struct str part, char **ret, size_t *ret_n)
{
	CLEANUP(free_p) char *text = malloc(part.n + 4);
	if (text == NULL)
		return -ENOMEM;
	size_t n = 0;
	for (; n < part.n; n++) {
		const char c = part.p[n];
		if (c == '+' || c == '/' || c == '=' || c == '\0')
			return -EBADMSG;
		text[n] = (char)(c == '-' ? '+' : c == '_' ? '/' : c);
	}
	while (n % 4 != 0)
		text[n++] = '=';
	text[n] = '\0';
	int rc = base64_decode(text, ret, ret_n);
	return rc == -EINVAL ? -EBADMSG : rc;
}

/** The signature of @text as r and s. */
static int sign(const struct api_tokens *t, const char *text, unsigned char out[static 2 * HALF])
{
	CLEANUP(md_free_p) EVP_MD_CTX *c = EVP_MD_CTX_new();
	unsigned char der[128];
	size_t n = sizeof der;
	if (c == NULL || EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, t->key) != 1 ||
	    EVP_DigestSign(c, der, &n, (const unsigned char *)text, strlen(text)) != 1)
		return -EIO;
	const unsigned char *p = der;
	CLEANUP(sig_free_p) ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &p, (long)n);
	if (sig == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, HALF) != HALF ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + HALF, HALF) != HALF)
		return -EIO;
	return 0;
}

int api_token_sign(const struct api_tokens *t, const json_t *claims, char **ret, struct error *err)
{
	size_t n = 0;
	unsigned char sig[2 * HALF];
	CLEANUP(free_p) char *body = json_to_text(claims, &n);
	CLEANUP(free_p) char *head = encode(HEADER, sizeof HEADER - 1);
	CLEANUP(free_p) char *middle = body != NULL ? encode(body, n) : NULL;
	CLEANUP(free_p) char *text = head != NULL && middle != NULL ? str_printf("%s.%s", head, middle) : NULL;
	if (text == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = sign(t, text, sig);
	if (rc < 0)
		return error_set(err, rc, "the token cannot be signed");
	CLEANUP(free_p) char *tail = encode(sig, sizeof sig);
	char *token = tail != NULL ? str_printf("%s.%s", text, tail) : NULL;
	if (token == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = token;
	return 0;
}

static int check_signature(const struct api_tokens *t, const char *text, size_t n, const char *sig)
{
	CLEANUP(sig_free_p) ECDSA_SIG *s = ECDSA_SIG_new();
	CLEANUP(md_free_p) EVP_MD_CTX *c = EVP_MD_CTX_new();
	CLEANUP(openssl_free_p) unsigned char *der = NULL;
	if (s == NULL || c == NULL)
		return -ENOMEM;
	BIGNUM *r = BN_bin2bn((const unsigned char *)sig, HALF, NULL),
	       *v = BN_bin2bn((const unsigned char *)sig + HALF, HALF, NULL);
	if (r == NULL || v == NULL || ECDSA_SIG_set0(s, r, v) != 1) {
		BN_free(r);
		BN_free(v);
		return -ENOMEM;
	}
	int len = i2d_ECDSA_SIG(s, &der);
	if (len <= 0 || EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, t->key) != 1)
		return -ENOMEM;
	return EVP_DigestVerify(c, der, (size_t)len, (const unsigned char *)text, n) == 1 ? 0 : -EBADMSG;
}

int api_token_verify(const struct api_tokens *t, const char *token, json_t **ret)
{
	struct str rest = str_from(token), part[4] = {0};
	size_t n = 0;
	if (rest.n > API_TOKEN_MAX)
		return -EBADMSG;
	while (n < 4 && str_split_next(&rest, '.', &part[n]))
		n++;
	if (n != 3)
		return -EBADMSG;
	CLEANUP(free_p) char *head = NULL;
	CLEANUP(free_p) char *body = NULL;
	CLEANUP(free_p) char *sig = NULL;
	size_t head_n = 0, body_n = 0, sig_n = 0;
	int rc = decode(part[0], &head, &head_n);
	if (rc == 0)
		rc = decode(part[1], &body, &body_n);
	if (rc == 0)
		rc = decode(part[2], &sig, &sig_n);
	/* The header is the one we write, to the letter: no other algorithm is ever tried. */
	if (rc == 0 && (head_n != sizeof HEADER - 1 || memcmp(head, HEADER, head_n) != 0 || sig_n != 2 * HALF))
		rc = -EBADMSG;
	if (rc == 0)
		rc = check_signature(t, token, part[0].n + 1 + part[1].n, sig);
	if (rc == 0)
		rc = json_parse(body, body_n, ret, NULL) == 0 ? 0 : -EBADMSG;
	return rc;
}
