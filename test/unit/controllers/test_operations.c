/* The state machine of data operations over a scripted API and a scripted engine: kind, policy, outcome, and deletion in each phase. */
#include "runtime/fake_api.h"

#include "api/data_operation.h"
#include "api/dataset.h"
#include "base/clock.h"
#include "base/log.h"
#include "controllers/operations/operations.h"

#define DATASET (&dataset_kind.resource)

struct fixture {
	struct fake_api *api;
	const struct kind *kind;
	struct operation_controller *c;
	int answer;       /* of the engine: to whether it is ready, and to what it runs */
	const char *why;  /* its reason, when it has one */
	const char *line; /* last line of every pod */
	int64_t requeue_ns;
};

static bool serves(void *ctx, const char *type)
{
	(void)ctx;
	return strcmp(type, "x") == 0;
}

static int ask(void *ctx, const char *type, const char *ns, const char *name, const json_t *operation, json_t **ret,
	       struct error *err)
{
	struct fixture *x = ctx;
	assert_string_equal(type, "x");
	assert_string_equal(ns, "default");
	assert_string_equal(name, "demo");
	assert_non_null(operation);
	if (x->answer <= 0)
		return error_set(err, x->answer, "%s", x->why);
	if (ret != NULL)
		*ret = json_pack("{s:i,s:{s:{s:[{s:s}]}}}", "parallelism", 2, "template", "spec", "containers", "name",
				 "loader");
	return 1;
}

static int last_line(void *ctx, const char *ns, const char *pod, size_t max, char **ret, struct error *err)
{
	struct fixture *x = *(struct fixture **)((char *)ctx + sizeof(struct fake_api));
	(void)ns, (void)pod;
	assert_true(max > 0);
	if (x->line == NULL)
		return error_set(err, -ENOENT, "no log");
	*ret = strdup(x->line);
	return 0;
}

/* The scripted API, and behind it who asks. */
struct owned_api {
	struct fake_api fake;
	struct fixture *x;
};

static void use(struct fixture *x, const struct kind *kind, bool others)
{
	struct error err = {0};
	operation_controller_free(x->c);
	x->kind = kind;
	assert_int_equal(
		operation_controller_new(
			&(struct operation_options){.api = &x->api->ops, .engines = {serves, ask, x}, .others = others},
			kind, &x->c, &err),
		0);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof *x);
	struct fake_api *f = fake_new();
	struct owned_api *o = calloc(1, sizeof *o);
	assert_non_null(x);
	assert_non_null(o);
	*o = (struct owned_api){.fake = *f, .x = x};
	free(f);
	x->api = &o->fake;
	x->api->ops.ctx = o;
	x->api->ops.last_line = last_line;
	x->answer = 1;
	use(x, &data_load_kind, true);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;
	operation_controller_free(x->c);
	fake_free(x->api);
	free(x);
	return 0;
}

static void settle(struct fixture *x)
{
	for (int i = 0; i < 20; i++) {
		size_t before = json_array_size(x->api->writes);
		struct reconcile_result res = {0};
		struct error err = {0};
		int rc = operation_reconcile(x->c, "default", "op", &res, &err);
		if (rc < 0 && rc != -ESTALE)
			fail_msg("%s", err.msg);
		x->requeue_ns = res.requeue_after_ns;
		if (rc == 0 && json_array_size(x->api->writes) == before)
			return;
	}
	fail_msg("it never settles");
}

static json_t *put_bound(struct fixture *x, const char *type)
{
	char text[512];
	(void)snprintf(
		text, sizeof text,
		"{'kind':'Dataset','metadata':{'name':'demo','namespace':'default'},'status':{'phase':'Bound','runtimes':["
		"{'category':'Accelerate','type':'%s','name':'demo','namespace':'default'}]}}",
		type);
	return fake_put(x->api, DATASET, text);
}

/* @spec: members beside the Dataset's. */
static json_t *put_op(struct fixture *x, const char *spec)
{
	char text[1024];
	const bool load = x->kind == &data_load_kind;
	(void)snprintf(
		text, sizeof text,
		"{'kind':'%s','metadata':{'name':'op','namespace':'default','creationTimestamp':'2026-01-02T03:00:00Z'},"
		"'spec':{'dataset':{'name':'demo'%s}%s%s}}",
		x->kind->resource.kind, load ? "" : ",'mountPath':'/data'",
		load ? "" : ",'processor':{'script':{'image':'i','source':'true'}}", spec);
	return fake_put(x->api, &x->kind->resource, text);
}

