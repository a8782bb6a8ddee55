/* `sluice create api`: the beginning of a new kind and its runtime, in this source tree or as a project of its own. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/create.h"

#define DOMAIN ".fluid.io"

static int wrong(const char *what, const char *value, const char *want)
{
	(void)fprintf(stderr, "sluice create: --%s: '%s' %s\n", what, value, want);
	return -EINVAL;
}

/* Upper case first, then letters and digits. */
static bool is_kind(const char *s)
{
	const size_t n = strlen(s);
	if (n == 0 || n > 63 || !isupper((unsigned char)s[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]))
			return false;
	return true;
}

/* v1, v1alpha1, v2beta3 */
static bool is_version(const char *s)
{
	const char *digits = "0123456789";
	if (s[0] != 'v' || s[1] < '1' || s[1] > '9')
		return false;
	s += 1 + strspn(s + 1, digits);
	if (*s == '\0')
		return true;
	const size_t word = str_has_prefix(s, "alpha") ? 5 : str_has_prefix(s, "beta") ? 4 : 0;
	return word > 0 && s[word] >= '1' && s[word] <= '9' && s[word + strspn(s + word, digits)] == '\0';
}

static bool is_group(const char *s)
{
	const size_t n = strlen(s);
	return n > 0 && n < 200 && islower((unsigned char)s[0]) && s[n - 1] != '.' && s[n - 1] != '-' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n && strstr(s, "..") == NULL;
}

/* "y" and "n", or a line typed at the question. */
static int yes_or_no(const char *text, bool *ret)
{
	static const char *const yes[] = {"y", "yes", "true"}, *const no[] = {"n", "no", "false"};
	for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
		if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
			*ret = strcasecmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return -EINVAL;
}

/* What the option says, or the answer to the question. */
static int decide(const char *option, const char *value, const char *question, bool *ret)
{
	if (value != NULL)
		return yes_or_no(value, ret) == 0 ? 0 : wrong(option, value, "is neither true nor false");
	char line[64];
	for (int tries = 0; tries < 3; tries++) {
		(void)printf("%s [y/n]\n", question);
		(void)fflush(stdout); /* a question that nobody sees is answered by the end of input */
		if (fgets(line, sizeof line, stdin) == NULL)
			break;
		line[strcspn(line, "\r\n")] = '\0';
		if (yes_or_no(line, ret) == 0)
			return 0;
	}
	(void)fprintf(stderr, "sluice create: '%s' was not answered with y or n; --%s=true|false answers it\n",
		      question, option);
	return -EINVAL;
}

/* "GCSFuseRuntime": "gcs_fuse_runtime" */
static void put_snake(const char *kind, char *out)
{
	size_t n = 0;
	for (size_t i = 0; kind[i] != '\0'; i++) {
		const bool upper = isupper((unsigned char)kind[i]);
		if (i > 0 && upper && (!isupper((unsigned char)kind[i - 1]) || islower((unsigned char)kind[i + 1])))
			out[n++] = '_';
		out[n++] = (char)tolower((unsigned char)kind[i]);
	}
	out[n] = '\0';
}

static int fill_names(struct create *c, const char *group)
{
	const size_t n = strlen(c->kind), suffix = strlen("Runtime");
	for (size_t i = 0; i <= n; i++)
		c->lower[i] = (char)tolower((unsigned char)c->kind[i]);
	put_snake(c->kind, c->snake);
	(void)snprintf(c->plural, sizeof c->plural, "%ss", c->lower); /* at most 64 characters */
	(void)snprintf(c->group, sizeof c->group, "%s%s", group, strchr(group, '.') != NULL ? "" : DOMAIN);
	(void)str_copy(c->name, sizeof c->name, c->lower);
	if (n > suffix && str_has_suffix(c->kind, "Runtime"))
		c->name[n - suffix] = '\0';
	else if (c->controller)
		return wrong("kind", c->kind, "must end in Runtime to have a Runtime's controller, like FooRuntime");
	return 0;
}

