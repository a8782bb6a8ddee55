#include "json/pointer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json/json.h"

/* "~1" is '/', "~0" is '~'. A new string in @ret. */
static int unescape(const char *s, size_t n, char **ret, size_t *ret_n)
{
	char *out = malloc(n + 1);
	if (out == NULL)
		return -ENOMEM;
	size_t k = 0;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];
		if (c == '~') {
			if (i + 1 == n || (s[i + 1] != '0' && s[i + 1] != '1')) {
				free(out);
				return -EINVAL;
			}
			c = s[++i] == '0' ? '~' : '/';
		}
		out[k++] = c;
	}
	out[k] = '\0';
	*ret = out;
	*ret_n = k;
	return 0;
}

size_t pointer_index(const struct pointer *p, size_t size)
{
	if (p->key_n == 1 && p->key[0] == '-')
		return size;
	if (p->key_n == 0 || p->key_n > 9 || (p->key[0] == '0' && p->key_n > 1))
		return SIZE_MAX;
	size_t v = 0;
	for (size_t i = 0; i < p->key_n; i++) {
		if (p->key[i] < '0' || p->key[i] > '9')
			return SIZE_MAX;
		v = v * 10 + (size_t)(p->key[i] - '0');
	}
	return v;
}

json_t *pointer_get(const struct pointer *p, json_t *doc)
{
	if (p->parent == NULL)
		return doc;
	if (json_is_object(p->parent))
		return json_object_getn(p->parent, p->key, p->key_n);
	return json_array_get(p->parent, pointer_index(p, SIZE_MAX));
}

void pointer_clear(struct pointer *p)
{
	free(p->key);
	*p = (struct pointer){0};
}

int pointer_find(json_t *doc, const char *text, size_t n, struct pointer *ret)
{
	struct pointer p = {0};
	if (n > 0 && text[0] != '/')
		return -EINVAL;
	while (n > 0) {
		json_t *at = pointer_get(&p, doc);
		free(p.key);
		p.key = NULL;
		if (!json_is_object(at) && !json_is_array(at))
			return -ENOENT;
		text++;
		n--;
		const char *slash = n > 0 ? memchr(text, '/', n) : NULL;
		const size_t k = slash != NULL ? (size_t)(slash - text) : n;
		const int rc = unescape(text, k, &p.key, &p.key_n);
		if (rc < 0)
			return rc;
		p.parent = at;
		p.depth++;
		text += k;
		n -= k;
	}
	*ret = p;
	return 0;
}