static json_t *op(const struct fixture *x)
{
	return fake_live(x->api, &x->kind->resource, "default", "op");
}

static void phase_is(const struct fixture *x, const char *what, const char *want)
{
	const char *got = json_str(op(x), "status.phase", "");
	if (strcmp(got, want) != 0)
		fail_msg("case '%s': phase '%s', not '%s'", what, got, want);
}

static const char *job_name(const struct fixture *x)
{
	return x->kind == &data_load_kind ? "op-loader-job" : "op-processor-job";
}

static json_t *job(const struct fixture *x)
{
	return fake_live(x->api, &KUBE_JOB, "default", job_name(x));
}

static const char *references(const struct fixture *x)
{
	return json_str(json_at(fake_live(x->api, DATASET, "default", "demo"), "status.operationRef"),
			x->kind->resource.kind, "");
}

static void end_job(struct fixture *x, json_t *j, const char *type, const char *at)
{
	fake_set(x->api, j, "status.conditions",
		 json_pack("[{s:s,s:s,s:s},{s:s,s:s,s:s,s:s,s:s}]", "type", "SuccessCriteriaMet", "status", "True",
			   "lastTransitionTime", at, "type", type, "status", "True", "reason", "Why", "message",
			   "because", "lastTransitionTime", at));
}

/* What a CronJob's controller does. */
static json_t *put_cron_job_job(struct fixture *x, const char *name, const char *created)
{
	const json_t *cron = fake_live(x->api, &KUBE_CRONJOB, "default", job_name(x));
	assert_non_null(cron);
	char text[768];
	(void)snprintf(
		text, sizeof text,
		"{'kind':'Job','metadata':{'name':'%s','namespace':'default','creationTimestamp':'%s','labels':{'release':'%s'"
		"},'ownerReferences':[{'kind':'CronJob','name':'c','uid':'%s','controller':true}]}}",
		name, created, json_str(cron, "spec.jobTemplate.metadata.labels.release", ""), obj_uid(cron));
	return fake_put(x->api, &KUBE_JOB, text);
}

static const struct kind *const kinds[] = {&data_load_kind, &data_process_kind};

static void test_once(void **state)
{
	static const char *const outcomes[] = {"Complete", "Failed"};
	for (size_t i = 0; i < 4; i++) {
		struct fixture *x = *state;
		const char *outcome = outcomes[i % 2];
		use(x, kinds[i / 2], true);
		put_bound(x, "x");
		put_op(x, "");
		settle(x);
		phase_is(x, outcome, "Executing");
		assert_string_equal(json_str(op(x), "status.duration", ""), "Unfinished");
		assert_string_equal(references(x), "op");
		assert_string_equal(json_str(op(x), "metadata.ownerReferences[0].kind", ""), "Dataset");
		assert_int_equal(json_int(job(x), "spec.backoffLimit", 0), 3);
		assert_string_equal(json_str(job(x), "spec.template.metadata.labels.targetDataset", ""), "demo");
		end_job(x, job(x), outcome, "2026-01-02T03:03:10Z");
		settle(x);
		phase_is(x, outcome, outcome);
		assert_string_equal(json_str(op(x), "status.duration", ""), "3m10s");
		assert_string_equal(fake_condition(op(x), outcome, "True"), "because");
		assert_string_equal(references(x), "");
		assert_true(fake_has_event(x->api, i % 2 == 0 ? "DataOperationSucceed" : "DataOperationFailed"));
		(void)teardown(state);
		(void)setup(state);
	}
}

