/*
 * The API server of the one-machine cluster: Kubernetes' REST API over TLS, from a store on disk.
 * Threads: new and free by the owner.
 */
#pragma once

#include <stdint.h>

struct api_server;
struct error;

struct api_server_options {
	const char *
		data_dir; /* the store is DATA-DIR/api, keys DATA-DIR/pki, the node agent's socket DATA-DIR/agent/agent.sock */
	const char *address;    /* "127.0.0.1"; NULL: do not listen; whoever has the internals asks by api_handle() */
	uint16_t port;          /* 0: any free one */
	const char *kubeconfig; /* written with the administrator's credentials, mode 0600 */
	int64_t event_ttl_ns;   /* how long Events are kept; 0: an hour */
	int64_t history;        /* changes that a watch may ask for again; 0: the store's default */
};

/** Open the store, make what is missing (keys, first namespaces), listen and serve. */
int api_server_new(const struct api_server_options *o, struct api_server **ret, struct error *err);
uint16_t api_server_port(const struct api_server *s);
/** End all watches, wait for requests, close the store. Accepts NULL. */
void api_server_free(struct api_server *s);
