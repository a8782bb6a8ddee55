/* Tokens: the input as it is, and its first line as claims that this server signs. In the header, in a TokenReview and as a request for one. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api_harness.h"
#include "base/strbuf.h"
#include "local/api_internal.h"
#include "local/api_token.h"
#include "json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void ask_with(const char *token)
{
	struct strbuf b = STRBUF_INIT(1u << 20);
	strbuf_addf(&b, "GET /api/v1/namespaces/default/pods/p HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\n\r\n",
		    token);
	harness_certificate(0);
	if (!b.failed) {
		int status = harness_ask(b.p, b.n);
		assert(status != 201);
	}
	harness_certificate(1);
	strbuf_clear(&b);
}

static void review(const char *token)
{
	JSON_AUTO j = json_pack("{s:s, s:s, s:{s:s, s:[s]}}", "apiVersion", "authentication.k8s.io/v1", "kind",
				"TokenReview", "spec", "token", token, "audiences", API_TOKEN_ISSUER);
	size_t n = 0;
	CLEANUP(free_p) char *text = j != NULL ? json_to_text(j, &n) : NULL;
	if (text != NULL)
		(void)harness_request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", NULL, "application/json",
				      text, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct api_server *s = harness_server();
	CLEANUP(free_p) char *text = malloc(n + 1);
	assert(text != NULL);
	memcpy(text, data, n);
	text[n] = '\0';
	ask_with(text);
	review(text);
	(void)harness_request("POST", "/api/v1/namespaces/default/serviceaccounts/default/token", NULL,
			      "application/json", data, n);
	JSON_AUTO claims = NULL;
	CLEANUP(free_p) char *token = NULL;
	if (json_parse(text, strcspn(text, "\n"), &claims, NULL) == 0 && json_is_object(claims) &&
	    api_token_sign(s->tokens, claims, &token, NULL) == 0) {
		ask_with(token);
		review(token);
	}
	harness_restore();
	return 0;
}
