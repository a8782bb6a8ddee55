#include "reservoir/keeper.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "reservoir/keeper_proto.h"
#include "reservoir/local_socket.h"
#include "reservoir/mountpoint.h"

#define CONNECTIONS_MAX 512
#define MOUNTS_MAX      512
#define KEEP_NS         (600 * NSEC_PER_SEC)
#define KEEP_UNUSED_NS  (60 * NSEC_PER_SEC)

/* A mount point that somebody serves or served. Without an owner it always has its descriptors. */
struct kept {
	struct kept *next;
	char *path;
	int fds[KEEPER_FDS]; /* -1 until the owner gave them */
	uint32_t major, minor;
	struct peer *owner;
	bool left;        /* the last owner said goodbye */
	int64_t since_ns; /* without an owner */
};

struct peer {
	struct peer *next;
	int sock;
	char *path;        /* claimed or waited for */
	struct kept *kept; /* owned; NULL: none, or waiting */
};

struct keeper {
	struct keeper_options o;
	int listen, mounts; /* mountinfo, which tells when something is mounted or unmounted */
	struct peer *peers;
	struct kept *kept;
	size_t n_peers, n_kept;
};

static void kept_free(struct keeper *k, struct kept *it)
{
	struct kept **p = &k->kept;
	for (; *p != it; p = &(*p)->next)
		assert(*p != NULL);
	*p = it->next;
	k->n_kept--;
	for (size_t i = 0; i < KEEPER_FDS; i++)
		close_fd(&it->fds[i]);
	free(it->path);
	free(it);
}

/* With the last server's descriptors the kernel's connection ends too: whoever still has it open gets errors. */
static void give_up(struct keeper *k, struct kept *it, const char *why)
{
	LOG(NULL, LOG_LVL_INFO, "a mount ends", LOG_STR("dir", it->path), LOG_STR("why", why));
	mountpoint_detach_device(it->path, it->major, it->minor);
	kept_free(k, it);
}

static bool give(struct peer *p, struct kept *it)
{
	const bool have = it->fds[KEEPER_DEV] >= 0;
	const struct keeper_msg m = {.op = have ? KEEPER_HAVE : KEEPER_NONE};
	it->owner = p;
	it->left = false;
	p->kept = it;
	return keeper_send(p->sock, &m, have ? it->fds : NULL) == 0;
}

static struct kept *kept_new(struct keeper *k, const char *path)
{
	struct kept *it = k->n_kept < MOUNTS_MAX ? calloc(1, sizeof *it) : NULL;
	if (it == NULL || (it->path = strdup(path)) == NULL) {
		free(it);
		return NULL;
	}
	for (size_t i = 0; i < KEEPER_FDS; i++)
		it->fds[i] = -1;
	it->next = k->kept;
	k->kept = it;
	k->n_kept++;
	return it;
}

static struct kept *find(const struct keeper *k, const char *path)
{
	struct kept *it = k->kept;
	while (it != NULL && strcmp(it->path, path) != 0)
		it = it->next;
	return it;
}

static bool on_take(struct keeper *k, struct peer *p, const char *path)
{
	if (p->path != NULL || path[0] != '/' || (p->path = strdup(path)) == NULL)
		return false;
	struct kept *it = find(k, path);
	if (it == NULL && (it = kept_new(k, path)) == NULL)
		return false;
	if (it->owner == NULL)
		return give(p, it);
	LOG(NULL, LOG_LVL_INFO, "a server makes room for the next", LOG_STR("dir", path));
	/* when it cannot be told it is about to end anyway; what it does not answer is the kernel's to say again */
	(void)keeper_send(it->owner->sock, &(struct keeper_msg){.op = KEEPER_LEAVE}, NULL);
	return true;
}

static bool on_keep(struct peer *p, const struct keeper_msg *m, int fds[KEEPER_FDS])
{
	if (p->kept == NULL || fds[KEEPER_DEV] < 0)
		return false;
	for (size_t i = 0; i < KEEPER_FDS; i++) {
		close_fd(&p->kept->fds[i]);
		p->kept->fds[i] = TAKE_FD(fds[i]);
	}
	p->kept->major = m->major;
	p->kept->minor = m->minor;
	return true;
}

