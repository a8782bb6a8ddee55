/*
 * `sluice completion bash|zsh`: a completion script, made from the tables of commands and options and from what the help texts say
 * of values, so that no second list can grow old.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/kind.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/commands.h"

/* What the help text says of one option. Views into it; empty where it says nothing. */
struct meaning {
	struct str value; /* "FILE", "yaml|json" */
	struct str text;  /* "where the data appears" */
};

static const char *dashes(const struct option_spec *o)
{
	return o->name[1] == '\0' ? "-" : "--";
}

static struct str until(const char *p, const char *ends)
{
	return (struct str){p, strcspn(p, ends)};
}

/* Whether @p begins an indented line of @usage, alone or as the second name of an option: "  -n, --namespace". */
static bool begins_line(const char *usage, const char *p)
{
	if (p - usage >= 4 && p[-1] == ' ' && p[-2] == ',' && p[-4] == '-')
		p -= 4;
	return p - usage >= 3 && strncmp(p - 3, "\n  ", 3) == 0;
}

/* The place behind " --NAME" or "[--NAME" in @usage, or NULL. With @line: only where it begins an indented line. */
static const char *find_option(const char *usage, const struct option_spec *o, bool line)
{
	char word[64];
	(void)snprintf(word, sizeof word, "%s%s", dashes(o), o->name); /* names are ours, and short */
	const size_t n = strlen(word);
	for (const char *p = usage; (p = strstr(p, word)) != NULL; p += n) {
		const bool begins = p != usage && (p[-1] == ' ' || p[-1] == '[');
		const bool ends = p[n] != '-' && !isalnum((unsigned char)p[n]);
		if (begins && ends && (!line || begins_line(usage, p)))
			return p + n;
	}
	return NULL;
}

/* "yaml|json", or the one word of a choice that may grow: lower case throughout, unlike the name of a value (FILE, unix:///PATH). */
static bool is_choice(struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		if (!islower((unsigned char)value.p[i]) && value.p[i] != '|')
			return false;
	}
	return value.n > 0;
}

static struct meaning meaning_of(const struct command *cmd, const struct option_spec *o)
{
	struct meaning m = {{"", 0}, {"", 0}};
	const char *p = find_option(cmd->usage, o, true), *first = find_option(cmd->usage, o, false);
	if (p != NULL && *p == ',') /* "-n, --namespace NAME": what follows belongs to both */
		p += 2 + strcspn(p + 2, " \n");
	if (o->type != OPT_FLAG && p != NULL && *p == ' ')
		m.value = until(p + 1, " ]\n");
	if (p != NULL) {
		p += m.value.n > 0 ? 1 + m.value.n : 0;
		m.text = until(p + strspn(p, " "), "\n");
	}
	/* The usage line may say more of the value: -o yaml|json, where the other is -o FORMAT. */
	if (o->type != OPT_FLAG && first != NULL && *first == ' ' && !is_choice(m.value)) {
		const struct str value = until(first + 1, " ]\n");
		if (m.value.n == 0 || is_choice(value))
			m.value = value;
	}
	return m;
}

/* What stands first behind the command's name in its usage line, if that is no option: "SOURCE", "KIND", "bash|zsh", not "-o" or "OPTION...". */
static struct str argument_of(const struct command *cmd)
{
	const char *p = strstr(cmd->usage, cmd->name);
	if (p == NULL)
		return (struct str){"", 0};
	p += strlen(cmd->name);
	p += strspn(p, " [");
	const struct str word = until(p, " [],\n");
	return p[0] == '-' || memchr(word.p, '.', word.n) != NULL ? (struct str){"", 0} : word;
}

static void print_command_names(void)
{
	for (size_t i = 0; commands[i] != NULL; i++)
		(void)printf("%s%s", i == 0 ? "" : " ", commands[i]->name);
}

