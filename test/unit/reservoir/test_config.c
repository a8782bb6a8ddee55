#include "support.h"

#include "reservoir/config.h"

#define DATASET "\"dataset\":{\"namespace\":\"n\",\"name\":\"d\"}"
#define MOUNTS  "\"mounts\":[{\"path\":\"/\",\"source\":\"file:///s\"}]"
#define TIERS   "\"tiers\":[{\"medium\":\"SSD\",\"path\":\"/c\",\"quotaBytes\":1000}]"
#define REST    "\"socket\":\"/s\""

static void test_defaults(void **state)
{
	(void)state;
	static const char text[] = "{" DATASET "," MOUNTS "," TIERS "," REST "}";
	struct reservoir_config c;
	assert_int_equal(reservoir_config_parse(text, sizeof text - 1, "x", &c, NULL), 0);
	assert_int_equal(c.block_size, 4u << 20);
	assert_int_equal(c.read_ahead, 32u << 20);
	assert_int_equal(c.fetch_concurrency, 8);
	assert_int_equal(c.fetch_retries, 5);
	assert_int_equal(c.fetch_timeout_ns, 30 * NSEC_PER_SEC);
	assert_int_equal(c.freshness, FRESHNESS_NEVER);
	assert_int_equal(c.tiers[0].quota_bytes, 1000);
	assert_true(c.tiers[0].high > 0.94 && c.tiers[0].low < 0.81);
	assert_null(c.listen);
	reservoir_config_clear(&c);
}

