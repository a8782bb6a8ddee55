/* The conformance kit sees what is wrong: the engine rclone with one method broken, and the case that must not hold then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "api/kind.h"
#include "api/rclone_runtime.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/log.h"
#include "engines/engines.h"
#include "kit/kit.h"
#include "sluice/runtime.h"
#include "json/json.h"

static const struct engine_ops *whole; /* the engine as it is */

static int loud_validate(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	LOG(ctx->log, LOG_LVL_WARN, "a pass began");
	return whole->validate(e, ctx, err);
}

/* The volume is said to be gone, and is not. */
static int lying_delete_volume(struct engine *e, struct reconcile_ctx *ctx, struct error *err)
{
	(void)e, (void)ctx, (void)err;
	return 1;
}

/* Runs the cases whose name holds @only, of the engine with @ops; the detail of the one that did not hold, or "". Malloc'ed. */
static char *failing(const struct engine_ops *ops, const char *only)
{
	const struct engine_factory engines[] = {{.name = "rclone", .ops = ops, .build = engine_template_build},
						 {.name = NULL}};
	struct runtime_controller rt = rclone_runtime_controller;
	rt.engines = engines;
	const char *text = kit_script_of("rclone");
	JSON_AUTO script = NULL;
	JSON_AUTO results = NULL;
	struct error err = {0};
	assert_int_equal(kit_script_parse(text, strlen(text), &script, &err), 0);
	if (kit_run(&(struct kit_options){.controller = &rt,
					  .kind = &rclone_runtime_kind,
					  .script = script,
					  .only = only,
					  .logs = LOG_LVL_ERROR},
		    &results, &err) < 0)
		fail_msg("%s: %s", only, err.msg);
	assert_int_equal(json_array_size(results), 1);
	const json_t *r = json_array_get(results, 0);
	return strdup(json_is_false(json_object_get(r, "held")) ? json_str(r, "detail", "?") : "");
}

static void test_broken_engines(void **state)
{
	(void)state;
	whole = rclone_runtime_controller.engines[0].ops;
	struct engine_ops loud = *whole, lying = *whole;
	loud.validate = loud_validate;
	lying.delete_volume = lying_delete_volume;
	const struct {
		const struct engine_ops *ops;
		const char *only, *words; /* words of the detail; NULL: the case holds */
	} cases[] = {
		{whole, "logs", NULL},
		{&loud, "logs", "logged as warn: a pass began"},
		{&lying, "deletion at any time", "there is still Persistent"},
		{&lying, "a crash at every write of the end", "there is still Persistent"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		CLEANUP(free_p) char *detail = failing(cases[i].ops, cases[i].only);
		if (cases[i].words == NULL ? *detail != '\0' : strstr(detail, cases[i].words) == NULL)
			fail_msg("%s: '%s'", cases[i].only, detail);
	}
}

static void test_ports(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
	} cases[] = {{"dataset: {}\nruntime: {}\nports: 16\n", true},
		     {"dataset: {}\nruntime: {}\nports: 17\n", false},
		     {"dataset: {}\nruntime: {}\nports: 0\n", false}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		JSON_AUTO script = NULL;
		struct error err = {0};
		int rc = kit_script_parse(cases[i].text, strlen(cases[i].text), &script, &err);
		if (rc != (cases[i].good ? 0 : -EINVAL))
			fail_msg("%s: %d %s", cases[i].text, rc, err.msg);
		if (rc < 0)
			assert_string_equal(err.msg, "'ports' must be from 1 to 16");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ports), cmocka_unit_test(test_broken_engines)};
	return cmocka_run_group_tests_name("kit/kit", tests, NULL, NULL);
}
