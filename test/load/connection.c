#include "connection.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "kube/config.h"

#define ANSWER_MAX ((size_t)1 << 30)
#define PIECE      65536

struct load_connection {
	int fd;
	SSL_CTX *ctx;
	SSL *ssl;
	char *host, *token;
	struct strbuf out, in, body;
	size_t at;    /* of `in`: what is before it is used up */
	size_t line;  /* of `body`: where the next line of a stream begins */
	size_t chunk; /* bytes of the chunk under way */
	bool chunked, ended;
};

static int fail(struct error *err, const char *what)
{
	char text[160] = "";
	ERR_error_string_n(ERR_get_error(), text, sizeof text);
	return error_set(err, -EIO, "%s: %s", what, text);
}

static int use_pem(SSL_CTX *ctx, const struct kube_config *cfg)
{
	if (cfg->cert_pem == NULL)
		return 0;
	BIO *b = BIO_new_mem_buf(cfg->cert_pem, -1), *k = BIO_new_mem_buf(cfg->key_pem, -1);
	X509 *cert = PEM_read_bio_X509(b, NULL, NULL, NULL);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(k, NULL, NULL, NULL);
	bool ok = cert != NULL && key != NULL && SSL_CTX_use_certificate(ctx, cert) == 1 &&
		  SSL_CTX_use_PrivateKey(ctx, key) == 1;
	X509_free(cert);
	EVP_PKEY_free(key);
	BIO_free(b);
	BIO_free(k);
	return ok ? 0 : -EINVAL;
}

/** @server is "https://HOST:PORT". */
static int dial(const char *server, char **ret_host, struct error *err)
{
	const char *from = strstr(server, "://");
	CLEANUP(free_p) char *host = from != NULL ? strdup(from + 3) : NULL;
	char *colon = host != NULL ? strrchr(host, ':') : NULL;
	if (colon == NULL)
		return error_set(err, -EINVAL, "'%s' names no port", server);
	*ret_host = strdup(host);
	*colon = '\0';
	struct addrinfo *list = NULL, hints = {.ai_socktype = SOCK_STREAM};
	int rc = getaddrinfo(host, colon + 1, &hints, &list);
	if (rc != 0)
		return error_set(err, -EHOSTUNREACH, "%s: %s", host, gai_strerror(rc));
	int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
	rc = fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) < 0 ? -errno : 0;
	freeaddrinfo(list);
	if (rc < 0) {
		if (fd >= 0)
			(void)close(fd);
		return error_set(err, rc, "connect to %s: %s", server, strerror(-rc));
	}
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* it works without, only slower */
	return fd;
}

static void disconnect_p(struct load_connection **c)
{
	load_disconnect(*c);
}

int load_connect(const struct kube_config *cfg, struct load_connection **ret, struct error *err)
{
	CLEANUP(disconnect_p) struct load_connection *c = calloc(1, sizeof *c);
	if (c == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	c->out = STRBUF_INIT(ANSWER_MAX);
	c->in = STRBUF_INIT(ANSWER_MAX);
	c->body = STRBUF_INIT(ANSWER_MAX);
	c->fd = dial(cfg->server, &c->host, err);
	if (c->fd < 0)
		return c->fd;
	c->token = cfg->token != NULL ? strdup(cfg->token) : NULL;
	c->ctx = SSL_CTX_new(TLS_client_method());
	if (c->ctx == NULL || use_pem(c->ctx, cfg) < 0)
		return fail(err, "client certificate");
	c->ssl = SSL_new(c->ctx);
	if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1)
		return fail(err, "TLS");
	*ret = TAKE(c);
	return 0;
}

void load_disconnect(struct load_connection *c)
{
	if (c == NULL)
		return;
	SSL_free(c->ssl);
	SSL_CTX_free(c->ctx);
	if (c->fd >= 0)
		(void)close(c->fd);
	strbuf_clear(&c->out);
	strbuf_clear(&c->in);
	strbuf_clear(&c->body);
	free(c->host);
	free(c->token);
	free(c);
}

size_t load_waiting(const struct load_connection *c)
{
	int n = 0;
	return ioctl(c->fd, FIONREAD, &n) == 0 && n > 0 ? (size_t)n : 0;
}

void load_cut(struct load_connection *c)
{
	(void)shutdown(c->fd, SHUT_RDWR); /* a peer that is gone has cut it already */
}

/** More bytes behind those in `in` that are not used yet. */
static int receive(struct load_connection *c)
{
	char piece[PIECE];
	int n = SSL_read(c->ssl, piece, sizeof piece);
	if (n <= 0)
		return -ECONNRESET;
	if (c->at == c->in.n) {
		strbuf_reset(&c->in);
		c->at = 0;
	}
	strbuf_add(&c->in, piece, (size_t)n);
	return c->in.failed ? -ENOMEM : 0;
}

