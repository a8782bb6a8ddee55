/* A raw connection made as an HTTP client makes its own (proxy, TLS, client certificate), for what follows an upgrade. One thread at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct http_client;
struct http_tunnel;

/** Connect to the host of @url (http or https). Errors as of http_client_do(). */
int http_tunnel_open(struct http_client *c, const char *url, int64_t timeout_ns, struct http_tunnel **ret,
		     struct error *err);
/** How many of @n bytes went out, -EAGAIN, or -ECONNRESET. */
ssize_t http_tunnel_send(struct http_tunnel *t, const void *data, size_t n);
/** How many bytes came in, 0 at the end, -EAGAIN, or -ECONNRESET. After -EAGAIN, and only then, poll the fd. */
ssize_t http_tunnel_recv(struct http_tunnel *t, void *buf, size_t n);
int http_tunnel_fd(const struct http_tunnel *t);
/** Accepts NULL. */
void http_tunnel_free(struct http_tunnel *t);
