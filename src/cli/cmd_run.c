/* `sluice run SOURCE`: from a source to a mounted, cached directory in one command. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "cli/command.h"
#include "cli/machine.h"
#include "cli/run.h"
#include "json/json.h"
#include "json/quantity.h"

struct run_arguments {
	const char *source, *mount, *name, *data_dir, *output;
	struct run_source_options source_options;
	int64_t cache;
	bool exit;
};

static const char *speed(uint64_t bytes_per_second, char out[static 32])
{
	if (bytes_per_second == 0)
		(void)snprintf(out, 32, "not measured");
	else
		(void)snprintf(out, 32, "%.1f MiB/s", (double)bytes_per_second / 1048576);
	return out;
}

static void print_table(const struct run_figures *f, enum run_source_kind kind)
{
	static const char *const sources[] = {[RUN_DIRECTORY] = "source without Sluice (the directory itself)",
					      [RUN_HTTP] = "source without Sluice (plain GETs)",
					      [RUN_BUCKET] = "source without Sluice (HEAD and GET of each key)"};
	char total[32], a[32];
	bytes_format_fluid(f->bytes, total);
	const char *dropped = f->page_cache_dropped ? "page cache dropped" : "page cache NOT dropped: no permission";
	(void)printf("%llu files, %s, read by 4 readers; %s before each reading\n", (unsigned long long)f->files, total,
		     dropped);
	(void)printf("  %-46s %s\n", sources[kind], speed(f->source, a));
	(void)printf("  %-46s %s\n", "first read through the mount (cache cold)", speed(f->first_read, a));
	(void)printf("  %-46s %s\n", "second read through the mount (cache warm)", speed(f->second_read, a));
	(void)printf("  %-46s %s\n", "this machine's disk (plain copies of the files)", speed(f->disk, a));
	(void)fflush(stdout);
}

static int print_json(const struct run_options *o, const char *phase, const struct run_figures *f)
{
	/* clang-format off */
	JSON_AUTO j = json_pack("{s:{s:s,s:s,s:s}, s:s, s:I, s:I, s:{s:I,s:I,s:I,s:I}}",
				"dataset", "namespace", "default", "name", o->name, "phase", phase, "mount", o->mount_dir,
				"files", (json_int_t)f->files, "bytes", (json_int_t)f->bytes, "bytesPerSecond",
				"source", (json_int_t)f->source, "firstRead", (json_int_t)f->first_read,
				"secondRead", (json_int_t)f->second_read, "disk", (json_int_t)f->disk);
	/* clang-format on */
	CLEANUP(free_p) char *text = j == NULL ? NULL : json_to_text(j, NULL);
	if (text == NULL)
		return -ENOMEM;
	(void)puts(text);
	return fflush(stdout) == 0 ? 0 : -EIO;
}

/* With the objects there: measure, print, stay. */
static int use_mount(const struct run_arguments *a, const struct run_options *o, struct run_objects *ro, int signal_fd,
		     struct error *err)
{
	progress_end();
	/* With -o json standard output carries one object and nothing else. */
	(void)fprintf(a->output == NULL ? stdout : stderr, "mounted: %s\n", o->mount_dir);
	(void)fflush(stdout);

	struct run_figures f = {0};
	int rc = run_measure(o, signal_fd, &f, err);
	if (rc != 0)
		return rc;
	char phase[32];
	run_objects_phase(ro, phase);
	if (a->output == NULL)
		print_table(&f, o->source->kind);
	if (!a->exit) {
		if (isatty(STDERR_FILENO))
			(void)fprintf(stderr, "The data is at %s. Ctrl-C ends it and cleans up.\n", o->mount_dir);
		(void)stop_signal_wait(signal_fd);
	}
	if (a->output != NULL)
		rc = print_json(o, phase, &f);
	return rc == 0 ? 0 : error_set(err, rc, "write the result: %s", strerror(-rc));
}

static int run_in_cluster(const struct run_arguments *a, const struct run_options *o, int signal_fd, struct error *err)
{
	struct run_cluster cluster = {.fd = -1};
	int rc = run_cluster_join(o->data_dir, signal_fd, &cluster, err);
	if (rc != 0)
		return rc;
	struct run_objects *ro = NULL;
	rc = run_objects_clear_orphans(cluster.client, signal_fd, err);
	if (rc == 0)
		rc = run_objects_create(cluster.client, o, signal_fd, &ro, err);
	if (rc == 0)
		rc = use_mount(a, o, ro, signal_fd, err);
	if (rc == -EINTR) {
		progress_end();
		(void)fputs("interrupted: cleaning up\n", stderr);
		(void)stop_signal_wait(signal_fd); /* it was only seen so far */
	}

	struct error clean_err = {0};
	const int clean = run_objects_delete(ro, signal_fd, &clean_err);
	progress("leaving the cluster");
	run_cluster_leave(&cluster, o->data_dir);
	progress_end();
	if (clean != 0) {
		(void)fprintf(stderr,
			      "sluice run: clean-up: %s; the next 'sluice run' with this --data-dir goes on with it\n",
			      clean_err.msg);
		if (rc == 0)
			return error_set(err, clean, "clean-up: %s", clean_err.msg);
	}
	return rc;
}

/* Half of what is free, so that the machine stays usable. */
static int64_t default_cache(const char *data_dir)
{
	struct statvfs vfs;
	if (statvfs(data_dir, &vfs) != 0)
		return INT64_C(1) << 30;
	return (int64_t)((uint64_t)vfs.f_bavail * vfs.f_frsize / 2);
}

