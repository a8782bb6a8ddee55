/* Mount points have names that users choose: whatever they are, a line is read into plain strings or left out. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "csi/mountinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct mount_table t;
	char *text = strndup((const char *)data, n);
	if (text == NULL || mount_table_parse(text, &t) != 0)
		abort();
	size_t lines = 1;
	for (const char *s = text; *s != '\0'; s++)
		lines += *s == '\n';
	assert(t.n <= lines);
	for (size_t i = 0; i < t.n; i++) {
		const struct mount_entry *e = &t.entries[i];
		assert(e->path[0] == '/' &&
		       strlen(e->root) + strlen(e->path) + strlen(e->type) + strlen(e->source) <= n);
		assert(mount_table_by_id(&t, e->id) != NULL);
	}
	mount_table_clear(&t);
	free(text);
	return 0;
}
