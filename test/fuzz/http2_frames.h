/*
 * HTTP/2 frames of an input, so that a mutation changes what a frame says rather than where it ends: type, flags, stream, two bytes of
 * length, payload. Type 255: the payload goes out as it is, without a frame's head.
 */
#pragma once

#include <stdint.h>

#include "base/strbuf.h"

static inline void http2_frames(const uint8_t *p, size_t n, struct strbuf *out)
{
	while (n >= 5) {
		const size_t want = (size_t)p[3] << 8 | p[4], k = want < n - 5 ? want : n - 5;
		const char head[9] = {(char)(k >> 16), (char)(k >> 8), (char)k, (char)p[0], (char)p[1], 0, 0, 0,
				      (char)p[2]};
		if (p[0] != 255)
			strbuf_add(out, head, sizeof head);
		strbuf_add(out, p + 5, k);
		p += 5 + k;
		n -= 5 + k;
	}
}