static bool name_is_valid(const char *name)
{
	const size_t n = strlen(name);
	if (n == 0 || n > 40 || name[0] < 'a' || name[0] > 'z' || name[n - 1] == '-')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

/* A directory that may not exist yet, as an absolute path without links in what exists of it. */
static int absolute_path(const char *path, char **ret, struct error *err)
{
	CLEANUP(free_p) char *full = realpath(path, NULL);
	if (full == NULL && path[0] == '/')
		full = strdup(path);
	if (full == NULL) {
		CLEANUP(free_p) char *cwd = getcwd(NULL, 0);
		full = cwd == NULL ? NULL : str_printf("%s/%s", cwd, path);
	}
	if (full == NULL)
		return error_set(err, -ENOMEM, "--mount '%s': %s", path, strerror(errno));
	for (size_t n = strlen(full); n > 1 && full[n - 1] == '/'; n--)
		full[n - 1] = '\0';
	*ret = TAKE(full);
	return 0;
}

static int run_with_source(const struct run_arguments *a, const struct run_source *source, int signal_fd,
			   struct error *err)
{
	CLEANUP(free_p) char *name = a->name == NULL ? run_source_name(source) : strdup(a->name);
	if (name == NULL)
		return error_set(err, -ENOMEM, "out of memory");
	if (!name_is_valid(name))
		return error_set(
			err, -EINVAL,
			"--name '%s': a name has at most 40 lower-case letters, digits and '-', and starts with a letter",
			name);
	CLEANUP(free_p) char *data_dir = NULL;
	int rc = machine_data_dir(a->data_dir, &data_dir, err);
	CLEANUP(free_p) char *default_mount = str_printf("/mnt/sluice/%s", name);
	CLEANUP(free_p) char *mount_dir = NULL;
	if (rc == 0)
		rc = absolute_path(a->mount != NULL ? a->mount : default_mount, &mount_dir, err);
	if (rc != 0)
		return rc;
	const struct run_options o = {
		.name = name,
		.mount_dir = mount_dir,
		.data_dir = data_dir,
		.cache_bytes = a->cache > 0 ? a->cache : default_cache(data_dir),
		.source = source,
	};
	return run_in_cluster(a, &o, signal_fd, err);
}

static int run_checked(const struct run_arguments *a, struct error *err)
{
	int rc = machine_check(err);
	if (rc != 0)
		return rc;
	CLEANUP(close_fd) int signal_fd = stop_signal_fd();
	if (signal_fd < 0)
		return error_set(err, signal_fd, "signalfd: %s", strerror(-signal_fd));
	struct run_source source = {0};
	rc = run_source_open(a->source, &a->source_options, &source, err);
	if (rc == 0)
		rc = run_with_source(a, &source, signal_fd, err);
	run_source_clear(&source);
	return rc;
}

static int run_run(int argc, char **argv)
{
	struct run_arguments a = {.data_dir = MACHINE_DATA_DIR};
	const struct option_spec specs[] = {
		{"mount", OPT_STRING, &a.mount},
		{"cache", OPT_QUANTITY, &a.cache},
		{"name", OPT_STRING, &a.name},
		{"data-dir", OPT_STRING, &a.data_dir},
		{"endpoint", OPT_STRING, &a.source_options.endpoint},
		{"region", OPT_STRING, &a.source_options.region},
		{"exit", OPT_FLAG, &a.exit},
		{"o", OPT_STRING, &a.output},
		{0},
	};
	int words = 0;
	const int parsed = options_parse(&cmd_run, argc, argv, specs, &words);
	if (parsed != 0)
		return parsed > 0 ? 0 : 2;
	if (words != 1 || (a.output != NULL && strcmp(a.output, "json") != 0)) {
		(void)fprintf(stderr, words != 1 ? "sluice run: one SOURCE is wanted; 'sluice help run' says more\n"
						 : "sluice run: -o: only json is known here\n");
		return 2;
	}
	a.source = argv[1];
	struct error err = {0};
	const int rc = run_checked(&a, &err);
	progress_end();
	if (rc == -EINTR)
		return 130;
	if (rc != 0)
		(void)fprintf(stderr, "sluice run: %s\n", err.msg);
	return rc == 0 ? 0 : 1;
}

const struct command cmd_run = {
	.name = "run",
	.summary = "Mount a source as a cached directory and measure it",
	.usage =
		"Usage: sluice run SOURCE [--mount DIR] [--cache SIZE] [--name N] [--data-dir DIR] [--endpoint URL]\n"
		"                  [--region NAME] [--exit] [-o json]\n\n"
		"Mounts SOURCE, a directory, an http(s) URL with index pages or s3://BUCKET/PREFIX, at DIR, with a cache in\n"
		"front of it; reads everything twice and prints the speeds. Stays until Ctrl-C, which cleans everything up.\n"
		"Needs root.\n\n"
		"  --mount DIR       where the data appears (default /mnt/sluice/NAME)\n"
		"  --cache SIZE      how much of it is kept on this machine's disk, 10Gi say (default: half of what is free)\n"
		"  --name N          name of the Dataset (default: from the source)\n"
		"  --data-dir DIR    where cluster and cache are kept (default " MACHINE_DATA_DIR ")\n"
		"  --endpoint URL    where the bucket is served, http(s)://HOST[:PORT] (default: $AWS_ENDPOINT_URL, Amazon's)\n"
		"  --region NAME     of the bucket (default: $AWS_REGION, us-east-1)\n"
		"  --exit            clean up and end after measuring\n"
		"  -o json           print one JSON object at the end instead of the table\n\n"
		"Keys to a bucket are AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, else those of ~/.aws/credentials.\n"
		"Joins the cluster that serves the data directory, or starts one; the last run to leave ends it.\n"
		"Exit status: 0 done, 1 failed (the message says what to do), 2 wrong usage, 130 interrupted.\n",
	.run = run_run,
};
