/* Listening sockets. */
#pragma once

#include <stdint.h>

struct error;

/** A bound and listening, non-blocking TCP socket; *@ret_port is the port it got. The fd or -errno with the address in @err. */
int listen_tcp(const char *address, uint16_t port, uint16_t *ret_port, struct error *err);
/**
 * The same on a unix socket of mode 0600. A socket file that nobody answers on is replaced; a live one is -EADDRINUSE; any other
 * file is -EEXIST.
 */
int listen_unix(const char *path, struct error *err);
/** The same of messages (SOCK_SEQPACKET). */
int listen_unix_messages(const char *path, struct error *err);
