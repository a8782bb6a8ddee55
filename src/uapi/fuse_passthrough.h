/*
 * The pieces of the kernel's FUSE interface (6.9, protocol 7.40) that Debian 12's headers and libfuse 3.14 lack: the fields of the
 * answers to INIT and OPEN, the ioctl that registers a backing file, and the notice that asks for unanswered requests again.
 * Facts from the kernel's include/uapi/linux/fuse.h; the asserts pin what the kernel checks.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

/* Bits of the 64-bit INIT flags; the upper half travels in flags2 and counts only with UAPI_FUSE_INIT_EXT. */
#define UAPI_FUSE_INIT_EXT    (UINT64_C(1) << 30)
#define UAPI_FUSE_PASSTHROUGH (UINT64_C(1) << 37)
#define UAPI_FUSE_HAS_RESEND  (UINT64_C(1) << 39)

/* The kernel puts what it was not answered back in front of its queue; such a request carries the bit, and so must its answer. */
#define UAPI_FUSE_NOTIFY_RESEND 7
#define UAPI_FUSE_UNIQUE_RESEND (UINT64_C(1) << 63)

/* Bits of open_flags in the answer to OPEN. Passthrough: reads and mappings go to backing_id. */
#define UAPI_FOPEN_KEEP_CACHE  (UINT32_C(1) << 1)
#define UAPI_FOPEN_NOFLUSH     (UINT32_C(1) << 5)
#define UAPI_FOPEN_PASSTHROUGH (UINT32_C(1) << 7)

#define UAPI_FUSE_INIT                    26u
#define UAPI_FUSE_COMPAT_22_INIT_OUT_SIZE 24u

struct uapi_fuse_in_header {
	uint32_t len;
	uint32_t opcode;
	uint64_t unique;
	uint64_t nodeid;
	uint32_t uid, gid, pid;
	uint16_t total_extlen, padding;
};
_Static_assert(sizeof(struct uapi_fuse_in_header) == 40, "fuse_in_header");

struct uapi_fuse_out_header {
	uint32_t len;
	int32_t error;
	uint64_t unique;
};
_Static_assert(sizeof(struct uapi_fuse_out_header) == 16, "fuse_out_header");

struct uapi_fuse_init_in {
	uint32_t major, minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint32_t flags2; /* only since protocol 7.36: look at the message's length */
	uint32_t unused[11];
};
_Static_assert(sizeof(struct uapi_fuse_init_in) == 64, "fuse_init_in");
_Static_assert(offsetof(struct uapi_fuse_init_in, flags2) == 16, "fuse_init_in.flags2");

struct uapi_fuse_init_out {
	uint32_t major, minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write;
	uint32_t time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2;
	uint32_t
		max_stack_depth; /* passthrough: 1 means that a backing file may not itself be on a stacked file system */
	uint16_t request_timeout;
	uint16_t unused[11];
};
_Static_assert(sizeof(struct uapi_fuse_init_out) == 64, "fuse_init_out");
_Static_assert(offsetof(struct uapi_fuse_init_out, flags2) == 32, "fuse_init_out.flags2");
_Static_assert(offsetof(struct uapi_fuse_init_out, max_stack_depth) == 36, "fuse_init_out.max_stack_depth");

struct uapi_fuse_open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};
_Static_assert(sizeof(struct uapi_fuse_open_out) == 16, "fuse_open_out");

struct uapi_fuse_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
_Static_assert(sizeof(struct uapi_fuse_backing_map) == 16, "fuse_backing_map");

#define UAPI_FUSE_DEV_IOC_BACKING_OPEN  _IOW(229, 1, struct uapi_fuse_backing_map)
#define UAPI_FUSE_DEV_IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)
