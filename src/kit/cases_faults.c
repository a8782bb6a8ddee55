/* Cases of what goes wrong: controllers that die or take turns, deletion at any time, cache systems that answer nonsense or nothing. */
#include "kit/settle.h"

#include <stdio.h>
#include <string.h>

#include "api/dataset.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "json/json.h"

#define MAX_CRASHES 60

/* --- cases: crashes and turns --------------------------------------------------------------------------------------------------- */

/*
 * A controller that dies before its write @after, and the next one that goes on; then everything is deleted. KIT_HELD: it did die; DID_NOT_DIE:
 * it was done before that write.
 */
#define DID_NOT_DIE 2

static int crash_in_setup(struct world *w, long after, char *why, struct error *err)
{
	w->crash_after = after;
	int rc = kit_settle(w, 1, kit_is_bound, err);
	if (rc == 0 && !w->crashed)
		return kit_not_settled(w, "was never bound", why);
	if (rc != 0)
		return rc < 0 ? rc : DID_NOT_DIE;
	rc = world_restart(w, 1, err);
	if (rc == 0)
		rc = kit_settle(w, 1, kit_is_bound, err);
	if (rc > 0)
		rc = kit_quiet(w, 1, err);
	if (rc <= 0)
		return rc < 0 ? rc : kit_not_settled(w, "not bound after a crash", why);
	return kit_end_all(w, 1, why, err);
}

static int crash_in_end(struct world *w, long after, char *why, struct error *err)
{
	int rc = kit_settle(w, 1, kit_is_bound, err);
	if (rc <= 0)
		return rc < 0 ? rc : kit_not_settled(w, "was never bound", why);
	atomic_store(&w->writes, 0);
	w->crash_after = after;
	rc = kit_end_all(w, 1, why, err);
	if (rc <= 0 || !w->crashed)
		return rc <= 0 ? rc : DID_NOT_DIE;
	rc = world_restart(w, 1, err);
	return rc < 0 ? rc : kit_end_all(w, 1, why, err);
}

static int at_every_write(const struct kit_options *o,
			  int (*one)(struct world *w, long after, char *why, struct error *err), char *why,
			  struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = world_new(o, &w, err);
	for (long n = 0; n < MAX_CRASHES && rc >= 0; n++) {
		rc = world_restart(w, 1, err);
		atomic_store(&w->writes, 0);
		if (rc == 0)
			rc = world_create_dataset(w, err);
		if (rc == 0)
			rc = world_create_runtime(w, err);
		if (rc == 0)
			rc = one(w, n, why, err);
		if (rc == DID_NOT_DIE) {
			(void)snprintf(why, KIT_WHY, "%ld crashes", n);
			return KIT_HELD;
		}
		if (rc == KIT_FAILED) {
			char what[KIT_WHY];
			(void)snprintf(what, sizeof what, "%s", why);
			return kit_failed(why, "killed before write %ld: %.400s", n + 1, what);
		}
	}
	return rc < 0 ? rc : kit_failed(why, "it still writes after %d writes", MAX_CRASHES);
}

int kit_case_crash_setup(const struct kit_options *o, char *why, struct error *err)
{
	return at_every_write(o, crash_in_setup, why, err);
}

int kit_case_crash_end(const struct kit_options *o, char *why, struct error *err)
{
	return at_every_write(o, crash_in_end, why, err);
}

int kit_case_two_controllers(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = world_new(o, &w, err);
	if (rc == 0)
		rc = world_restart(w, 2, err);
	if (rc == 0)
		rc = world_create_dataset(w, err);
	if (rc == 0)
		rc = world_create_runtime(w, err);
	if (rc < 0)
		return rc;
	rc = kit_settle(w, 2, kit_is_bound, err);
	if (rc > 0)
		rc = kit_quiet(w, 2, err);
	if (rc <= 0)
		return rc < 0 ? rc : kit_not_settled(w, "two controllers in turn do not come to rest", why);
	return kit_end_all(w, 2, why, err);
}

/* --- cases: deletion ------------------------------------------------------------------------------------------------------------ */

int kit_case_delete_any_time(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = world_new(o, &w, err);
	for (int steps = 0; steps < 10 && rc >= 0; steps++) {
		rc = world_create_dataset(w, err);
		if (rc == 0)
			rc = world_create_runtime(w, err);
		w->unready = steps % 2 != 0; /* also while nothing is ready */
		for (int i = 0; i < steps && rc == 0; i++)
			rc = world_step(w, 0, err);
		if (rc == 0)
			rc = kit_end_all(w, 1, why, err);
		if (rc == KIT_FAILED) {
			char what[KIT_WHY];
			(void)snprintf(what, sizeof what, "%s", why);
			return kit_failed(why, "deleted after %d passes: %.400s", steps, what);
		}
	}
	return rc < 0 ? rc : KIT_HELD;
}

