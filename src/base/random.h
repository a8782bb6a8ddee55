/* Randomness from getrandom(2). Never fails: without entropy the process cannot do its work and aborts. */
#pragma once

#include <stddef.h>
#include <stdint.h>

void random_bytes(void *buf, size_t n);
/** Uniform in [0, bound). @bound > 0. */
uint32_t random_below(uint32_t bound);
/** A random UUID (RFC 9562 version 4), lower case. */
void random_uuid(char out[static 37]);
/** @n characters of the alphabet Kubernetes uses for generated names (no vowels, no look-alikes), NUL behind them. */
void random_suffix(char *out, size_t n);
