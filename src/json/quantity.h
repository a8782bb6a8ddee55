/* Kubernetes quantities (1Gi, 100m, 1e3): exact for everything a 64-bit count of 10^-9 or bytes can hold. */
#pragma once

#include <stdint.h>

struct error;

/** Bytes (or units) rounded up to a whole number. 0, -EINVAL ("'x' is not a quantity"), -ERANGE ("'x' is too large"). */
int quantity_parse(const char *text, int64_t *ret, struct error *err);
/** Thousandths, rounded up (cpu "1500m" = 1500). Same errors. */
int quantity_parse_milli(const char *text, int64_t *ret, struct error *err);
/** -1, 0, 1 of two valid quantities. */
int quantity_compare(const char *a, const char *b);
/** Bytes as the canonical binary form ("4Gi", "1536Mi", "1000"). */
void quantity_format_binary(int64_t value, char out[static 32]);
/** Bytes as Fluid prints them: "%.2f" with B, KiB, MiB, GiB, TiB, PiB, EiB ("5.00GiB"; "0.00B"). */
void bytes_format_fluid(uint64_t value, char out[static 32]);

/** Parse a Go duration ("1h30m", "1.5s", "100ms") into ns. 0 or -EINVAL/-ERANGE. */
int duration_parse(const char *text, int64_t *ret_ns, struct error *err);
/** As Go prints it ("1m30s", "150ms", "0s"). */
void duration_format(int64_t ns, char out[static 32]);
