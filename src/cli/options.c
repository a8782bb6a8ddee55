/* Command-line options declared as tables. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/suggest.h"
#include "json/quantity.h"

static const struct option_spec *find(const struct option_spec *specs, const char *name, size_t n)
{
	for (; specs->name != NULL; specs++) {
		if (strlen(specs->name) == n && strncmp(specs->name, name, n) == 0)
			return specs;
	}
	return NULL;
}

static int wrong(const struct command *cmd, const char *what, const char *word)
{
	(void)fprintf(stderr, "sluice %s: %s '%s'; 'sluice help %s' says how it is used\n", cmd->name, what, word,
		      cmd->name);
	return -EINVAL;
}

static const char *dashes(const struct option_spec *o)
{
	return o->name[1] == '\0' ? "-" : "--";
}

static int unknown(const struct command *cmd, const struct option_spec *specs, const char *word)
{
	char name[64];
	const char *start = word + strspn(word, "-");
	(void)snprintf(name, sizeof name, "%.*s", (int)strcspn(start, "="),
		       start); /* cut: then it is near to no option */
	struct suggestion near = suggestion_of(name);
	for (const struct option_spec *o = specs; o->name != NULL; o++) {
		if (o->name[1] != '\0')
			suggestion_try(&near, o->name);
	}
	if (near.best == NULL)
		return wrong(cmd, "there is no option", word);
	(void)fprintf(stderr,
		      "sluice %s: there is no option '%s'; did you mean '--%s'? 'sluice help %s' says how it is used\n",
		      cmd->name, word, near.best, cmd->name);
	return -EINVAL;
}

static int set_value(const struct command *cmd, const struct option_spec *o, const char *value)
{
	struct error err = {0};
	int rc = 0;
	switch (o->type) {
	case OPT_STRING:
		*(const char **)o->value = value;
		return 0;
	case OPT_FLAG:
		if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
			return wrong(cmd, "true or false is wanted, not", value);
		*(bool *)o->value = strcmp(value, "true") == 0;
		return 0;
	case OPT_INT:
		rc = str_to_i64(value, o->value);
		if (rc != 0)
			(void)error_set(&err, rc, "'%s' is not a whole number", value);
		break;
	case OPT_DURATION:
		rc = duration_parse(value, o->value, &err);
		break;
	case OPT_QUANTITY:
		rc = quantity_parse(value, o->value, &err);
		if (rc == 0 && *(int64_t *)o->value < 0)
			rc = error_set(&err, -EINVAL, "'%s' is negative", value);
		break;
	}
	if (rc != 0)
		(void)fprintf(stderr, "sluice %s: %s%s: %s\n", cmd->name, dashes(o), o->name, err.msg);
	return rc == 0 ? 0 : -EINVAL;
}

/* One option word at argv[*i]; a value in the next word moves *i on. */
static int take_option(const struct command *cmd, int argc, char **argv, const struct option_spec *specs, int *i)
{
	const char *word = argv[*i];
	const char *name = word + (word[1] == '-' ? 2 : 1);
	const char *eq = strchr(name, '=');
	const struct option_spec *o = find(specs, name, eq == NULL ? strlen(name) : (size_t)(eq - name));
	if (o == NULL)
		return unknown(cmd, specs, word);
	if (eq != NULL)
		return set_value(cmd, o, eq + 1);
	if (o->type == OPT_FLAG)
		return set_value(cmd, o, "true");
	if (*i + 1 >= argc)
		return wrong(cmd, "a value is missing after", word);
	*i += 1;
	return set_value(cmd, o, argv[*i]);
}

/* Set while command_options() runs a command for its table. */
static struct {
	void (*visit)(const struct option_spec *o, void *arg);
	void *arg;
} visitor;

void command_options(const struct command *cmd, void (*visit)(const struct option_spec *o, void *arg), void *arg)
{
	visitor.visit = visit;
	visitor.arg = arg;
	(void)cmd->run(1, (char *[]){(char *)cmd->name, NULL}); /* ends in options_parse(), with nothing done */
	visitor.visit = NULL;
}

int options_parse(const struct command *cmd, int argc, char **argv, const struct option_spec *specs, int *ret_words)
{
	if (visitor.visit != NULL) {
		for (const struct option_spec *o = specs; o->name != NULL; o++)
			visitor.visit(o, visitor.arg);
		return 1;
	}
	int words = 0;
	bool only_words = false;
	for (int i = 1; i < argc; i++) {
		if (only_words || argv[i][0] != '-' || argv[i][1] == '\0') {
			argv[++words] = argv[i];
		} else if (strcmp(argv[i], "--") == 0) {
			only_words = true;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			(void)fputs(cmd->usage, stdout);
			return 1;
		} else {
			const int rc = take_option(cmd, argc, argv, specs, &i);
			if (rc != 0)
				return rc;
		}
	}
	*ret_words = words;
	return 0;
}
