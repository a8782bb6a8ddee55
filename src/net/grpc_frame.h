/* The pure parts of gRPC's wire format: message frames, timeouts, escaped status messages. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define GRPC_MESSAGE_MAX ((size_t)4 << 20)
#define GRPC_PREFIX      5 /* compressed flag, length in four bytes */

/**
 * Find the one message in the @n bytes of a whole request or answer. 0, *@ret points into @data; -ENODATA: no message at all;
 * -EPROTO: cut, or more than one; -EFBIG: longer than GRPC_MESSAGE_MAX; -EOPNOTSUPP: compressed.
 */
int grpc_frame_parse(const uint8_t *data, size_t n, const uint8_t **ret, size_t *ret_n);
/** malloc'ed frame of @n bytes with the prefix; *@ret_n is its length. NULL on no memory or more than GRPC_MESSAGE_MAX. */
uint8_t *grpc_frame_make(const uint8_t *msg, size_t n, size_t *ret_n);
/** "100m" (at most 8 digits, unit H M S m u n) to ns; -EINVAL. */
int grpc_timeout_parse(const char *s, size_t n, int64_t *ret_ns);
/** The other way; rounds up, never longer than 8 digits. */
void grpc_timeout_format(int64_t ns, char out[static 32]);
/** Percent-escape a status message into @out of @size bytes, cut where needed. */
void grpc_message_escape(const char *msg, char *out, size_t size);
/** Undo it, as far as it is well formed; control characters become spaces. */
void grpc_message_unescape(const char *s, size_t n, char *out, size_t size);
