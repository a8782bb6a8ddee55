/*
 * The channels of a remote command (exec, attach) on a wire: of a websocket the first byte of a message says which one, of SPDY each is a
 * stream. Protocols: channel.k8s.io and v2 to v5 of it (Kubernetes' remotecommand).
 * Threads: one.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct channels;
struct error;
struct http_exchange;

enum channel { CHANNEL_STDIN, CHANNEL_STDOUT, CHANNEL_STDERR, CHANNEL_ERROR, CHANNEL_RESIZE, CHANNELS };

struct channels_options {
	bool in, out, err, tty; /* what the client asked for */
	/** Bytes of CHANNEL_STDIN or CHANNEL_RESIZE, maybe none; @fin: the last ones. */
	void (*on_input)(void *ctx, enum channel c, const char *data, size_t n, bool fin);
	void *ctx;
};

/** Switch protocols and end the exchange; errors as of wire_accept(). */
int channels_accept(struct http_exchange *x, const struct channels_options *o, struct channels **ret,
		    struct error *err);
/** Say goodbye. Accepts NULL. */
void channels_free(struct channels *c);
/** Wait until the client has opened all that it asked for. 0, -ETIMEDOUT, -EPIPE, -EPROTO. */
int channels_open(struct channels *c, int64_t deadline_ns);
/** Readable when channels_step() is worth it or channels_has_room() may have changed. */
int channels_fd(const struct channels *c);
/** The client is gone, whatever it said before. */
bool channels_gone(struct channels *c);
/** Hand on one piece of what came. 1: there was one; 0: none now; -EPIPE: the client is gone; -EPROTO, -ENOBUFS, -ENOMEM. */
int channels_step(struct channels *c);
/** Whether channels_write() is welcome. */
bool channels_has_room(struct channels *c);
/** Up to 32 KiB for the client. What it did not ask for is dropped. 0, -EPIPE, -ENOBUFS, -ENOMEM, -EPROTO. */
int channels_write(struct channels *c, enum channel to, const void *data, size_t n);
/** How it ended: @status, a metav1.Status, or its message alone where the protocol is older than v4. Then nothing more can be written. */
int channels_end(struct channels *c, const json_t *status);
/** After channels_end(): wait until the client has gone, so that it loses nothing, and drop what it says meanwhile. */
void channels_linger(struct channels *c, int64_t deadline_ns);