static void test_cron(void **state)
{
	for (size_t i = 0; i < 2; i++) {
		struct fixture *x = *state;
		use(x, kinds[i], true);
		put_bound(x, "x");
		put_op(x, ",'policy':'Cron','schedule':'0 3 * * *'");
		settle(x);
		phase_is(x, "no schedule yet", "Executing");
		assert_null(job(x));
		json_t *cron = fake_live(x->api, &KUBE_CRONJOB, "default", job_name(x));
		assert_string_equal(json_str(cron, "spec.concurrencyPolicy", ""), "Forbid");
		assert_string_equal(json_str(cron, "spec.schedule", ""), "0 3 * * *");
		end_job(x, put_cron_job_job(x, "j1", "2026-01-03T03:00:00Z"), "Failed", "2026-01-03T03:01:00Z");
		fake_set(x->api, cron, "status", json_pack("{s:s}", "lastScheduleTime", "2026-01-03T03:00:00Z"));
		settle(x);
		phase_is(x, "first", "Failed");
		assert_string_equal(json_str(op(x), "status.lastScheduleTime", ""), "2026-01-03T03:00:00Z");
		json_t *second = put_cron_job_job(x, "j2", "2026-01-04T03:00:00Z");
		settle(x);
		phase_is(x, "second runs", "Executing");
		assert_string_equal(references(x), "op");
		end_job(x, second, "Complete", "2026-01-04T03:01:00Z");
		settle(x);
		phase_is(x, "second", "Complete");
		assert_string_equal(references(x), "");
		(void)teardown(state);
		(void)setup(state);
	}
}

/* Nothing is left, whenever it is deleted. */
static void test_deletion(void **state)
{
	static const char *const phases[] = {"", "Pending", "Executing", "Complete", "Failed"};
	for (size_t i = 0; i < 2 * sizeof phases / sizeof phases[0]; i++) {
		struct fixture *x = *state;
		const char *at = phases[i / 2];
		const bool cron = i % 2 == 1;
		struct error err = {0};
		use(x, &data_process_kind, true);
		if (*at != '\0')
			put_bound(x, "x");
		x->answer = strcmp(at, "Pending") == 0 ? 0 : 1;
		x->why = "not yet";
		put_op(x, cron ? ",'policy':'Cron','schedule':'@daily'" : "");
		settle(x);
		if (strcmp(at, "Complete") == 0 || strcmp(at, "Failed") == 0) {
			end_job(x, cron ? put_cron_job_job(x, "j", "2026-01-03T03:00:00Z") : job(x), at,
				"2026-01-03T03:01:00Z");
			settle(x);
		}
		phase_is(x, at, at);
		assert_int_equal(x->api->ops.remove(x->api, &x->kind->resource, "default", "op", &err), 0);
		if (op(x) != NULL)
			settle(x);
		assert_null(op(x));
		assert_null(job(x));
		assert_null(fake_live(x->api, &KUBE_CRONJOB, "default", job_name(x)));
		assert_null(fake_live(x->api, &KUBE_CONFIGMAP, "default", "op-processor-scripts"));
		if (*at != '\0')
			assert_string_equal(references(x), "");
		(void)teardown(state);
		(void)setup(state);
	}
}

static void test_refusals(void **state)
{
	static const struct {
		const char *spec, *reason, *message;
	} cases[] = {
		{",'policy':'OnEvent'", "PolicyNotSupported", "spec.policy: OnEvent is not supported"},
		{",'policy':'Cron'", "ScheduleNotSpecified", "spec.schedule: policy Cron needs a schedule"},
		{",'dataset':{'name':'demo','namespace':'other'}", "TargetDatasetNamespaceNotSame",
		 "spec.dataset.namespace: 'other' must be the operation's own, 'default'"},
		{",'target':[{'path':'/a'},{'path':'b'}]", "TargetPathNotValid", "spec.target[1].path: 'b'"},
		{",'runAfter':{'kind':'DataLoad','name':'y'}", "RunAfterNotSupported",
		 "spec.runAfter: is not supported"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct fixture *x = *state;
		put_bound(x, "x");
		put_op(x, cases[i].spec);
		settle(x);
		phase_is(x, cases[i].reason, "Failed");
		assert_string_equal(json_str(op(x), "status.conditions[0].reason", ""), cases[i].reason);
		if (strstr(fake_condition(op(x), "Failed", "True"), cases[i].message) == NULL ||
		    !fake_has_event(x->api, "DataOperationNotValid"))
			fail_msg("case '%s': '%s'", cases[i].reason, fake_condition(op(x), "Failed", "True"));
		assert_int_equal(json_array_size(x->api->events), i + 1); /* once each */
		assert_null(job(x));
	}
}

static void test_process_refusals(void **state)
{
	static const struct {
		const char *processor, *reason;
	} cases[] = {
		{"{}", "ProcessorNotSpecified"},
		{"{'job':{'podSpec':{'containers':[]}},'script':{'source':'x'}}", "MultipleProcessorSpecified"},
		{"{'script':{'source':'x','volumeMounts':[{'name':'v','mountPath':'/data'}]}}", "ConflictMountPath"},
		{"{'job':{'podSpec':{'containers':[{'volumeMounts':[{'mountPath':'/data'}]}]}}}", "ConflictMountPath"},
	};
	struct fixture *x = *state;
	use(x, &data_process_kind, true);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char spec[256];
		(void)snprintf(spec, sizeof spec, ",'processor':%s", cases[i].processor);
		put_op(x, spec);
		settle(x);
		assert_string_equal(json_str(op(x), "status.conditions[0].reason", ""), cases[i].reason);
	}
}

