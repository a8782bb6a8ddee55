#include "csi/mountinfo.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"

#define MOUNTINFO       "/proc/self/mountinfo"
#define MOUNTINFO_MAX   ((size_t)64 << 20)
#define FIELDS_AT_LEAST 6 /* before the optional ones */

static bool is_octal(char c)
{
	return c >= '0' && c <= '7';
}

/* The kernel writes space, tab, newline and backslash as \ooo. */
static void unescape(char *s)
{
	char *o = s;
	for (; *s != '\0'; s++) {
		if (s[0] == '\\' && is_octal(s[1]) && is_octal(s[2]) && is_octal(s[3])) {
			const int c = (s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0');
			if (c > 0 && c < 256) {
				*o++ = (char)c;
				s += 3;
				continue;
			}
		}
		*o++ = *s;
	}
	*o = '\0';
}

static char *next_word(char **rest)
{
	char *w = *rest;
	if (w == NULL || *w == '\0')
		return NULL;
	char *end = strchr(w, ' ');
	*rest = end == NULL ? NULL : end + 1;
	if (end != NULL)
		*end = '\0';
	return w;
}

static bool parse_number(const char *s, uint64_t max, uint64_t *ret)
{
	return s != NULL && str_to_u64(s, ret) == 0 && *ret <= max;
}

static bool parse_device(char *s, struct mount_entry *e)
{
	char *colon = s == NULL ? NULL : strchr(s, ':');
	uint64_t major, minor;
	if (colon == NULL)
		return false;
	*colon = '\0';
	if (!parse_number(s, UINT32_MAX, &major) || !parse_number(colon + 1, UINT32_MAX, &minor))
		return false;
	e->major = (unsigned)major;
	e->minor = (unsigned)minor;
	return true;
}

static bool parse_line(char *line, struct mount_entry *ret)
{
	struct mount_entry e = {0};
	char *rest = line;
	if (!parse_number(next_word(&rest), UINT64_MAX, &e.id) ||
	    !parse_number(next_word(&rest), UINT64_MAX, &e.parent_id) || !parse_device(next_word(&rest), &e))
		return false;
	e.root = next_word(&rest);
	e.path = next_word(&rest);
	e.options = next_word(&rest);
	char *w = next_word(&rest);
	while (w != NULL && strcmp(w, "-") != 0) /* shared:N master:N ... */
		w = next_word(&rest);
	e.type = w == NULL ? NULL : next_word(&rest);
	e.source = e.type == NULL ? NULL : next_word(&rest);
	if (e.options == NULL || e.source == NULL || *e.path != '/')
		return false;
	unescape(e.root);
	unescape(e.path);
	unescape(e.type);
	unescape(e.source);
	*ret = e;
	return true;
}

int mount_table_parse(const char *text, struct mount_table *ret)
{
	size_t lines = 1;
	for (const char *s = text; (s = strchr(s, '\n')) != NULL; s++)
		lines++;
	struct mount_table t = {.text = strdup(text), .entries = calloc(lines, sizeof *t.entries)};
	if (t.text == NULL || t.entries == NULL) {
		mount_table_clear(&t);
		return -ENOMEM;
	}
	for (char *line = t.text, *end; line != NULL; line = end) {
		end = strchr(line, '\n');
		if (end != NULL)
			*end++ = '\0';
		t.n += parse_line(line, &t.entries[t.n]);
	}
	*ret = t;
	return 0;
}

int mount_table_read(struct mount_table *ret, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	int rc = file_read(MOUNTINFO, MOUNTINFO_MAX, &text, NULL, err);
	if (rc < 0)
		return rc;
	rc = mount_table_parse(text, ret);
	return rc < 0 ? error_set(err, rc, "read " MOUNTINFO ": out of memory") : 0;
}

void mount_table_clear(struct mount_table *t)
{
	if (t == NULL)
		return;
	free(t->entries);
	free(t->text);
	*t = (struct mount_table){0};
}

const struct mount_entry *mount_table_by_id(const struct mount_table *t, uint64_t id)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->entries[i].id == id)
			return &t->entries[i];
	return NULL;
}
