/*
 * The server's side of TLS, through memory: encrypted bytes in, plain bytes out, and back. No I/O. One thread at a time per session; a
 * configuration by any.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct error;
struct tls_config;
struct tls;

/** Certificate, key and (NULL: clients are not asked) the CA of client certificates, all PEM text. */
int tls_config_new(const char *cert_pem, const char *key_pem, const char *client_ca_pem, struct tls_config **ret,
		   struct error *err);
/** Other keys for the sessions to come; those there are keep what they began with, and on failure nothing changes. */
int tls_config_renew(struct tls_config *c, const char *cert_pem, const char *key_pem, const char *client_ca_pem,
		     struct error *err);
/** Accepts NULL. */
void tls_config_free(struct tls_config *c);

/** A session for one connection; NULL on no memory. */
struct tls *tls_new(struct tls_config *c);
/** Accepts NULL. */
void tls_free(struct tls *t);
/** Give it @n bytes from the wire. 0 or -ENOMEM. */
int tls_feed(struct tls *t, const void *data, size_t n);
/** Next plain bytes: > 0; 0: none yet; -EPIPE: the peer closed the session; -EPROTO: broken or refused. */
int tls_read(struct tls *t, void *buf, int size);
/** Encrypt @n bytes. 0 or -EPROTO. Only after tls_ready(). */
int tls_write(struct tls *t, const void *data, size_t n);
/** How many bytes wait to go to the wire, and take up to @size of them. */
size_t tls_pending(struct tls *t);
size_t tls_take(struct tls *t, void *buf, size_t size);
/** Queue the close_notify. */
void tls_end(struct tls *t);
/** Whether the handshake is done. */
bool tls_ready(const struct tls *t);
/**
 * Subject of the client's certificate when there is one that the client CA has signed: *@ret_cn (malloc'ed) and the
 * NULL-terminated list *@ret_o (one malloc'ed block). Both NULL otherwise. 0 or -ENOMEM.
 */
int tls_peer(struct tls *t, char **ret_cn, char ***ret_o);
