/*
 * Inside src/kube only: texts in memory, small ones of many that resemble each other: each is deflated against a text that came before
 * it, so that what a thousand objects have in common is kept once.
 *
 * Threads: one writer has the packer; packed texts are immutable and shared.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct packed;
struct packer;

/** NULL on no memory. */
struct packer *packer_new(void);
/** Accepts NULL. Packed texts live on. */
void packer_free(struct packer *p);
/** Keep @text, as it is unless @squeeze. One reference; NULL on no memory. */
struct packed *packed_new(struct packer *p, const char *text, size_t n, bool squeeze);
/** The text again, malloc'ed, not NUL-terminated; NULL on no memory. */
char *packed_text(const struct packed *t, size_t *ret_n);
/** Bytes of the text, not of what is kept. */
size_t packed_size(const struct packed *t);
struct packed *packed_ref(struct packed *t);
/** Accepts NULL. */
void packed_unref(struct packed *t);
