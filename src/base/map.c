#include "base/map.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

/*
 * Entries lie in insertion order; `slots` is an open-addressed index into them (entry number + 1, 0: never used).
 * A removed entry keeps its place with key NULL until the next rebuild, so that probing and iteration go on past it.
 * Invariant: n_entries <= cap, n_slots = 2 * cap, a power of two; live <= n_entries.
 */
struct entry {
	char *key;
	void *value;
	uint64_t hash;
};

struct map {
	void (*free_value)(void *value);
	struct entry *entries;
	uint32_t *slots;
	size_t n_entries, live, cap;
};

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void seed_init(void)
{
	random_bytes(seed, sizeof seed);
}

static inline uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static inline void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF") with the process's random key. */
static uint64_t hash_key(const char *key)
{
	uint64_t v[4] = {seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
			 seed[0] ^ UINT64_C(0x6c7967656e657261), seed[1] ^ UINT64_C(0x7465646279746573)};
	const size_t n = strlen(key);
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		uint64_t m;
		memcpy(&m, key + i, 8);
		v[3] ^= m;
		sip_round(v);
		v[0] ^= m;
	}
	uint64_t last = (uint64_t)n << 56;
	memcpy(&last, key + i, n - i); /* at most 7 bytes: the length stays in the top byte (little endian) */
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int r = 0; r < 3; r++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void (*free_value)(void *value))
{
	(void)pthread_once(&seed_once, seed_init); /* fails only for a bad argument */
	struct map *m = calloc(1, sizeof *m);
	if (m != NULL)
		m->free_value = free_value;
	return m;
}

void map_free(struct map *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->n_entries; i++) {
		if (m->entries[i].key != NULL && m->free_value != NULL)
			m->free_value(m->entries[i].value);
		free(m->entries[i].key);
	}
	free(m->entries);
	free(m->slots);
	free(m);
}

static struct entry *find(const struct map *m, const char *key, uint64_t hash)
{
	if (m->cap == 0)
		return NULL;
	const size_t mask = m->cap * 2 - 1;
	for (size_t i = (size_t)hash & mask; m->slots[i] != 0; i = (i + 1) & mask) {
		struct entry *e = &m->entries[m->slots[i] - 1];
		if (e->key != NULL && e->hash == hash && strcmp(e->key, key) == 0)
			return e;
	}
	return NULL;
}

static void index_entry(uint32_t *slots, size_t mask, uint64_t hash, size_t number)
{
	size_t i = (size_t)hash & mask;
	while (slots[i] != 0)
		i = (i + 1) & mask;
	slots[i] = (uint32_t)(number + 1);
}

/* Make room for one more: drop removed entries, and double when more than half of the places are taken. */
static int rebuild(struct map *m)
{
	size_t cap = m->cap == 0 ? 8 : m->cap;
	if (m->live > cap / 2)
		cap *= 2;
	if (cap > UINT32_MAX / 4)
		return -ENOMEM;
	struct entry *entries = malloc(cap * sizeof *entries);
	uint32_t *slots = calloc(cap * 2, sizeof *slots);
	if (entries == NULL || slots == NULL) {
		free(entries);
		free(slots);
		return -ENOMEM;
	}
	size_t n = 0;
	for (size_t i = 0; i < m->n_entries; i++) {
		if (m->entries[i].key == NULL)
			continue;
		entries[n] = m->entries[i];
		index_entry(slots, cap * 2 - 1, entries[n].hash, n);
		n++;
	}
	free(m->entries);
	free(m->slots);
	m->entries = entries;
	m->slots = slots;
	m->n_entries = n;
	m->cap = cap;
	return 0;
}

void *map_get(const struct map *m, const char *key)
{
	const struct entry *e = find(m, key, hash_key(key));
	return e == NULL ? NULL : e->value;
}

bool map_has(const struct map *m, const char *key)
{
	return find(m, key, hash_key(key)) != NULL;
}

int map_set(struct map *m, const char *key, void *value)
{
	const uint64_t hash = hash_key(key);
	struct entry *e = find(m, key, hash);
	if (e != NULL) {
		if (m->free_value != NULL && e->value != value)
			m->free_value(e->value);
		e->value = value;
		return 0;
	}
	if (m->n_entries == m->cap && rebuild(m) < 0)
		return -ENOMEM;
	char *copy = strdup(key);
	if (copy == NULL)
		return -ENOMEM;
	m->entries[m->n_entries] = (struct entry){.key = copy, .value = value, .hash = hash};
	index_entry(m->slots, m->cap * 2 - 1, hash, m->n_entries);
	m->n_entries++;
	m->live++;
	return 0;
}

static bool take_entry(struct map *m, const char *key, void **ret_value)
{
	struct entry *e = find(m, key, hash_key(key));
	if (e == NULL)
		return false;
	*ret_value = e->value;
	free(e->key);
	e->key = NULL;
	e->value = NULL;
	m->live--;
	return true;
}

bool map_remove(struct map *m, const char *key)
{
	void *value;
	if (!take_entry(m, key, &value))
		return false;
	if (m->free_value != NULL)
		m->free_value(value);
	return true;
}

void *map_steal(struct map *m, const char *key)
{
	void *value;
	return take_entry(m, key, &value) ? value : NULL;
}

size_t map_size(const struct map *m)
{
	return m->live;
}

bool map_next(const struct map *m, size_t *pos, const char **ret_key, void **ret_value)
{
	for (size_t i = *pos; i < m->n_entries; i++) {
		if (m->entries[i].key == NULL)
			continue;
		if (ret_key != NULL)
			*ret_key = m->entries[i].key;
		if (ret_value != NULL)
			*ret_value = m->entries[i].value;
		*pos = i + 1;
		return true;
	}
	*pos = m->n_entries;
	return false;
}
