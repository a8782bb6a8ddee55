#include "cli/create.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "runtime/objects.h"
#include "sluice/engine.h"

#define MAX_TEXT (256u << 10)
#define MARK     "+scaffold:"

extern const struct skeleton scaffold_templates[];

enum when { RESOURCE = 1, CONTROLLER = 2, PROJECT = 4 };

/* What is written where. */
static const struct {
	const char *template, *in_tree, *in_project; /* NULL: not there */
	enum when when;
	bool remade; /* needs no change by hand */
} files[] = {
	{"kind.h.in", "src/api/@snake@.h", "src/@snake@.h", RESOURCE, false},
	{"kind.c.in", "src/api/@snake@.c", "src/@snake@.c", RESOURCE, false},
	{"doc.md.in", "docs/@name@.md", "docs/@name@.md", RESOURCE, false},
	{"engine.c.in", "src/engines/@name@/engine.c", "src/engine.c", CONTROLLER, false},
	{"worker.yaml.in", "manifests/@name@/worker.yaml", "manifests/@name@/worker.yaml", CONTROLLER, false},
	{"fuse.yaml.in", "manifests/@name@/fuse.yaml", "manifests/@name@/fuse.yaml", CONTROLLER, false},
	{"kit.yaml.in", "test/kit/@name@.yaml", "kit.yaml", CONTROLLER, false},
	{"example.yaml.in", "examples/dataset-@name@.yaml", "example.yaml", CONTROLLER, false},
	{"README.md.in", NULL, "README.md", PROJECT, false},
	{"meson.build.in", NULL, "meson.build", PROJECT, false},
	{"plugin.c.in", NULL, "src/plugin.c", PROJECT, true},
	{"registry.h.in", NULL, "src/registry.h", PROJECT, true},
	{"embed.py", NULL, "embed.py", PROJECT, true},
};

/* Lines that go into lists of the source tree, above the line that holds MARK and the mark. */
static const struct {
	const char *path, *mark, *line;
	enum when when;
} inserts[] = {
	{"src/api/meson.build", "kinds", "  '@snake@.c',", RESOURCE},
	{"src/api/kinds.c", "headers", "#include \"api/@snake@.h\"", RESOURCE},
	{"src/api/kinds.c", "kinds", "\t&@snake@_kind,", RESOURCE},
	{"src/engines/meson.build", "engines", "  '@name@/engine.c',", CONTROLLER},
	{"src/engines/engines.h", "controllers", "extern const struct runtime_controller @snake@_controller;",
	 CONTROLLER},
	{"src/engines/engines.c", "controllers", "\t&@snake@_controller,", CONTROLLER},
	{"src/runtime/meson.build", "manifests",
	 "  '../../manifests/@name@/fuse.yaml',\n  '../../manifests/@name@/worker.yaml',", CONTROLLER},
	{"src/kit/meson.build", "scripts", "  '../../test/kit/@name@.yaml',", CONTROLLER},
	{"test/kit/meson.build", "engines", "  '@name@',", CONTROLLER},
};

int create_check_place(const struct create *c, struct error *err)
{
	if (c->plugin != NULL || (file_exists("include/sluice/engine.h") && file_exists("src/api/kinds.c")))
		return 0;
	return error_set(
		err, -ENOENT,
		"this is no source tree of Sluice; go to the top of one, or add --plugin DIR to make a stand-alone "
		"project, built against the installed headers");
}

/* --- text ----------------------------------------------------------------------------------------------------------------------- */

#define WITH_DEFAULT_(X, method, ...) #method,
#define WITHOUT_(X, method, ...)
static const char *const methods[] = {ENGINE_METHODS(WITH_DEFAULT_, WITHOUT_, )};

/* A line for each method that the engine's template does not implement. */
static void add_defaults(struct strbuf *out, const struct create *c, const char *template)
{
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		CLEANUP(free_p) char *own = str_printf("int @name@_%s(", methods[i]);
		if (own == NULL || strstr(template, own) == NULL)
			strbuf_addf(out, "ENGINE_DEFAULT(%s, %s);\n", c->name, methods[i]);
	}
}

