/*
 * Preloaded into `sluice controller` (LD_PRELOAD): ends the process by SIGKILL right before it sends its Nth write to the API, counted from when a
 * file appears. Nothing of the program knows of it, so what is tested is the program as it is.
 *
 *   KILL_AT    N, from 1
 *   KILL_FROM  the file: writes count once it exists
 *
 * Counted are the writes of what a Dataset and its Runtime consist of; not Events, Leases, and what the workload controllers write beside them.
 */
#include <curl/curl.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A transfer is prepared and begun on one thread. */
static _Thread_local char method[16], url[2048];
static atomic_long writes;

#undef curl_easy_setopt /* the header's macro checks types */

__attribute__((visibility("default"))) CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
	CURLcode (*real)(CURL *, CURLoption, ...) =
		(CURLcode(*)(CURL *, CURLoption, ...))dlsym(RTLD_NEXT, "curl_easy_setopt");
	va_list ap;
	va_start(ap, option);
	CURLcode rc;
	if (option < CURLOPTTYPE_OBJECTPOINT) {
		rc = real(easy, option, va_arg(ap, long));
	} else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB) {
		rc = real(easy, option, va_arg(ap, curl_off_t));
	} else {
		void *p = va_arg(ap, void *);
		if (option == CURLOPT_CUSTOMREQUEST)
			(void)snprintf(method, sizeof method, "%s", p != NULL ? (const char *)p : "");
		if (option == CURLOPT_URL)
			(void)snprintf(url, sizeof url, "%s", p != NULL ? (const char *)p : "");
		rc = real(easy, option, p);
	}
	va_end(ap);
	return rc;
}

static bool counts(void)
{
	static const char *const kinds[] = {
		"/statefulsets/",           "/daemonsets/", "/configmaps/", "/persistentvolumes/",
		"/persistentvolumeclaims/", "/nodes/"};
	if (strcmp(method, "GET") == 0 || access(getenv("KILL_FROM"), F_OK) != 0)
		return false;
	if (strstr(url, "/apis/data.fluid.io/") != NULL)
		return true;
	bool found = false;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		found = found || strstr(url, kinds[i]) != NULL;
	return found && strstr(url, "/status") == NULL; /* their status is their controllers' */
}

__attribute__((visibility("default"))) CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy)
{
	CURLMcode (*real)(CURLM *, CURL *) = (CURLMcode(*)(CURLM *, CURL *))dlsym(RTLD_NEXT, "curl_multi_add_handle");
	if (counts() && atomic_fetch_add(&writes, 1) + 1 == strtol(getenv("KILL_AT"), NULL, 10)) {
		(void)fprintf(stderr, "killed before write %s: %s %s\n", getenv("KILL_AT"), method, url);
		(void)raise(SIGKILL);
	}
	return real(multi, easy);
}
