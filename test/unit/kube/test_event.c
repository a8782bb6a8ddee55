#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/clock.h"
#include "kube/event_spam.h"

#define MINUTE (60 * NSEC_PER_SEC)

static void an_object_has_a_burst_and_then_a_trickle(void **state)
{
	(void)state;
	struct event_spam *s = event_spam_new();
	assert_non_null(s);
	int64_t now = MINUTE;
	for (int i = 0; i < 25; i++)
		assert_int_equal(event_spam_judge(s, "pod a", "pod a|Bad", "text", now), EVENT_SEND);
	assert_int_equal(event_spam_judge(s, "pod a", "pod a|Bad", "text", now), EVENT_DROP);
	assert_int_equal(event_spam_judge(s, "pod a", "pod a|Other", "text", now), EVENT_DROP);
	assert_int_equal(event_spam_judge(s, "pod b", "pod b|Bad", "text", now), EVENT_SEND);
	now += 4 * MINUTE;
	assert_int_equal(event_spam_judge(s, "pod a", "pod a|Bad", "text", now), EVENT_DROP);
	now += MINUTE;
	assert_int_equal(event_spam_judge(s, "pod a", "pod a|Bad", "text", now), EVENT_SEND);
	assert_int_equal(event_spam_judge(s, "pod a", "pod a|Bad", "text", now), EVENT_DROP);
	now += 24 * 60 * MINUTE;
	for (int i = 0; i < 25; i++)
		assert_int_equal(event_spam_judge(s, "pod a", "pod a|Bad", "text", now), EVENT_SEND);
	assert_int_equal(event_spam_judge(s, "pod a", "pod a|Bad", "text", now), EVENT_DROP);
	event_spam_free(s);
	event_spam_free(NULL);
}

static enum event_verdict judge_number(struct event_spam *s, int i, int64_t now)
{
	char about[32], text[32];
	(void)snprintf(about, sizeof about, "pod %d", i); /* each its own budget: here the groups are looked at */
	(void)snprintf(text, sizeof text, "text %d", i);
	return event_spam_judge(s, about, "all|Bad", text, now);
}

static void similar_ones_are_combined_after_the_tenth(void **state)
{
	(void)state;
	struct event_spam *s = event_spam_new();
	assert_non_null(s);
	int64_t now = MINUTE;
	for (int i = 0; i < 10; i++)
		assert_int_equal(judge_number(s, i, now), EVENT_SEND);
	assert_int_equal(judge_number(s, 10, now), EVENT_COMBINE);
	assert_int_equal(judge_number(s, 11, now), EVENT_COMBINE);
	assert_int_equal(judge_number(s, 3, now), EVENT_SEND); /* known */
	assert_int_equal(event_spam_judge(s, "x", "all|Good", "text 12", now), EVENT_SEND);
	now += 9 * MINUTE;
	assert_int_equal(judge_number(s, 12, now), EVENT_COMBINE);
	now += 11 * MINUTE; /* quiet for long enough */
	assert_int_equal(judge_number(s, 13, now), EVENT_SEND);
	event_spam_free(s);
}

/* Many objects: what is known has a limit, and all are served all the same. */
static void memory_has_a_limit(void **state)
{
	(void)state;
	struct event_spam *s = event_spam_new();
	assert_non_null(s);
	for (int i = 0; i < 10000; i++) {
		char about[32], similar[32];
		(void)snprintf(about, sizeof about, "pod %d", i);
		(void)snprintf(similar, sizeof similar, "pod %d|Bad", i);
		assert_int_equal(event_spam_judge(s, about, similar, "text", MINUTE), EVENT_SEND);
	}
	event_spam_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_object_has_a_burst_and_then_a_trickle),
		cmocka_unit_test(similar_ones_are_combined_after_the_tenth),
		cmocka_unit_test(memory_has_a_limit),
	};
	return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
