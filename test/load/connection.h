/* A kept HTTPS connection to an API server, as lean as can be, so that what is measured is the server. One thread at a time. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct error;
struct kube_config;
struct load_connection;

/** Connect and shake hands. */
int load_connect(const struct kube_config *cfg, struct load_connection **ret, struct error *err);
/** Accepts NULL. */
void load_disconnect(struct load_connection *c);
/** Ask and wait for the answer; @accept and @body may be NULL. PATCH is a merge patch. Its status, or a negative errno. */
int load_ask(struct load_connection *c, const char *method, const char *path, const char *accept, const char *body);
/** The body of the last answer. Borrowed, NUL-terminated. */
const char *load_body(const struct load_connection *c, size_t *ret_n);
/** Send bytes as they are. 0 or a negative errno. */
int load_send(struct load_connection *c, const void *data, size_t n);
/** Wait for the answer to them; as load_ask(). */
int load_answer(struct load_connection *c);
/** How many bytes have come that nobody has read, as they are on the wire. */
size_t load_waiting(const struct load_connection *c);
/** Ask for a stream; its status. */
int load_watch(struct load_connection *c, const char *path);
/** The next line of the stream without its end, valid until the next call; NULL: it has ended. */
const char *load_line(struct load_connection *c);
/** Make a reader of another thread come back: the connection is of no use then. */
void load_cut(struct load_connection *c);