static int check_combination(const struct create *c)
{
	if (c->controller && !c->namespaced) {
		(void)fputs(
			"sluice create: a Runtime lives in the namespace of its Dataset, so a cluster-scoped kind has no "
			"Runtime's controller: --namespaced=true, or --controller=false\n",
			stderr);
		return -EINVAL;
	}
	if (c->plugin != NULL && !(c->resource && c->controller)) {
		(void)fputs(
			"sluice create: a plug-in project has a kind and its controller: --resource=true --controller=true\n",
			stderr);
		return -EINVAL;
	}
	return 0;
}

static int create_run(int argc, char **argv)
{
	struct create c = {0};
	const char *group = "data", *version = "v1alpha1", *kind = NULL, *namespaced = "true", *resource = NULL,
		   *controller = NULL;
	const struct option_spec specs[] = {
		{"group", OPT_STRING, &group},       {"version", OPT_STRING, &version},
		{"kind", OPT_STRING, &kind},         {"namespaced", OPT_STRING, &namespaced},
		{"resource", OPT_STRING, &resource}, {"controller", OPT_STRING, &controller},
		{"plugin", OPT_STRING, &c.plugin},   {0},
	};
	int words = 0;
	const int rc = options_parse(&cmd_create, argc, argv, specs, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	if (words != 1 || strcmp(argv[1], "api") != 0 || kind == NULL) {
		(void)fprintf(stderr, "sluice create: %s; 'sluice help create' says how it is used\n",
			      kind == NULL && words == 1 ? "--kind is missing" : "what to create is 'api'");
		return 2;
	}
	if (!is_kind(kind))
		return wrong("kind", kind, "must be letters and digits, the first in upper case, like FooRuntime"), 2;
	if (!is_version(version))
		return wrong("version", version, "is no version, like v1alpha1"), 2;
	if (!is_group(group))
		return wrong("group", group, "is no group, like data"), 2;
	if (yes_or_no(namespaced, &c.namespaced) < 0)
		return wrong("namespaced", namespaced, "is neither true nor false"), 2;
	c.kind = kind;
	c.version = version;
	struct error err = {0};
	if (create_check_place(&c, &err) < 0) {
		(void)fprintf(stderr, "sluice create: %s\n", err.msg);
		return 1;
	}
	if (decide("resource", resource, "Create Resource", &c.resource) < 0 ||
	    decide("controller", controller, "Create Controller", &c.controller) < 0 || check_combination(&c) < 0 ||
	    fill_names(&c, group) < 0)
		return 2;
	if (!c.resource && !c.controller) {
		(void)puts("nothing to create");
		return 0;
	}
	if (create_write(&c, &err) < 0) {
		(void)fprintf(stderr, "sluice create: %s\n", err.msg);
		return 1;
	}
	return 0;
}

const struct command cmd_create = {
	.name = "create",
	.summary = "Begin a new Runtime: its kind, engine, objects, tests and page",
	.usage =
		"Usage: sluice create api --kind KIND [OPTION...]\n\n"
		"Writes the beginning of a new kind and its runtime into this source tree, or into a project of its own. What it "
		"writes\n"
		"compiles, and binds a Dataset to an empty mount; docs/add-a-runtime.md goes on from there. Nothing is "
		"overwritten.\n\n"
		"  --kind KIND              its name, like FooRuntime\n"
		"  --group GROUP            its API group; without a dot below fluid.io (default data)\n"
		"  --version VERSION        its API version (default v1alpha1)\n"
		"  --namespaced true|false  whether its objects live in namespaces (default true)\n"
		"  --resource true|false    write the kind; asked when not given\n"
		"  --controller true|false  write the controller and its engine; asked when not given\n"
		"  --plugin DIR             make a stand-alone project there, which builds sluice-runtime-NAME.so\n",
	.run = create_run,
};
