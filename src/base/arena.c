#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE 16384u

struct arena_block {
	struct arena_block *next;
	size_t used, cap;
	_Alignas(max_align_t) unsigned char data[];
};

static struct arena_block *block_new(size_t size)
{
	const size_t cap = size > BLOCK_SIZE ? size : BLOCK_SIZE;
	size_t whole;
	if (__builtin_add_overflow(cap, sizeof(struct arena_block), &whole))
		return NULL;
	struct arena_block *b = malloc(whole);
	if (b != NULL)
		*b = (struct arena_block){.cap = cap};
	return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	if (size > a->limit)
		return NULL;
	if (__builtin_add_overflow(size, align - 1, &size))
		return NULL;
	size &= ~(align - 1);
	if (size == 0)
		size = align;           /* distinct, valid pointers for empty things too */
	if (size > a->limit - a->total) /* total <= limit holds: no wrap */
		return NULL;
	if (a->head == NULL || size > a->head->cap - a->head->used) {
		struct arena_block *b = block_new(size);
		if (b == NULL)
			return NULL;
		b->next = a->head;
		a->head = b;
	}
	void *p = a->head->data + a->head->used;
	a->head->used += size;
	a->total += size;
	return memset(p, 0, size);
}

void *arena_alloc_array(struct arena *a, size_t n, size_t size)
{
	size_t whole;
	if (__builtin_mul_overflow(n, size, &whole))
		return NULL;
	return arena_alloc(a, whole);
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	size_t whole;
	if (__builtin_add_overflow(n, (size_t)1, &whole))
		return NULL;
	char *p = arena_alloc(a, whole);
	if (p != NULL && n > 0)
		memcpy(p, s, n);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return s == NULL ? NULL : arena_strndup(a, s, strlen(s));
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	va_start(ap, fmt);
	va_copy(again, ap);
	const int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
	if (p != NULL)
		(void)vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p;
}

void arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	while (a->head != NULL) {
		struct arena_block *next = a->head->next;
		free(a->head);
		a->head = next;
	}
	a->total = 0;
}
