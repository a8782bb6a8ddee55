/*
 * A file of cases: requests, and what their answers must be. docs: test/conformance/README.md.
 * Everything of a script lives in its arena; a malformed file is an error with its line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "net/http_client.h"

struct error;

#define SCRIPT_HEADERS_MAX 8

enum step_kind {
	STEP_REQUEST,
	STEP_WATCH,  /* open a stream in the background */
	STEP_EVENTS, /* what comes next from it */
	STEP_END,    /* the server ends it */
	STEP_STOP,   /* we end it */
	STEP_CHECK,  /* compare two values */
};

struct step {
	enum step_kind kind;
	const char *verb;         /* as written: GET, MERGE ... */
	const char *method;       /* of HTTP */
	const char *content_type; /* that the verb implies; NULL: none */
	const char *target;       /* path, or the words of CHECK */
	const char *watch;        /* name of the stream; NULL: none */
	const char *protobuf;     /* type of the protobuf body; NULL: JSON */
	const char *body;         /* NULL: none */
	const char *want;         /* pattern of the answer as text; NULL: none */
	struct http_header headers[SCRIPT_HEADERS_MAX];
	struct http_header want_headers[SCRIPT_HEADERS_MAX];
	size_t n_headers, n_want_headers;
	int status; /* 0: 200 or 201 */
	int line;
	long bulk;       /* bytes of a ConfigMap that is made up as the body; 0: none */
	bool raw;        /* the body is sent as it stands */
	bool exact;      /* the answer is the pattern, no more */
	bool eventually; /* tried until it holds */
};

struct test_case {
	const char *name;
	const char *needs; /* "server 25, core"; NULL: nothing */
	const char *table; /* file of rows that it runs with; NULL: once */
	const char *skips; /* "Service below 23": a row, and the servers that it is not for; NULL: none */
	int tries;         /* how often it may be tried from its beginning, where controllers write between its steps */
	const char *text;  /* all of it, to see which variables it uses */
	struct step *steps;
	size_t n_steps;
	int line;
};

struct script {
	struct arena arena;
	struct test_case *cases; /* one named "setup" runs first and keeps what it made */
	size_t n_cases;
};

/** Read @path. 0, or a negative errno with "file:line: ...". */
int script_read(const char *path, struct script *ret, struct error *err);
void script_clear(struct script *s);

/** Rows of a table: the first line names the columns; cells are between '|'. */
struct table {
	const char **columns;
	const char ***rows;
	size_t n_columns, n_rows;
};
int table_read(const char *path, struct arena *arena, struct table *ret, struct error *err);