static int expand(const struct create *c, const char *text, char **ret)
{
	const bool tree = c->plugin == NULL;
	CLEANUP(free_p) char *kind_include = str_printf("%s%s.h", tree ? "api/" : "", c->snake);
	CLEANUP(free_p) char *example = tree ? str_printf("examples/dataset-%s.yaml", c->name) : strdup("example.yaml");
	const struct {
		const char *key, *value;
	} words[] = {{"Kind", c->kind},
		     {"kind", c->lower},
		     {"snake", c->snake},
		     {"plural", c->plural},
		     {"group", c->group},
		     {"version", c->version},
		     {"name", c->name},
		     {"namespaced", c->namespaced ? "true" : "false"},
		     {"kind_include", kind_include},
		     {"registry_include", tree ? "engines/engines.h" : "registry.h"},
		     {"example", example}};
	struct strbuf out = STRBUF_INIT(MAX_TEXT);
	if (kind_include == NULL || example == NULL)
		return -ENOMEM;
	for (const char *p = text; *p != '\0';) {
		const char *end = *p == '@' ? strchr(p + 1, '@') : NULL;
		bool found = false;
		for (size_t i = 0; i < ARRAY_LEN(words) && end != NULL && !found; i++) {
			found = str_eq((struct str){p + 1, (size_t)(end - p - 1)}, words[i].key);
			if (found)
				strbuf_addf(&out, "%s", words[i].value);
		}
		if (!found && end != NULL && str_eq((struct str){p + 1, (size_t)(end - p - 1)}, "defaults")) {
			add_defaults(&out, c, text);
			found = true;
		}
		if (!found)
			strbuf_addf(&out, "%c", *p);
		p = found ? end + 1 : p + 1;
	}
	return strbuf_take(&out, ret);
}

static const char *template_text(const char *name)
{
	for (const struct skeleton *s = scaffold_templates; s->name != NULL; s++)
		if (strcmp(s->name, name) == 0)
			return s->text;
	return NULL;
}

/* --- files ---------------------------------------------------------------------------------------------------------------------- */

/* Where file @i goes: malloc'ed; *@ret is NULL when it is not wanted. */
static int place(const struct create *c, size_t i, char **ret)
{
	const unsigned want =
		(c->resource ? RESOURCE : 0u) | (c->controller ? CONTROLLER : 0u) | (c->plugin != NULL ? PROJECT : 0u);
	const char *path = c->plugin != NULL ? files[i].in_project : files[i].in_tree;
	*ret = NULL;
	if (path == NULL || (files[i].when & want) == 0)
		return 0;
	CLEANUP(free_p) char *below = NULL;
	int rc = expand(c, path, &below);
	if (rc == 0)
		*ret = c->plugin != NULL ? str_printf("%s/%s", c->plugin, below) : TAKE(below);
	return rc < 0 || *ret == NULL ? -ENOMEM : 0;
}

static int check_free(const struct create *c, struct error *err)
{
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		CLEANUP(free_p) char *path = NULL;
		if (place(c, i, &path) < 0)
			return error_set(err, -ENOMEM, "out of memory");
		if (path != NULL && file_exists(path))
			return error_set(err, -EEXIST,
					 "'%s' is there already: nothing was written; remove it or choose another "
					 "--kind",
					 path);
	}
	CLEANUP(free_p) char *kind = str_printf("src/api/%s.h", c->snake);
	if (!c->resource && kind != NULL && !file_exists(kind))
		return error_set(err, -ENOENT, "there is no kind %s here ('%s'): --resource=true writes it too",
				 c->kind, kind);
	return 0;
}

