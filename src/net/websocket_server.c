#include "net/websocket_server.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "net/http_server.h"
#include "net/websocket.h"

#define SERVER_QUEUED ((size_t)64 << 20) /* of one message; the stream's queue has the limit that counts */

/*
 * The stream's loop holds one reference until on_close. Messages that websocket_feed() finds are delivered under `lock`'s protection of the
 * session, but outside of it: the lock is released around on_message, which only the loop thread runs.
 */
struct websocket_peer {
	atomic_uint refs;
	struct websocket_accept_options o;
	char protocol[64];
	pthread_mutex_t lock; /* guards all below */
	struct websocket *ws;
	struct http_stream *stream; /* a reference; NULL before the upgrade and after the end */
	bool ended, failed;
};

struct websocket_peer *websocket_peer_ref(struct websocket_peer *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void websocket_peer_unref(struct websocket_peer *p)
{
	if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	websocket_free(p->ws);
	if (p->stream != NULL)
		http_stream_unref(p->stream);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

const char *websocket_peer_protocol(const struct websocket_peer *p)
{
	return p->protocol;
}

/**
 * Hand to the stream what the session has for the wire, and end it when a close frame is among that: the answer to ours, if it comes, is
 * read and dropped while the connection lingers, so no peer can hold us by not answering.
 */
static int flush_locked(struct websocket_peer *p)
{
	char buf[16384];
	int rc = 0;
	for (size_t k; rc == 0 && p->stream != NULL && (k = websocket_take(p->ws, buf, sizeof buf)) > 0;)
		rc = http_stream_write(p->stream, buf, k);
	if (!p->ended && p->stream != NULL && (p->failed || websocket_close_code(p->ws) != 0)) {
		p->ended = true;
		http_stream_end(p->stream);
	}
	return rc;
}

static void deliver(void *ctx, bool text, const void *data, size_t n)
{
	struct websocket_peer *p = ctx;
	if (p->o.on_message == NULL)
		return;
	pthread_mutex_unlock(&p->lock); /* taken by on_data(): the callback may send */
	p->o.on_message(p->o.ctx, p, text, data, n);
	pthread_mutex_lock(&p->lock);
}

static void on_data(void *ctx, const void *data, size_t n)
{
	struct websocket_peer *p = ctx;
	pthread_mutex_lock(&p->lock);
	if (!p->ended && !p->failed)
		p->failed = websocket_feed(p->ws, data, n) < 0;
	(void)flush_locked(p); /* a peer that is gone shows in on_close */
	pthread_mutex_unlock(&p->lock);
}

static void on_close(void *ctx)
{
	struct websocket_peer *p = ctx;
	pthread_mutex_lock(&p->lock);
	const uint16_t code = websocket_close_code(p->ws);
	struct http_stream *s = TAKE(p->stream);
	p->ended = true;
	pthread_mutex_unlock(&p->lock);
	if (s != NULL)
		http_stream_unref(s);
	if (p->o.on_close != NULL)
		p->o.on_close(p->o.ctx, p, code != 0 ? code : WEBSOCKET_ABNORMAL);
	websocket_peer_unref(p);
}

/** Whether the comma-separated @list has @want (any case). */
static bool has_token(const char *list, const char *want)
{
	struct str rest = str_from(list), item;
	while (str_split_next(&rest, ',', &item)) {
		while (item.n > 0 && (*item.p == ' ' || *item.p == '\t')) {
			item.p++;
			item.n--;
		}
		while (item.n > 0 && (item.p[item.n - 1] == ' ' || item.p[item.n - 1] == '\t'))
			item.n--;
		if (item.n == strlen(want) && strncasecmp(item.p, want, item.n) == 0)
			return true;
	}
	return false;
}

/** 24 characters of base64 for 16 bytes. */
static bool is_key(const char *key)
{
	return key != NULL && strlen(key) == 24 &&
	       strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") == 22 &&
	       strcmp(key + 22, "==") == 0;
}

static int check_request(struct http_exchange *x, const struct websocket_accept_options *o, const char **ret_protocol,
			 struct error *err)
{
	const char *upgrade = http_exchange_header(x, "Upgrade"), *connection = http_exchange_header(x, "Connection");
	const char *version = http_exchange_header(x, "Sec-WebSocket-Version");
	const char *asked = http_exchange_header(x, "Sec-WebSocket-Protocol");
	if (upgrade == NULL || !has_token(upgrade, "websocket") || connection == NULL ||
	    !has_token(connection, "upgrade"))
		return error_set(err, -EUNATCH, "the request does not ask for a websocket");
	if (strcmp(http_exchange_request(x)->method, "GET") != 0)
		return error_set(err, -EINVAL, "a websocket is asked for by GET");
	if (version == NULL || strcmp(version, "13") != 0)
		return error_set(err, -EINVAL, "Sec-WebSocket-Version is not 13");
	if (!is_key(http_exchange_header(x, "Sec-WebSocket-Key")))
		return error_set(err, -EINVAL, "Sec-WebSocket-Key is not 16 bytes in base64");
	*ret_protocol = "";
	if (o->protocols == NULL)
		return 0;
	for (size_t i = 0; o->protocols[i] != NULL; i++) {
		if (asked != NULL && has_token(asked, o->protocols[i])) {
			*ret_protocol = o->protocols[i];
			return 0;
		}
	}
	return error_set(err, -EPROTONOSUPPORT, "none of the websocket protocols '%s' is supported",
			 asked != NULL ? asked : "");
}

static struct websocket_peer *peer_new(const struct websocket_accept_options *o, const char *protocol)
{
	struct websocket_peer *p = calloc(1, sizeof *p);
	if (p == NULL)
		return NULL;
	const struct websocket_options wo = {.server = true,
					     .max_message = o->max_message,
					     .max_queued = SERVER_QUEUED,
					     .on_message = deliver,
					     .ctx = p};
	if (websocket_new(&wo, &p->ws) < 0) {
		free(p);
		return NULL;
	}
	atomic_init(&p->refs, 2); /* the caller's and the loop's */
	pthread_mutex_init(&p->lock, NULL);
	p->o = *o;
	p->o.protocols = NULL;
	(void)str_copy(p->protocol, sizeof p->protocol, protocol); /* ours are shorter */
	return p;
}

int websocket_accept(struct http_exchange *x, const struct websocket_accept_options *o, struct websocket_peer **ret,
		     struct error *err)
{
	const char *protocol = "";
	const int rc = check_request(x, o, &protocol, err);
	if (rc < 0)
		return rc;
	struct websocket_peer *p = peer_new(o, protocol);
	if (p == NULL) {
		http_reply(x, 500, NULL, "", 0);
		return error_set(err, -ENOMEM, "websocket: out of memory");
	}
	char accept[29];
	websocket_accept_key(http_exchange_header(x, "Sec-WebSocket-Key"), accept);
	http_exchange_add_header(x, "Sec-WebSocket-Accept", accept);
	if (protocol[0] != '\0')
		http_exchange_add_header(x, "Sec-WebSocket-Protocol", protocol);
	*ret = p; /* before the loop may call back */
	struct http_stream *s = http_upgrade(x, "websocket", on_data, on_close, p);
	pthread_mutex_lock(&p->lock);
	if (s != NULL && !p->ended) { /* not ended: on_close has not run, so s is there */
		p->stream = http_stream_ref(s);
		(void)flush_locked(p); /* answers to what has come already */
	}
	pthread_mutex_unlock(&p->lock);
	if (s != NULL)
		return 0;
	*ret = NULL;
	websocket_peer_unref(p);
	websocket_peer_unref(p); /* on_close is not called */
	return error_set(err, -ENOMEM, "websocket: out of memory");
}

int websocket_peer_send(struct websocket_peer *p, bool text, const void *data, size_t n)
{
	pthread_mutex_lock(&p->lock);
	int rc = p->ended || p->stream == NULL ? -EPIPE : websocket_send(p->ws, text, data, n);
	if (rc == -ENOMEM)
		p->failed = true; /* a peer must not go on with a message missing */
	const int flushed = rc == 0 || rc == -ENOMEM ? flush_locked(p) : 0;
	rc = rc == 0 ? flushed : rc;
	pthread_mutex_unlock(&p->lock);
	return rc;
}

int websocket_peer_ping(struct websocket_peer *p)
{
	pthread_mutex_lock(&p->lock);
	int rc = p->ended || p->stream == NULL ? -EPIPE : websocket_ping(p->ws);
	if (rc == 0)
		rc = flush_locked(p);
	pthread_mutex_unlock(&p->lock);
	return rc;
}

size_t websocket_peer_queued(struct websocket_peer *p)
{
	pthread_mutex_lock(&p->lock);
	const size_t n = p->stream != NULL ? http_stream_queued(p->stream) : 0;
	pthread_mutex_unlock(&p->lock);
	return n;
}

void websocket_peer_notify(struct websocket_peer *p, int fd, size_t below)
{
	pthread_mutex_lock(&p->lock);
	if (p->stream != NULL)
		http_stream_notify(p->stream, fd, below);
	pthread_mutex_unlock(&p->lock);
}

void websocket_peer_close(struct websocket_peer *p, uint16_t code, const char *reason)
{
	pthread_mutex_lock(&p->lock);
	if (!p->ended && p->stream != NULL && websocket_close(p->ws, code, reason) == 0)
		(void)flush_locked(p); /* a peer that is gone shows in on_close */
	pthread_mutex_unlock(&p->lock);
}

void websocket_peer_read(struct websocket_peer *p, bool on)
{
	pthread_mutex_lock(&p->lock);
	if (p->stream != NULL)
		http_stream_read(p->stream, on);
	pthread_mutex_unlock(&p->lock);
}
