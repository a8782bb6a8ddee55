/* Unix sockets of messages (SOCK_SEQPACKET), for processes of one user on one machine. */
#pragma once

struct error;

/**
 * Listen, without blocking, on a socket of mode 0600; its directory is made when absent. The fd or -errno: -EADDRINUSE when
 * somebody answers there; what a dead process left is replaced, any other file is -EEXIST.
 */
int local_listen(const char *path, struct error *err);
/** Connect. The fd or -errno, with the reason alone in @err. */
int local_connect(const char *path, struct error *err);
