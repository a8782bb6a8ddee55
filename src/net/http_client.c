#include "net/http_client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "base/strbuf.h"
#include "net/http_client_internal.h"

#define IDLE_DEFAULT    16
#define BODY_DEFAULT    ((size_t)64 << 20)
#define HEADERS_MAX     256
#define HEADER_TEXT_MAX 262144
#define CONNECT_DEFAULT (10 * NSEC_PER_SEC)
#define KEEPALIVE_SEC   60L
#define BUFFER_BYTES    (128L * 1024)
#define REDIRECTS_MAX   10L

struct http_client {
	char *user_agent, *ca_pem, *cert_pem, *key_pem, *unix_socket;
	bool insecure, no_proxy;
	size_t max_idle;
	pthread_mutex_t lock; /* guards idle, n_idle, active */
	struct handle *idle;  /* the last one used comes first: its connection is the warmest */
	size_t n_idle;
	struct handle *active; /* calls under way */
};

/* One call at a time: the multi handle holds its connections and can be woken up from another thread. */
struct handle {
	struct handle *next, *prev;
	CURLM *multi;
	CURL *easy;
};

/* One call under way. */
struct transfer {
	const struct http_call *call;
	struct handle *handle;
	CURL *easy; /* the handle's */
	struct http_header *headers;
	size_t n_headers, header_text;
	int status;
	bool head_ended, head_told;
	struct strbuf body;
	int rc; /* why we end it ourselves; 0: we do not */
	curl_off_t moved;
	int64_t moved_ns;
	char curl_error[CURL_ERROR_SIZE];
};

/* --- client --- */

static void global_init(void)
{
	(void)curl_global_init(CURL_GLOBAL_DEFAULT); /* a failure shows as NULL from curl_easy_init() */
}

static int copy_option(char **dst, const char *src)
{
	if (src == NULL)
		return 0;
	*dst = strdup(src);
	return *dst == NULL ? -ENOMEM : 0;
}

static void wipe(char *s)
{
	if (s != NULL)
		explicit_bzero(s, strlen(s));
	free(s);
}

static void handle_free(struct handle *h)
{
	if (h->multi != NULL)
		(void)curl_multi_cleanup(h->multi); /* fails only for a bad handle */
	curl_easy_cleanup(h->easy);
	free(h);
}

static struct handle *handle_new(void)
{
	struct handle *h = calloc(1, sizeof *h);
	if (h == NULL)
		return NULL;
	h->multi = curl_multi_init();
	h->easy = curl_easy_init();
	if (h->multi == NULL || h->easy == NULL) {
		handle_free(h);
		return NULL;
	}
	return h;
}

