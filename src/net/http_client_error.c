/* What went wrong with a call, in the words and numbers that http_client.h promises. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/http_client.h"
#include "net/http_client_internal.h"

static int connect_code(CURL *easy)
{
	long os = 0;
	(void)curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os); /* stays 0 when unknown */
	switch (os) {
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EADDRNOTAVAIL:
		return -EHOSTUNREACH;
	case ETIMEDOUT:
		return -ETIMEDOUT;
	default:
		return -ECONNREFUSED;
	}
}

int http_client_errno(CURL *easy, CURLcode code)
{
	switch (code) {
	case CURLE_COULDNT_CONNECT:
		return connect_code(easy);
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -EHOSTUNREACH;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		return -ECONNRESET;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS:
		return -EKEYREJECTED;
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_TOO_MANY_REDIRECTS:
	case CURLE_WEIRD_SERVER_REPLY:
	case CURLE_BAD_CONTENT_ENCODING:
	case CURLE_WRITE_ERROR:
		return -EPROTO;
	case CURLE_URL_MALFORMAT:
		return -EINVAL;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EIO;
	}
}

void http_client_url_text(const char *url, char *out, size_t size)
{
	const char *host = strstr(url, "://");
	host = host == NULL ? url : host + 3;
	const size_t authority_n = strcspn(host, "/?#");
	const char *at = memrchr(host, '@', authority_n);
	const char *rest = at == NULL ? host : at + 1;
	(void)snprintf(out, size, "%.*s%.*s", (int)(host - url), url, (int)strcspn(rest, "?#"), rest);
}
