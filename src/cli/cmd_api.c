/* `sluice api`: the API server as a process of its own. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"
#include "cli/command.h"
#include "local/api_server.h"

#define DEFAULT_DATA_DIR "/var/lib/sluice"

/** "ADDR:PORT", "[V6]:PORT" or ":PORT". @ret_address of @size bytes. */
static int parse_listen(const char *text, char *ret_address, size_t size, uint16_t *ret_port)
{
	const char *colon = strrchr(text, ':');
	uint64_t port = 0;
	if (colon == NULL || str_to_u64(colon + 1, &port) < 0 || port > UINT16_MAX)
		return -EINVAL;
	const char *from = text;
	size_t n = (size_t)(colon - text);
	if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
		from++;
		n -= 2;
	}
	if (n >= size)
		return -EINVAL;
	memcpy(ret_address, from, n);
	ret_address[n] = '\0';
	if (n == 0)
		(void)str_copy(ret_address, size, "127.0.0.1");
	*ret_port = (uint16_t)port;
	return 0;
}

static int serve(const struct api_server_options *o, int signal_fd)
{
	struct api_server *s = NULL;
	struct error err = {0};
	if (api_server_new(o, &s, &err) < 0) {
		(void)fprintf(stderr, "sluice api: %s\n", err.msg);
		return 1;
	}
	bool v6 = strchr(o->address, ':') != NULL;
	(void)printf(v6 ? "ready: https://[%s]:%u\n" : "ready: https://%s:%u\n", o->address, api_server_port(s));
	(void)fflush(stdout); /* whoever waits for the line may be gone; we serve all the same */
	(void)stop_signal_wait(signal_fd);
	api_server_free(s);
	return 0;
}

/*
 * Answers come in all sizes, from many threads: large ones go back to the kernel when they are sent, and the small pieces of one request do not
 * lie about in an arena for each thread.
 */
static void bound_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
	(void)mallopt(M_ARENA_MAX, 4);
}

static int api_run(int argc, char **argv)
{
	const char *data_dir = DEFAULT_DATA_DIR, *listen = "127.0.0.1:0", *kubeconfig = NULL;
	int64_t event_ttl = 3600 * NSEC_PER_SEC;
	const struct option_spec specs[] = {
		{"data-dir", OPT_STRING, &data_dir},
		{"listen", OPT_STRING, &listen},
		{"kubeconfig", OPT_STRING, &kubeconfig},
		{"event-ttl", OPT_DURATION, &event_ttl},
		{0},
	};
	int words = 0;
	int rc = options_parse(&cmd_api, argc, argv, specs, &words);
	if (rc != 0)
		return rc > 0 ? 0 : 2;
	char address[256];
	uint16_t port = 0;
	if (words > 0 || parse_listen(listen, address, sizeof address, &port) < 0) {
		(void)fprintf(stderr, "sluice api: %s '%s'; 'sluice help api' says how it is used\n",
			      words > 0 ? "there is no argument" : "--listen wants ADDR:PORT, not",
			      words > 0 ? argv[1] : listen);
		return 2;
	}
	if (event_ttl <= 0) {
		(void)fprintf(stderr, "sluice api: --event-ttl: must be positive\n");
		return 2;
	}
	CLEANUP(free_p) char *path = kubeconfig != NULL ? strdup(kubeconfig) : str_printf("%s/kubeconfig", data_dir);
	CLEANUP(close_fd) int signal_fd = stop_signal_fd(); /* before threads start: they inherit the mask */
	if (path == NULL || signal_fd < 0) {
		(void)fprintf(stderr, "sluice api: %s\n", path == NULL ? "out of memory" : strerror(-signal_fd));
		return 1;
	}
	bound_memory();
	log_init(STDERR_FILENO, LOG_LVL_INFO, "api");
	struct api_server_options o = {
		.data_dir = data_dir, .address = address, .port = port, .kubeconfig = path, .event_ttl_ns = event_ttl};
	return serve(&o, signal_fd);
}

const struct command cmd_api = {
	.name = "api",
	.summary = "Serve the Kubernetes API of the one-machine cluster",
	.usage = "Usage: sluice api [--data-dir DIR] [--listen ADDR:PORT] [--kubeconfig FILE] [--event-ttl TIME]\n"
		 "\n"
		 "Serves Kubernetes' API over TLS from a store on disk, and prints one line\n"
		 "\"ready: https://ADDR:PORT\" when it does. 'sluice up' starts it.\n"
		 "\n"
		 "  --data-dir DIR      store and keys (default " DEFAULT_DATA_DIR ")\n"
		 "  --listen ADDR:PORT  where to listen; port 0 is any free one (default 127.0.0.1:0)\n"
		 "  --kubeconfig FILE   credentials for kubectl are written there (default DIR/kubeconfig)\n"
		 "  --event-ttl TIME    how long Events are kept, as 90m or 12h (default 1h)\n",
	.hidden = true,
	.run = api_run,
};
