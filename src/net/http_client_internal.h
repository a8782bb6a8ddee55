/* Inside src/net only: what the client and its raw connections share. */
#pragma once

#include <curl/curl.h>
#include <stddef.h>

struct http_client;

/** Proxy, TLS, limits of the client, on a fresh handle. */
void http_client_set_connection(CURL *easy, struct http_client *c);
/** The negative errno that http_client.h promises for a failure. */
int http_client_errno(CURL *easy, CURLcode code);
/** @url as messages may show it: without user and password, and without the query, which may be signed. */
void http_client_url_text(const char *url, char *out, size_t size);
