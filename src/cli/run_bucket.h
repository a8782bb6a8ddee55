/* A bucket as the source of a run: where it is and the credentials to it, found where the tools of Amazon's users look for them. */
#pragma once

#include <jansson.h>

#include "reservoir/s3.h"

struct error;

#define RUN_SECRETS 3 /* access key, secret key, session token */

struct run_bucket {
	char *endpoint, *region;     /* NULL: Amazon's, us-east-1 */
	char *secrets[RUN_SECRETS];  /* NULL: none */
	int files[RUN_SECRETS];      /* the same in memory files, for connectors, which read files; -1: none */
	char paths[RUN_SECRETS][32]; /* of those */
};

/**
 * @endpoint and @region are the command line's, or NULL: then AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, AWS_REGION and AWS_DEFAULT_REGION
 * count. Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, else the profile AWS_PROFILE ("default") of
 * AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials), else none: a public bucket. Errors name the place.
 */
int run_bucket_open(const char *endpoint, const char *region, struct run_bucket *ret, struct error *err);
/** Wipes the credentials. Accepts a zeroed one. */
void run_bucket_clear(struct run_bucket *b);
/** How a connector reaches it; valid as long as @b. */
struct s3_options run_bucket_options(const struct run_bucket *b);
/** Whether there are credentials. */
bool run_bucket_has_secrets(const struct run_bucket *b);
/** What a mount of a Dataset says of it: {"options", "encryptOptions"} with secrets from the Secret @secret. New tree; NULL on no memory. */
json_t *run_bucket_mount(const struct run_bucket *b, const char *secret);
/** "stringData" of that Secret. New tree; NULL on no memory. */
json_t *run_bucket_secret_data(const struct run_bucket *b);
