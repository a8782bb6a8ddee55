#include "reservoir/keeper_link.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "reservoir/local_socket.h"

#define AGAIN_MS  1000 /* between attempts to reach a keeper that has gone */
#define ANSWER_MS 5000 /* a keeper answers at once, but for the server before us */

struct keeper_link {
	char *socket;
	struct keeper_msg claim;
	int sock, stop; /* sock: the thread's while it runs */
	struct keeper_gift gift;
	void (*on_leave)(void *ctx);
	void *ctx;
	pthread_t thread;
	bool watching, told;
};

static int open_link(struct keeper_link *l, struct error *err)
{
	struct error inner = {0};
	CLEANUP(close_fd) int sock = local_connect(l->socket, &inner);
	if (sock < 0)
		return error_set(err, sock, "the mount keeper at '%s': %s", l->socket, inner.msg);
	const int r = keeper_send(sock, &l->claim, NULL);
	if (r < 0)
		return error_set(err, r, "the mount keeper at '%s': %s", l->socket, strerror(-r));
	l->sock = TAKE_FD(sock);
	return 0;
}

static int receive_claim(struct keeper_link *l, int ret_fds[KEEPER_FDS], struct error *err)
{
	struct keeper_msg m;
	const int r = keeper_recv(l->sock, &m, ret_fds);
	if (r < 0)
		return error_set(err, r, "the mount keeper at '%s': %s", l->socket, strerror(-r));
	return m.op == KEEPER_NONE || (m.op == KEEPER_HAVE && ret_fds[KEEPER_DEV] >= 0)
		       ? 0
		       : error_set(err, -EPROTO, "the mount keeper at '%s' speaks another language", l->socket);
}

/* Nobody listens, so nobody has anything of ours. */
static bool is_away(int code)
{
	return code == -ENOENT || code == -ECONNREFUSED;
}

int keeper_link_new(const char *socket, const char *path, struct keeper_link **ret, int ret_fds[KEEPER_FDS],
		    struct error *err)
{
	struct error away = {0};
	struct keeper_link *l = calloc(1, sizeof *l);
	if (l == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	*l = (struct keeper_link){.sock = -1, .stop = eventfd(0, EFD_CLOEXEC), .claim = {.op = KEEPER_TAKE}};
	int r = l->stop < 0 ? error_set(err, -errno, "eventfd: %s", strerror(errno)) : 0;
	if (r == 0 && (l->socket = strdup(socket)) == NULL)
		r = error_set(err, -ENOMEM, "out of memory");
	if (r == 0 && str_copy(l->claim.path, sizeof l->claim.path, path) < 0)
		r = error_set(err, -ENAMETOOLONG, "'%s': too long", path);
	if (r == 0 && (r = open_link(l, &away)) < 0)
		r = is_away(r) ? 0 : error_set(err, r, "%s", away.msg);
	if (r == 0 && l->sock >= 0)
		r = receive_claim(l, ret_fds, err);
	if (r < 0) {
		keeper_link_free(l);
		return r;
	}
	if (l->sock < 0)
		LOG(NULL, LOG_LVL_WARN, "the mount is not safe until its keeper is there", LOG_STR("err", away.msg));
	*ret = l;
	return 0;
}

static int give(struct keeper_link *l)
{
	const struct keeper_msg m = {.op = KEEPER_KEEP, .major = l->gift.major, .minor = l->gift.minor};
	return keeper_send(l->sock, &m, l->gift.fds);
}

/* True: told to stop within @ms (-1: whenever), or the keeper has something to say. */
static bool wait_for(const struct keeper_link *l, int ms, bool *ret_stop)
{
	struct pollfd p[2] = {{.fd = l->stop, .events = POLLIN}, {.fd = l->sock, .events = POLLIN}};
	const int n = poll(p, 2, ms);
	*ret_stop = n > 0 && p[0].revents != 0;
	return n > 0;
}

/* To a keeper that was started anew. */
static void give_again(struct keeper_link *l)
{
	int fds[KEEPER_FDS] = {-1, -1};
	bool stop;
	if (open_link(l, NULL) < 0)
		return;
	/* the answer waits for another server: only when two were started at one mount point */
	if (wait_for(l, ANSWER_MS, &stop) && !stop && receive_claim(l, fds, NULL) == 0 && give(l) == 0) {
		LOG(NULL, LOG_LVL_INFO, "the mount keeper is back");
	} else {
		close_fd(&l->sock);
		l->sock = -1;
	}
	for (size_t i = 0; i < KEEPER_FDS; i++)
		close_fd(&fds[i]);
}

/* False: the keeper is gone. */
static bool hear(struct keeper_link *l)
{
	struct keeper_msg m;
	int fds[KEEPER_FDS];
	if (keeper_recv(l->sock, &m, fds) < 0)
		return false;
	for (size_t i = 0; i < KEEPER_FDS; i++)
		close_fd(&fds[i]);
	if (m.op == KEEPER_LEAVE && !l->told) {
		l->told = true;
		l->on_leave(l->ctx);
	}
	return true;
}

static void *watch_main(void *arg)
{
	struct keeper_link *l = arg;
	for (bool stop = false; !stop;) {
		const bool something = wait_for(l, l->sock < 0 ? AGAIN_MS : -1, &stop);
		if (stop)
			break;
		if (l->sock < 0) {
			give_again(l);
		} else if (something && !hear(l)) {
			LOG(NULL, LOG_LVL_WARN, "the mount keeper is away: the mount is not safe until it is back");
			close_fd(&l->sock);
			l->sock = -1;
		}
	}
	return NULL;
}

int keeper_link_keep(struct keeper_link *l, const struct keeper_gift *g, void (*on_leave)(void *ctx), void *ctx,
		     struct error *err)
{
	l->gift = *g;
	l->on_leave = on_leave;
	l->ctx = ctx;
	int r = l->sock >= 0 ? give(l) : 0;
	if (r == 0)
		r = -pthread_create(&l->thread, NULL, watch_main, l);
	l->watching = r == 0;
	return r < 0 ? error_set(err, r, "the mount keeper at '%s': %s", l->socket, strerror(-r)) : 0;
}

static void end_watch(struct keeper_link *l)
{
	if (!l->watching)
		return;
	(void)eventfd_write(l->stop, 1); /* cannot fail: the counter is small */
	(void)pthread_join(l->thread, NULL);
	l->watching = false;
}

bool keeper_link_bye(struct keeper_link *l)
{
	end_watch(l);
	if (l->sock < 0 || keeper_send(l->sock, &(struct keeper_msg){.op = KEEPER_BYE}, NULL) < 0)
		return false;
	for (;;) {
		struct keeper_msg m;
		int fds[KEEPER_FDS];
		struct pollfd p = {.fd = l->sock, .events = POLLIN};
		if (poll(&p, 1, ANSWER_MS) <= 0 || keeper_recv(l->sock, &m, fds) < 0)
			return false;
		for (size_t i = 0; i < KEEPER_FDS; i++)
			close_fd(&fds[i]);
		if (m.op != KEEPER_LEAVE) /* both at one time */
			return m.op == KEEPER_STAY;
	}
}

void keeper_link_free(struct keeper_link *l)
{
	if (l == NULL)
		return;
	end_watch(l);
	close_fd(&l->sock);
	close_fd(&l->stop);
	free(l->socket);
	free(l);
}
