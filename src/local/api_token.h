/* Tokens of service accounts: JSON Web Tokens (RFC 7519), signed with ECDSA P-256 (ES256). Threads: any; a signer is immutable. */
#pragma once

#include <jansson.h>

struct api_tokens;
struct error;

#define API_TOKEN_ISSUER "https://kubernetes.default.svc.cluster.local" /* also the audience that this server is */
#define API_TOKEN_MAX    (16u << 10)

/** A signer with the private key of @key_pem. */
int api_tokens_new(const char *key_pem, struct api_tokens **ret, struct error *err);
void api_tokens_free(struct api_tokens *t);
/** Sign @claims. *@ret is malloc'ed. */
int api_token_sign(const struct api_tokens *t, const json_t *claims, char **ret, struct error *err);
/** The claims of @token when its signature is ours (its times and audiences are not looked at). -EBADMSG when it is not. New tree. */
int api_token_verify(const struct api_tokens *t, const char *token, json_t **ret);