void http_client_free(struct http_client *c)
{
	if (c == NULL)
		return;
	for (struct handle *h; (h = c->idle) != NULL;) {
		c->idle = h->next;
		handle_free(h);
	}
	free(c->user_agent);
	free(c->ca_pem);
	free(c->cert_pem);
	wipe(c->key_pem);
	free(c->unix_socket);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int http_client_new(const struct http_client_options *o, struct http_client **ret, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	(void)pthread_once(&once, global_init); /* cannot fail with these arguments */
	struct http_client *c = calloc(1, sizeof *c);
	if (c == NULL)
		return error_set(err, -ENOMEM, "make HTTP client: out of memory");
	pthread_mutex_init(&c->lock, NULL);
	c->max_idle = o->max_idle == 0 ? IDLE_DEFAULT : o->max_idle;
	c->insecure = o->insecure;
	c->no_proxy = o->no_proxy;
	if (copy_option(&c->user_agent, o->user_agent) < 0 || copy_option(&c->ca_pem, o->ca_pem) < 0 ||
	    copy_option(&c->cert_pem, o->cert_pem) < 0 || copy_option(&c->key_pem, o->key_pem) < 0 ||
	    copy_option(&c->unix_socket, o->unix_socket) < 0) {
		http_client_free(c);
		return error_set(err, -ENOMEM, "make HTTP client: out of memory");
	}
	*ret = c;
	return 0;
}

static struct handle *take_handle(struct http_client *c)
{
	pthread_mutex_lock(&c->lock);
	struct handle *h = c->idle;
	if (h != NULL) {
		c->idle = h->next;
		c->n_idle--;
	}
	pthread_mutex_unlock(&c->lock);
	if (h == NULL && (h = handle_new()) == NULL)
		return NULL;
	pthread_mutex_lock(&c->lock);
	h->prev = NULL;
	h->next = c->active;
	if (h->next != NULL)
		h->next->prev = h;
	c->active = h;
	pthread_mutex_unlock(&c->lock);
	return h;
}

static void give_handle(struct http_client *c, struct handle *h)
{
	curl_easy_reset(h->easy);
	pthread_mutex_lock(&c->lock);
	if (h->prev != NULL)
		h->prev->next = h->next;
	else
		c->active = h->next;
	if (h->next != NULL)
		h->next->prev = h->prev;
	const bool keep = c->n_idle < c->max_idle;
	if (keep) {
		h->next = c->idle;
		c->idle = h;
		c->n_idle++;
	}
	pthread_mutex_unlock(&c->lock);
	if (!keep)
		handle_free(h);
}

void http_client_interrupt(struct http_client *c)
{
	pthread_mutex_lock(&c->lock);
	for (struct handle *h = c->active; h != NULL; h = h->next)
		(void)curl_multi_wakeup(
			h->multi); /* the only call another thread may make; without it the flag is seen within a second */
	pthread_mutex_unlock(&c->lock);
}

/* --- what curl calls --- */

static void clear_headers(struct http_header *headers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free((char *)headers[i].name); /* the value lies behind it in the same block */
}

static int add_header(struct transfer *t, const char *line, size_t n)
{
	const char *colon = memchr(line, ':', n);
	if (colon == NULL || colon == line || isspace((unsigned char)*line))
		return 0; /* no field, or the obsolete continuation of one */
	t->header_text += n;
	if (t->n_headers == HEADERS_MAX || t->header_text > HEADER_TEXT_MAX)
		return -EFBIG;
	if (t->headers == NULL)
		t->headers = calloc(HEADERS_MAX, sizeof *t->headers);
	const size_t name_n = (size_t)(colon - line);
	const char *value = colon + 1, *end = line + n;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && isspace((unsigned char)end[-1]))
		end--;
	const size_t value_n = (size_t)(end - value);
	char *block = t->headers == NULL ? NULL : malloc(name_n + value_n + 2);
	if (block == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < name_n; i++)
		block[i] = (char)tolower((unsigned char)line[i]);
	block[name_n] = '\0';
	memcpy(block + name_n + 1, value, value_n);
	block[name_n + 1 + value_n] = '\0';
	t->headers[t->n_headers++] = (struct http_header){block, block + name_n + 1};
	return 0;
}

static bool has_header(const struct transfer *t, const char *name)
{
	for (size_t i = 0; i < t->n_headers; i++)
		if (strcmp(t->headers[i].name, name) == 0)
			return true;
	return false;
}

static int tell_head(struct transfer *t)
{
	t->head_told = true;
	return t->call->on_head == NULL ? 0 : t->call->on_head(t->call->ctx, t->status, t->headers, t->n_headers);
}

static int head_done(struct transfer *t)
{
	const bool redirect = t->call->follow_redirects && t->status / 100 == 3 && has_header(t, "location");
	t->head_ended = true;
	return t->status < 200 || redirect || t->head_told ? 0 : tell_head(t);
}

static size_t on_header_line(char *line, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	const size_t n = size * count;
	int rc = 0;
	if (n >= 5 && memcmp(line, "HTTP/", 5) == 0) {
		clear_headers(t->headers, t->n_headers);
		t->n_headers = t->header_text = 0;
		t->head_ended = false;
		long status = 0;
		(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status); /* already parsed from this line */
		t->status = (int)status;
		rc = status < 100 || status > 999 ? -EPROTO : 0;
	} else if (n == 0 || *line == '\r' || *line == '\n') { /* what curl takes for the end of the head */
		rc = t->head_told ? 0 : head_done(t);          /* trailers end with an empty line too */
	} else if (!t->head_told) {
		rc = add_header(t, line, n);
	}
	if (rc < 0)
		t->rc = rc;
	return rc < 0 ? 0 : n;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *t = arg;
	const size_t n = size * count;
	int rc = 0;
	if (t->call->on_data != NULL && t->status / 100 == 2) {
		rc = t->call->on_data(t->call->ctx, data, n);
		t->moved_ns = clock_mono_ns(); /* time that the consumer took is no stall of the peer */
	} else if (n > t->body.max - t->body.n) {
		rc = -EFBIG;
	} else {
		strbuf_add(&t->body, data, n);
		rc = t->body.failed ? -ENOMEM : 0;
	}
	if (rc < 0)
		t->rc = rc;
	return rc < 0 ? 0 : n;
}

