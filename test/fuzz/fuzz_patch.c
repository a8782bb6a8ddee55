/*
 * Patches and apply. The input is three lines: which ("json", "merge", "strategic", "apply", "track"), the document, the patch.
 * No input may change, a merge diff must do what it says, and applying twice must be the same as once.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json/apply.h"
#include "json/json.h"
#include "json/patch.h"

#include "../unit/json/shapes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct shape root;

static int run(const char *which, size_t n, const json_t *doc, const json_t *patch, json_t **ret)
{
	struct apply_options o = {.manager = "a",
				  .api_version = "v1",
				  .subresource = "",
				  .force = true,
				  .root = &root,
				  .ops = &test_shape_ops};
	root = shape_of(&t_root);
	if (n == 4 && memcmp(which, "json", 4) == 0)
		return json_patch_apply(doc, patch, ret, NULL);
	if (n == 5 && memcmp(which, "merge", 5) == 0)
		return json_merge_patch(doc, patch, ret, NULL);
	if (n == 9 && memcmp(which, "strategic", 9) == 0)
		return json_strategic_merge(doc, patch, &root, &test_shape_ops, ret, NULL);
	if (!json_is_object(doc))
		return -1;
	if (n == 5 && memcmp(which, "track", 5) == 0)
		return json_is_object(patch) ? apply_track_update(doc, patch, &o, ret, NULL) : -1;
	const int rc = apply_merge(doc, patch, &o, ret, NULL, NULL);
	if (rc == 0) {
		JSON_AUTO again = NULL;
		if (apply_merge(*ret, patch, &o, &again, NULL, NULL) < 0)
			abort();
		if (!json_same(*ret, again))
			abort();
	}
	return rc;
}

static bool has_null(const json_t *j)
{
	const char *key;
	size_t i;
	json_t *v;
	json_object_foreach ((json_t *)j, key, v)
		if (has_null(v))
			return true;
	json_array_foreach (j, i, v)
		if (has_null(v))
			return true;
	return json_is_null(j);
}

static void check_diff(const json_t *from, const json_t *to)
{
	JSON_AUTO diff = NULL;
	JSON_AUTO back = NULL;
	if (json_merge_diff(from, to, &diff, NULL) < 0)
		abort();
	if (has_null(to)) /* a merge patch cannot say that */
		return;
	if (json_merge_patch(from, diff, &back, NULL) < 0 || !json_same(back, to))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *which = (const char *)data, *end = which + n;
	const char *line2 = memchr(which, '\n', n);
	const char *line3 = line2 != NULL ? memchr(line2 + 1, '\n', (size_t)(end - line2 - 1)) : NULL;
	JSON_AUTO doc = NULL;
	JSON_AUTO patch = NULL;
	if (line3 == NULL || json_parse(line2 + 1, (size_t)(line3 - line2 - 1), &doc, NULL) < 0 ||
	    json_parse(line3 + 1, (size_t)(end - line3 - 1), &patch, NULL) < 0)
		return 0;
	JSON_AUTO doc_before = json_deep_copy(doc);
	JSON_AUTO patch_before = json_deep_copy(patch);
	JSON_AUTO out = NULL;
	if (run(which, (size_t)(line2 - which), doc, patch, &out) == 0 && out == NULL)
		abort();
	if (!json_same(doc, doc_before) || !json_same(patch, patch_before))
		abort();
	check_diff(doc, patch);
	return 0;
}
