/* What is run in a master: which commands, in which order, and what becomes of their answers; what the status tells of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/strbuf.h"
#include "engines/alluxio/alluxio.h"
#include "engines/engines.h"
#include "json/json.h"

/* An Alluxio that answers each command with what the script says, and remembers them. */
struct script {
	const char *const (*answers)[2]; /* {command, what it prints}; a leading "!" is an exit status of 255 */
	size_t n;
	char said[1024];
};

static int fake_exec(void *ctx, const struct engine_question *q, const struct engine_exec *x, struct engine_output *ret,
		     struct error *err)
{
	struct script *s = ctx;
	struct strbuf words = STRBUF_INIT(512);
	(void)q, (void)err;
	assert_string_equal(x->container, "alluxio-master");
	assert_string_equal(x->pod, "demo-master-0");
	for (const char *const *w = x->argv; *w != NULL; w++)
		strbuf_addf(&words, "%s%s", w == x->argv ? "" : " ", *w);
	(void)strncat(s->said, words.p, sizeof s->said - strlen(s->said) - 2);
	(void)strncat(s->said, "\n", 2);
	const char *out = "";
	for (size_t i = 0; i < s->n; i++)
		if (strcmp(s->answers[i][0], words.p) == 0)
			out = s->answers[i][1];
	*ret = (struct engine_output){
		.status = *out == '!' ? 255 : 0, .out = strdup(out + (*out == '!')), .err = strdup("")};
	ret->out_n = strlen(ret->out);
	strbuf_clear(&words);
	return 0;
}

typedef int run_fn(const struct engine_question *q, const json_t *args, json_t **ret, struct error *err);

/* Run @fn against @answers; what it ran is compared with @want. */
static int run(run_fn *fn, const char *const (*answers)[2], size_t n, const char *args, const char *want, json_t **ret,
	       struct error *err)
{
	struct script s = {.answers = answers, .n = n};
	const struct engine_api api = {.exec = fake_exec, .ctx = &s};
	const struct engine_question q = {
		.api = &api, .ns = "default", .name = "demo", .deadline_mono_ns = clock_mono_ns() + NSEC_PER_SEC};
	JSON_AUTO j = json_loads(args, 0, NULL);
	assert_non_null(j);
	int rc = fn(&q, j, ret, err);
	assert_string_equal(s.said, want);
	return rc;
}

#define POD  "{\"pod\":\"demo-master-0\""
#define ROOT "/underFSStorage  on  /  (local, capacity=1GB, used=0B(0%), not read-only, not shared, properties={})\n"
#define LIST "alluxio fs mount"
#define A_B                                                                                                            \
	",\"mounts\":[{\"path\":\"/a\",\"source\":\"s3://a/\",\"readOnly\":true,\"shared\":true,"                      \
	"\"options\":{\"k\":\"v w\",\"x\":\"$(id)\"}},{\"path\":\"/b\",\"source\":\"hdfs://n/b\",\"options\":{}}]"

static void test_mounts_what_is_missing(void **state)
{
	(void)state;
	static const char *const answers[][2] = {{LIST, ROOT "s3://old  on  /old  (s3)\nhdfs://n/b  on  /b  (hdfs)\n"}};
	struct error err = {0};
	assert_int_equal(run(alluxio_run_mount, answers, 1, POD A_B "}",
			     LIST "\nalluxio fs unmount /old\n"
				  "alluxio fs mount --readonly --shared --option k=v w --option x=$(id) /a s3://a/\n",
			     NULL, &err),
			 0);
}

static void test_what_is_mounted_stays(void **state)
{
	(void)state;
	static const char *const answers[][2] = {{LIST, ROOT "s3://a  on  /a  (s3)\nhdfs://n/b  on  /b  (hdfs)\n"}};
	struct error err = {0};
	assert_int_equal(run(alluxio_run_mount, answers, 1, POD A_B "}", LIST "\n", NULL, &err), 0);
}

static void test_what_changed_is_mounted_anew(void **state)
{
	(void)state;
	static const char *const answers[][2] = {{LIST, ROOT "s3://a  on  /a  (s3)\nhdfs://other  on  /b  (hdfs)\n"}};
	struct error err = {0};
	assert_int_equal(run(alluxio_run_mount, answers, 1, POD A_B ",\"renew\":[\"/a\"]}",
			     LIST "\nalluxio fs unmount /a\nalluxio fs unmount /b\n"
				  "alluxio fs mount --readonly --shared --option k=v w --option x=$(id) /a s3://a/\n"
				  "alluxio fs mount /b hdfs://n/b\n",
			     NULL, &err),
			 0);
}

