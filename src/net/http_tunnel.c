#include "net/http_tunnel.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/http_client_internal.h"

struct http_tunnel {
	CURL *easy;
	int fd;
	char why[CURL_ERROR_SIZE];
};

void http_tunnel_free(struct http_tunnel *t)
{
	if (t == NULL)
		return;
	curl_easy_cleanup(t->easy);
	free(t);
}

static int no_memory(struct error *err)
{
	return error_set(err, -ENOMEM, "connect: out of memory");
}

int http_tunnel_open(struct http_client *c, const char *url, int64_t timeout_ns, struct http_tunnel **ret,
		     struct error *err)
{
	struct http_tunnel *t = calloc(1, sizeof *t);
	if (t == NULL)
		return no_memory(err);
	t->easy = curl_easy_init();
	if (t->easy == NULL) {
		free(t);
		return no_memory(err);
	}
	const int64_t ms = timeout_ns / NSEC_PER_MSEC;
	http_client_set_connection(t->easy, c);
	/* These fail for options that libcurl does not know, which a unit test would show. */
	(void)curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, t->why);
	(void)curl_easy_setopt(t->easy, CURLOPT_CONNECT_ONLY, 1L);
	(void)curl_easy_setopt(t->easy, CURLOPT_HTTPPROXYTUNNEL, 1L);
	(void)curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS,
			       ms < 1              ? 1L
			       : ms > LONG_MAX / 2 ? LONG_MAX / 2
						   : (long)ms);
	CURLcode code = curl_easy_setopt(t->easy, CURLOPT_URL, url);
	if (code == CURLE_OK)
		code = curl_easy_perform(t->easy);
	curl_socket_t fd = CURL_SOCKET_BAD;
	if (code == CURLE_OK)
		code = curl_easy_getinfo(t->easy, CURLINFO_ACTIVESOCKET, &fd);
	if (code != CURLE_OK || fd == CURL_SOCKET_BAD) {
		const int rc = code != CURLE_OK ? http_client_errno(t->easy, code) : -EIO;
		const char *why = t->why[0] != '\0' ? t->why : curl_easy_strerror(code);
		error_set(err, rc, "connect: %s", why);
		http_tunnel_free(t);
		return rc;
	}
	t->fd = fd;
	*ret = t;
	return 0;
}

ssize_t http_tunnel_send(struct http_tunnel *t, const void *data, size_t n)
{
	size_t k = 0;
	const CURLcode code = curl_easy_send(t->easy, data, n, &k);
	return code == CURLE_OK ? (ssize_t)k : code == CURLE_AGAIN ? -EAGAIN : -ECONNRESET;
}

ssize_t http_tunnel_recv(struct http_tunnel *t, void *buf, size_t n)
{
	size_t k = 0;
	const CURLcode code = curl_easy_recv(t->easy, buf, n, &k);
	return code == CURLE_OK ? (ssize_t)k : code == CURLE_AGAIN ? -EAGAIN : -ECONNRESET;
}

int http_tunnel_fd(const struct http_tunnel *t)
{
	return t->fd;
}