/** The end of the line that begins at `at`, as an offset. */
static int find_line(struct load_connection *c, size_t *ret)
{
	const char *end = NULL;
	while ((end = c->at < c->in.n ? memmem(c->in.p + c->at, c->in.n - c->at, "\r\n", 2) : NULL) == NULL) {
		int rc = receive(c);
		if (rc < 0)
			return rc;
	}
	*ret = (size_t)(end - c->in.p);
	return 0;
}

static int read_head(struct load_connection *c, int *ret_status, size_t *ret_length)
{
	bool first = true;
	*ret_length = 0;
	c->chunked = c->ended = false;
	c->chunk = 0;
	for (;;) {
		size_t end = 0;
		int rc = find_line(c, &end);
		if (rc < 0)
			return rc;
		const char *line = c->in.p + c->at;
		size_t n = end - c->at;
		c->at = end + 2;
		if (n == 0)
			return 0;
		if (first && sscanf(line, "HTTP/1.1 %d", ret_status) != 1)
			return -EPROTO;
		first = false;
		if (n > 15 && strncasecmp(line, "content-length:", 15) == 0)
			*ret_length = strtoul(line + 15, NULL, 10);
		if (n > 18 && strncasecmp(line, "transfer-encoding:", 18) == 0)
			c->chunked = true;
	}
}

static int read_bytes(struct load_connection *c, size_t n)
{
	while (n > 0) {
		size_t have = c->in.n - c->at, k = have < n ? have : n;
		strbuf_add(&c->body, c->in.p + c->at, k);
		c->at += k;
		n -= k;
		int rc = n > 0 ? receive(c) : 0;
		if (rc < 0)
			return rc;
	}
	return c->body.failed ? -ENOMEM : 0;
}

/** Append the next chunk to the body; ended: there is none. */
static int read_chunk(struct load_connection *c)
{
	size_t end = 0;
	int rc = find_line(c, &end);
	if (rc < 0)
		return rc;
	size_t n = strtoul(c->in.p + c->at, NULL, 16);
	c->at = end + 2;
	rc = read_bytes(c, n);
	if (rc == 0)
		rc = find_line(c, &end); /* the empty one behind it */
	if (rc < 0)
		return rc;
	c->at = end + 2;
	c->ended = n == 0;
	return 0;
}

static int send_request(struct load_connection *c, const char *method, const char *path, const char *accept,
			const char *body)
{
	strbuf_reset(&c->out);
	strbuf_addf(&c->out, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: %s\r\n", method, path, c->host,
		    accept != NULL ? accept : "application/json");
	if (c->token != NULL)
		strbuf_addf(&c->out, "Authorization: Bearer %s\r\n", c->token);
	if (body != NULL)
		strbuf_addf(&c->out, "Content-Type: application/%sjson\r\nContent-Length: %zu\r\n",
			    strcmp(method, "PATCH") == 0 ? "merge-patch+" : "", strlen(body));
	strbuf_adds(&c->out, "\r\n");
	if (body != NULL)
		strbuf_adds(&c->out, body);
	if (c->out.failed)
		return -ENOMEM;
	return load_send(c, c->out.p, c->out.n);
}

int load_send(struct load_connection *c, const void *data, size_t n)
{
	return SSL_write(c->ssl, data, (int)n) == (int)n ? 0 : -ECONNRESET;
}

int load_answer(struct load_connection *c)
{
	int status = 0;
	size_t n = 0;
	strbuf_reset(&c->body);
	int rc = read_head(c, &status, &n);
	if (rc == 0 && !c->chunked)
		rc = read_bytes(c, n);
	while (rc == 0 && c->chunked && !c->ended)
		rc = read_chunk(c);
	return rc < 0 ? rc : c->body.failed ? -ENOMEM : status;
}

int load_ask(struct load_connection *c, const char *method, const char *path, const char *accept, const char *body)
{
	int rc = send_request(c, method, path, accept, body);
	return rc < 0 ? rc : load_answer(c);
}

const char *load_body(const struct load_connection *c, size_t *ret_n)
{
	if (ret_n != NULL)
		*ret_n = c->body.n;
	return c->body.p != NULL ? c->body.p : "";
}

int load_watch(struct load_connection *c, const char *path)
{
	int status = 0;
	size_t n = 0;
	strbuf_reset(&c->body);
	c->line = 0;
	int rc = send_request(c, "GET", path, NULL, NULL);
	if (rc == 0)
		rc = read_head(c, &status, &n);
	return rc < 0 ? rc : status;
}

const char *load_line(struct load_connection *c)
{
	char *end;
	if (c->line == c->body.n) {
		strbuf_reset(&c->body);
		c->line = 0;
	}
	while ((end = c->line < c->body.n ? memchr(c->body.p + c->line, '\n', c->body.n - c->line) : NULL) == NULL)
		if (c->ended || !c->chunked || read_chunk(c) < 0)
			return NULL;
	*end = '\0';
	const char *line = c->body.p + c->line;
	c->line = (size_t)(end - c->body.p) + 1;
	return line;
}