/* One below another goes first. */
static void test_unmounts_from_below(void **state)
{
	(void)state;
	static const char *const answers[][2] = {
		{LIST, ROOT "s3://a  on  /a  (s3)\ns3://c  on  /a/b/c  (s3)\ns3://b  on  /a/b  (s3)\n"}};
	struct error err = {0};
	assert_int_equal(run(alluxio_run_mount, answers, 1, POD ",\"mounts\":[]}",
			     LIST "\nalluxio fs unmount /a/b/c\nalluxio fs unmount /a/b\nalluxio fs unmount /a\n", NULL,
			     &err),
			 0);
}

static void test_failures_say_what_alluxio_said(void **state)
{
	(void)state;
	static const char *const answers[][2] = {{LIST, ROOT},
						 {"alluxio fs mount /b s3://b", "!\nno such bucket\nat x"}};
	struct error err = {0};
	assert_true(run(alluxio_run_mount, answers, 2,
			POD ",\"mounts\":[{\"path\":\"/b\",\"source\":\"s3://b\",\"options\":{}}]}",
			LIST "\nalluxio fs mount /b s3://b\n", NULL, &err) < 0);
	assert_string_equal(err.msg, "mount /b: alluxio fs mount ended with 255: no such bucket");
	static const char *const cut[][2] = {{LIST, "s3://a  on"}};
	assert_int_equal(run(alluxio_run_mount, cut, 1, POD ",\"mounts\":[]}", LIST "\n", NULL, &err), -EINVAL);
}

static void test_metadata(void **state)
{
	(void)state;
	static const char *const answers[][2] = {
		{"alluxio fs count /", "File Count   Folder Count   Folder Size\n4   3   8145748\n"}};
	struct error err = {0};
	JSON_AUTO got = NULL;
	assert_int_equal(run(alluxio_run_metadata, answers, 1, POD "}",
			     "alluxio fs loadMetadata -R /\nalluxio fs count /\n", &got, &err),
			 0);
	assert_int_equal(json_int(got, "files", -1), 4);
	assert_int_equal(json_int(got, "bytes", -1), 8145748);
}

/* The status outlives the controller; what would be printed alike is all of it. */
static void test_total_is_what_is_shown(void **state)
{
	(void)state;
	static const struct {
		const char *shown;
		int64_t cached, want;
	} cases[] = {{"7.77MiB", 8145748, 8145748},
		     {"7.77MiB", 0, 8147436},
		     {"5.00GiB", 4, INT64_C(5368709120)},
		     {"[Calculating]", 4, -ENODATA},
		     {"", 4, -ENODATA}};
	const struct engine_ops *ops = alluxio_runtime_controller.engines[0].ops;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		JSON_AUTO status = json_pack("{s:s,s:s}", "ufsTotal", cases[i].shown, "fileNum", "12");
		const struct engine_figures f = {.cached_bytes = cases[i].cached};
		struct reconcile_ctx ctx = {.dataset_status = status, .figures = &f};
		struct engine e = {.ops = ops};
		struct error err = {0};
		int64_t got = -1, files = -1;
		int rc = ops->total_storage_bytes(&e, &ctx, &got, &err);
		if (cases[i].want < 0 ? rc != cases[i].want : rc != 0 || got != cases[i].want)
			fail_msg("case %zu: %d, %lld", i, rc, (long long)got);
		assert_int_equal(ops->total_file_nums(&e, &ctx, &files, &err), 0);
		assert_int_equal(files, 12);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mounts_what_is_missing),         cmocka_unit_test(test_what_is_mounted_stays),
		cmocka_unit_test(test_what_changed_is_mounted_anew),   cmocka_unit_test(test_unmounts_from_below),
		cmocka_unit_test(test_failures_say_what_alluxio_said), cmocka_unit_test(test_metadata),
		cmocka_unit_test(test_total_is_what_is_shown),
	};
	return cmocka_run_group_tests_name("engines/alluxio_commands", tests, NULL, NULL);
}
