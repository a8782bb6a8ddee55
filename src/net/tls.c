#include "net/tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>

#include "base/cleanup.h"
#include "base/error.h"

#define PEER_ORGANIZATIONS_MAX 64

struct tls_config {
	pthread_mutex_t lock; /* guards ctx, which is never changed, only replaced */
	SSL_CTX *ctx;
};

struct tls {
	SSL *ssl;
	BIO *in, *out;     /* owned by ssl */
	bool peer_refused; /* a client certificate came, and it is not one of ours: the client is nobody */
};

static int openssl_error(struct error *err, const char *what)
{
	char text[160] = "unknown reason";
	const unsigned long code = ERR_get_error();
	if (code != 0)
		ERR_error_string_n(code, text, sizeof text);
	ERR_clear_error();
	return error_set(err, -EINVAL, "%s: %s", what, text);
}

/* As a real API server does: a foreign certificate is no identity (401 later), not a broken connection. */
static int on_verify(int ok, X509_STORE_CTX *store)
{
	if (!ok) {
		const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
		struct tls *t = SSL_get_app_data(ssl);
		t->peer_refused = true;
	}
	return 1;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
		   unsigned int in_n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *chosen = NULL;
	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_n, ours, sizeof ours - 1, in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK; /* a peer that offers only h2 still gets HTTP/1.1 */
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static int use_certificate(SSL_CTX *ctx, const char *cert_pem, const char *key_pem)
{
	BIO *cert_bio = BIO_new_mem_buf(cert_pem, -1), *key_bio = BIO_new_mem_buf(key_pem, -1);
	X509 *leaf = cert_bio == NULL ? NULL : PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
	EVP_PKEY *key = key_bio == NULL ? NULL : PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);
	bool ok = leaf != NULL && key != NULL && SSL_CTX_use_certificate(ctx, leaf) == 1 &&
		  SSL_CTX_use_PrivateKey(ctx, key) == 1;
	for (X509 *x; ok && (x = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL)) != NULL;) {
		ok = SSL_CTX_add0_chain_cert(ctx, x) == 1;
		if (!ok)
			X509_free(x);
	}
	X509_free(leaf);
	EVP_PKEY_free(key);
	BIO_free(cert_bio);
	BIO_free(key_bio);
	if (!ok)
		return -EINVAL;
	ERR_clear_error(); /* the end of the PEM text counts as one */
	return SSL_CTX_check_private_key(ctx) == 1 ? 0 : -EINVAL;
}

static int use_client_ca(SSL_CTX *ctx, const char *pem)
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	int n = 0;
	for (X509 *x; bio != NULL && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL; X509_free(x))
		n += X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x) == 1 && SSL_CTX_add_client_CA(ctx, x) == 1;
	BIO_free(bio);
	if (n == 0)
		return -EINVAL;
	ERR_clear_error();
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, on_verify);
	return 0;
}

static int make_context(const char *cert_pem, const char *key_pem, const char *client_ca_pem, SSL_CTX **ret,
			struct error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	int rc = 0;
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
		rc = openssl_error(err, "set up TLS");
	else if (use_certificate(ctx, cert_pem, key_pem) < 0)
		rc = openssl_error(err, "read the server's certificate and key");
	else if (client_ca_pem != NULL && use_client_ca(ctx, client_ca_pem) < 0)
		rc = openssl_error(err, "read the CA of client certificates");
	if (rc < 0) {
		SSL_CTX_free(ctx);
		return rc;
	}
	/* No resumption: a session would have to carry the client's identity, and a handshake on this machine is cheap. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	*ret = ctx;
	return 0;
}

int tls_config_new(const char *cert_pem, const char *key_pem, const char *client_ca_pem, struct tls_config **ret,
		   struct error *err)
{
	struct tls_config *c = calloc(1, sizeof *c);
	if (c == NULL)
		return error_set(err, -ENOMEM, "set up TLS: out of memory");
	const int rc = make_context(cert_pem, key_pem, client_ca_pem, &c->ctx, err);
	if (rc < 0) {
		free(c);
		return rc;
	}
	pthread_mutex_init(&c->lock, NULL);
	*ret = c;
	return 0;
}

int tls_config_renew(struct tls_config *c, const char *cert_pem, const char *key_pem, const char *client_ca_pem,
		     struct error *err)
{
	SSL_CTX *old, *ctx = NULL;
	const int rc = make_context(cert_pem, key_pem, client_ca_pem, &ctx, err);
	if (rc < 0)
		return rc;
	pthread_mutex_lock(&c->lock);
	old = c->ctx;
	c->ctx = ctx;
	pthread_mutex_unlock(&c->lock);
	SSL_CTX_free(old); /* its sessions hold references */
	return 0;
}

