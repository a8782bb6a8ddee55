/* Each allocation of the network layer fails once: nothing leaks, nothing is half done, the error says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "fault.h"
#include "net/cert.h"
#include "net/grpc.h"
#include "net/grpc_frame.h"
#include "net/http_client.h"
#include "net/http_reader.h"
#include "net/http_server.h"
#include "net/tls.h"

static void certificates(void **state)
{
	static const char *const sans[] = {"localhost", "127.0.0.1", NULL}, *const orgs[] = {"o", NULL};
	(void)state;
	FAULT_LOOP
	{
		struct cert_pair ca = {0}, leaf = {0};
		struct error err = {0};
		int rc = cert_make_ca("ca", &ca, &err);
		const struct cert_options o = {
			.cn = "x", .organizations = orgs, .sans = sans, .server = true, .days = 1};
		if (rc == 0)
			rc = cert_issue(&ca, &o, &leaf, &err);
		FAULT_END;
		assert_true(rc == 0 ? !fault_hit() : rc == -ENOMEM && err.msg[0] != '\0');
		assert_true((leaf.cert_pem != NULL) == (rc == 0));
		cert_pair_clear(&ca);
		cert_pair_clear(&leaf);
	}
}

static void requests(void **state)
{
	static const char text[] =
		"POST /a%20b?x=1&y=2 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 5\r\n\r\nhello";
	(void)state;
	FAULT_LOOP
	{
		struct http_reader *r = http_reader_new(100);
		struct http_parsed q = {0};
		const char *why = "";
		size_t used = 0;
		const int rc = r == NULL ? -500 : http_reader_feed(r, text, sizeof text - 1, &used, &why);
		const char *joined = NULL;
		if (rc == HTTP_READ_DONE) {
			http_reader_take(r, &q);
			joined = http_parsed_header(&q, "x-a");
		}
		FAULT_END;
		assert_true(rc == HTTP_READ_DONE || (fault_hit() && rc < 0));
		assert_true(fault_hit() || str_same(joined, "1, 2"));
		assert_true(joined == NULL || str_same(joined, "1, 2"));
		http_parsed_clear(&q);
		http_reader_free(r);
	}
}

static void no_handler(void *ctx, struct http_exchange *x)
{
	(void)ctx;
	http_reply(x, 200, NULL, "", 0);
}

static void servers(void **state)
{
	static const char *const sans[] = {"127.0.0.1", NULL};
	struct cert_pair ca = {0}, leaf = {0};
	(void)state;
	assert_int_equal(cert_make_ca("ca", &ca, NULL), 0);
	assert_int_equal(cert_issue(&ca, &(struct cert_options){.cn = "x", .sans = sans, .server = true, .days = 1},
				    &leaf, NULL),
			 0);
	FAULT_LOOP
	{
		struct http_server *s = NULL;
		struct error err = {0};
		const struct http_server_options o = {.address = "127.0.0.1",
						      .cert_pem = leaf.cert_pem,
						      .key_pem = leaf.key_pem,
						      .client_ca_pem = ca.cert_pem,
						      .workers = 1,
						      .handler = no_handler};
		const int rc = http_server_new(&o, &s, &err);
		FAULT_END;
		assert_true(rc == 0 ? !fault_hit() : rc == -ENOMEM && err.msg[0] != '\0');
		http_server_free(s);
	}
	cert_pair_clear(&ca);
	cert_pair_clear(&leaf);
}

static void sessions(void **state)
{
	struct cert_pair ca = {0};
	struct tls_config *c = NULL;
	(void)state;
	assert_int_equal(cert_make_ca("ca", &ca, NULL), 0);
	assert_int_equal(tls_config_new(ca.cert_pem, ca.key_pem, NULL, &c, NULL), 0);
	FAULT_LOOP
	{
		struct tls *t = tls_new(c);
		FAULT_END;
		assert_true(t != NULL || fault_hit());
		tls_free(t);
	}
	tls_config_free(c);
	cert_pair_clear(&ca);
}

/* A port that nobody listens on: bound and never listening. */
static int dead_port(uint16_t *ret)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof sa;
	assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&sa, n) == 0 &&
		    getsockname(fd, (struct sockaddr *)&sa, &n) == 0);
	*ret = ntohs(sa.sin_port);
	return fd;
}

static void clients(void **state)
{
	static const struct http_header headers[] = {{"Accept", "a"}, {"X-Empty", ""}};
	uint16_t port = 0;
	CLEANUP(close_fd) int dead = dead_port(&port);
	CLEANUP(free_p) char *url = str_printf("http://127.0.0.1:%u/", port);
	(void)state;
	FAULT_LOOP
	{
		struct http_client *c = NULL;
		struct http_answer a = {0};
		struct error err = {0};
		const struct http_client_options o = {
			.user_agent = "u", .ca_pem = "c", .cert_pem = "d", .key_pem = "e", .no_proxy = true};
		const struct http_call call = {.method = "POST",
					       .url = url,
					       .headers = headers,
					       .n_headers = 2,
					       .bearer = "t",
					       .timeout_ns = 5 * NSEC_PER_SEC};
		int rc = http_client_new(&o, &c, &err);
		if (rc == 0)
			rc = http_client_do(c, &call, &a, &err);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : -ECONNREFUSED);
		assert_true(err.msg[0] != '\0');
		http_client_free(c);
	}
}

static void no_method(void *ctx, const uint8_t *in, size_t n, int64_t deadline, struct grpc_reply *reply)
{
	(void)ctx;
	(void)in;
	(void)n;
	(void)deadline;
	reply->code = GRPC_INTERNAL;
}

static void grpc(void **state)
{
	static const struct grpc_method methods[] = {{"/a/B", no_method}};
	char dir[] = "/tmp/sluice-fault-XXXXXX";
	(void)state;
	assert_non_null(mkdtemp(dir));
	CLEANUP(free_p) char *path = str_printf("%s/s", dir);
	FAULT_LOOP
	{
		struct grpc_server *s = NULL;
		struct error err = {0};
		const int rc = grpc_server_new(path, methods, 1, NULL, &s, &err);
		FAULT_END;
		assert_true(rc == 0 ? !fault_hit() : rc == -ENOMEM && err.msg[0] != '\0');
		grpc_server_free(s);
		assert_int_equal(access(path, F_OK), -1);
	}
	FAULT_LOOP
	{
		uint8_t *out = NULL;
		size_t n = 0;
		struct error err = {0};
		const int rc = grpc_call(path, "/a/B", (const uint8_t *)"x", 1, NSEC_PER_SEC, &out, &n, &err);
		FAULT_END;
		assert_int_equal(rc, fault_hit() ? -ENOMEM : -ENOENT);
	}
	assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(certificates), cmocka_unit_test(requests),
					   cmocka_unit_test(servers),      cmocka_unit_test(sessions),
					   cmocka_unit_test(clients),      cmocka_unit_test(grpc)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
