/* How a bucket is reached. */
#pragma once

#include <stdbool.h>

/** Strings are borrowed. Credentials are files, read anew for each request: they rotate. */
struct s3_options {
	const char *endpoint;                          /* "https://host[:port]"; NULL: Amazon's for the region */
	const char *region;                            /* NULL: "us-east-1" */
	bool virtual_host;                             /* bucket.host instead of host/bucket */
	const char *access_key_file, *secret_key_file; /* both or none (a public bucket) */
	const char *session_token_file;                /* NULL: none */
};
