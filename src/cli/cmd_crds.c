/* The definitions of our kinds, for a cluster or for reading. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/kind.h"
#include "base/cleanup.h"
#include "base/strbuf.h"
#include "cli/command.h"
#include "cli/print.h"
#include "json/json.h"

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

static bool print_definition(const struct kind *k, enum print_format format, bool first)
{
	JSON_AUTO crd = kind_to_crd(k);
	return print_object(crd, format, first);
}

static bool print_page(const struct kind *k, bool first)
{
	struct strbuf page = STRBUF_INIT(1u << 20);
	const bool done = kind_to_markdown(k, &page) == 0 && printf("%s%s", first ? "" : "\n", page.p) >= 0;
	strbuf_clear(&page);
	return done;
}

static int print_kinds(const char *name, enum print_format format)
{
	bool found = false;
	for (const struct kind *const *k = sluice_kinds; *k != NULL; k++) {
		if (name != NULL && !is_named(*k, name))
			continue;
		if (!(format == PRINT_MARKDOWN ? print_page(*k, !found) : print_definition(*k, format, !found))) {
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
	const int format = print_format_find(output, PRINT_MARKDOWN + 1);
	if (format < 0 || words > 1) {
		(void)fprintf(stderr, "sluice crds: %s; see sluice help crds\n",
			      words > 1 ? "one kind at most can be named" : "-o takes yaml, json or markdown");
		return 2;
	}
	return print_kinds(words == 1 ? argv[1] : NULL, (enum print_format)format);
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