void tls_config_free(struct tls_config *c)
{
	if (c == NULL)
		return;
	SSL_CTX_free(c->ctx);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

struct tls *tls_new(struct tls_config *c)
{
	struct tls *t = calloc(1, sizeof *t);
	if (t == NULL)
		return NULL;
	pthread_mutex_lock(&c->lock);
	t->ssl = SSL_new(c->ctx);
	pthread_mutex_unlock(&c->lock);
	t->in = BIO_new(BIO_s_mem());
	t->out = BIO_new(BIO_s_mem());
	if (t->ssl == NULL || t->in == NULL || t->out == NULL) {
		BIO_free(t->in);
		BIO_free(t->out);
		SSL_free(t->ssl);
		free(t);
		return NULL;
	}
	SSL_set_bio(t->ssl, t->in, t->out);
	SSL_set_app_data(t->ssl, t);
	SSL_set_accept_state(t->ssl);
	return t;
}

void tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	SSL_free(t->ssl);
	free(t);
}

int tls_feed(struct tls *t, const void *data, size_t n)
{
	for (const char *p = data; n > 0;) {
		const int k = BIO_write(t->in, p, n > INT_MAX ? INT_MAX : (int)n);
		if (k <= 0)
			return -ENOMEM;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

int tls_read(struct tls *t, void *buf, int size)
{
	ERR_clear_error();
	const int n = SSL_read(t->ssl, buf, size); /* does the handshake too */
	if (n > 0)
		return n;
	switch (SSL_get_error(t->ssl, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return -EPIPE;
	default:
		ERR_clear_error();
		return -EPROTO;
	}
}

int tls_write(struct tls *t, const void *data, size_t n)
{
	ERR_clear_error();
	for (const char *p = data; n > 0;) {
		const int k = SSL_write(t->ssl, p, n > INT_MAX ? INT_MAX : (int)n);
		if (k <= 0)
			return -EPROTO;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

size_t tls_pending(struct tls *t)
{
	return BIO_ctrl_pending(t->out);
}

size_t tls_take(struct tls *t, void *buf, size_t size)
{
	const int n = BIO_read(t->out, buf, size > INT_MAX ? INT_MAX : (int)size);
	return n > 0 ? (size_t)n : 0;
}

void tls_end(struct tls *t)
{
	if (tls_ready(t))
		(void)SSL_shutdown(t->ssl); /* the answer to our close_notify is of no interest */
	ERR_clear_error();
}

bool tls_ready(const struct tls *t)
{
	return SSL_is_init_finished(t->ssl) == 1;
}

/* Text of one entry of a name as UTF-8; NULL when it cannot be a name we trust (a NUL inside) or memory is out. */
static char *entry_text(const X509_NAME_ENTRY *e)
{
	unsigned char *utf8 = NULL;
	const int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(e));
	char *text = n > 0 && memchr(utf8, '\0', (size_t)n) == NULL ? strndup((const char *)utf8, (size_t)n) : NULL;
	OPENSSL_free(utf8);
	return text;
}

/* The list and its strings lie in one block: pointers first. */
static char **pack_list(char *const *items, size_t n)
{
	size_t bytes = (n + 1) * sizeof(char *);
	for (size_t i = 0; i < n; i++)
		bytes += strlen(items[i]) + 1;
	char **list = malloc(bytes);
	if (list == NULL)
		return NULL;
	char *text = (char *)(list + n + 1);
	for (size_t i = 0; i < n; i++) {
		const size_t k = strlen(items[i]) + 1;
		list[i] = memcpy(text, items[i], k);
		text += k;
	}
	list[n] = NULL;
	return list;
}

static char **organizations(const X509_NAME *name)
{
	char *items[PEER_ORGANIZATIONS_MAX];
	size_t n = 0;
	for (int at = -1;
	     n < PEER_ORGANIZATIONS_MAX && (at = X509_NAME_get_index_by_NID(name, NID_organizationName, at)) >= 0;) {
		items[n] = entry_text(X509_NAME_get_entry(name, at));
		n += items[n] != NULL;
	}
	char **list = pack_list(items, n);
	for (size_t i = 0; i < n; i++)
		free(items[i]);
	return list;
}

int tls_peer(struct tls *t, char **ret_cn, char ***ret_o)
{
	*ret_cn = NULL;
	*ret_o = NULL;
	const X509 *x = SSL_get0_peer_certificate(t->ssl);
	if (x == NULL || t->peer_refused || SSL_get_verify_result(t->ssl) != X509_V_OK)
		return 0;
	const X509_NAME *name = X509_get_subject_name(x);
	const int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
	CLEANUP(free_p) char *cn = at < 0 ? NULL : entry_text(X509_NAME_get_entry(name, at));
	if (cn == NULL)
		return 0;
	char **o = organizations(name);
	if (o == NULL)
		return -ENOMEM;
	*ret_cn = TAKE(cn);
	*ret_o = o;
	return 0;
}