static bool is_waited_for(const struct keeper *k, const struct kept *it)
{
	for (const struct peer *p = k->peers; p != NULL; p = p->next)
		if (p->kept == NULL && p->path != NULL && strcmp(p->path, it->path) == 0)
			return true;
	return false;
}

static bool on_bye(struct keeper *k, struct peer *p)
{
	struct kept *it = p->kept;
	if (it == NULL)
		return false;
	const bool stay = it->fds[KEEPER_DEV] >= 0 &&
			  (is_waited_for(k, it) || mountpoint_count_other(it->path, it->major, it->minor) > 0);
	it->left = true;
	if (!stay)
		for (size_t i = 0; i < KEEPER_FDS; i++) {
			close_fd(&it->fds[i]);
			it->fds[i] = -1;
		}
	return keeper_send(p->sock, &(struct keeper_msg){.op = stay ? KEEPER_STAY : KEEPER_END}, NULL) == 0;
}

/* False: the peer is gone, or talks nonsense. */
static bool hear(struct keeper *k, struct peer *p)
{
	struct keeper_msg m;
	int fds[KEEPER_FDS];
	const int r = keeper_recv(p->sock, &m, fds);
	if (r == -EAGAIN)
		return true;
	bool ok = r == 0;
	if (ok)
		switch (m.op) {
		case KEEPER_TAKE:
			ok = on_take(k, p, m.path);
			break;
		case KEEPER_KEEP:
			ok = on_keep(p, &m, fds);
			break;
		case KEEPER_BYE:
			ok = on_bye(k, p);
			break;
		default:
			ok = false;
		}
	for (size_t i = 0; i < KEEPER_FDS; i++)
		close_fd(&fds[i]);
	return ok;
}

/* Whoever waited longest for @it is the next; without anybody, and without anything to keep, it goes. */
static void pass_on(struct keeper *k, struct kept *it)
{
	struct peer *next = NULL;
	for (struct peer *p = k->peers; p != NULL; p = p->next)
		if (p->kept == NULL && p->path != NULL && strcmp(p->path, it->path) == 0)
			next = p; /* newer ones come first in the list */
	it->owner = NULL;
	it->since_ns = clock_mono_ns();
	if (next != NULL)
		(void)give(next, it); /* one that has gone already is found out by its end */
	else if (it->fds[KEEPER_DEV] < 0)
		kept_free(k, it);
	else
		LOG(NULL, LOG_LVL_INFO,
		    it->left ? "a server left its mount" : "a server died; its mount waits for the next",
		    LOG_STR("dir", it->path));
}

/* The end of the connection is the end of the process and of all its system calls: only then may another one take over. */
static void peer_free(struct keeper *k, struct peer *p)
{
	struct peer **at = &k->peers;
	while (*at != p)
		at = &(*at)->next;
	*at = p->next;
	k->n_peers--;
	(void)close(p->sock);
	if (p->kept != NULL)
		pass_on(k, p->kept);
	free(p->path);
	free(p);
}

