#include "cli/run_bucket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "json/json.h"

#define CREDENTIALS_MAX (1u << 20)

/* In a profile, and as the encrypted options of a mount. */
static const struct {
	const char *variable, *profile, *option;
} names[RUN_SECRETS] = {{"AWS_ACCESS_KEY_ID", "aws_access_key_id", "accessKeyId"},
			{"AWS_SECRET_ACCESS_KEY", "aws_secret_access_key", "secretAccessKey"},
			{"AWS_SESSION_TOKEN", "aws_session_token", "sessionToken"}};

static const char *first_set(const char *given, const char *a, const char *b)
{
	if (given != NULL)
		return given;
	const char *v = getenv(a);
	return v != NULL && *v != '\0' ? v : getenv(b);
}

static struct str trimmed(struct str s)
{
	while (s.n > 0 && strchr(" \t\r", s.p[0]) != NULL) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && strchr(" \t\r", s.p[s.n - 1]) != NULL)
		s.n--;
	return s;
}

/* "[profile]" lines, and "name = value" lines below them. */
static int read_profile(const char *text, const char *profile, struct run_bucket *b)
{
	struct str rest = str_from(text), line;
	bool here = false;
	while (str_split_next(&rest, '\n', &line)) {
		line = trimmed(line);
		struct str value = line, name;
		if (line.n > 1 && line.p[0] == '[')
			here = str_eq(trimmed((struct str){line.p + 1, line.n - 2}), profile);
		if (!here || !str_split_next(&value, '=', &name) || value.p == NULL)
			continue;
		for (size_t i = 0; i < RUN_SECRETS; i++) {
			const struct str v = trimmed(value);
			if (!str_eq(trimmed(name), names[i].profile) || v.n == 0 || b->secrets[i] != NULL)
				continue;
			b->secrets[i] = strndup(v.p, v.n);
			if (b->secrets[i] == NULL)
				return -ENOMEM;
		}
	}
	return 0;
}

static int from_file(struct run_bucket *b, struct error *err)
{
	const char *file = getenv("AWS_SHARED_CREDENTIALS_FILE"), *profile = getenv("AWS_PROFILE"),
		   *home = getenv("HOME");
	CLEANUP(free_p)
	char *path = file != NULL ? strdup(file) : str_printf("%s/.aws/credentials", home != NULL ? home : "");
	char *text = NULL;
	size_t n = 0;
	if (path == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	int rc = file_read(path, CREDENTIALS_MAX, &text, &n, err);
	if (rc == -ENOENT && file == NULL && profile == NULL)
		return 0; /* nobody said that there are any */
	if (rc != 0)
		return error_wrap(err, rc, "credentials of the bucket");
	rc = read_profile(text, profile != NULL ? profile : "default", b);
	explicit_bzero(text, n);
	free(text);
	if (rc == 0 && b->secrets[0] == NULL && profile != NULL)
		return error_set(err, -ENOENT, "'%s' has no profile '%s' with an aws_access_key_id", path, profile);
	return rc == 0 ? 0 : error_set(err, rc, "out of memory");
}

/* Connectors take files, as secrets come to pods; here they are of memory and nobody else's. */
static int make_files(struct run_bucket *b, struct error *err)
{
	for (size_t i = 0; i < RUN_SECRETS; i++) {
		if (b->secrets[i] == NULL)
			continue;
		b->files[i] = memfd_create("credential", MFD_CLOEXEC);
		const int rc =
			b->files[i] < 0 ? -errno : file_write_all(b->files[i], b->secrets[i], strlen(b->secrets[i]));
		if (rc < 0)
			return error_set(err, rc, "credentials of the bucket: %s", strerror(-rc));
		(void)snprintf(b->paths[i], sizeof b->paths[i], "/proc/self/fd/%d", b->files[i]); /* fits */
	}
	return 0;
}

static int fill(struct run_bucket *b, const char *endpoint, const char *region, struct error *err)
{
	const char *e = first_set(endpoint, "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
		   *r = first_set(region, "AWS_REGION", "AWS_DEFAULT_REGION");
	if ((e != NULL && *e != '\0' && (b->endpoint = strdup(e)) == NULL) ||
	    (r != NULL && *r != '\0' && (b->region = strdup(r)) == NULL))
		return error_set(err, -ENOMEM, "out of memory");
	for (size_t i = 0; i < RUN_SECRETS; i++) {
		const char *v = getenv(names[i].variable);
		if (i == RUN_SECRETS - 1 && b->secrets[0] == NULL)
			break; /* a session is of the keys that it stands beside */
		if (v != NULL && *v != '\0' && (b->secrets[i] = strdup(v)) == NULL)
			return error_set(err, -ENOMEM, "out of memory");
	}
	if ((b->secrets[0] == NULL) != (b->secrets[1] == NULL))
		return error_set(err, -EINVAL,
				 "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together: one of them is not set");
	const int rc = b->secrets[0] == NULL ? from_file(b, err) : 0;
	if (rc == 0 && (b->secrets[0] == NULL) != (b->secrets[1] == NULL))
		return error_set(err, -EINVAL,
				 "credentials of the bucket: aws_access_key_id and aws_secret_access_key go together");
	return rc == 0 ? make_files(b, err) : rc;
}

int run_bucket_open(const char *endpoint, const char *region, struct run_bucket *ret, struct error *err)
{
	struct run_bucket b = {.files = {-1, -1, -1}};
	const int rc = fill(&b, endpoint, region, err);
	if (rc != 0)
		run_bucket_clear(&b);
	else
		*ret = b;
	return rc;
}

void run_bucket_clear(struct run_bucket *b)
{
	for (size_t i = 0; i < RUN_SECRETS; i++) {
		if (b->secrets[i] == NULL)
			continue;
		close_fd(&b->files[i]);
		explicit_bzero(b->secrets[i], strlen(b->secrets[i]));
		free(b->secrets[i]);
	}
	free(b->endpoint);
	free(b->region);
	*b = (struct run_bucket){0};
}

static const char *path_or_null(const struct run_bucket *b, size_t i)
{
	return b->secrets[i] != NULL ? b->paths[i] : NULL;
}

struct s3_options run_bucket_options(const struct run_bucket *b)
{
	return (struct s3_options){.endpoint = b->endpoint,
				   .region = b->region,
				   .access_key_file = path_or_null(b, 0),
				   .secret_key_file = path_or_null(b, 1),
				   .session_token_file = path_or_null(b, 2)};
}

bool run_bucket_has_secrets(const struct run_bucket *b)
{
	return b->secrets[0] != NULL;
}

json_t *run_bucket_mount(const struct run_bucket *b, const char *secret)
{
	JSON_AUTO encrypted = json_array();
	int lost = 0;
	for (size_t i = 0; i < RUN_SECRETS; i++)
		if (b->secrets[i] != NULL)
			lost |= json_array_append_new(encrypted, json_pack("{s:s, s:{s:{s:s, s:s}}}", "name",
									   names[i].option, "valueFrom", "secretKeyRef",
									   "name", secret, "key", names[i].option));
	if (lost != 0)
		return NULL;
	return json_pack("{s:{s:s*, s:s*}, s:O}", "options", "endpoint", b->endpoint, "region", b->region,
			 "encryptOptions", encrypted);
}

json_t *run_bucket_secret_data(const struct run_bucket *b)
{
	JSON_AUTO data = json_object();
	for (size_t i = 0; i < RUN_SECRETS; i++)
		if (b->secrets[i] != NULL &&
		    json_object_set_new(data, names[i].option, json_string(b->secrets[i])) != 0)
			return NULL;
	return TAKE(data);
}