/* The words that @value can be, with spaces between. False: not a fixed set. */
static bool print_words(struct str value)
{
	if (str_eq(value, "COMMAND")) {
		print_command_names();
	} else if (str_eq(value, "KIND")) {
		for (size_t i = 0; sluice_kinds[i] != NULL; i++)
			(void)printf("%s%s", i == 0 ? "" : " ", sluice_kinds[i]->singular);
	} else if (is_choice(value)) {
		for (size_t i = 0; i < value.n; i++)
			(void)putchar(value.p[i] == '|' ? ' ' : value.p[i]);
	} else {
		return false;
	}
	return true;
}

static bool is_directory(struct str value)
{
	return str_eq(value, "DIR") || str_eq(value, "SOURCE");
}

static bool is_words(struct str value)
{
	return str_eq(value, "COMMAND") || str_eq(value, "KIND") || is_choice(value);
}

static void bash_option(const struct option_spec *o, void *arg)
{
	(void)arg;
	(void)printf(" %s%s", dashes(o), o->name);
}

static void bash_reply(struct str value)
{
	if (is_words(value)) {
		(void)fputs("_sluice_words '", stdout);
		(void)print_words(value);
		(void)fputs("'", stdout);
	} else if (is_directory(value)) {
		(void)fputs("_sluice_paths -d", stdout);
	} else if (str_eq(value, "FILE")) {
		(void)fputs("_sluice_paths -f", stdout);
	} else {
		(void)fputs(":", stdout); /* only the user knows */
	}
}

static void bash_value(const struct option_spec *o, void *arg)
{
	if (o->type == OPT_FLAG)
		return;
	(void)printf("\t%s:%s%s) ", ((const struct command *)arg)->name, dashes(o), o->name);
	bash_reply(meaning_of(arg, o).value);
	(void)fputs(" ;;\n", stdout);
}

static void bash_command(const struct command *cmd)
{
	command_options(cmd, bash_value, (void *)cmd);
	(void)printf("\t%s:*)\n\t\tif [[ $cur == -* ]]; then\n\t\t\t_sluice_words '--help", cmd->name);
	command_options(cmd, bash_option, NULL);
	(void)fputs("'\n\t\telse\n\t\t\t", stdout);
	bash_reply(argument_of(cmd));
	(void)fputs("\n\t\tfi\n\t\t;;\n", stdout);
}

static void bash_script(void)
{
	(void)fputs("# bash completion of sluice; 'sluice completion bash' prints it.\n"
		    "# shellcheck shell=bash\n"
		    "_sluice_words() {\n"
		    "\tmapfile -t COMPREPLY < <(compgen -W \"$1\" -- \"$cur\")\n"
		    "}\n\n"
		    "_sluice_paths() {\n"
		    "\tcompopt -o filenames 2>/dev/null\n"
		    "\tmapfile -t COMPREPLY < <(compgen \"$1\" -- \"$cur\")\n"
		    "}\n\n"
		    "_sluice() {\n"
		    "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=\n"
		    "\tCOMPREPLY=()\n"
		    "\tif ((COMP_CWORD == 1)); then\n"
		    "\t\t_sluice_words '",
		    stdout);
	print_command_names();
	(void)fputs("'\n"
		    "\t\treturn\n"
		    "\tfi\n"
		    "\tprev=${COMP_WORDS[COMP_CWORD - 1]}\n"
		    "\t# bash gives --option=value as three words.\n"
		    "\tif [[ $cur == = ]]; then\n"
		    "\t\tcur=\n"
		    "\telif [[ $prev == = ]]; then\n"
		    "\t\tprev=${COMP_WORDS[COMP_CWORD - 2]}\n"
		    "\tfi\n"
		    "\tcase ${COMP_WORDS[1]}:$prev in\n",
		    stdout);
	for (size_t i = 0; commands[i] != NULL; i++)
		bash_command(commands[i]);
	(void)fputs("\tesac\n}\n\ncomplete -F _sluice sluice\n", stdout);
}