static int write_file(const char *path, const char *text, struct error *err)
{
	CLEANUP(free_p) char *dir = strdup(path);
	char *slash = dir != NULL ? strrchr(dir, '/') : NULL;
	if (dir == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	if (slash != NULL) {
		*slash = '\0';
		int rc = file_mkdir_all(dir, 0755, err);
		if (rc < 0)
			return rc;
	}
	return file_write_atomic(path, 0644, text, strlen(text), err);
}

static int write_one(const struct create *c, size_t i, struct error *err)
{
	CLEANUP(free_p) char *path = NULL;
	CLEANUP(free_p) char *text = NULL;
	const char *template = template_text(files[i].template);
	if (place(c, i, &path) < 0 || (path != NULL && (template == NULL || expand(c, template, &text) < 0)))
		return error_set(err, -ENOMEM, "out of memory");
	if (path == NULL)
		return 0;
	int rc = write_file(path, text, err);
	if (rc == 0)
		(void)printf("  %-44s %s\n", path, files[i].remade ? "needs no change" : "yours");
	return rc;
}

/* Put the line above the one with the mark, unless it is there. */
static int insert_one(const struct create *c, size_t i, struct error *err)
{
	CLEANUP(free_p) char *line = NULL;
	CLEANUP(free_p) char *mark = str_printf(MARK "%s", inserts[i].mark);
	CLEANUP(free_p) char *text = NULL;
	if (mark == NULL || expand(c, inserts[i].line, &line) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = file_read(inserts[i].path, MAX_TEXT, &text, NULL, err);
	if (rc < 0)
		return rc;
	if (strstr(text, line) != NULL)
		return 0;
	char *at = strstr(text, mark);
	if (at == NULL)
		return error_set(err, -ENOENT, "'%s' has no line with '%s'; add this by hand: %s", inserts[i].path,
				 mark, line);
	while (at > text && at[-1] != '\n')
		at--;
	struct strbuf out = STRBUF_INIT(MAX_TEXT);
	strbuf_addf(&out, "%.*s%s\n%s", (int)(at - text), text, line, at);
	CLEANUP(free_p) char *changed = NULL;
	if (strbuf_take(&out, &changed) < 0)
		return error_set(err, -ENOMEM, "out of memory");
	rc = file_write_atomic(inserts[i].path, 0644, changed, strlen(changed), err);
	if (rc == 0)
		(void)printf("  %-44s one line added\n", inserts[i].path);
	return rc;
}

static void say_next(const struct create *c)
{
	if (c->plugin != NULL)
		(void)printf(
			"\nnext:\n"
			"  cd %s\n"
			"  meson setup build && ninja -C build    (PKG_CONFIG_PATH where sluice.pc is, if it is not found)\n"
			"  meson test -C build                    the conformance kit\n"
			"then put your cache system into manifests/%s and src/engine.c; docs/add-a-runtime.md goes on from here\n",
			c->plugin, c->name);
	else if (c->controller)
		(void)printf(
			"\nnext:\n"
			"  ninja -C build && build/sluice engine-test %s\n"
			"  build/sluice crds %s -o markdown >docs/reference/%s.md\n"
			"  build/sluice manifests rbac >test/e2e/golden/manifests-rbac.yaml\n"
			"then put your cache system into manifests/%s and src/engines/%s/engine.c; docs/add-a-runtime.md goes on "
			"from here\n",
			c->name, c->kind, c->lower, c->name, c->name);
	else
		(void)printf("\nnext:\n"
			     "  describe the fields in src/api/%s.c and .h; ninja -C build && build/sluice crds %s\n"
			     "  build/sluice crds %s -o markdown >docs/reference/%s.md\n",
			     c->snake, c->kind, c->kind, c->lower);
}

int create_write(const struct create *c, struct error *err)
{
	int rc = check_free(c, err);
	if (rc == 0)
		(void)printf("%s %s/%s:\n", c->kind, c->group, c->version);
	for (size_t i = 0; i < ARRAY_LEN(files) && rc == 0; i++)
		rc = write_one(c, i, err);
	const unsigned want = (c->resource ? RESOURCE : 0u) | (c->controller ? CONTROLLER : 0u);
	for (size_t i = 0; i < ARRAY_LEN(inserts) && rc == 0 && c->plugin == NULL; i++)
		if (inserts[i].when & want)
			rc = insert_one(c, i, err);
	if (rc == 0)
		say_next(c);
	return rc;
}
