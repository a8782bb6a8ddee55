/* Base64 (RFC 4648, section 4), as JSON documents hold bytes. */
#pragma once

#include <stddef.h>

/** @n bytes as text with padding: malloc'ed, NUL-terminated. NULL on no memory. */
char *base64_encode(const void *data, size_t n);
/**
 * Decode @text, which must be padded and hold nothing else (no white space). *@ret is malloc'ed with a NUL behind its *@ret_n bytes.
 * -EINVAL when it is no base64 (base64_bad_byte() says where), -ENOMEM.
 */
int base64_decode(const char *text, char **ret, size_t *ret_n);
/** Place of the first character of @text that cannot stand there; its length when it is cut. */
size_t base64_bad_byte(const char *text);
