/* Writing JSON, with numbers as Go writes them: the shortest text that reads back as the same double. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "json/json.h"

#define TEXT_MAX  ((size_t)1 << 30)
#define DEPTH_MAX (4 * JSON_MAX_DEPTH) /* trees that code has put together may be deeper than what is parsed */

struct writer {
	struct strbuf b;
	size_t indent; /* 0: compact */
};

static void newline(struct writer *w, size_t depth)
{
	if (w->indent == 0)
		return;
	strbuf_addc(&w->b, '\n');
	for (size_t i = 0; i < depth * w->indent; i++)
		strbuf_addc(&w->b, ' ');
}

/*
 * "0.1", not 0.10000000000000001, and whole numbers without a point, as encoding/json does. Whole numbers keep all their digits, since a
 * reader that knows integers would take padding zeros at their word; from 2^63 on such a reader (jansson is one) refuses them, and
 * the exponent is written, where Go waits until 1e21.
 */
static void write_real(struct writer *w, double d)
{
	if (fabs(d) < 0x1p63 && d == trunc(d)) {
		strbuf_addf(&w->b, "%.0f", d);
		return;
	}
	char s[40];
	int precision = 1;
	do
		(void)snprintf(s, sizeof s, "%.*e", precision - 1, d);
	while (precision++ < 17 && strtod(s, NULL) != d);

	/* s is D.DDDe[+-]XX: take digits and exponent apart. */
	char digits[24] = "0";
	size_t n = 0;
	const char *p = s;
	if (*p == '-')
		strbuf_addc(&w->b, *p++);
	for (; *p != 'e' && *p != '\0'; p++)
		if (*p >= '0' && *p <= '9' && n < sizeof digits - 1)
			digits[n++] = *p;
	const long exponent = *p == 'e' ? strtol(p + 1, NULL, 10) : 0;
	while (n > 1 && digits[n - 1] == '0')
		n--;

	if (exponent < -6 || fabs(d) >= 0x1p63) {
		strbuf_addc(&w->b, digits[0]);
		if (n > 1) {
			strbuf_addc(&w->b, '.');
			strbuf_add(&w->b, digits + 1, n - 1);
		}
		strbuf_addf(&w->b, "e%c%ld", exponent < 0 ? '-' : '+', labs(exponent));
		return;
	}
	if (exponent < 0) {
		strbuf_adds(&w->b, "0.");
		for (long i = -1; i > exponent; i--)
			strbuf_addc(&w->b, '0');
		strbuf_add(&w->b, digits, n);
		return;
	}
	for (size_t i = 0; i < n || i <= (size_t)exponent; i++) {
		if (i == (size_t)exponent + 1)
			strbuf_addc(&w->b, '.');
		strbuf_addc(&w->b, i < n ? digits[i] : '0');
	}
}

static void write_value(struct writer *w, const json_t *j, size_t depth);

static void write_object(struct writer *w, const json_t *j, size_t depth)
{
	const char *key;
	size_t len;
	json_t *v;
	bool first = true;
	strbuf_addc(&w->b, '{');
	json_object_keylen_foreach((json_t *)j, key, len, v)
	{
		if (!first)
			strbuf_addc(&w->b, ',');
		first = false;
		newline(w, depth + 1);
		strbuf_add_json(&w->b, key, len);
		strbuf_add(&w->b, ": ", w->indent > 0 ? 2 : 1);
		write_value(w, v, depth + 1);
	}
	if (!first)
		newline(w, depth);
	strbuf_addc(&w->b, '}');
}

static void write_array(struct writer *w, const json_t *j, size_t depth)
{
	strbuf_addc(&w->b, '[');
	for (size_t i = 0; i < json_array_size(j); i++) {
		if (i > 0)
			strbuf_addc(&w->b, ',');
		newline(w, depth + 1);
		write_value(w, json_array_get(j, i), depth + 1);
	}
	if (json_array_size(j) > 0)
		newline(w, depth);
	strbuf_addc(&w->b, ']');
}

static void write_value(struct writer *w, const json_t *j, size_t depth)
{
	if (j == NULL || depth > DEPTH_MAX) {
		w->b.failed = true;
		return;
	}
	switch (json_typeof(j)) {
	case JSON_OBJECT:
		write_object(w, j, depth);
		break;
	case JSON_ARRAY:
		write_array(w, j, depth);
		break;
	case JSON_STRING:
		strbuf_add_json(&w->b, json_string_value(j), json_string_length(j));
		break;
	case JSON_INTEGER:
		strbuf_addf(&w->b, "%lld", (long long)json_integer_value(j));
		break;
	case JSON_REAL:
		write_real(w, json_real_value(j));
		break;
	case JSON_TRUE:
		strbuf_adds(&w->b, "true");
		break;
	case JSON_FALSE:
		strbuf_adds(&w->b, "false");
		break;
	case JSON_NULL:
		strbuf_adds(&w->b, "null");
		break;
	}
}

void json_add_text(struct strbuf *b, const json_t *j)
{
	struct writer w = {.b = *b};
	write_value(&w, j, 0);
	*b = w.b;
}

static char *to_text(const json_t *j, size_t indent, size_t *ret_n)
{
	struct writer w = {.b = STRBUF_INIT(TEXT_MAX), .indent = indent};
	write_value(&w, j, 0);
	const size_t n = w.b.n;
	char *text = NULL;
	if (strbuf_take(&w.b, &text) < 0)
		return NULL;
	if (ret_n != NULL)
		*ret_n = n;
	return text;
}

char *json_to_text(const json_t *j, size_t *ret_n)
{
	return to_text(j, 0, ret_n);
}

char *json_to_text_indent(const json_t *j, size_t indent)
{
	return to_text(j, indent, NULL);
}
