/* What the server keeps by itself: where it is found, and Events for a while. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "kube/client.h"
#include "local/api_server.h"
#include "json/json.h"

#define WAIT_NS (20 * NSEC_PER_SEC)

static const struct kube_resource services = {"", "v1", "Service", "services", true},
				  endpoints = {"", "v1", "Endpoints", "endpoints", true},
				  events = {"", "v1", "Event", "events", true};

static char dir[64], kubeconfig[96];
static struct api_server *server;
static struct kube_client *client;

static void start(int64_t event_ttl_ns)
{
	struct error err = {0};
	struct kube_config *cfg = NULL;
	struct api_server_options o = {
		.data_dir = dir, .address = "127.0.0.1", .kubeconfig = kubeconfig, .event_ttl_ns = event_ttl_ns};
	if (api_server_new(&o, &server, &err) < 0 || kube_config_load(kubeconfig, NULL, &cfg, &err) < 0 ||
	    kube_client_new(cfg, "test", &client, &err) < 0)
		fail_msg("start: %s", err.msg);
	kube_config_free(cfg);
}

static void stop(void)
{
	kube_client_free(client);
	api_server_free(server);
	client = NULL;
	server = NULL;
}

static int setup(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof dir, "/tmp/sluice-test-self-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	(void)snprintf(kubeconfig, sizeof kubeconfig, "%s/kubeconfig", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_all(dir, NULL);
}

static void expect_endpoint(void)
{
	JSON_AUTO ep = NULL;
	assert_int_equal(kube_get(client, &endpoints, "default", "kubernetes", &ep, NULL), 0);
	assert_string_equal(json_str(ep, "subsets[0].addresses[0].ip", ""), "127.0.0.1");
	assert_int_equal(json_int(ep, "subsets[0].ports[0].port", 0), api_server_port(server));
}

static void test_self(void **state)
{
	(void)state;
	JSON_AUTO svc = NULL;
	start(0);
	assert_int_equal(kube_get(client, &services, "default", "kubernetes", &svc, NULL), 0);
	assert_string_equal(json_str(svc, "spec.clusterIP", ""), "10.96.0.1");
	expect_endpoint();
	stop();
	start(0); /* on another port */
	expect_endpoint();
	stop();
}

static json_t *event(const char *name, int64_t at_wall_ns)
{
	char at[32];
	clock_format_rfc3339(at_wall_ns, at);
	return json_pack("{s:s, s:s, s:{s:s}, s:{s:s, s:s, s:s}, s:s}", "apiVersion", "v1", "kind", "Event", "metadata",
			 "name", name, "involvedObject", "kind", "Pod", "name", "p", "namespace", "default",
			 "lastTimestamp", at);
}

static int make(const char *name, int64_t at_wall_ns)
{
	JSON_AUTO e = event(name, at_wall_ns);
	return kube_create(client, &events, "default", e, NULL, NULL);
}

/** One that has been heard of lately stays, the other goes when its time is over. */
static void test_events(void **state)
{
	(void)state;
	int64_t now = clock_wall_ns(), end = clock_mono_ns() + WAIT_NS;
	start(2 * NSEC_PER_SEC);
	assert_int_equal(make("old", now), 0);
	assert_int_equal(make("new", now + 3600 * NSEC_PER_SEC), 0);
	while (kube_get(client, &events, "default", "old", NULL, NULL) != -ENOENT) {
		assert_true(clock_mono_ns() < end);
		(void)usleep(100000); /* a poll with a deadline */
	}
	assert_true(clock_wall_ns() - now >= 2 * NSEC_PER_SEC);
	assert_int_equal(kube_get(client, &events, "default", "new", NULL, NULL), 0);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_events),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
