#include "kit/kit.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "kit/cases.h"
#include "runtime/objects.h"
#include "json/json.h"
#include "json/yaml.h"

extern const struct skeleton kit_scripts[]; /* test/kit/<engine>.yaml */

const char *kit_script_of(const char *engine)
{
	const size_t n = strlen(engine);
	for (const struct skeleton *s = kit_scripts; s->name != NULL; s++)
		if (strncmp(s->name, engine, n) == 0 && strcmp(s->name + n, ".yaml") == 0)
			return s->text;
	return NULL;
}

int kit_script_parse(const char *text, size_t n, json_t **ret, struct error *err)
{
	static const char *const known[] = {"dataset", "runtime", "mounts", "changes", "ports", "refused", "answers"};
	JSON_AUTO docs = NULL;
	int rc = yaml_parse(text, n, &docs, err);
	if (rc < 0)
		return rc;
	json_t *script = json_array_get(docs, 0), *v;
	const char *key;
	if (json_array_size(docs) != 1 || !json_is_object(json_object_get(script, "dataset")) ||
	    !json_is_object(json_object_get(script, "runtime")))
		return error_set(err, -EINVAL,
				 "a script is one document with 'dataset' and 'runtime', the specs to be tried");
	json_object_foreach (script, key, v) {
		bool found = false;
		for (size_t i = 0; i < ARRAY_LEN(known); i++)
			found = found || strcmp(known[i], key) == 0;
		if (!found)
			return error_set(
				err, -EINVAL,
				"'%s' is not known; known are dataset, runtime, mounts, changes, ports, refused, answers",
				key);
	}
	const int64_t ports = json_int(script, "ports", 1);
	if (ports < 1 || ports > ENGINE_MAX_PORTS)
		return error_set(err, -EINVAL, "'ports' must be from 1 to %d", ENGINE_MAX_PORTS);
	*ret = json_incref(script);
	return 0;
}

int kit_run(const struct kit_options *o, json_t **ret, struct error *err)
{
	JSON_AUTO results = json_array();
	int kept = logs_keep(err);
	if (kept < 0)
		return error_wrap(err, kept, "kit");
	for (const struct kit_case *c = kit_cases; c->name != NULL; c++) {
		if (o->only != NULL && strstr(c->name, o->only) == NULL)
			continue;
		char why[KIT_WHY] = "";
		const int rc = c->run(o, why, err);
		logs_end(o->logs);
		if (rc < 0)
			return error_wrap(err, rc, "case '%s'", c->name);
		json_t *held = rc == KIT_NOT_APPLICABLE ? json_null() : json_boolean(rc == KIT_HELD);
		if (json_array_append_new(results,
					  json_pack("{s:s,s:o,s:s}", "case", c->name, "held", held, "detail", why)) < 0)
			return error_set(err, -ENOMEM, "kit: out of memory");
		if (o->told != NULL)
			o->told(json_array_get(results, json_array_size(results) - 1));
	}
	*ret = TAKE(results);
	return 0;
}
