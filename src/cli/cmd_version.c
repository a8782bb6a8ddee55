#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "json/json.h"

static int version_run(int argc, char **argv)
{
	const char *output = NULL;
	int words = 0;
	const struct option_spec specs[] = {{"o", OPT_STRING, &output}, {0}};
	const int rc = options_parse(&cmd_version, argc, argv, specs, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	if (output == NULL) {
		(void)puts("sluice " SLUICE_VERSION);
		return 0;
	}
	if (strcmp(output, "json") != 0) {
		(void)fprintf(stderr, "sluice version: -o %s: only json is known here\n", output);
		return 2;
	}
	JSON_AUTO v = json_pack("{s:s}", "version", SLUICE_VERSION);
	CLEANUP(free_p) char *text = v == NULL ? NULL : json_to_text(v, NULL);
	if (text == NULL)
		return 1;
	(void)puts(text);
	return 0;
}

const struct command cmd_version = {
	.name = "version",
	.summary = "Print the version",
	.usage = "Usage: sluice version [-o json]\n\nPrints the version of this program.\n",
	.run = version_run,
};
