/* An HTTP/2 session (nghttp2) on a non-blocking socket: what the two sides of gRPC share. One thread at a time. */
#pragma once

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/strbuf.h"

struct grpc_wire {
	int fd;
	nghttp2_session *session;
	struct strbuf out; /* produced, not yet written */
};

/** Close and free what @w holds. Accepts a half-built one (fd -1, session NULL). */
void grpc_wire_clear(struct grpc_wire *w);
/** Read what is there and feed the session. 0; -EPIPE: the peer closed; other -errno: broken. */
int grpc_wire_read(struct grpc_wire *w);
/** Write as much as the socket takes. 0 or -errno. */
int grpc_wire_write(struct grpc_wire *w);
/** Whether there is something to write. */
bool grpc_wire_wants_write(const struct grpc_wire *w);
/** The socket's address. 0 or -ENAMETOOLONG. */
struct sockaddr_un;
int grpc_wire_address(const char *path, struct sockaddr_un *ret);

/** A header for nghttp2; name is a literal, the value is copied by nghttp2. */
#define GRPC_NV(n_, v_, v_n)                                                                                           \
	((nghttp2_nv){.name = (uint8_t *)(n_),                                                                         \
		      .namelen = sizeof(n_) - 1,                                                                       \
		      .value = (uint8_t *)(v_),                                                                        \
		      .valuelen = (v_n),                                                                               \
		      .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME})
#define GRPC_NV_LIT(n_, v_) GRPC_NV(n_, v_, sizeof(v_) - 1)
