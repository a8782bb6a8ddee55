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
#include "fake_api.h"
#include "kube/client.h"
#include "kube/config.h"
#include "kube/exec_credential.h"

#define HEAD "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
#define CONTEXTS                                                                                                       \
	"contexts:\n- name: a\n  context: {cluster: c, user: u, namespace: team}\n- name: b\n  context: {cluster: c, " \
	"user: u}\n"
#define CLUSTER(more) "clusters:\n- name: c\n  cluster: {server: 'https://h:6443/'" more "}\n"
#define V1            "apiVersion: client.authentication.k8s.io/v1"
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
		{HEAD CONTEXTS CLUSTER("")
			 USER("exec: {command: x, apiVersion: client.authentication.k8s.io/v1alpha1}"),
		 NULL, -ENOTSUP,
		 "kubeconfig '/dir/cfg': exec: apiVersion 'client.authentication.k8s.io/v1alpha1' is not supported; "
		 "only client.authentication.k8s.io/v1 and client.authentication.k8s.io/v1beta1 are"},
		{HEAD CONTEXTS CLUSTER("") USER("exec: {" V1 "}"), NULL, -EINVAL,
		 "kubeconfig '/dir/cfg': exec: there is no command"},
		{HEAD CONTEXTS CLUSTER("") USER("exec: {" V1 ", command: x, args: [1]}"), NULL, -EINVAL,
		 "kubeconfig '/dir/cfg': exec: an arg is no string"},
		{HEAD CONTEXTS CLUSTER("") USER("exec: {" V1 ", command: x, env: [{name: a=b}]}"), NULL, -EINVAL,
		 "kubeconfig '/dir/cfg': exec: a variable of env has no proper name"},
		{HEAD CONTEXTS CLUSTER("") USER("exec: {" V1 ", command: x, interactiveMode: Always}"), NULL, -ENOTSUP,
		 "kubeconfig '/dir/cfg': exec: the plug-in needs a terminal (interactiveMode: Always), which it does "
		 "not get"},
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

/* --- a folder of files for one test --- */

struct folder {
	char path[64];
};

static void folder_make(struct folder *f)
{
	(void)snprintf(f->path, sizeof f->path, "/tmp/test-config-XXXXXX");
	assert_non_null(mkdtemp(f->path));
}

/* Write @text to the file @name of mode @mode; its path is in @out. */
static const char *folder_put(const struct folder *f, const char *name, mode_t mode, const char *text,
			      char out[static 128])
{
	struct error err = {0};
	(void)snprintf(out, 128, "%s/%s", f->path, name);
	if (file_write_atomic(out, mode, text, strlen(text), &err) < 0)
		fail_msg("%s", err.msg);
	return out;
}

