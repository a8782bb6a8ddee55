#include "cli/suggest.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MAX_WORD 48

static size_t min3(size_t a, size_t b, size_t c)
{
	const size_t m = a < b ? a : b;
	return m < c ? m : c;
}

/* Edits (a letter more, less, another, or two swapped) that make one word of the other; SIZE_MAX for a word too long to compare. */
static size_t distance(const char *a, const char *b)
{
	const size_t na = strlen(a), nb = strlen(b);
	if (na > MAX_WORD || nb > MAX_WORD)
		return SIZE_MAX;
	size_t rows[3][MAX_WORD + 1]; /* row i of the table is rows[i % 3]; a swap looks two rows back */
	for (size_t j = 0; j <= nb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		size_t *row = rows[i % 3];
		const size_t *up = rows[(i - 1) % 3], *up2 = rows[(i + 1) % 3];
		row[0] = i;
		for (size_t j = 1; j <= nb; j++) {
			row[j] = min3(up[j] + 1, row[j - 1] + 1, up[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && up2[j - 2] + 1 < row[j])
				row[j] = up2[j - 2] + 1;
		}
	}
	return rows[na % 3][nb];
}

struct suggestion suggestion_of(const char *word)
{
	return (struct suggestion){.word = word, .distance = SIZE_MAX};
}

void suggestion_try(struct suggestion *s, const char *candidate)
{
	const size_t n = strlen(s->word), d = distance(s->word, candidate);
	/* A third of the letters may be wrong, one in a short word; the beginning of a longer one is near too. */
	const bool near = d <= (n < 6 ? 1 : n / 3) || (n >= 3 && strncmp(s->word, candidate, n) == 0);
	if (near && d < s->distance) {
		s->best = candidate;
		s->distance = d;
	}
}
