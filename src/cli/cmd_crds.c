/* The definitions of our kinds, for a cluster or for reading. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/kind.h"
#include "base/cleanup.h"
#include "base/strbuf.h"
#include "cli/command.h"
#include "json/json.h"
#include "json/yaml.h"

enum format { FORMAT_YAML, FORMAT_JSON, FORMAT_MARKDOWN };

static bool is_named(const struct kind *k, const char *name)
{
	if (strcasecmp(k->resource.kind, name) == 0 || strcmp(k->resource.plural, name) == 0 ||
	    strcmp(k->singular, name) == 0)
		return true;
	for (const char *const *s = k->short_names; s != NULL && *s != NULL; s++)
		if (strcmp(*s, name) == 0)
			return true;
	return false;
}

static int print_definition(const struct kind *k, enum format format, bool first)
{
	JSON_AUTO crd = kind_to_crd(k);
	CLEANUP(free_p)
	char *text = crd == NULL ? NULL : format == FORMAT_JSON ? json_to_text_indent(crd, 4) : yaml_to_text(crd);
	if (text == NULL)
		return -1;
	const size_t n = strlen(text);
	return printf("%s%s%s", format == FORMAT_YAML && !first ? "---\n" : "", text,
		      n > 0 && text[n - 1] == '\n' ? "" : "\n") < 0
		       ? -1
		       : 0;
}

static int print_page(const struct kind *k, bool first)
{
	struct strbuf page = STRBUF_INIT(1u << 20);
	int rc = kind_to_markdown(k, &page);
	if (rc == 0 && printf("%s%s", first ? "" : "\n", page.p) < 0)
		rc = -1;
	strbuf_clear(&page);
	return rc;
}

static int print_kinds(const char *name, enum format format)
{
	bool found = false;
	for (const struct kind *const *k = sluice_kinds; *k != NULL; k++) {
		if (name != NULL && !is_named(*k, name))
			continue;
		if ((format == FORMAT_MARKDOWN ? print_page(*k, !found) : print_definition(*k, format, !found)) != 0) {
			(void)fprintf(stderr, "sluice crds: cannot write %s: out of memory or output closed\n",
				      (*k)->resource.kind);
			return 1;
		}
		found = true;
	}
	if (found)
		return fflush(stdout) == 0 ? 0 : 1;
	(void)fprintf(stderr, "sluice crds: there is no kind '%s'; known are:", name);
	for (const struct kind *const *k = sluice_kinds; *k != NULL; k++)
		(void)fprintf(stderr, " %s", (*k)->resource.kind);
	(void)fputc('\n', stderr);
	return 2;
}

static int crds_run(int argc, char **argv)
{
	const char *output = "yaml";
	int words = 0;
	const struct option_spec specs[] = {{"o", OPT_STRING, &output}, {0}};
	const int rc = options_parse(&cmd_crds, argc, argv, specs, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	static const char *const names[] = {
		[FORMAT_YAML] = "yaml", [FORMAT_JSON] = "json", [FORMAT_MARKDOWN] = "markdown"};
	size_t format = 0;
	while (format < ARRAY_LEN(names) && strcmp(names[format], output) != 0)
		format++;
	if (format == ARRAY_LEN(names) || words > 1) {
		(void)fprintf(stderr, "sluice crds: %s; see sluice help crds\n",
			      words > 1 ? "one kind at most can be named" : "-o takes yaml, json or markdown");
		return 2;
	}
	return print_kinds(words == 1 ? argv[1] : NULL, (enum format)format);
}

const struct command cmd_crds = {
	.name = "crds",
	.summary = "Print the definitions (CRDs) of our kinds",
	.usage = "Usage: sluice crds [KIND] [-o yaml|json|markdown]\n"
		 "\n"
		 "Prints the CustomResourceDefinitions of all kinds of data.fluid.io, or of KIND alone,\n"
		 "for `kubectl apply -f -`. With -o markdown the reference page of each kind.\n",
	.run = crds_run,
};
