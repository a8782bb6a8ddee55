#include "client/script.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/strbuf.h"

#define FILE_MAX  (1u << 20)
#define STEPS_MAX 200
#define CASES_MAX 1000

static const struct verb {
	const char *name, *method, *content_type;
	enum step_kind kind;
} verbs[] = {
	{"GET", "GET", NULL, STEP_REQUEST},
	{"HEAD", "HEAD", NULL, STEP_REQUEST},
	{"OPTIONS", "OPTIONS", NULL, STEP_REQUEST},
	{"POST", "POST", "application/json", STEP_REQUEST},
	{"PUT", "PUT", "application/json", STEP_REQUEST},
	{"DELETE", "DELETE", "application/json", STEP_REQUEST},
	{"MERGE", "PATCH", "application/merge-patch+json", STEP_REQUEST},
	{"JSONPATCH", "PATCH", "application/json-patch+json", STEP_REQUEST},
	{"STRATEGIC", "PATCH", "application/strategic-merge-patch+json", STEP_REQUEST},
	{"APPLY", "PATCH", "application/apply-patch+yaml", STEP_REQUEST},
	{"PATCH", "PATCH", NULL, STEP_REQUEST},
	{"WATCH", "GET", NULL, STEP_WATCH},
	{"EVENTS", NULL, NULL, STEP_EVENTS},
	{"END", NULL, NULL, STEP_END},
	{"STOP", NULL, NULL, STEP_STOP},
	{"CHECK", NULL, NULL, STEP_CHECK},
};

struct parser {
	struct script *script;
	const char *path;
	struct str rest;
	int line;
	struct test_case *now; /* NULL before the first */
	struct step *step;     /* NULL before its first */
	bool answering;        /* behind the "<-" of the step */
	struct error *err;
};

static int fail(const struct parser *p, const char *what)
{
	return error_set(p->err, -EINVAL, "%s:%d: %s", p->path, p->line, what);
}

static int no_memory(const struct parser *p)
{
	return error_set(p->err, -ENOMEM, "%s: out of memory", p->path);
}

static const struct verb *verb_of(struct str word)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_eq(word, verbs[i].name))
			return &verbs[i];
	return NULL;
}

/* The next word of @rest, which moves behind the blanks that follow it. */
static struct str word_of(struct str *rest)
{
	struct str w = {.p = rest->p};
	while (rest->n > 0 && !isspace((unsigned char)*rest->p))
		rest->p++, rest->n--;
	w.n = (size_t)(rest->p - w.p);
	while (rest->n > 0 && isspace((unsigned char)*rest->p))
		rest->p++, rest->n--;
	return w;
}

static char *copy(struct parser *p, struct str s)
{
	while (s.n > 0 && isspace((unsigned char)s.p[s.n - 1]))
		s.n--;
	return arena_strndup(&p->script->arena, s.p, s.n);
}

static int begin_case(struct parser *p, struct str name)
{
	struct script *s = p->script;
	if (s->n_cases == CASES_MAX)
		return fail(p, "too many cases");
	p->now = &s->cases[s->n_cases++];
	p->now->line = p->line;
	p->now->name = copy(p, name);
	p->now->steps = arena_alloc_array(&s->arena, STEPS_MAX, sizeof *p->now->steps);
	p->step = NULL;
	return p->now->name == NULL || p->now->steps == NULL ? no_memory(p) : 0;
}

/* `[EVENTUALLY] VERB [NAME] TARGET` */
static int begin_step(struct parser *p, const struct verb *v, struct str rest, bool eventually)
{
	if (p->now->n_steps == STEPS_MAX)
		return fail(p, "too many steps in one case");
	p->step = &p->now->steps[p->now->n_steps++];
	*p->step = (struct step){.kind = v->kind,
				 .verb = v->name,
				 .method = v->method,
				 .content_type = v->content_type,
				 .line = p->line,
				 .eventually = eventually};
	p->answering = v->kind == STEP_EVENTS;
	if (v->kind == STEP_WATCH || v->kind == STEP_EVENTS || v->kind == STEP_END || v->kind == STEP_STOP) {
		p->step->watch = copy(p, word_of(&rest));
		if (p->step->watch == NULL)
			return no_memory(p);
		if (p->step->watch[0] == '\0')
			return fail(p, "the name of a watch is missing");
	}
	p->step->target = copy(p, rest);
	return p->step->target == NULL ? no_memory(p) : 0;
}

