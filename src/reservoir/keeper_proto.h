/*
 * What a mount's server and the keeper say to each other over a SOCK_SEQPACKET unix socket on one machine; native byte order.
 *
 * A server claims its mount point (TAKE) and is answered once nobody else serves it: NONE, or HAVE with what the last server left.
 * It gives what the next one will need (KEEP). LEAVE asks it to make room. BYE, before it ends by itself, is answered by STAY (pods
 * still use the mount: leave it as it is) or END (nobody does: unmount it). Whatever else ends a server, the mount is kept.
 */
#pragma once

#include <limits.h>
#include <stdint.h>

enum keeper_op {
	KEEPER_TAKE = 1,
	KEEPER_NONE,
	KEEPER_HAVE,
	KEEPER_KEEP,
	KEEPER_LEAVE,
	KEEPER_BYE,
	KEEPER_STAY,
	KEEPER_END
};

/** Descriptors of HAVE and KEEP: the connection to the kernel, and the table of what is open (open_table.h). */
enum { KEEPER_DEV, KEEPER_TABLE, KEEPER_FDS };

struct keeper_msg {
	uint32_t op;
	uint32_t major, minor; /* KEEP: the mount's device */
	char path[PATH_MAX];   /* TAKE: the mount point, resolved */
};

/** Send @m, with KEEPER_FDS descriptors when @fds is given. 0 or -errno; waits only where the socket does. */
int keeper_send(int sock, const struct keeper_msg *m, const int *fds);
/** One message; @fds are the caller's, all -1 when none came. 0, -ECONNRESET at the end, -EPROTO or another errno. */
int keeper_recv(int sock, struct keeper_msg *m, int fds[KEEPER_FDS]);
