/* The source of a run: understood and looked at before anything is started. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/run.h"
#include "net/http_client.h"
#include "reservoir/source.h"

#define LOOK_TIMEOUT_NS (10 * NSEC_PER_SEC)

/* What a status other than 200 means to the person who typed the URL. */
static int refuse_status(const char *url, int status, struct error *err)
{
	if (status == 404)
		return error_set(
			err, -ENOENT,
			"%s answers 404 Not Found: check the path; it must be an index page with links to the files",
			url);
	if (status == 401 || status == 403)
		return error_set(err, -EACCES, "%s answers %d: it wants credentials, which 'sluice run' does not send",
				 url, status);
	if (status >= 500)
		return error_set(err, -EIO, "%s answers %d: the server is in trouble; try again when it is well", url,
				 status);
	return error_set(err, -EPROTO, "%s answers %d, not 200 with an index page", url, status);
}

static int look_at_url(const char *url, struct error *err)
{
	struct http_client *client = NULL;
	int rc = http_client_new(&(struct http_client_options){.user_agent = "sluice/" SLUICE_VERSION}, &client, err);
	if (rc != 0)
		return rc;
	const struct http_call call = {.method = "GET",
				       .url = url,
				       .timeout_ns = LOOK_TIMEOUT_NS,
				       .max_body = 64 << 20,
				       .follow_redirects = true};
	struct http_answer answer = {0};
	rc = http_client_do(client, &call, &answer, err);
	if (rc != 0) {
		rc = error_wrap(err, rc, "the source does not answer: is the server running, and the address right?");
	} else if (answer.status != 200) {
		rc = refuse_status(url, answer.status, err);
	} else {
		const char *type = http_answer_header(&answer, "content-type");
		if (type == NULL || !str_has_prefix(type, "text/html"))
			rc = error_set(err, -EPROTO,
				       "%s is no index page (content type %s): give the address of a directory listing",
				       url, type == NULL ? "missing" : type);
	}
	if (rc != -ENOMEM)
		http_answer_clear(&answer);
	http_client_free(client);
	return rc;
}

static int open_url(const char *text, struct run_source *ret, struct error *err)
{
	if (strpbrk(text, "?#") != NULL)
		return error_set(err, -EINVAL, "'%s': a source is a directory of files, its URL has no '?' or '#'",
				 text);
	CLEANUP(free_p) char *url = str_printf("%s%s", text, str_has_suffix(text, "/") ? "" : "/");
	CLEANUP(free_p) char *copy = url == NULL ? NULL : strdup(url);
	if (copy == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	const int rc = look_at_url(url, err);
	if (rc != 0)
		return rc;
	*ret = (struct run_source){.kind = RUN_HTTP, .mount_point = TAKE(url), .location = TAKE(copy)};
	return 0;
}

static int open_directory(const char *text, struct run_source *ret, struct error *err)
{
	CLEANUP(free_p) char *path = realpath(text, NULL);
	if (path == NULL)
		return error_set(err, -errno, "the source '%s': %s", text, strerror(errno));
	DIR *d = opendir(path);
	if (d == NULL)
		return error_set(err, -errno,
				 "the source '%s': %s; a directory, an http(s) URL or s3://BUCKET/PREFIX is wanted",
				 text, strerror(errno));
	(void)closedir(d);
	CLEANUP(free_p) char *mount_point = str_printf("local://%s", path);
	if (mount_point == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	*ret = (struct run_source){.mount_point = TAKE(mount_point), .location = TAKE(path)};
	return 0;
}

static int see_nothing(void *ctx, const struct source_entry *e)
{
	(void)ctx, (void)e;
	return 0;
}

static int look_at_bucket(const char *url, const struct run_bucket *b, struct error *err)
{
	const struct s3_options o = run_bucket_options(b);
	struct source *s = NULL;
	int rc = source_new(url, &o, LOOK_TIMEOUT_NS, &s, err);
	if (rc != 0)
		return rc;
	rc = source_list(s, "", see_nothing, NULL, err);
	source_free(s);
	if (rc == -EACCES)
		return error_wrap(
			err, rc,
			run_bucket_has_secrets(b)
				? "the bucket refuses the credentials"
				: "the bucket wants credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
	return rc == 0 ? 0 : error_wrap(err, rc, "the bucket cannot be listed: are its name and --endpoint right?");
}

static int open_bucket(const char *text, const struct run_source_options *o, struct run_source *ret, struct error *err)
{
	struct run_source s = {.kind = RUN_BUCKET, .mount_point = strdup(text), .location = strdup(text)};
	int rc = s.mount_point == NULL || s.location == NULL ? error_set(err, -ENOMEM, "out of memory") : 0;
	if (rc == 0)
		rc = run_bucket_open(o->endpoint, o->region, &s.bucket, err);
	if (rc == 0)
		rc = look_at_bucket(text, &s.bucket, err);
	if (rc != 0)
		run_source_clear(&s);
	else
		*ret = s;
	return rc;
}

int run_source_open(const char *text, const struct run_source_options *o, struct run_source *ret, struct error *err)
{
	const bool bucket = str_has_prefix(text, "s3://");
	if (!bucket && (o->endpoint != NULL || o->region != NULL))
		return error_set(err, -EINVAL, "--endpoint and --region are for s3:// sources");
	if (bucket)
		return open_bucket(text, o, ret, err);
	if (str_has_prefix(text, "http://") || str_has_prefix(text, "https://"))
		return open_url(text, ret, err);
	if (strstr(text, "://") != NULL)
		return error_set(err, -EOPNOTSUPP,
				 "the source '%s': only directories, http(s) URLs and s3://BUCKET/PREFIX can be run",
				 text);
	return open_directory(text, ret, err);
}

void run_source_clear(struct run_source *s)
{
	free(s->mount_point);
	free(s->location);
	run_bucket_clear(&s->bucket);
	*s = (struct run_source){0};
}

char *run_source_name(const struct run_source *s)
{
	size_t end = strlen(s->location);
	while (end > 0 && s->location[end - 1] == '/')
		end--;
	size_t start = end;
	while (start > 0 && s->location[start - 1] != '/')
		start--;
	char name[41];
	size_t n = 0;
	for (size_t i = start; i < end && n < sizeof name - 1; i++) {
		const int c = tolower((unsigned char)s->location[i]);
		const bool letter = c >= 'a' && c <= 'z';
		if (letter || (n > 0 && c >= '0' && c <= '9'))
			name[n++] = (char)c;
		else if (n > 0 && name[n - 1] != '-')
			name[n++] = '-';
	}
	while (n > 0 && name[n - 1] == '-')
		n--;
	name[n] = '\0';
	return strdup(
		n == 0 || (s->kind == RUN_HTTP && strchr(s->location + strlen("https://"), '/') == s->location + end)
			? "data"
			: name);
}
