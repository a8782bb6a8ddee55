#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/strbuf.h"
#include "json/json.h"
#include "json/yaml.h"

static void reading(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *json;
	} cases[] = {
		{"", "[]"},
		{"---\n---\na: 1\n---\n# only a comment\n---\nb\n...\n", "[{\"a\":1},\"b\"]"},
		{"{\"a\": [1, 2.5, null, true]}", "[{\"a\":[1,2.5,null,true]}]"},
		{"a: yes\nb: No\nc: on\nd: OFF\ne: y\nf: N\ng: ~\nh:\ni: True",
		 "[{\"a\":true,\"b\":false,\"c\":true,\"d\":false,"
		 "\"e\":true,\"f\":false,\"g\":null,\"h\":null,\"i\":true}]"},
		{"[0777, 0o17, 0x1F, 0b101, -0b11, 1_000, +12, 007, 08, 0]", "[[511,15,31,5,-3,1000,12,7,8,0]]"},
		{"[1.5, .5, 5., -1e3, 1e-2, 1.e+2, 1_0.5]", "[[1.5,0.5,5,-1000,0.01,100,10.5]]"},
		{"[9223372036854775807, 9223372036854775808, 0x8000000000000000]",
		 "[[9223372036854775807,9.223372036854776e+18,\"0x8000000000000000\"]]"},
		{"[1.2.3, 1:30, 2001-01-02, 0x, 0b2, '-', +, 1e, .e1, 12e]",
		 "[[\"1.2.3\",\"1:30\",\"2001-01-02\",\"0x\",\"0b2\",\"-\",\"+\",\"1e\",\".e1\",\"12e\"]]"},
		{"['yes', \"1\", !!str 1, !!str yes, ! 2]", "[[\"yes\",\"1\",\"1\",\"yes\",\"2\"]]"},
		{"[!!int 1, !!float 2, !!bool yes, !!null '']", "[[1,2,true,null]]"},
		{"1: a\ntrue: b\n1.5: c\n~: d", "[{\"1\":\"a\",\"true\":\"b\",\"1.5\":\"c\",\"null\":\"d\"}]"},
		{"a: |\n  x\n  y\nb: >-\n  x\n  y\n", "[{\"a\":\"x\\ny\\n\",\"b\":\"x y\"}]"},
		{"a: &x {b: 1}\nc: *x\nd: [&y 2, *y]", "[{\"a\":{\"b\":1},\"c\":{\"b\":1},\"d\":[2,2]}]"},
		{"base: &b {x: 1, q: 2}\nuse:\n  <<: *b\n  q: 3\n",
		 "[{\"base\":{\"x\":1,\"q\":2},\"use\":{\"q\":3,\"x\":1}}]"},
		{"use:\n  q: 0\n  <<: [{x: 1}, {x: 2, z: 3}]\n", "[{\"use\":{\"q\":0,\"x\":1,\"z\":3}}]"},
		{"'<<': 1", "[{\"<<\":1}]"},
		{"key with spaces: v # comment", "[{\"key with spaces\":\"v\"}]"},
		{"a: \"\\u00e9\\x41\\n\"", "[{\"a\":\"\xc3\xa9"
					   "A\\n\"}]"},
		{"- - 1\n  - 2\n-\n  - 3", "[[[1,2],[3]]]"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO j = NULL;
		struct error e = {0};
		if (yaml_parse(cases[i].yaml, strlen(cases[i].yaml), &j, &e) < 0)
			fail_msg("%s: %s", cases[i].yaml, e.msg);
		CLEANUP(free_p) char *text = json_to_text(j, NULL);
		assert_string_equal(text, cases[i].json);
	}
}

