#include "net/grpc_wire.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"

#define READ_BYTES  65536
#define WRITE_AHEAD 65536

void grpc_wire_clear(struct grpc_wire *w)
{
	nghttp2_session_del(w->session);
	w->session = NULL;
	if (w->fd >= 0)
		(void)close(w->fd); /* what could be sent is sent */
	w->fd = -1;
	strbuf_clear(&w->out);
}

int grpc_wire_read(struct grpc_wire *w)
{
	uint8_t buf[READ_BYTES];
	const ssize_t n = recv(w->fd, buf, sizeof buf, 0);
	if (n == 0)
		return -EPIPE;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	const ssize_t used = nghttp2_session_mem_recv(w->session, buf, (size_t)n);
	return used < 0 ? (used == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO) : 0;
}

/* Let the session produce frames until enough are waiting. */
static int produce(struct grpc_wire *w)
{
	while (w->out.n < WRITE_AHEAD) {
		const uint8_t *data;
		const ssize_t n = nghttp2_session_mem_send(w->session, &data);
		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
		if (n == 0)
			return 0;
		strbuf_add(&w->out, data, (size_t)n);
		if (w->out.failed)
			return -ENOMEM;
	}
	return 0;
}

int grpc_wire_write(struct grpc_wire *w)
{
	for (;;) {
		const int rc = produce(w);
		if (rc < 0 || w->out.n == 0)
			return rc;
		const ssize_t n = send(w->fd, w->out.p, w->out.n, MSG_NOSIGNAL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		strbuf_consume(&w->out, (size_t)n);
	}
}

bool grpc_wire_wants_write(const struct grpc_wire *w)
{
	return w->out.n > 0 || nghttp2_session_want_write(w->session);
}

int grpc_wire_address(const char *path, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	return str_copy(ret->sun_path, sizeof ret->sun_path, path);
}
