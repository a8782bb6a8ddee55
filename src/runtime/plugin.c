#include "runtime/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define PREFIX "sluice-runtime-"
#define SUFFIX ".so"

#define NOTE_MISSING_METHOD(X, method, ...)                                                                            \
	if (missing == NULL && ops->method == NULL)                                                                    \
		missing = #method;
#define NOTE_MISSING_STEP(X, step, ...)                                                                                \
	if (missing == NULL && steps->step == NULL)                                                                    \
		missing = #step;

static const char *ops_missing(const struct engine_ops *ops)
{
	const char *missing = ops->name == NULL     ? "name"
			      : ops->traits == NULL ? "traits"
			      : ops->build == NULL  ? "build"
			      : ops->free == NULL   ? "free"
						    : NULL;
	ENGINE_METHODS(NOTE_MISSING_METHOD, NOTE_MISSING_METHOD, )
	return missing;
}

static const char *steps_missing(const struct runtime_steps *steps)
{
	const char *missing = NULL;
	RUNTIME_STEPS(NOTE_MISSING_STEP, )
	return missing;
}

static const char *controller_member_missing(const struct runtime_controller *rt)
{
	const struct {
		const char *name;
		const void *value;
	} members[] = {{"resource", rt->resource},         {"name", rt->name},
		       {"finalizer", rt->finalizer},       {"category", rt->category},
		       {"runtime_type", rt->runtime_type}, {"default_engine", rt->default_engine},
		       {"engines", rt->engines},           {"kinds", rt->kinds},
		       {"permissions", rt->permissions},   {"steps", rt->steps}};
	for (size_t i = 0; i < ARRAY_LEN(members); i++)
		if (members[i].value == NULL)
			return members[i].name;
	return NULL;
}

const char *runtime_controller_missing(const struct runtime_controller *rt, char out[static 128])
{
	const char *what = controller_member_missing(rt);
	if (what != NULL) {
		(void)snprintf(out, 128, "controller.%s", what); /* names are short */
		return out;
	}
	if ((what = steps_missing(rt->steps)) != NULL) {
		(void)snprintf(out, 128, "controller.steps.%s", what);
		return out;
	}
	bool found = false;
	for (const struct engine_factory *f = rt->engines; f != NULL && f->name != NULL; f++) {
		found = found || strcmp(f->name, rt->default_engine) == 0;
		what = f->build == NULL ? "build" : f->ops != NULL ? ops_missing(f->ops) : NULL;
		if (what != NULL) {
			(void)snprintf(out, 128, "engine %.48s: %s", f->name, what);
			return out;
		}
	}
	if (found)
		return NULL;
	(void)snprintf(out, 128, "engine %.64s, the default", rt->default_engine);
	return out;
}

/* "sluice-runtime-foo.so" is the file of "foo". */
static bool is_named_after(const char *path, const char *name)
{
	const char *file = strrchr(path, '/');
	file = file != NULL ? file + 1 : path;
	const size_t n = strlen(name);
	return str_has_prefix(file, PREFIX) && strncmp(file + strlen(PREFIX), name, n) == 0 &&
	       strcmp(file + strlen(PREFIX) + n, SUFFIX) == 0;
}

static int check_engines_abi(const struct sluice_runtime_plugin *p, const char *path, struct error *err)
{
	for (const struct engine_factory *f = p->controller->engines; f->name != NULL; f++)
		if (f->ops != NULL && (f->ops->abi != SLUICE_ENGINE_ABI || f->ops->size != sizeof *f->ops))
			return error_set(
				err, -ENOEXEC,
				"runtime plug-in '%s': engine '%s' was built for contract %u (%u bytes), this is "
				"%u (%zu bytes); build it again",
				path, f->name, f->ops->abi, f->ops->size, SLUICE_ENGINE_ABI, sizeof *f->ops);
	return 0;
}

int runtime_plugin_check(const struct sluice_runtime_plugin *p, const char *path, struct error *err)
{
	if (p->abi != SLUICE_ENGINE_ABI)
		return error_set(err, -ENOEXEC,
				 "runtime plug-in '%s' was built for contract %u, this is %u; build it again with this "
				 "program's headers",
				 path, p->abi, SLUICE_ENGINE_ABI);
	if (p->size < sizeof *p || p->kind_size != sizeof *p->kind || p->controller_size != sizeof *p->controller)
		return error_set(
			err, -ENOEXEC,
			"runtime plug-in '%s' was built with other headers of contract %u; build it again with this "
			"program's",
			path, p->abi);
	if (p->name == NULL || p->kind == NULL || p->controller == NULL || p->kind->schema == NULL ||
	    p->kind->resource.kind == NULL)
		return error_set(err, -ENOEXEC, "runtime plug-in '%s' is incomplete: it has no %s", path,
				 p->name == NULL         ? "name"
				 : p->kind == NULL       ? "kind"
				 : p->controller == NULL ? "controller"
							 : "schema of its kind");
	if (!is_named_after(path, p->name))
		return error_set(err, -ENOEXEC,
				 "runtime plug-in '%s' calls itself '%s': its file must be named " PREFIX "%s" SUFFIX,
				 path, p->name, p->name);
	if (p->controller->engines != NULL) {
		int rc = check_engines_abi(p, path, err); /* before its members are looked at */
		if (rc < 0)
			return rc;
	}
	char text[128];
	const char *missing = runtime_controller_missing(p->controller, text);
	if (missing != NULL)
		return error_set(err, -ENOEXEC, "runtime plug-in '%s' is incomplete: it has no %s", path, missing);
	return 0;
}

int runtime_plugin_load(const char *path, const struct sluice_runtime_plugin **ret, struct error *err)
{
	CLEANUP(free_p) char *full = realpath(path, NULL); /* a name without a slash would be searched for elsewhere */
	if (full == NULL)
		return error_set(err, -errno, "runtime plug-in '%s': %s", path, strerror(errno));
	void *lib = dlopen(full, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (lib == NULL)
		return error_set(err, -ENOEXEC, "runtime plug-in: %s", dlerror());
	const struct sluice_runtime_plugin *p = dlsym(lib, SLUICE_RUNTIME_PLUGIN_SYMBOL);
	int rc = p != NULL ? runtime_plugin_check(p, path, err)
			   : error_set(err, -ENOEXEC,
				       "runtime plug-in '%s' exports no table '" SLUICE_RUNTIME_PLUGIN_SYMBOL
				       "'; SLUICE_RUNTIME_PLUGIN() of sluice/plugin.h makes it",
				       path);
	if (rc < 0)
		return rc; /* what was loaded stays: its code may have left threads and handlers behind */
	skeletons_use(p->skeletons);
	*ret = p;
	return 0;
}