static void test_waits(void **state)
{
	struct fixture *x = *state;
	put_op(x, "");
	settle(x);
	phase_is(x, "no Dataset", "");
	assert_true(fake_has_event(x->api, "Warning TargetDatasetNotFound on DataLoad: Dataset demo is not there"));
	json_t *d = put_bound(x, "x");
	fake_set(x->api, d, "status", json_pack("{s:s}", "phase", "NotBound"));
	settle(x);
	assert_true(fake_has_event(x->api, "Normal RuntimeNotReady on DataLoad: Dataset demo is not bound"));
	put_bound(x, "x");
	x->answer = 0;
	x->why = "it sleeps";
	settle(x);
	phase_is(x, "not ready", "Pending");
	assert_true(fake_has_event(x->api, "the runtime is not ready: it sleeps"));
	assert_true(x->requeue_ns > 0);
	assert_null(job(x));
	x->answer = 1;
	settle(x);
	phase_is(x, "ready", "Executing");
}

static void test_engine_says_no(void **state)
{
	static const struct {
		int answer;
		const char *event;
	} cases[] = {{-EOPNOTSUPP, "DataOperationNotSupport"}, {-EINVAL, "DataOperationExecutionFailed"}};
	for (size_t i = 0; i < 2; i++) {
		struct fixture *x = *state;
		put_bound(x, "x");
		json_t *o = put_op(x, "");
		settle(x);
		struct error err = {0};
		(void)x->api->ops.remove(x->api, &KUBE_JOB, "default", job_name(x), &err);
		(void)o;
		x->answer = cases[i].answer;
		x->why = "it has none";
		settle(x);
		phase_is(x, cases[i].event, "Failed");
		assert_true(fake_has_event(x->api, cases[i].event));
		assert_string_equal(fake_condition(op(x), "Failed", "True"), "it has none");
		assert_string_equal(references(x), "");
		(void)teardown(state);
		(void)setup(state);
	}
}

static void test_lost_job_is_made_again(void **state)
{
	struct fixture *x = *state;
	struct error err = {0};
	put_bound(x, "x");
	put_op(x, "");
	settle(x);
	char *uid = strdup(obj_uid(job(x)));
	assert_int_equal(x->api->ops.remove(x->api, &KUBE_JOB, "default", job_name(x), &err), 0);
	assert_null(job(x));
	settle(x);
	assert_non_null(job(x));
	assert_string_not_equal(obj_uid(job(x)), uid);
	free(uid);
	phase_is(x, "made again", "Executing");
}

static void test_foreign_job_is_left_alone(void **state)
{
	struct fixture *x = *state;
	struct reconcile_result res = {0};
	struct error err = {0};
	fake_put(x->api, &KUBE_JOB, "{'kind':'Job','metadata':{'name':'op-loader-job','namespace':'default'}}");
	put_bound(x, "x");
	put_op(x, "");
	int rc = 0;
	for (int i = 0; i < 5 && rc == 0; i++)
		rc = operation_reconcile(x->c, "default", "op", &res, &err);
	assert_int_equal(rc, -EAGAIN);
	assert_non_null(strstr(err.msg, "is not this operation's"));
	assert_int_equal(fake_count_writes(x->api, "apply jobs"), 0);
}