/* "Name: value" with a capital letter; YAML bodies begin in lower case. */
static bool is_header(struct str line)
{
	const char *colon = memchr(line.p, ':', line.n);
	if (line.n == 0 || !isupper((unsigned char)line.p[0]) || colon == NULL)
		return false;
	for (const char *c = line.p; c < colon; c++)
		if (!isalnum((unsigned char)*c) && strchr("-.%", *c) == NULL)
			return false;
	return true;
}

static int add_header(struct parser *p, struct str line, struct http_header *list, size_t *n)
{
	if (*n == SCRIPT_HEADERS_MAX)
		return fail(p, "too many headers");
	const char *colon = memchr(line.p, ':', line.n);
	struct str value = {colon + 1, line.n - (size_t)(colon + 1 - line.p)};
	while (value.n > 0 && *value.p == ' ')
		value.p++, value.n--;
	char *name = copy(p, (struct str){line.p, (size_t)(colon - line.p)});
	char *text = copy(p, value);
	if (name == NULL || text == NULL)
		return no_memory(p);
	list[(*n)++] = (struct http_header){name, text};
	return 0;
}

static int append(struct parser *p, const char **text, struct str line)
{
	*text = *text == NULL ? arena_strndup(&p->script->arena, line.p, line.n)
			      : arena_printf(&p->script->arena, "%s\n%.*s", *text, (int)line.n, line.p);
	return *text == NULL ? no_memory(p) : 0;
}

/* `<- [STATUS] [=] [PATTERN]` */
static int begin_answer(struct parser *p, struct str rest)
{
	p->answering = true;
	if (rest.n > 0 && isdigit((unsigned char)*rest.p)) {
		const struct str status = word_of(&rest);
		if (status.n != 3)
			return fail(p, "a status has three digits");
		p->step->status = (status.p[0] - '0') * 100 + (status.p[1] - '0') * 10 + (status.p[2] - '0');
	}
	if (rest.n > 1 && rest.p[0] == '=' && rest.p[1] == ' ') {
		p->step->exact = true;
		(void)word_of(&rest);
	}
	return rest.n == 0 ? 0 : append(p, &p->step->want, rest);
}

static int step_line(struct parser *p, struct str line)
{
	struct step *s = p->step;
	struct str rest = line;
	if (str_eq(word_of(&rest), "<-"))
		return begin_answer(p, rest);
	if (p->answering)
		return s->want == NULL && is_header(line) ? add_header(p, line, s->want_headers, &s->n_want_headers)
							  : append(p, &s->want, line);
	if (s->body == NULL && is_header(line))
		return add_header(p, line, s->headers, &s->n_headers);
	struct str after = line;
	const struct str first = word_of(&after);
	if (s->body == NULL && str_eq(first, "raw")) {
		s->raw = true;
		return append(p, &s->body, after);
	}
	if (s->body == NULL && str_eq(first, "protobuf")) {
		s->protobuf = copy(p, word_of(&after));
		s->content_type = "application/vnd.kubernetes.protobuf";
		return s->protobuf == NULL ? no_memory(p) : append(p, &s->body, after);
	}
	if (s->body == NULL && str_eq(first, "bulk")) {
		s->bulk = strtol(after.p, NULL, 10);
		return 0;
	}
	return append(p, &s->body, line);
}

static int case_line(struct parser *p, struct str line)
{
	struct str rest = line;
	struct str word = word_of(&rest);
	const bool eventually = str_eq(word, "EVENTUALLY");
	if (eventually)
		word = word_of(&rest);
	const struct verb *v = verb_of(word);
	if (v != NULL)
		return begin_step(p, v, rest, eventually);
	if (p->step != NULL)
		return step_line(p, line);
	if (str_eq(word, "needs")) {
		p->now->needs = copy(p, rest);
		return p->now->needs == NULL ? no_memory(p) : 0;
	}
	if (str_eq(word, "for")) {
		p->now->table = copy(p, rest);
		return p->now->table == NULL ? no_memory(p) : 0;
	}
	if (str_eq(word, "skips")) {
		p->now->skips = copy(p, rest);
		return p->now->skips == NULL ? no_memory(p) : 0;
	}
	if (str_eq(word, "tries") && rest.n > 0 && isdigit((unsigned char)*rest.p)) {
		p->now->tries = *rest.p - '0';
		return 0;
	}
	return fail(p, "expected a request, 'needs', 'for', 'skips' or 'tries'");
}