int kit_case_delete_in_use(const struct kit_options *o, char *why, struct error *err)
{
	WORLD_AUTO w = NULL;
	int rc = kit_begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	JSON_AUTO pod =
		json_pack("{s:s,s:s,s:{s:s},s:{s:s,s:[{s:s,s:s}],s:[{s:s,s:{s:s}}]}}", "apiVersion", "v1", "kind",
			  "Pod", "metadata", "name", "reader", "spec", "nodeName", "n1", "containers", "name", "c",
			  "image", "i", "volumes", "name", "d", "persistentVolumeClaim", "claimName", KIT_NAME);
	rc = kube_create(w->client, &KUBE_POD, KIT_NS, pod, NULL, err);
	if (rc == 0)
		rc = world_others(w, err);
	if (rc == 0)
		rc = world_delete(w, o->controller->resource, KIT_NAME, err);
	for (int i = 0; i < 6 && rc == 0; i++)
		rc = world_step(w, 0, err);
	if (rc < 0)
		return rc;
	JSON_AUTO runtime = world_get(w, o->controller->resource, KIT_NAME);
	if (runtime == NULL)
		return kit_failed(why, "the runtime went while pod reader used its volume");
	if (!kit_has_event(w, "reader"))
		return kit_not_settled(w, "no Event names the pod that holds the volume", why);
	rc = world_delete(w, &KUBE_POD, "reader", err);
	return rc < 0 ? rc : kit_end_all(w, 1, why, err);
}

/* --- cases: figures ------------------------------------------------------------------------------------------------------------- */

/* Ask the first target directly. What query_figures() returned, and how long it took. */
static int ask(struct world *w, enum answer_mode mode, int64_t allowed_ns, int64_t *ret_took_ns, struct error *why)
{
	struct engine_figures f = {0};
	const int64_t begin = clock_mono_ns();
	const struct engine_question q = {.api = &w->api,
					  .ns = KIT_NS,
					  .name = KIT_NAME,
					  .target = json_string_value(json_array_get(w->targets, 0)),
					  .deadline_mono_ns = begin + allowed_ns};
	answers_mode(w->answers, mode);
	const int rc = record_ops()->query_figures(&q, &f, why);
	answers_mode(w->answers, ANSWER_GOOD);
	*ret_took_ns = clock_mono_ns() - begin;
	if (rc == 0)
		engine_figures_clear(&f);
	return rc;
}

int kit_case_figures(const struct kit_options *o, char *why, struct error *err)
{
	static const struct {
		enum answer_mode mode;
		const char *name;
		bool fails;
	} asked[] = {{ANSWER_GOOD, "good", false},
		     {ANSWER_LATE, "late", false},
		     {ANSWER_GARBLED, "garbled", true},
		     {ANSWER_HUNG, "hung", true}};
	WORLD_AUTO w = NULL;
	int rc = kit_begin_bound(o, &w, why, err);
	if (rc <= 0)
		return rc;
	if (record_ops() == NULL || json_array_size(w->targets) == 0) {
		(void)snprintf(why, KIT_WHY, "it asks nobody");
		return KIT_NOT_APPLICABLE;
	}
	for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
		struct error told = {0};
		int64_t took;
		const int64_t allowed = asked[i].mode == ANSWER_HUNG ? NSEC_PER_SEC : 5 * NSEC_PER_SEC;
		rc = ask(w, asked[i].mode, allowed, &took, &told);
		if ((rc < 0) != asked[i].fails)
			return kit_failed(why, "a %s answer: %s", asked[i].name,
					  rc < 0 ? told.msg : "was taken for a good one");
		if (rc < 0 && told.msg[0] == '\0')
			return kit_failed(why, "a %s answer: no reason was given", asked[i].name);
		if (took > allowed + 2 * NSEC_PER_SEC)
			return kit_failed(why, "a %s answer: it took %lld ms, past its deadline", asked[i].name,
					  (long long)(took / NSEC_PER_MSEC));
	}
	if (*answers_unknown(w->answers) != '\0')
		return kit_failed(why, "'%s' was asked, for which the script has no answer",
				  answers_unknown(w->answers));
	return KIT_HELD;
}

/* A cache system that answers nothing, or nonsense, keeps nobody from binding, changing and ending the Dataset. */
int kit_case_deaf(const struct kit_options *o, char *why, struct error *err)
{
	const enum answer_mode modes[] = {ANSWER_HUNG, ANSWER_GARBLED};
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		WORLD_AUTO w = NULL;
		int rc = kit_begin_bound(o, &w, why, err);
		if (rc <= 0)
			return rc;
		answers_mode(w->answers, modes[i]);
		rc = world_restart(w, 1, err);
		const int64_t begin = clock_mono_ns();
		for (int k = 0; k < 5 && rc == 0; k++)
			rc = world_step(w, 0, err);
		if (rc < 0)
			return rc;
		if (clock_mono_ns() - begin > 10 * NSEC_PER_SEC)
			return kit_failed(why, "passes wait for a cache system that does not answer");
		answers_mode(w->answers, ANSWER_GOOD);
		rc = kit_end_all(w, 1, why, err);
		if (rc <= 0)
			return rc;
	}
	return KIT_HELD;
}
