/*
 * Time zones by name, from the machine's zone files (RFC 9636, version 2 and later): what the C library offers is one zone for the whole
 * process. Immutable once loaded: any thread may ask.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct error;
struct zone;

/**
 * The zone called @name ("Europe/Berlin", "UTC"); NULL: the machine's own. -ENOENT when the machine knows no such zone, -EINVAL when that
 * is no name or the file is no zone. Freed by zone_free().
 */
int zone_load(const char *name, struct zone **ret, struct error *err);
/** The same from a file's bytes. */
int zone_parse(const void *data, size_t n, struct zone **ret);
/** Seconds that local time is ahead of UTC at @utc_s, seconds since 1970. What lies after the file's last change has its offset. */
int32_t zone_offset(const struct zone *z, int64_t utc_s);
/** Accepts NULL. */
void zone_free(struct zone *z);