/* Text inside a single-quoted zsh specification, in which brackets and colons have a meaning. */
static void zsh_text(struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\'')
			(void)fputs("'\\'", stdout);
		else if (strchr("[]:\\", text.p[i]) != NULL)
			(void)putchar('\\');
		(void)putchar(text.p[i]);
	}
}

static void zsh_action(struct str value)
{
	(void)fputs(":", stdout);
	zsh_text(is_choice(value) ? STR("choice") : value);
	if (is_words(value)) {
		(void)fputs(":(", stdout);
		(void)print_words(value);
		(void)fputs(")", stdout);
	} else {
		(void)fputs(is_directory(value) ? ":_directories" : str_eq(value, "FILE") ? ":_files" : ":", stdout);
	}
}

static void zsh_option(const struct option_spec *o, void *arg)
{
	const struct meaning m = meaning_of(arg, o);
	(void)printf(" \\\n\t\t\t'%s%s%s[", dashes(o), o->name,
		     o->type == OPT_FLAG  ? ""
		     : o->name[1] == '\0' ? "+"
					  : "=");
	zsh_text(m.text);
	(void)fputs("]", stdout);
	if (o->type != OPT_FLAG)
		zsh_action(m.value.n > 0 ? m.value : STR("VALUE"));
	(void)fputs("'", stdout);
}

static void zsh_script(void)
{
	(void)fputs("#compdef sluice\n# zsh completion of sluice; 'sluice completion zsh' prints it.\n_sluice() {\n"
		    "\tlocal -a commands=(",
		    stdout);
	for (size_t i = 0; commands[i] != NULL; i++) {
		(void)printf("\n\t\t'%s:", commands[i]->name);
		zsh_text(str_from(commands[i]->summary));
		(void)fputs("'", stdout);
	}
	(void)fputs("\n\t)\n\tif ((CURRENT == 2)); then\n\t\t_describe -t commands command commands\n\t\treturn\n\tfi\n"
		    "\tshift words\n\t((CURRENT--))\n\tcase $words[1] in\n",
		    stdout);
	for (size_t i = 0; commands[i] != NULL; i++) {
		(void)printf("\t%s)\n\t\t_arguments '--help[say how it is used]'", commands[i]->name);
		command_options(commands[i], zsh_option, (void *)commands[i]);
		const struct str argument = argument_of(commands[i]);
		if (argument.n > 0) {
			(void)fputs(" \\\n\t\t\t'1", stdout);
			zsh_action(argument);
			(void)fputs("'", stdout);
		}
		(void)fputs("\n\t\t;;\n", stdout);
	}
	(void)fputs("\tesac\n}\n\n# Found in fpath, this file is the function's body; sourced, it only defines it.\n"
		    "if [[ ${funcstack[1]} == _sluice ]]; then\n\t_sluice \"$@\"\nelse\n\tcompdef _sluice sluice\nfi\n",
		    stdout);
}

static int completion_run(int argc, char **argv)
{
	int words = 0;
	const int rc = options_parse(&cmd_completion, argc, argv, (const struct option_spec[]){{0}}, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	if (words == 1 && strcmp(argv[1], "bash") == 0) {
		bash_script();
	} else if (words == 1 && strcmp(argv[1], "zsh") == 0) {
		zsh_script();
	} else {
		(void)fputs("sluice completion: one shell is wanted, bash or zsh; 'sluice help completion' says more\n",
			    stderr);
		return 2;
	}
	if (fflush(stdout) != 0 || ferror(stdout) != 0) {
		(void)fputs("sluice completion: the script could not be written\n", stderr);
		return 1;
	}
	return 0;
}

const struct command cmd_completion = {
	.name = "completion",
	.summary = "Print a shell's completion script",
	.usage = "Usage: sluice completion bash|zsh\n\n"
		 "Prints a script that makes the shell complete commands, options and their values. 'make install' "
		 "puts both\n"
		 "where the shells look; for the shell at hand:\n\n"
		 "  source <(sluice completion bash)\n",
	.run = completion_run,
};
