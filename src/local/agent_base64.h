/* Base64 as Secrets carry it (RFC 4648 section 4). Threads: any. */
#pragma once

#include <stddef.h>

/** Decode all of @text. *@ret is malloc'ed with a NUL behind its @ret_n bytes. -EINVAL, -ENOMEM. */
int base64_decode(const char *text, char **ret, size_t *ret_n);
