/* "Did you mean": the known word that is nearest to a mistyped one. */
#pragma once

#include <stddef.h>

struct suggestion {
	const char *word; /* what was typed */
	const char *best; /* NULL while nothing is near enough; borrowed from who gave it */
	size_t distance;  /* of best */
};

/** Start looking for a word near @word. */
struct suggestion suggestion_of(const char *word);
/** Consider @candidate: it becomes best when it is nearer than all before and not just any word. */
void suggestion_try(struct suggestion *s, const char *candidate);
