/* reservoir.json: what the worker (`sluice cache`) and the mount (`sluice fuse`) of one dataset are told. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "reservoir/s3.h"

struct error;

enum freshness_mode { FRESHNESS_NEVER, FRESHNESS_TTL, FRESHNESS_ON_OPEN, FRESHNESS_MANUAL };

struct mount_config {
	const char *path; /* where the source appears: "/", or "/name" with plain components */
	const char *name;
	const char *source; /* "file:///dir", "http://host/dir", "https://...", "s3://bucket/prefix" */
	struct s3_options s3;
};

struct tier_config {
	const char *medium;   /* MEM, SSD or HDD */
	const char *path;     /* a directory of this dataset alone */
	uint64_t quota_bytes; /* never exceeded */
	double high, low;     /* parts of the quota: eviction starts above high and stops at low */
};

struct reservoir_config {
	const char *namespace_, *name;
	struct mount_config *mounts;
	size_t n_mounts;
	struct tier_config *tiers;
	size_t n_tiers;
	uint32_t block_size;      /* 64 KiB to 64 MiB, a multiple of 4096; default 4 MiB */
	uint64_t read_ahead;      /* bytes; default 32 MiB; 0 only when given */
	size_t fetch_concurrency; /* 1 to 64; default 8 */
	unsigned fetch_retries;   /* 0 to 20; default 5 */
	int64_t fetch_timeout_ns; /* an attempt without a byte for so long has failed; default 30 s */
	uint64_t rate_limit;      /* bytes per second from all sources together; 0: none */
	enum freshness_mode freshness;
	int64_t ttl_ns;
	const char *listen; /* "127.0.0.1:0", or NULL: no HTTP */
	const char *socket; /* unix socket between worker and mount */
	struct arena arena; /* owns every string above */
};

/** Read and check @path; the message names the bad field. @ret is cleared by reservoir_config_clear(). */
int reservoir_config_load(const char *path, struct reservoir_config *ret, struct error *err);
/** The same from text; @what names it in errors. */
int reservoir_config_parse(const char *text, size_t n, const char *what, struct reservoir_config *ret,
			   struct error *err);
void reservoir_config_clear(struct reservoir_config *c);
/** Split "ADDR:PORT" ("127.0.0.1:80", "[::1]:80"). 0 or -EINVAL. */
int reservoir_listen_split(const char *s, char *addr, size_t size, uint16_t *ret_port);
