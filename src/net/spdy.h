/*
 * SPDY/3.1 (draft-mbelshe-httpbis-spdy-00 with the session window of 3.1), the server's side, without I/O: bytes from the wire in, streams and
 * their data out, and back. Pings are answered and windows of what comes kept open by itself. One thread at a time per session.
 *
 * What goes out is not held back by the peer's windows: the clients that still speak SPDY (Kubernetes' remote commands) neither announce
 * any nor open them again, and would be waited for without end. The caller's own queue is what bounds it: see spdy_send().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spdy;

#define SPDY_PIECE 65536 /* most bytes of one spdy_send() */

/* Status codes of RST_STREAM. */
#define SPDY_PROTOCOL_ERROR 1
#define SPDY_REFUSED_STREAM 3
#define SPDY_INTERNAL_ERROR 6

/** A header of a stream: the name in lower case; of several values the first. */
struct spdy_header {
	const char *name, *value;
};

/** None of these may call spdy_feed(). */
struct spdy_options {
	size_t max_streams; /* open at a time; more are refused. 0: 256 */
	size_t max_queued;  /* bytes that wait to go out. 0: 4 MiB */
	/** The peer opens stream @id, which is answered already; @fin: and says nothing on it. The headers are valid during the call. */
	void (*on_stream)(void *ctx, uint32_t id, const struct spdy_header *h, size_t n, bool fin);
	/** @n bytes of an open stream, maybe none; @fin: the last ones. */
	void (*on_data)(void *ctx, uint32_t id, const void *data, size_t n, bool fin);
	/** The peer has dropped the stream in both directions. */
	void (*on_reset)(void *ctx, uint32_t id);
	void *ctx;
};

/** 0 or -ENOMEM. */
int spdy_new(const struct spdy_options *o, struct spdy **ret);
/** Accepts NULL. */
void spdy_free(struct spdy *s);
/**
 * @n bytes from the wire. 0; -EPIPE: the peer has said that it goes (GOAWAY) and nothing more is read; -EPROTO: it broke the protocol
 * (spdy_error() says how; what spdy_take() gives still has to go out); -ENOBUFS: it makes us answer more than it reads; -ENOMEM.
 */
int spdy_feed(struct spdy *s, const void *data, size_t n);
/** What was wrong, "" when nothing was. */
const char *spdy_error(const struct spdy *s);
/**
 * Queue up to SPDY_PIECE bytes on stream @id (copied); @fin: the last ones. 0; -EPIPE when our side of it is closed; -EINVAL for more bytes;
 * -ENOBUFS when too much waits, -ENOMEM.
 */
int spdy_send(struct spdy *s, uint32_t id, const void *data, size_t n, bool fin);
/** Drop a stream in both directions. 0, -EPIPE when it is not open, -ENOBUFS, -ENOMEM. */
int spdy_reset(struct spdy *s, uint32_t id, uint32_t status);
/** Bytes for the wire: how many wait, and take up to @size of them. */
size_t spdy_pending(const struct spdy *s);
size_t spdy_take(struct spdy *s, void *buf, size_t size);
/** The SPDY/3 dictionary for zlib, SPDY_DICTIONARY_N bytes. */
#define SPDY_DICTIONARY_N 1423
void spdy_dictionary(unsigned char out[static SPDY_DICTIONARY_N]);
