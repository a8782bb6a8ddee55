/* Inside src/net only: what the client and its raw connections share. */
#pragma once

#include <curl/curl.h>

struct http_client;

/** Proxy, TLS, limits of the client, on a fresh handle. */
void http_client_set_connection(CURL *easy, struct http_client *c);
/** The negative errno that http_client.h promises for a failure. */
int http_client_errno(CURL *easy, CURLcode code);
