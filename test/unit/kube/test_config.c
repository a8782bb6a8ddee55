#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "kube/client.h"
#include "kube/config.h"

#define HEAD "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
#define CONTEXTS                                                                                                       \
	"contexts:\n- name: a\n  context: {cluster: c, user: u, namespace: team}\n- name: b\n  context: {cluster: c, " \
	"user: u}\n"
#define CLUSTER(more) "clusters:\n- name: c\n  cluster: {server: 'https://h:6443/'" more "}\n"
#define USER(body)    "users:\n- name: u\n  user: {" body "}\n"

static int parse(const char *text, const char *context, struct kube_config **ret, struct error *err)
{
	return kube_config_parse(text, strlen(text), "/dir/cfg", context, ret, err);
}

static void contexts_are_resolved(void **state)
{
	(void)state;
	struct kube_config *cfg = NULL;
	const char *text =
		HEAD CONTEXTS CLUSTER(", certificate-authority-data: aGVsbG8=, insecure-skip-tls-verify: true")
			USER("token: t");
	assert_int_equal(parse(text, NULL, &cfg, NULL), 0);
	assert_string_equal(kube_config_server(cfg), "https://h:6443");
	assert_string_equal(kube_config_namespace(cfg), "team");
	assert_string_equal(cfg->ca_pem, "hello");
	assert_string_equal(cfg->token, "t");
	assert_true(cfg->insecure);
	kube_config_free(cfg);
	assert_int_equal(parse(text, "b", &cfg, NULL), 0);
	assert_string_equal(kube_config_namespace(cfg), "default");
	kube_config_free(cfg);
}

static void token_file_lies_beside_the_config(void **state)
{
	(void)state;
	struct kube_config *cfg = NULL;
	assert_int_equal(parse(HEAD CONTEXTS CLUSTER("") USER("tokenFile: sub/t"), NULL, &cfg, NULL), 0);
	assert_string_equal(cfg->token_file, "/dir/sub/t");
	kube_config_free(cfg);
}

static void what_is_wrong_is_named(void **state)
{
	(void)state;
	static const struct {
		const char *text, *context;
		int rc;
		const char *msg;
	} cases[] = {
		{"[]", NULL, -EINVAL, "kubeconfig '/dir/cfg': not one Config document"},
		{"a: 1\n---\nb: 2\n", NULL, -EINVAL, "kubeconfig '/dir/cfg': not one Config document"},
		{"kind: Config\n", NULL, -EINVAL,
		 "kubeconfig '/dir/cfg': no current-context; set one or name a context"},
		{HEAD CONTEXTS, "z", -ENOENT, "kubeconfig '/dir/cfg': there is no context 'z'"},
		{HEAD CONTEXTS, NULL, -ENOENT,
		 "kubeconfig '/dir/cfg': context 'a' names cluster 'c', which is not there"},
		{HEAD CONTEXTS CLUSTER(""), NULL, -ENOENT,
		 "kubeconfig '/dir/cfg': context 'a' names user 'u', which is not there"},
		{HEAD CONTEXTS "clusters:\n- name: c\n  cluster: {server: h}\n" USER("token: t"), NULL, -EINVAL,
		 "kubeconfig '/dir/cfg': server 'h' is no http(s) URL"},
		{HEAD CONTEXTS CLUSTER(", certificate-authority-data: '***'") USER("token: t"), NULL, -EINVAL,
		 "kubeconfig '/dir/cfg': certificate-authority-data is not base64 text"},
		{HEAD CONTEXTS CLUSTER(", certificate-authority-data: 'AAAA'") USER("token: t"), NULL, -EINVAL,
		 "kubeconfig '/dir/cfg': certificate-authority-data is not base64 text"},
		{HEAD CONTEXTS CLUSTER("") USER("client-certificate-data: aGVsbG8="), NULL, -EINVAL,
		 "kubeconfig '/dir/cfg': client-certificate and client-key belong together"},
		{HEAD CONTEXTS CLUSTER("") USER("exec: {command: x}"), NULL, -ENOTSUP,
		 "kubeconfig '/dir/cfg': 'exec' is not supported; use a client certificate or a token"},
		{HEAD CONTEXTS CLUSTER("") USER("username: x, password: y"), NULL, -ENOTSUP,
		 "kubeconfig '/dir/cfg': 'username' is not supported; use a client certificate or a token"},
		{HEAD CONTEXTS CLUSTER(", certificate-authority: none.pem") USER("token: t"), NULL, -ENOENT, NULL},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct kube_config *cfg = NULL;
		struct error err = {0};
		int rc = parse(cases[i].text, cases[i].context, &cfg, &err);
		if (rc != cases[i].rc || cfg != NULL || (cases[i].msg != NULL && strcmp(err.msg, cases[i].msg) != 0))
			fail_msg("case %zu: rc %d, '%s'", i, rc, err.msg);
	}
}

static void environment_names_the_file(void **state)
{
	(void)state;
	char path[] = "/tmp/test-config-XXXXXX", list[64];
	const char *text = HEAD CONTEXTS CLUSTER("") USER("token: t");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(file_write_all(fd, text, strlen(text)), 0);
	close(fd);
	(void)snprintf(list, sizeof list, ":%s:/none", path);
	setenv("KUBECONFIG", list, 1);
	struct kube_config *cfg = NULL;
	assert_int_equal(kube_config_load(NULL, NULL, &cfg, NULL), 0);
	kube_config_free(cfg);
	unlink(path);
	struct error err = {0};
	assert_int_equal(kube_config_load(NULL, NULL, &cfg, &err), -ENOENT);
	assert_non_null(strstr(err.msg, path));
	unsetenv("KUBECONFIG");
	unsetenv("KUBERNETES_SERVICE_HOST");
	setenv("HOME", "/none", 1);
	assert_int_equal(kube_config_load(NULL, NULL, &cfg, &err), -ENOENT);
	assert_true(str_has_prefix(err.msg, "no kubeconfig: set KUBECONFIG"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts_are_resolved),
		cmocka_unit_test(token_file_lies_beside_the_config),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(environment_names_the_file),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
