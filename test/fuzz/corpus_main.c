/* Runs a fuzz target once over each file of a corpus directory: the committed inputs as an ordinary test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int run_file(const char *path)
{
	FILE *f = fopen(path, "rbe");
	struct stat st;
	if (f == NULL || fstat(fileno(f), &st) != 0)
		return -1;
	const size_t n = (size_t)st.st_size;
	uint8_t *data = malloc(n + 1);
	if (data == NULL || fread(data, 1, n, f) != n)
		return -1;
	(void)fclose(f);
	LLVMFuzzerTestOneInput(data, n);
	free(data);
	return 0;
}

int main(int argc, char **argv)
{
	DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
	if (d == NULL) {
		(void)fprintf(stderr, "usage: %s CORPUS-DIRECTORY\n", argv[0]);
		return 2;
	}
	size_t count = 0;
	for (struct dirent *e; (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.')
			continue;
		char path[4096];
		(void)snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
		if (run_file(path) != 0) {
			perror(path);
			return 1;
		}
		count++;
	}
	(void)closedir(d);
	if (count == 0) {
		(void)fprintf(stderr, "%s holds no input\n", argv[1]);
		return 1;
	}
	(void)printf("%zu inputs\n", count);
	return 0;
}
