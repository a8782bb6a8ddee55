/*
 * Ports of the hosts' network, shared by all runtimes of a controller: who has which. What runtimes take is exclusive; what the objects of
 * other controllers' runtimes are seen to use is respected. Nothing is written down here: a runtime's status remembers its own.
 *
 * Threads: all functions from any thread.
 */
#pragma once

#include <stddef.h>

struct error;
struct ports;

/** For ports of @min <= port < @max. NULL on no memory. */
struct ports *ports_new(int min, int max);
/** Accepts NULL. */
void ports_free(struct ports *p);

/**
 * Ports for @key ("ns/name") into @inout, which holds those it had before (0: none): each is kept when it is in range and nobody else's;
 * otherwise one that this key's objects are seen to use, otherwise the first free one from a place that the key gives. Ports that the key
 * had taken and does not get again are free. @n 0 gives all back. -ENOSPC when the range is used up (then nothing changes), -ENOMEM.
 */
int ports_take(struct ports *p, const char *key, size_t n, int *inout, struct error *err);
/**
 * What the object @object ("ns/name" of a StatefulSet) of runtime @key uses now; @n 0: nothing (any more). Ports out of range are skipped.
 */
void ports_seen(struct ports *p, const char *key, const char *object, const int *ports, size_t n);