static int read_line(struct parser *p, struct str line)
{
	if (line.n == 0 || line.p[0] == '#')
		return 0;
	if (line.n > 3 && memcmp(line.p, "== ", 3) == 0)
		return begin_case(p, (struct str){line.p + 3, line.n - 3});
	if (p->now == NULL)
		return fail(p, "expected '== NAME OF A CASE'");
	return case_line(p, line);
}

/* The lines of each case as they stand, for whoever asks what it mentions. */
static int keep_texts(struct parser *p, const char *text)
{
	for (size_t i = 0; i < p->script->n_cases; i++) {
		struct test_case *c = &p->script->cases[i];
		const char *from = text, *to;
		for (int line = 1; line < c->line; line++)
			from = strchr(from, '\n') + 1;
		to = strstr(from, "\n== ");
		c->text = arena_strndup(&p->script->arena, from, to == NULL ? strlen(from) : (size_t)(to - from));
		if (c->text == NULL)
			return no_memory(p);
	}
	return 0;
}

int script_read(const char *path, struct script *ret, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	size_t n;
	int rc = file_read(path, FILE_MAX, &text, &n, err);
	if (rc < 0)
		return rc;
	*ret = (struct script){.arena = ARENA_INIT(256u << 20)};
	ret->cases = arena_alloc_array(&ret->arena, CASES_MAX, sizeof *ret->cases);
	struct parser p = {.script = ret, .path = path, .rest = {text, n}, .err = err};
	if (ret->cases == NULL)
		return no_memory(&p);
	struct str line;
	while (rc == 0 && str_split_next(&p.rest, '\n', &line)) {
		p.line++;
		rc = read_line(&p, line);
	}
	if (rc == 0)
		rc = keep_texts(&p, text);
	if (rc < 0)
		script_clear(ret);
	return rc;
}

void script_clear(struct script *s)
{
	arena_free(&s->arena);
}

#define COLUMNS_MAX 12
#define ROWS_MAX    200

static const char **cells(struct arena *arena, struct str line, size_t *ret_n)
{
	const char **row = arena_alloc_array(arena, COLUMNS_MAX, sizeof *row);
	struct str cell;
	size_t n = 0;
	while (row != NULL && n < COLUMNS_MAX && str_split_next(&line, '|', &cell)) {
		while (cell.n > 0 && *cell.p == ' ')
			cell.p++, cell.n--;
		while (cell.n > 0 && cell.p[cell.n - 1] == ' ')
			cell.n--;
		row[n] = arena_strndup(arena, cell.p, cell.n);
		if (row[n++] == NULL)
			return NULL;
	}
	*ret_n = n;
	return row;
}

int table_read(const char *path, struct arena *arena, struct table *ret, struct error *err)
{
	CLEANUP(free_p) char *text = NULL;
	size_t n;
	int rc = file_read(path, FILE_MAX, &text, &n, err);
	if (rc < 0)
		return rc;
	struct table t = {.rows = arena_alloc_array(arena, ROWS_MAX, sizeof *t.rows)};
	if (t.rows == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", path);
	struct str rest = {text, n}, line;
	for (int number = 1; str_split_next(&rest, '\n', &line); number++) {
		if (line.n == 0 || line.p[0] == '#')
			continue;
		size_t columns;
		const char **row = cells(arena, line, &columns);
		if (row == NULL)
			return error_set(err, -ENOMEM, "%s: out of memory", path);
		if (t.columns == NULL) {
			t.columns = row;
			t.n_columns = columns;
			continue;
		}
		if (columns != t.n_columns || t.n_rows == ROWS_MAX)
			return error_set(err, -EINVAL, "%s:%d: %zu cells, not %zu", path, number, columns, t.n_columns);
		t.rows[t.n_rows++] = row;
	}
	*ret = t;
	return 0;
}
