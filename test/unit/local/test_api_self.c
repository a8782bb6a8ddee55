/* What the server keeps by itself: where it is found, and Events for a while. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>
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
		(void)poll(NULL, 0, 100); /* with a deadline */
	}
	assert_true(clock_wall_ns() - now >= 2 * NSEC_PER_SEC);
	assert_int_equal(kube_get(client, &events, "default", "new", NULL, NULL), 0);
	stop();
}

static atomic_int_least64_t ahead_ns; /* of the real time */

static int64_t wall_ahead(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec + atomic_load(&ahead_ns);
}

/** The text of the certificate that the server shows to a new connection, malloc'ed. */
static char *shown_certificate(void)
{
	char address[32];
	(void)snprintf(address, sizeof address, "127.0.0.1:%u", api_server_port(server));
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *bio = BIO_new_ssl_connect(ctx), *text = BIO_new(BIO_s_mem());
	SSL *ssl = NULL;
	assert_int_equal(BIO_set_conn_hostname(bio, address), 1);
	assert_int_equal(BIO_do_handshake(bio), 1);
	assert_int_equal(BIO_get_ssl(bio, &ssl), 1);
	assert_int_equal(PEM_write_bio_X509(text, SSL_get0_peer_certificate(ssl)), 1);
	char *bytes = NULL;
	const long n = BIO_get_mem_data(text, &bytes);
	char *pem = strndup(bytes, (size_t)n);
	BIO_free(text);
	BIO_free_all(bio);
	SSL_CTX_free(ctx);
	return pem;
}

/** Wait until new connections are shown another certificate than @old, which is freed. */
static char *next_certificate(char *old)
{
	const int64_t end = clock_mono_ns() + WAIT_NS;
	for (;;) {
		char *now = shown_certificate();
		const bool same = strcmp(old, now) == 0;
		if (!same) {
			free(old);
			return now;
		}
		free(now);
		assert_true(clock_mono_ns() < end);
		(void)poll(NULL, 0, 100); /* with a deadline */
	}
}

/** The server's certificate is made anew in time, and when the clock was put back; clients notice nothing. */
static void test_keys(void **state)
{
	(void)state;
	clock_replace(NULL, wall_ahead);
	start(NSEC_PER_SEC);
	char *first = shown_certificate(), *again = shown_certificate();
	assert_string_equal(first, again);
	free(again);
	atomic_store(&ahead_ns, 8 * 24 * 3600 * NSEC_PER_SEC);
	char *second = next_certificate(first);
	expect_endpoint();
	atomic_store(&ahead_ns, -24 * 3600 * NSEC_PER_SEC);
	free(next_certificate(second));
	expect_endpoint();
	kube_client_free(client);
	struct kube_config *cfg = NULL;
	assert_int_equal(kube_config_load(kubeconfig, NULL, &cfg, NULL), 0);
	assert_int_equal(kube_client_new(cfg, "test", &client, NULL), 0);
	kube_config_free(cfg);
	expect_endpoint();
	stop();
	clock_replace(NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_keys),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
