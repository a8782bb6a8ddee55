/* Keys of a server that listens: its certificate is made anew each week, and when the clock was put back. */
#pragma once

struct api_keys;
struct api_server_options;
struct error;
struct http_server;

/** Of a server that has just begun to listen by @o with fresh keys. @http is borrowed, strings are copied. */
int api_keys_new(const struct api_server_options *o, struct http_server *http, struct api_keys **ret,
		 struct error *err);
/** Renew what is due: the certificate of new connections, and what the kubeconfig says. One thread; to be called now and then. */
int api_keys_keep(struct api_keys *k, struct error *err);
/** Accepts NULL. */
void api_keys_free(struct api_keys *k);