static void refusing(void **state)
{
	(void)state;
	static const struct {
		const char *yaml, *msg;
		int rc;
	} cases[] = {
		{"a: 1\nb: [1\n", "line 3, column 1: did not find expected ',' or ']'", -EINVAL},
		{"a: 1\na: 2\n", "line 2, column 1: key 'a' is there already", -EINVAL},
		{"\"1\": a\n1: b", "line 2, column 1: key '1' is there already", -EINVAL},
		{"a: *b", "line 1, column 4: alias of an unknown anchor", -EINVAL},
		{"&a [*a]", "line 1, column 5: alias of an unknown anchor", -EINVAL},
		{"a: &x 1\n---\nb: *x", "line 3, column 4: alias of an unknown anchor", -EINVAL},
		{"a: .inf", "line 1, column 4: this number cannot be written in JSON", -EINVAL},
		{"a: 1e999", "line 1, column 4: this number cannot be written in JSON", -EINVAL},
		{"a: !!int x", "line 1, column 4: the tag is unknown here or does not fit the value", -EINVAL},
		{"a: !thing x", "line 1, column 4: the tag is unknown here or does not fit the value", -EINVAL},
		{"? [1]\n: 2", "line 1, column 3: a key must be a scalar", -EINVAL},
		{"\"a\\0b\": 2", "line 1, column 1: a key must not contain a NUL", -EINVAL},
		{"<<: 1", "line 1, column 1: << needs a mapping or a list of mappings", -EINVAL},
		{"a:\n\t- b", "line 2, column 1: found character that cannot start any token", -EINVAL},
		{"a: \xff", "line 1, column 1: invalid leading UTF-8 octet at byte 3", -EINVAL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		json_t *j = NULL;
		struct error e = {0};
		const int rc = yaml_parse(cases[i].yaml, strlen(cases[i].yaml), &j, &e);
		assert_string_equal(e.msg, cases[i].msg);
		assert_int_equal(rc, cases[i].rc);
		assert_null(j);
	}
}

static void limits(void **state)
{
	(void)state;
	json_t *j = NULL;
	struct error e = {0};
	struct strbuf b = STRBUF_INIT(1 << 20);
	/* "billion laughs": each level stands for ten of the one before */
	strbuf_adds(&b, "a0: &a0 x\n");
	for (int i = 1; i < 9; i++) {
		strbuf_addf(&b, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			strbuf_addf(&b, "*a%d,", i - 1);
		strbuf_adds(&b, "]\n");
	}
	assert_int_equal(yaml_parse(b.p, b.n, &j, &e), -E2BIG);
	assert_non_null(strstr(e.msg, "too many values"));

	strbuf_reset(&b);
	for (int i = 0; i < 200; i++)
		strbuf_addc(&b, '[');
	for (int i = 0; i < 200; i++)
		strbuf_addc(&b, ']');
	assert_int_equal(yaml_parse(b.p, b.n, &j, &e), -E2BIG);
	assert_string_equal(e.msg, "line 1, column 102: nested too deep");

	strbuf_reset(&b); /* depth by aliases: each anchor nests the one before */
	strbuf_adds(&b, "- &a0 [x]\n");
	for (int i = 1; i < 120; i++)
		strbuf_addf(&b, "- &a%d [*a%d]\n", i, i - 1);
	assert_int_equal(yaml_parse(b.p, b.n, &j, &e), -E2BIG);
	assert_non_null(strstr(e.msg, "nested too deep"));
	strbuf_clear(&b);
	assert_int_equal(yaml_parse("", YAML_MAX_BYTES + 1, &j, &e), -E2BIG);
	assert_null(j);
}

static void writing(void **state)
{
	(void)state;
	static const struct {
		const char *json, *yaml;
	} cases[] = {
		{"{\"b\":1,\"a\":{\"d\":[1,{\"x\":\"z\",\"w\":[]}],\"c\":{}}}",
		 "a:\n  c: {}\n  d:\n  - 1\n  - w: []\n    x: z\nb: 1\n"},
		{"[\"yes\",\"1\",\"0777\",\"1_000\",\"null\",\"\",\"~\",\"2001-01-02\",\"1:30\",\"<<\",\"y\",\"1e3\","
		 "\".5\"]",
		 "- \"yes\"\n- \"1\"\n- \"0777\"\n- \"1_000\"\n- \"null\"\n- \"\"\n- \"~\"\n- \"2001-01-02\"\n- "
		 "\"1:30\"\n- \"<<\"\n"
		 "- \"y\"\n- \"1e3\"\n- \".5\"\n"},
		{"[\"plain text\",\"1.2.3\",\"a: b\",\"#c\",\"- d\",\"it's\",\"\xc3\xa9\"]",
		 "- plain text\n- 1.2.3\n- 'a: b'\n- '#c'\n- '- d'\n- it's\n- \xc3\xa9\n"},
		{"{\"t\":\"x\\ny\\n\",\"u\":\"x\\ny\",\"v\":\" x\\ny\"}",
		 "t: |\n  x\n  y\nu: |-\n  x\n  y\nv: \" x\\ny\"\n"},
		{"[true,null,1.5,-3]", "- true\n- null\n- 1.5\n- -3\n"},
		{"\"a\"", "a\n"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		JSON_AUTO j = NULL;
		assert_int_equal(json_parse(cases[i].json, strlen(cases[i].json), &j, NULL), 0);
		CLEANUP(free_p) char *text = yaml_to_text(j);
		assert_non_null(text);
		assert_string_equal(text, cases[i].yaml);
	}
}

/* What is written reads back as the same tree. */
static void round_trips(void **state)
{
	(void)state;
	static const char *const strings[] = {
		"",
		" ",
		"\\n",
		"\\n\\n",
		"a\\n",
		"\\na",
		" a\\n b",
		"a\\n  b\\n\\n",
		"a \\nb",
		"a\\n ",
		"\\t",
		"a\\tb",
		"a\\r\\nb",
		"\\u0000",
		"\\u0085",
		"a\\u2028b",
		"\\ufeff",
		"\\u007f",
		"\\ud83d\\ude00",
		"--- a",
		"...",
		"? a",
		": a",
		"a:",
		"!x",
		"&a",
		"*a",
		"%a",
		"@a",
		"`a",
		"'",
		"\\\"",
		"[a",
		"{a",
		"a #b",
		"=",
		"-",
		"- ",
		"0b",
		"0x1",
		"1__0",
		"+.5",
		".",
		"._",
		"1:2",
		"0o7",
		"-0",
		"00",
		"n",
		"NULL",
		".Inf",
		"a\\n# b\\n",
		"#\\n",
		"\\\\",
	};
	for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
		char text[100];
		(void)snprintf(text, sizeof text, "{\"k\":[\"%s\",{\"%s\":1}]}", strings[i],
			       strcmp(strings[i], "\\u0000") ? strings[i] : "x");
		JSON_AUTO j = NULL;
		JSON_AUTO back = NULL;
		assert_int_equal(json_parse(text, strlen(text), &j, NULL), 0);
		CLEANUP(free_p) char *yaml = yaml_to_text(j);
		assert_non_null(yaml);
		struct error e = {0};
		if (yaml_parse(yaml, strlen(yaml), &back, &e) < 0)
			fail_msg("%s: %s: %s", text, yaml, e.msg);
		if (!json_same(j, json_array_get(back, 0)))
			fail_msg("%s: %s", text, yaml);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reading), cmocka_unit_test(refusing),    cmocka_unit_test(limits),
		cmocka_unit_test(writing), cmocka_unit_test(round_trips),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
