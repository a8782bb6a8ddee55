/*
 * What worker and mount say to each other over a SOCK_SEQPACKET unix socket on one machine: a request, one answer, in turn; as many
 * connections as requests in flight. Native byte order. Connections of one mount share a session; what a session has open is
 * released when its last connection ends.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define RV_VERSION     1u
#define RV_PAYLOAD_MAX (128u * 1024) /* of one message */
#define RV_READ_MAX    RV_PAYLOAD_MAX
#define RV_TEXT_MAX    480u
#define RV_RELEASE_MAX 64u

enum rv_op {
	RV_HELLO = 1, /* rv_hello -> rv_welcome */
	RV_LOOKUP,    /* rv_id, name -> rv_attr */
	RV_GETATTR,   /* rv_id -> rv_attr */
	RV_READLINK,  /* rv_id -> target */
	RV_READDIR,   /* rv_readdir -> rv_dirent, ... */
	RV_OPEN,      /* rv_open -> rv_opened [+ descriptor] */
	RV_ENSURE,    /* rv_range -> rv_ensured [+ descriptor] */
	RV_READ,      /* rv_bytes -> bytes */
	RV_RELEASE, /* rv_id, ... (at most RV_RELEASE_MAX) -> nothing; -EBADF when one was not open, the rest is done */
	RV_STATFS,  /* nothing -> rv_statfs */
	RV_CACHED,  /* rv_id -> rv_cached, version text */
	RV_COUNT,   /* rv_count -> nothing */
	RV_CACHE,   /* nothing -> rv_cache */
	RV_REFRESH, /* nothing -> nothing: the sources are looked at again before what is known of them is used */
	RV_OPS,
};

/** In front of every message. @status of an answer is 0 or a negative errno; then the payload is the message's text. */
struct rv_head {
	uint32_t op;
	int32_t status;
	uint64_t seq;
};
_Static_assert(sizeof(struct rv_head) == 16, "rv_head");

struct rv_hello {
	uint32_t version, pad;
	uint64_t session;
};

struct rv_welcome {
	uint32_t version, block_size;
	uint64_t epoch;            /* of ids */
	int64_t entry_ns, attr_ns; /* how long names and figures may be believed */
};

struct rv_id {
	uint64_t id;
};

struct rv_attr {
	uint64_t id, size;
	int64_t mtime_ns;
	uint8_t type, exact, exec, pad[5];
};
_Static_assert(sizeof(struct rv_attr) == 32, "rv_attr");

struct rv_readdir {
	uint64_t id, cookie;
	uint32_t max, pad; /* bytes of the answer */
};

/** The name follows, and zeros up to a multiple of 8. */
struct rv_dirent {
	struct rv_attr attr;
	uint64_t cookie;
	uint32_t name_n, pad;
};
_Static_assert(sizeof(struct rv_dirent) == 48, "rv_dirent");

struct rv_open {
	uint64_t id;
	uint32_t again; /* after a lost connection; a superseded version is fine then */
	uint32_t quiet; /* nothing is to be fetched until it is asked for */
};

struct rv_opened {
	uint64_t size;
	uint64_t instance; /* of the worker: another one may have another store file */
	uint32_t blocks;
	uint8_t complete, has_fd, pad[2];
};

struct rv_range {
	uint64_t id;
	uint32_t first, n;
	uint32_t want_fd, pad;
};

struct rv_ensured {
	uint64_t instance;
	uint8_t complete, has_fd, pad[6];
};

struct rv_bytes {
	uint64_t id, off;
	uint32_t n, pad;
};

struct rv_statfs {
	uint64_t bytes, files;
};

struct rv_cached {
	uint64_t cached, size;
};

struct rv_count {
	uint64_t hit_bytes, miss_bytes;
};

struct rv_cache {
	uint64_t capacity, cached; /* bytes of all tiers: their quota, what they hold */
};

/** Send one message of at most RV_PAYLOAD_MAX; @fd (-1: none) goes with it. 0 or -errno. */
int rv_send(int sock, const struct rv_head *h, const void *payload, size_t n, int fd);
/**
 * Receive one message into @payload of @size bytes. Payload bytes, or -errno; -ECONNRESET at the end; -EPROTO for what is none.
 * @ret_fd gets a descriptor or -1; with NULL one that comes is closed.
 */
ptrdiff_t rv_recv(int sock, struct rv_head *h, void *payload, size_t size, int *ret_fd);