static void lists_are_merged(void **state)
{
	(void)state;
	struct folder f;
	char a[128], b[128], list[400], want[128];
	folder_make(&f);
	/* The first file has the context and a cluster of its own; what it lacks comes from the second, found beside that one. */
	folder_put(&f, "a", 0600, "contexts:\n- name: x\n  context: {cluster: c, user: u}\n" CLUSTER(""), a);
	folder_put(&f, "b", 0600,
		   "current-context: x\ncontexts:\n- name: x\n  context: {cluster: other, user: other}\n"
		   "- name: second\n  context: {cluster: d, user: u}\n"
		   "clusters:\n- name: c\n  cluster: {server: 'https://never'}\n- name: d\n  cluster: {server: "
		   "'https://d'}\n"
		   "users:\n- name: u\n  user: {tokenFile: t}\n",
		   b);
	(void)snprintf(list, sizeof list, "/none/1:%s::%s:/none/2", a, b);
	(void)snprintf(want, sizeof want, "%s/t", f.path);
	setenv("KUBECONFIG", list, 1);
	struct kube_config *cfg = NULL;
	struct error err = {0};
	if (kube_config_load(NULL, NULL, &cfg, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(kube_config_server(cfg), "https://h:6443");
	assert_string_equal(cfg->token_file, want);
	kube_config_free(cfg);
	if (kube_config_load(NULL, "second", &cfg, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(kube_config_server(cfg), "https://d");
	kube_config_free(cfg);

	folder_put(&f, "b", 0600, "[]", b);
	assert_int_equal(kube_config_load(NULL, NULL, &cfg, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "not one Config document"));
	(void)file_remove_all(f.path, NULL);
	assert_int_equal(kube_config_load(NULL, NULL, &cfg, &err), -ENOENT);
	assert_true(str_has_prefix(err.msg, "kubeconfig: none of the files of KUBECONFIG ("));
	unsetenv("KUBECONFIG");
}

/* --- plug-ins --- */

#define CREDENTIAL(status)                                                                                             \
	"echo '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":" status     \
	"}'\n"

static void plugins_answer(void **state)
{
	(void)state;
	static const struct {
		const char *script, *token, *msg; /* token NULL: msg follows the command's name */
		int rc;
		int64_t timeout_ns;
	} cases[] = {
		{CREDENTIAL("{\"token\":\"t1\"}"), "t1", NULL, 0, 0},
		{CREDENTIAL("{\"token\":\"'\"$1-$A-$HOME\"'\"}"), "x y-1=2-/h", NULL, 0, 0},
		{"[ -z \"$KUBERNETES_EXEC_INFO\" ] || " CREDENTIAL("{\"token\":\"told\"}"), "told", NULL, 0, 0},
		{"case \"$KUBERNETES_EXEC_INFO\" in *'\"server\":\"https://h:6443/\"'*) " CREDENTIAL(
			 "{\"token\":\"cluster\"}") " ;; esac",
		 "cluster", NULL, 0, 0},
		{"exit 3", NULL, " failed: exit status 3", -EACCES, 0},
		{"kill -9 $$", NULL, " failed: signal 9", -EACCES, 0},
		{"echo hello", NULL, ": its output is no JSON", -EPROTO, 0},
		{"echo {}", NULL, ": its output is no ExecCredential of client.authentication.k8s.io/v1", -EPROTO, 0},
		{CREDENTIAL("{}"), NULL, ": there is no token in its output", -EPROTO, 0},
		{CREDENTIAL("{\"token\":\"a\\u000ab\"}"), NULL, ": there is no token in its output", -EPROTO, 0},
		{CREDENTIAL("{\"clientCertificateData\":\"x\"}"), NULL,
		 ": it gives a client certificate, which is not supported; a token is", -ENOTSUP, 0},
		{CREDENTIAL("{\"token\":\"t\",\"expirationTimestamp\":\"soon\"}"), NULL,
		 ": expirationTimestamp is no time", -EPROTO, 0},
		{"exec cat /dev/zero", NULL, ": more than 65536 bytes of output", -EFBIG, 0},
		{"exec sleep 60", NULL, ": no answer in time", -ETIMEDOUT, 50 * NSEC_PER_MSEC},
		{"exec 1>&-; exec sleep 60", NULL, ": does not end", -ETIMEDOUT, 2 * NSEC_PER_SEC},
	};
	struct folder f;
	folder_make(&f);
	setenv("HOME", "/h", 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char command[128], script[1024], config[128], want[256];
		struct kube_config *cfg = NULL;
		struct error err = {0};
		(void)snprintf(script, sizeof script, "#!/bin/sh\n%s", cases[i].script);
		folder_put(&f, "plug-in", 0700, script, command);
		(void)snprintf(config, sizeof config, "%s/config", f.path);
		const char *text =
			HEAD CONTEXTS CLUSTER("") USER("exec: {" V1 ", command: ./plug-in, args: ['x y'], env: [{name: "
						       "A, value: '1=2'}], provideClusterInfo: true}");
		if (kube_config_parse(text, strlen(text), config, NULL, &cfg, &err) < 0)
			fail_msg("%s", err.msg);
		char *token = NULL;
		int64_t expires = 0;
		const int rc = exec_credential_run(cfg->exec,
						   cases[i].timeout_ns > 0 ? cases[i].timeout_ns : 20 * NSEC_PER_SEC,
						   &token, &expires, &err);
		kube_config_free(cfg);
		(void)snprintf(want, sizeof want, "credential plug-in '%s/./plug-in'%s", f.path,
			       cases[i].msg != NULL ? cases[i].msg : "");
		if (rc != cases[i].rc || (rc == 0 ? strcmp(token, cases[i].token) : strcmp(err.msg, want)) != 0)
			fail_msg("case %zu: %d '%s' '%s'", i, rc, token, err.msg);
		if (rc == 0)
			assert_true(expires == INT64_MAX);
		free(token);
	}
	(void)file_remove_all(f.path, NULL);
}

/* The plug-in is told the version that it speaks, and answers in it. */
static void older_plugins_are_spoken_to_in_their_version(void **state)
{
	(void)state;
	struct folder f;
	struct kube_config *cfg = NULL;
	struct error err = {0};
	char command[128], config[128];
	char *token = NULL;
	int64_t expires = 0;
	folder_make(&f);
	folder_put(&f, "plug-in", 0700,
		   "#!/bin/sh\ncase $KUBERNETES_EXEC_INFO in *authentication.k8s.io/v1beta1*) ;; *) exit 1 ;; esac\n"
		   "echo '{\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\"kind\":\"ExecCredential\","
		   "\"status\":{\"token\":\"old\"}}'\n",
		   command);
	(void)snprintf(config, sizeof config, "%s/config", f.path);
	const char *text = HEAD CONTEXTS CLUSTER("") USER("exec: {" V1 "beta1, command: ./plug-in}");
	if (kube_config_parse(text, strlen(text), config, NULL, &cfg, &err) < 0 ||
	    exec_credential_run(cfg->exec, 20 * NSEC_PER_SEC, &token, &expires, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(token, "old");
	free(token);
	kube_config_free(cfg);
	(void)file_remove_all(f.path, NULL);
}

static void missing_plugin_gives_its_hint(void **state)
{
	(void)state;
	struct kube_config *cfg = NULL;
	struct error err = {0};
	char *token = NULL;
	int64_t expires;
	const char *text =
		HEAD CONTEXTS CLUSTER("") USER("exec: {" V1 ", command: no-such-plug-in-here, installHint: get it}");
	assert_int_equal(parse(text, NULL, &cfg, &err), 0);
	assert_int_equal(exec_credential_run(cfg->exec, NSEC_PER_SEC, &token, &expires, &err), -ENOENT);
	assert_string_equal(err.msg, "credential plug-in 'no-such-plug-in-here' is not there: get it");
	kube_config_free(cfg);
}

/* A server that knows the token "good" only, and a plug-in that counts its calls and gives "bad" first. */
static void check_token(struct fake_api *f, struct fake_request *q)
{
	const bool good = strstr(q->head, "Authorization: Bearer good") != NULL;
	(void)f;
	fake_reply(q->fd, good ? 200 : 401, "", "{}");
}

/* Call the server through the plug-in @script and check how often that has run after each call. */
static void check_calls(const char *script, const size_t *runs, size_t n_calls)
{
	struct folder f;
	struct fake_api api;
	char command[128], config[128], text[1024], counter[160];
	folder_make(&f);
	fake_start(&api, check_token, NULL);
	folder_put(&f, "plug-in", 0700, script, command);
	(void)snprintf(config, sizeof config, "%s/config", f.path);
	(void)snprintf(counter, sizeof counter, "%s/count", f.path);
	(void)snprintf(text, sizeof text,
		       HEAD CONTEXTS "clusters:\n- name: c\n  cluster: {server: 'http://127.0.0.1:%u'}\n" USER(
			       "exec: {" V1 ", command: %s, env: [{name: C, value: %s}]}"),
		       api.port, command, counter);
	struct kube_config *cfg = NULL;
	struct kube_client *c = NULL;
	struct error err = {0};
	if (kube_config_parse(text, strlen(text), config, NULL, &cfg, &err) < 0 ||
	    kube_client_new(cfg, NULL, &c, &err) < 0)
		fail_msg("%s", err.msg);
	kube_config_free(cfg);
	for (size_t i = 0; i < n_calls; i++) {
		CLEANUP(free_p) char *body = NULL;
		CLEANUP(free_p) char *count = NULL;
		size_t n = 0;
		if (kube_get_raw(c, "/version", &body, NULL, &err) < 0 || file_read(counter, 64, &count, &n, &err) < 0)
			fail_msg("%s", err.msg);
		assert_int_equal(n / 2, runs[i]);
	}
	kube_client_free(c);
	fake_stop(&api);
	(void)file_remove_all(f.path, NULL);
}

static void refused_token_is_asked_for_again(void **state)
{
	(void)state;
	static const size_t runs[] = {2, 2, 2}; /* "bad" is refused, "good" is kept */
	check_calls("#!/bin/sh\nt=good; [ -e \"$C\" ] || t=bad; echo x >>\"$C\"\n" CREDENTIAL("{\"token\":\"'$t'\"}"),
		    runs, ARRAY_LEN(runs));
}

static void expired_token_is_asked_for_again(void **state)
{
	(void)state;
	static const size_t runs[] = {1, 2, 3};
	check_calls("#!/bin/sh\necho x >>\"$C\"\n" CREDENTIAL(
			    "{\"token\":\"good\",\"expirationTimestamp\":\"2020-01-01T00:00:00Z\"}"),
		    runs, ARRAY_LEN(runs));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts_are_resolved),
		cmocka_unit_test(token_file_lies_beside_the_config),
		cmocka_unit_test(what_is_wrong_is_named),
		cmocka_unit_test(environment_names_the_file),
		cmocka_unit_test(lists_are_merged),
		cmocka_unit_test(plugins_answer),
		cmocka_unit_test(older_plugins_are_spoken_to_in_their_version),
		cmocka_unit_test(missing_plugin_gives_its_hint),
		cmocka_unit_test(refused_token_is_asked_for_again),
		cmocka_unit_test(expired_token_is_asked_for_again),
	};
	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