static int on_progress(void *arg, curl_off_t dl_total, curl_off_t dl_now, curl_off_t ul_total, curl_off_t ul_now)
{
	struct transfer *t = arg;
	(void)dl_total;
	(void)ul_total;
	if (t->call->cancel != NULL && atomic_load_explicit(t->call->cancel, memory_order_acquire)) {
		t->rc = -ECANCELED;
		return 1;
	}
	if (t->call->stall_timeout_ns == 0)
		return 0;
	const int64_t now = clock_mono_ns();
	if (dl_now + ul_now != t->moved) {
		t->moved = dl_now + ul_now;
		t->moved_ns = now;
	} else if (now - t->moved_ns > t->call->stall_timeout_ns) {
		t->rc = -ETIMEDOUT;
		return 1;
	}
	return 0;
}

/* --- a call --- */

static long to_ms(int64_t ns)
{
	const int64_t ms = (ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	return ms > LONG_MAX ? LONG_MAX : (long)ms;
}

static struct curl_blob blob(char *text)
{
	return (struct curl_blob){.data = text, .len = strlen(text), .flags = CURL_BLOB_NOCOPY};
}

/* curl_easy_setopt() fails only on options it does not know or without memory; the latter shows in what follows. */
#define SET(easy, option, value) ((void)curl_easy_setopt((easy), (option), (value)))

static void set_tls(CURL *easy, struct http_client *c)
{
	if (c->ca_pem != NULL) {
		struct curl_blob b = blob(c->ca_pem);
		SET(easy, CURLOPT_CAINFO_BLOB, &b);
		SET(easy, CURLOPT_CAPATH, NULL); /* this CA alone, not the system's too */
		SET(easy, CURLOPT_CAINFO, NULL);
	}
	if (c->cert_pem != NULL && c->key_pem != NULL) {
		struct curl_blob cert = blob(c->cert_pem), key = blob(c->key_pem);
		SET(easy, CURLOPT_SSLCERT_BLOB, &cert);
		SET(easy, CURLOPT_SSLKEY_BLOB, &key);
		SET(easy, CURLOPT_SSLCERTTYPE, "PEM");
		SET(easy, CURLOPT_SSLKEYTYPE, "PEM");
	}
	if (c->insecure) {
		SET(easy, CURLOPT_SSL_VERIFYPEER, 0L);
		SET(easy, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	SET(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

void http_client_set_connection(CURL *easy, struct http_client *c)
{
	SET(easy, CURLOPT_NOSIGNAL, 1L);
	SET(easy, CURLOPT_QUICK_EXIT, 1L); /* a hanging name lookup must not hold up a cancelled call */
	SET(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	SET(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	SET(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	SET(easy, CURLOPT_PATH_AS_IS, 1L);
	SET(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	SET(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_SEC);
	SET(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_SEC);
	SET(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
	SET(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (c->user_agent != NULL)
		SET(easy, CURLOPT_USERAGENT, c->user_agent);
	if (c->unix_socket != NULL)
		SET(easy, CURLOPT_UNIX_SOCKET_PATH, c->unix_socket);
	if (c->no_proxy || c->unix_socket != NULL) {
		SET(easy, CURLOPT_PROXY, "");
		SET(easy, CURLOPT_NOPROXY, "*");
	}
	set_tls(easy, c);
}

static void set_method(CURL *easy, const struct http_call *call)
{
	const bool sends = call->body != NULL || strcmp(call->method, "POST") == 0 ||
			   strcmp(call->method, "PUT") == 0 || strcmp(call->method, "PATCH") == 0;
	if (strcmp(call->method, "HEAD") == 0) {
		SET(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (sends) {
		SET(easy, CURLOPT_POST, 1L);
		SET(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_n);
		SET(easy, CURLOPT_POSTFIELDS, call->body != NULL ? call->body : "");
	}
	SET(easy, CURLOPT_CUSTOMREQUEST, call->method);
}

static void set_limits(CURL *easy, const struct http_call *call)
{
	const int64_t connect_ns = call->connect_timeout_ns == 0 ? CONNECT_DEFAULT : call->connect_timeout_ns;
	SET(easy, CURLOPT_CONNECTTIMEOUT_MS, to_ms(connect_ns));
	if (call->timeout_ns > 0)
		SET(easy, CURLOPT_TIMEOUT_MS, to_ms(call->timeout_ns));
	if (call->max_bytes_per_sec > 0)
		SET(easy, CURLOPT_MAX_RECV_SPEED_LARGE, (curl_off_t)call->max_bytes_per_sec);
	if (call->follow_redirects) {
		SET(easy, CURLOPT_FOLLOWLOCATION, 1L);
		SET(easy, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
	}
}

static void set_callbacks(struct transfer *t)
{
	SET(t->easy, CURLOPT_ERRORBUFFER, t->curl_error);
	SET(t->easy, CURLOPT_HEADERFUNCTION, on_header_line);
	SET(t->easy, CURLOPT_HEADERDATA, t);
	SET(t->easy, CURLOPT_WRITEFUNCTION, on_body);
	SET(t->easy, CURLOPT_WRITEDATA, t);
	SET(t->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(t->easy, CURLOPT_XFERINFODATA, t);
	SET(t->easy, CURLOPT_NOPROGRESS, 0L);
}

static int append_line(struct curl_slist **list, const char *line)
{
	struct curl_slist *longer = curl_slist_append(*list, line);
	if (longer == NULL)
		return -ENOMEM;
	*list = longer;
	return 0;
}

static int append_header(struct curl_slist **list, const char *name, const char *value)
{
	if (strpbrk(name, "\r\n:") != NULL || strpbrk(value, "\r\n") != NULL)
		return -EINVAL;
	/* "Name;" is curl's way to send a header without a value; "Name:" would drop it. */
	char *line = *value == '\0' ? str_printf("%s;", name) : str_printf("%s: %s", name, value);
	if (line == NULL)
		return -ENOMEM;
	const int rc = append_line(list, line);
	wipe(line);
	return rc;
}

static void free_list(struct curl_slist *list)
{
	for (struct curl_slist *l = list; l != NULL; l = l->next)
		explicit_bzero(l->data, strlen(l->data)); /* a token may be among them */
	curl_slist_free_all(list);
}

static int make_headers(const struct http_call *call, struct curl_slist **ret)
{
	struct curl_slist *list = NULL;
	bool typed = false;
	int rc = append_line(&list, "Expect:"); /* no waiting for "100 Continue" */
	for (size_t i = 0; i < call->n_headers && rc == 0; i++) {
		typed |= strcasecmp(call->headers[i].name, "Content-Type") == 0;
		rc = append_header(&list, call->headers[i].name, call->headers[i].value);
	}
	if (rc == 0 && !typed)
		rc = append_line(&list, "Content-Type:"); /* curl would call it a form */
	if (rc == 0 && call->bearer != NULL) {
		char *value = str_printf("Bearer %s", call->bearer);
		rc = value == NULL ? -ENOMEM : append_header(&list, "Authorization", value);
		wipe(value);
	}
	if (rc < 0) {
		free_list(list);
		return rc;
	}
	*ret = list;
	return 0;
}

/* --- errors --- */

static const char *own_reason(const struct transfer *t, char *buf, size_t size)
{
	switch (t->rc) {
	case -ECANCELED:
		return "cancelled";
	case -ETIMEDOUT:
		(void)snprintf(buf, size, "nothing came for %lld ms",
			       (long long)(t->call->stall_timeout_ns / NSEC_PER_MSEC));
		return buf;
	case -EFBIG:
		return "the answer is too large";
	case -EPROTO:
		return "the answer's status line is not one of HTTP";
	default:
		return strerror(-t->rc);
	}
}

static int transfer_failed(struct transfer *t, CURLcode code, struct error *err)
{
	char url[256], buf[64];
	http_client_url_text(t->call->url, url, sizeof url);
	if (t->rc < 0)
		return error_set(err, t->rc, "%s %s: %s", t->call->method, url, own_reason(t, buf, sizeof buf));
	const char *reason = t->curl_error[0] != '\0' ? t->curl_error : curl_easy_strerror(code);
	return error_set(err, http_client_errno(t->easy, code), "%s %s: %s", t->call->method, url, reason);
}

/* --- the whole --- */

static int transfer_result(struct transfer *t, struct http_answer *ret)
{
	struct http_answer a = {.status = t->status};
	char *url = NULL;
	(void)curl_easy_getinfo(t->easy, CURLINFO_EFFECTIVE_URL, &url); /* NULL is handled */
	a.effective_url = strdup(url != NULL ? url : t->call->url);
	a.body_n = t->body.n;
	if (a.effective_url == NULL || strbuf_take(&t->body, &a.body) < 0) {
		free(a.effective_url);
		return -ENOMEM;
	}
	a.headers = TAKE(t->headers);
	a.n_headers = t->n_headers;
	t->n_headers = 0;
	*ret = a;
	return 0;
}

/* curl has nothing to say against the answer: is it one? */
static int transfer_done(struct transfer *t, struct http_answer *ret, struct error *err)
{
	if (!t->head_ended || t->status < 200) { /* curl takes an end within the head for the head's */
		char url[256];
		http_client_url_text(t->call->url, url, sizeof url);
		return error_set(err, -ECONNRESET, "%s %s: the connection ended before the answer began",
				 t->call->method, url);
	}
	int rc = t->head_told ? 0 : tell_head(t); /* a redirect that leads nowhere is an answer like others */
	if (rc < 0) {
		t->rc = rc;
		return transfer_failed(t, CURLE_WRITE_ERROR, err);
	}
	rc = transfer_result(t, ret);
	return rc == 0 ? 0 : error_set(err, rc, "%s: out of memory", t->call->method);
}

/* As curl_easy_perform(), but http_client_interrupt() makes it look at the call's cancel flag at once. */
static CURLcode run_transfer(struct handle *h)
{
	CURLMcode rc = curl_multi_add_handle(h->multi, h->easy);
	CURLcode result = CURLE_OUT_OF_MEMORY;
	for (int running = 1; rc == CURLM_OK && running > 0;) {
		rc = curl_multi_perform(h->multi, &running);
		if (rc == CURLM_OK && running > 0)
			rc = curl_multi_poll(h->multi, NULL, 0, 1000, NULL);
	}
	int left;
	const CURLMsg *m = rc == CURLM_OK ? curl_multi_info_read(h->multi, &left) : NULL;
	if (m != NULL && m->msg == CURLMSG_DONE)
		result = m->data.result;
	(void)curl_multi_remove_handle(h->multi, h->easy); /* its connection stays with the multi handle */
	return result;
}

/** curl's form: an empty host and port mean those of the URL. */
static int make_connect_to(const struct http_call *call, struct curl_slist **ret)
{
	if (call->connect_to == NULL)
		return 0;
	char *line = str_printf("::%s", call->connect_to);
	const int rc = line != NULL ? append_line(ret, line) : -ENOMEM;
	free(line);
	return rc;
}

static int perform(struct http_client *c, struct transfer *t, struct http_answer *ret, struct error *err)
{
	struct curl_slist *list = NULL, *to = NULL;
	int rc = make_connect_to(t->call, &to);
	if (rc == 0)
		rc = make_headers(t->call, &list);
	if (rc < 0)
		curl_slist_free_all(to);
	if (rc < 0)
		return error_set(err, rc, "%s: %s in a request header", t->call->method,
				 rc == -EINVAL ? "line break" : "out of memory");
	http_client_set_connection(t->easy, c);
	set_method(t->easy, t->call);
	set_limits(t->easy, t->call);
	set_callbacks(t);
	SET(t->easy, CURLOPT_HTTPHEADER, list);
	SET(t->easy, CURLOPT_URL, t->call->url);
	if (to != NULL)
		SET(t->easy, CURLOPT_CONNECT_TO, to);
	t->moved_ns = clock_mono_ns();
	const CURLcode code = run_transfer(t->handle);
	rc = code == CURLE_OK ? transfer_done(t, ret, err) : transfer_failed(t, code, err);
	free_list(list);
	curl_slist_free_all(to);
	return rc;
}

int http_client_do(struct http_client *c, const struct http_call *call, struct http_answer *ret, struct error *err)
{
	struct transfer t = {.call = call, .body = STRBUF_INIT(call->max_body == 0 ? BODY_DEFAULT : call->max_body)};
	t.handle = take_handle(c);
	if (t.handle == NULL)
		return error_set(err, -ENOMEM, "%s: out of memory", call->method);
	t.easy = t.handle->easy;
	const int rc = perform(c, &t, ret, err);
	give_handle(c, t.handle);
	clear_headers(t.headers, t.n_headers);
	free(t.headers);
	strbuf_clear(&t.body);
	return rc;
}

const char *http_answer_header(const struct http_answer *a, const char *name)
{
	for (size_t i = 0; i < a->n_headers; i++)
		if (strcasecmp(a->headers[i].name, name) == 0)
			return a->headers[i].value;
	return NULL;
}

void http_answer_clear(struct http_answer *a)
{
	if (a == NULL)
		return;
	clear_headers(a->headers, a->n_headers);
	free(a->headers);
	free(a->body);
	free(a->effective_url);
	*a = (struct http_answer){0};
}