static void welcome(struct keeper *k)
{
	CLEANUP(close_fd) int sock = accept4(k->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct peer *p = sock >= 0 && k->n_peers < CONNECTIONS_MAX ? calloc(1, sizeof *p) : NULL;
	if (p == NULL)
		return;
	*p = (struct peer){.next = k->peers, .sock = TAKE_FD(sock)};
	k->peers = p;
	k->n_peers++;
}

/* When @it ends if no server comes; INT64_MAX: while it has one. */
static int64_t end_of(const struct keeper *k, const struct kept *it)
{
	if (it->owner != NULL)
		return INT64_MAX;
	const bool used = mountpoint_count_other(it->path, it->major, it->minor) > 0;
	if (!used && it->left)
		return 0;
	return it->since_ns + (k->o.keep_ns != 0 ? k->o.keep_ns : used ? KEEP_NS : KEEP_UNUSED_NS);
}

/* Let go what has waited too long; when the next one does, or INT64_MAX. */
static int64_t sweep(struct keeper *k)
{
	int64_t next = INT64_MAX;
	for (struct kept *it = k->kept, *after; it != NULL; it = after) {
		after = it->next;
		const int64_t end = end_of(k, it);
		if (end <= clock_mono_ns())
			give_up(k, it, it->left ? "its server left, and no pod uses it" : "no server came back");
		else if (end < next)
			next = end;
	}
	return next;
}

static size_t fill(const struct keeper *k, struct pollfd *fds)
{
	size_t n = 0;
	bool alone = false;
	fds[n++] = (struct pollfd){.fd = k->o.stop_fd, .events = POLLIN};
	fds[n++] = (struct pollfd){.fd = k->listen, .events = POLLIN};
	for (const struct kept *it = k->kept; it != NULL; it = it->next)
		alone |= it->owner == NULL;
	fds[n++] = (struct pollfd){.fd = alone ? k->mounts : -1, .events = POLLPRI};
	for (const struct peer *p = k->peers; p != NULL; p = p->next)
		fds[n++] = (struct pollfd){.fd = p->sock, .events = POLLIN};
	/* the kernel says so when the last mount of a connection has gone */
	for (const struct kept *it = k->kept; it != NULL; it = it->next)
		fds[n++] = (struct pollfd){.fd = it->owner == NULL ? it->fds[KEEPER_DEV] : -1};
	return n;
}

/* Peers and mounts as fill() saw them: the lists change, so the ones behind are looked at first, by their order. */
static void react(struct keeper *k, const struct pollfd *fds)
{
	const struct pollfd *at = fds + 3, *mount = at + k->n_peers;
	for (struct kept *it = k->kept, *after; it != NULL; it = after, mount++) {
		after = it->next;
		if (mount->revents != 0)
			give_up(k, it, "it was unmounted");
	}
	for (struct peer *p = k->peers, *after; p != NULL; p = after, at++) {
		after = p->next;
		if (at->revents != 0 && !hear(k, p))
			peer_free(k, p);
	}
	if (fds[1].revents != 0)
		welcome(k);
}

static int timeout_ms(int64_t until)
{
	if (until == INT64_MAX)
		return -1;
	const int64_t ms = (until - clock_mono_ns()) / NSEC_PER_MSEC + 1;
	return ms < 0 ? 0 : ms > 60000 ? 60000 : (int)ms;
}

static void serve(struct keeper *k)
{
	struct pollfd fds[3 + CONNECTIONS_MAX + MOUNTS_MAX];
	do {
		const int64_t next = sweep(k);
		const size_t n = fill(k, fds);
		if (poll(fds, n, timeout_ms(next)) > 0)
			react(k, fds);
		else
			fds[0].revents = 0; /* interrupted, or time passed */
	} while (fds[0].revents == 0);
}

static void clear(struct keeper *k)
{
	while (k->peers != NULL) {
		struct peer *p = k->peers;
		if (p->kept != NULL)
			kept_free(k, TAKE(p->kept)); /* its server goes on with its own */
		peer_free(k, p);
	}
	while (k->kept != NULL)
		give_up(k, k->kept, "the keeper stops");
	close_fd(&k->listen);
	close_fd(&k->mounts);
}

int keeper_run(const struct keeper_options *o, void (*ready)(const char *socket), struct error *err)
{
	struct keeper k = {.o = *o, .listen = -1};
	k.mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
	if (k.mounts < 0)
		return error_set(err, -errno, "/proc/self/mountinfo: %s", strerror(errno));
	k.listen = local_listen(o->socket, err);
	if (k.listen < 0) {
		close_fd(&k.mounts);
		return k.listen;
	}
	if (ready != NULL)
		ready(o->socket);
	serve(&k);
	clear(&k);
	(void)unlink(o->socket); /* gone already: as well */
	return 0;
}
