/* Each allocation of the foundations fails once: nothing leaks, nothing is half done, the error says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/base64.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/process.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "fault.h"

static void buffers(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		struct strbuf b = STRBUF_INIT(1 << 20);
		for (int i = 0; i < 1000; i++)
			strbuf_addf(&b, "%d", i);
		char *text = NULL;
		const int rc = strbuf_take(&b, &text);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		free(text);
	}
}

static void maps(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		struct map *m = map_new(free);
		size_t in = 0;
		for (int i = 0; m != NULL && i < 100; i++) {
			char key[16];
			(void)snprintf(key, sizeof key, "%d", i);
			char *value = strdup(key);
			if (value != NULL && map_set(m, key, value) == 0)
				in++;
			else
				free(value);
		}
		FAULT_END;
		assert_true(fault_hit() || in == 100);
		assert_int_equal(m != NULL ? map_size(m) : in, in);
		for (int i = 0; m != NULL && i < 100; i++) { /* what is there is whole */
			char key[16];
			(void)snprintf(key, sizeof key, "%d", i);
			if (map_has(m, key))
				assert_string_equal(map_get(m, key), key);
		}
		map_free(m);
	}
}

static void arenas(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		struct arena a = ARENA_INIT(1 << 20);
		size_t got = 0;
		for (int i = 0; i < 100; i++)
			got += arena_printf(&a, "%0500d", i) != NULL;
		FAULT_END;
		assert_true(got == 100 || fault_hit());
		arena_free(&a);
	}
}

static void files(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		char *text = NULL;
		struct error e = {0};
		const int rc = file_read("/proc/self/maps", 1 << 20, &text, NULL, &e);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		if (rc < 0)
			assert_string_equal(e.msg, "read '/proc/self/maps': out of memory");
		free(text);
	}
}

static void processes(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		struct process_result r = {0};
		const int rc = process_run((const char *const[]){"echo", "hello", NULL}, "in", 2, 1000,
					   INT64_C(10000000000), &r, NULL);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		process_result_clear(&r);
	}
}

static void logs_and_metrics(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		struct logger *lg = log_with(NULL, "k", "v");
		struct metrics *r = metrics_new();
		static const char *const labels[] = {"a", NULL};
		series_add(metric_series(metrics_counter(r, "c", "C.", labels), (const char *const[]){"x"}), 1);
		FAULT_END;
		assert_true((lg != NULL && r != NULL) || fault_hit());
		log_free(lg);
		metrics_free(r);
	}
}

static void encodings(void **state)
{
	(void)state;
	FAULT_LOOP
	{
		char *text = base64_encode("\0\xff!", 3), *back = NULL;
		size_t n = 0;
		const int rc = text != NULL ? base64_decode(text, &back, &n) : -ENOMEM;
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : 0);
		assert_true(rc == 0 ? n == 3 && memcmp(back, "\0\xff!", 4) == 0 : back == NULL);
		free(text);
		free(back);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buffers),   cmocka_unit_test(maps),      cmocka_unit_test(arenas),
		cmocka_unit_test(files),     cmocka_unit_test(processes), cmocka_unit_test(logs_and_metrics),
		cmocka_unit_test(encodings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