static void test_receipt(void **state)
{
	struct fixture *x = *state;
	put_bound(x, "x");
	put_op(x, "");
	settle(x);
	for (int i = 0; i < 2; i++) {
		char text[512];
		(void)snprintf(
			text, sizeof text,
			"{'kind':'Pod','metadata':{'name':'p%d','namespace':'default','labels':{'release':'op-loader'},"
			"'ownerReferences':[{'uid':'%s','controller':true}]},'status':{'phase':'Running'}}",
			i, obj_uid(job(x)));
		fake_put(x->api, &KUBE_POD, text);
	}
	x->line = "Traceback: none of ours";
	settle(x);
	assert_null(json_at(op(x), "status.infos"));
	assert_int_equal(x->requeue_ns, 3 * NSEC_PER_SEC);
	x->line = "{\"filesListed\":4,\"bytesLoaded\":10}";
	settle(x);
	assert_string_equal(json_str(op(x), "status.infos.filesListed", ""), "8");
	assert_string_equal(json_str(op(x), "status.infos.bytesLoaded", ""), "20");
	x->line = "{\"filesListed\":9223372036854775807}"; /* two of them are no number */
	settle(x);
	assert_string_equal(json_str(op(x), "status.infos.filesListed", ""), "8");
	x->line =
		"{\"filesFailed\":1,\"reason\":\"too little room\",\"failures\":[{\"path\":\"/a\",\"reason\":\"403\"}]}";
	for (int i = 0; i < 2; i++)
		fake_set(x->api, fake_live(x->api, &KUBE_POD, "default", i == 0 ? "p0" : "p1"), "status.phase",
			 json_string("Failed"));
	end_job(x, job(x), "Failed", "2026-01-02T03:03:10Z");
	settle(x);
	assert_string_equal(json_str(op(x), "status.infos.failures", ""), "/a: 403");
	assert_string_equal(json_str(op(x), "status.infos.filesFailed", ""), "1"); /* of the last one */
	assert_string_equal(fake_condition(op(x), "Failed", "True"), "too little room");
}

static void test_time_to_live(void **state)
{
	struct fixture *x = *state;
	char at[32];
	put_bound(x, "x");
	put_op(x, ",'ttlSecondsAfterFinished':60");
	settle(x);
	clock_format_rfc3339(clock_wall_ns(), at);
	end_job(x, job(x), "Complete", at);
	settle(x);
	phase_is(x, "lives", "Complete");
	assert_true(x->requeue_ns > 50 * NSEC_PER_SEC && x->requeue_ns <= 60 * NSEC_PER_SEC);
	fake_set(x->api, op(x), "status.conditions[type=Complete].lastTransitionTime",
		 json_string("2026-01-02T03:04:05Z"));
	settle(x);
	if (op(x) != NULL)
		settle(x);
	assert_null(op(x));
	assert_null(job(x));
}

/* Several processes see the same operations. */
static void test_whose(void **state)
{
	static const struct {
		const char *type;
		bool others, acts;
	} cases[] = {
		{"x", true, true}, {"x", false, true}, {"y", true, false}, {"y", false, false}, {NULL, false, false}};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct fixture *x = *state;
		use(x, &data_load_kind, cases[i].others);
		if (cases[i].type != NULL)
			put_bound(x, cases[i].type);
		put_op(x, "");
		settle(x);
		if ((*json_str(op(x), "status.phase", "") != '\0') != cases[i].acts)
			fail_msg("case %zu", i);
		(void)teardown(state);
		(void)setup(state);
	}
}

static void test_others_at_work(void **state)
{
	struct fixture *x = *state;
	json_t *d = put_bound(x, "x");
	fake_set(x->api, d, "status.operationRef", json_pack("{s:s,s:s}", "DataLoad", "a,b", "DataProcess", "p"));
	put_op(x, "");
	x->api->conflicts = 2;
	settle(x);
	assert_string_equal(references(x), "a,b,op");
	end_job(x, job(x), "Complete", "2026-01-02T03:03:10Z");
	settle(x);
	assert_string_equal(references(x), "a,b");
	assert_string_equal(
		json_str(fake_live(x->api, DATASET, "default", "demo"), "status.operationRef.DataProcess", ""), "p");
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
	log_init(2, LOG_LVL_WARN, "test");
	const struct CMUnitTest tests[] = {
		T(once),
		T(cron),
		T(deletion),
		T(refusals),
		T(process_refusals),
		T(waits),
		T(engine_says_no),
		T(lost_job_is_made_again),
		T(foreign_job_is_left_alone),
		T(receipt),
		T(time_to_live),
		T(whose),
		T(others_at_work),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