static void test_all_fields(void **state)
{
	(void)state;
	static const char text[] =
		"{" DATASET ",\"mounts\":[{\"path\":\"/a\",\"name\":\"a\",\"source\":\"https://h/"
		"x\",\"options\":{},\"readOnly\":true},"
		"{\"path\":\"/b\",\"source\":\"http://h\"}],\"tiers\":[{\"medium\":\"MEM\",\"path\":\"/"
		"m\",\"quotaBytes\":5,\"high\":0.9,"
		"\"low\":0.5},{\"medium\":\"HDD\",\"path\":\"/"
		"h\",\"quotaBytes\":6}],\"blockSizeBytes\":65536,\"readAheadBytes\":0,"
		"\"fetch\":{\"concurrency\":2,\"retries\":0,\"timeoutSeconds\":9,\"rateLimitBytesPerSecond\":77},"
		"\"freshness\":{\"mode\":\"TTL\",\"ttlSeconds\":60},\"listen\":\"127.0.0.1:0\",\"socket\":\"/run/s\"}";
	struct reservoir_config c;
	struct error err = {0};
	if (reservoir_config_parse(text, sizeof text - 1, "x", &c, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(c.n_mounts, 2);
	assert_string_equal(c.mounts[1].path, "/b");
	assert_int_equal(c.n_tiers, 2);
	assert_int_equal(c.block_size, 65536);
	assert_int_equal(c.read_ahead, 0);
	assert_int_equal(c.rate_limit, 77);
	assert_int_equal(c.fetch_retries, 0);
	assert_int_equal(c.ttl_ns, 60 * NSEC_PER_SEC);
	assert_string_equal(c.socket, "/run/s");
	reservoir_config_clear(&c);
}

/* Whatever is wrong is refused with the place and the reason. */
static void test_mistakes(void **state)
{
	(void)state;
	static const struct {
		const char *text, *msg;
	} cases[] = {
		{"{", "x:"},
		{"[]", "config: must be an object"},
		{"{" DATASET "," MOUNTS "," TIERS "}", "socket: is missing"},
		{"{" MOUNTS "," TIERS "," REST "}", "dataset: must be an object"},
		{"{" DATASET "," MOUNTS "," TIERS "," REST ",\"blocksize\":1}", "unknown field 'blocksize'"},
		{"{" DATASET ",\"mounts\":[]," TIERS "," REST "}", "mounts: must be a list of 1 to 256"},
		{"{" DATASET ",\"mounts\":[{\"path\":\"/\",\"source\":\"ftp://b\"}]," TIERS "," REST "}",
		 "mounts[0]: source: 'ftp://b'"},
		{"{" DATASET ",\"mounts\":[{\"path\":\"/\",\"source\":\"s3://b\",\"options\":{\"user\":\"x\"}}]," TIERS
		 "," REST "}",
		 "options: unknown field 'user' (known: endpoint region"},
		{"{" DATASET
		 ",\"mounts\":[{\"path\":\"/\",\"source\":\"s3://b\",\"options\":{\"virtualHost\":\"yes\"}}]," TIERS
		 "," REST "}",
		 "options.virtualHost: must be true or false"},
		{"{" DATASET
		 ",\"mounts\":[{\"path\":\"/\",\"source\":\"s3://b\",\"options\":{\"accessKeyFile\":\"/k\"}}]," TIERS
		 "," REST "}",
		 "accessKeyFile and secretKeyFile go together"},
		{"{" DATASET ",\"mounts\":[{\"path\":\"/../x\",\"source\":\"file:///s\"}]," TIERS "," REST "}",
		 "mounts[0]: path: '/../x'"},
		{"{" DATASET ",\"mounts\":[{\"path\":\"/a//b\",\"source\":\"file:///s\"}]," TIERS "," REST "}",
		 "path: '/a//b'"},
		{"{" DATASET ",\"mounts\":[{\"path\":\"/\",\"source\":\"file:///s\"},{\"path\":\"/"
		 "\",\"source\":\"file:///t\"}]," TIERS "," REST "}",
		 "mounts[1].path: '/' is taken by mounts[0]"},
		{"{" DATASET
		 ",\"mounts\":[{\"path\":\"/\",\"source\":\"file:///s\",\"options\":{\"user\":\"x\"}}]," TIERS "," REST
		 "}",
		 "options: 'user' is no option"},
		{"{" DATASET "," MOUNTS ",\"tiers\":[{\"medium\":\"TAPE\",\"path\":\"/c\",\"quotaBytes\":1}]," REST "}",
		 "tiers[0]: medium: must be MEM, SSD or HDD"},
		{"{" DATASET "," MOUNTS ",\"tiers\":[{\"medium\":\"SSD\",\"path\":\"c\",\"quotaBytes\":1}]," REST "}",
		 "path: must be absolute"},
		{"{" DATASET "," MOUNTS ",\"tiers\":[{\"medium\":\"SSD\",\"path\":\"/c\"}]," REST "}",
		 "quotaBytes: is missing"},
		{"{" DATASET "," MOUNTS
		 ",\"tiers\":[{\"medium\":\"SSD\",\"path\":\"/c\",\"quotaBytes\":9,\"high\":1.5}]," REST "}",
		 "high:"},
		{"{" DATASET "," MOUNTS
		 ",\"tiers\":[{\"medium\":\"SSD\",\"path\":\"/c\",\"quotaBytes\":9,\"high\":0.5,\"low\":0.9}]," REST
		 "}",
		 "low: must be above 0 and at most high"},
		{"{" DATASET "," MOUNTS "," TIERS "," REST ",\"blockSizeBytes\":65537}", "multiple of 4096"},
		{"{" DATASET "," MOUNTS "," TIERS "," REST ",\"blockSizeBytes\":1}",
		 "blockSizeBytes: must be a whole number from 65536"},
		{"{" DATASET "," MOUNTS "," TIERS "," REST ",\"fetch\":{\"retries\":-1}}", "fetch: retries:"},
		{"{" DATASET "," MOUNTS "," TIERS "," REST ",\"freshness\":{\"mode\":\"Often\"}}",
		 "freshness.mode: 'Often'"},
		{"{" DATASET "," MOUNTS "," TIERS "," REST ",\"freshness\":{\"mode\":\"TTL\"}}",
		 "ttlSeconds: must be given"},
		{"{" DATASET "," MOUNTS "," TIERS "," REST ",\"listen\":\"80\"}", "listen: must be ADDRESS:PORT"},
		{"{" DATASET "," MOUNTS "," TIERS ",\"socket\":\"/a\\u0000b\"}", "socket: must be a string"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct reservoir_config c;
		struct error err = {0};
		const int rc = reservoir_config_parse(cases[i].text, strlen(cases[i].text), "x", &c, &err);
		if (rc >= 0 || strstr(err.msg, cases[i].msg) == NULL || strncmp(err.msg, "x:", 2) != 0)
			fail_msg("case %zu (%s): rc %d, '%s'", i, cases[i].msg, rc, err.msg);
	}
}

static void test_listen(void **state)
{
	(void)state;
	char addr[16];
	uint16_t port;
	assert_int_equal(reservoir_listen_split("[::1]:80", addr, sizeof addr, &port), 0);
	assert_string_equal(addr, "::1");
	assert_int_equal(port, 80);
	assert_int_equal(reservoir_listen_split("127.0.0.1:65536", addr, sizeof addr, &port), -EINVAL);
	assert_int_equal(reservoir_listen_split(":1", addr, sizeof addr, &port), -EINVAL);
	assert_int_equal(reservoir_listen_split("a-name-that-is-too-long:1", addr, sizeof addr, &port), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_all_fields),
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_listen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
