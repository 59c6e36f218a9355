/* SPDX-License-Identifier: Apache-2.0
 *
 * hash.c: SHA-256 through libsodium, and a fast 64-bit key of our own that is
 * the same on every machine.  The key is for tables and random streams; it
 * resists nobody.
 */
#include "base.h"

#include <sodium.h>
#include <string.h>

_Static_assert(sizeof(crypto_hash_sha256_state) <= sizeof(nnr__sha),
	       "nnr__sha is too small");

static crypto_hash_sha256_state *state_of(nnr__sha *s)
{
	return (crypto_hash_sha256_state *)(void *)s->opaque;
}

void nnr__sha_init(nnr__sha *s)
{
	crypto_hash_sha256_init(state_of(s));
}

void nnr__sha_add(nnr__sha *s, const void *data, size_t n)
{
	if (n)
		crypto_hash_sha256_update(state_of(s), data, n);
}

void nnr__sha_end(nnr__sha *s, char hex[65])
{
	unsigned char raw[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(state_of(s), raw);
	sodium_bin2hex(hex, 65, raw, sizeof(raw));
}

void nnr__sha_of(const void *data, size_t n, char hex[65])
{
	nnr__sha s;

	nnr__sha_init(&s);
	nnr__sha_add(&s, data, n);
	nnr__sha_end(&s, hex);
}

/* A bijection of 64 bits in which each input bit reaches all outputs
 * (the finaliser of SplitMix64). */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9u;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

uint64_t nnr__hash64(const void *data, size_t n, uint64_t seed)
{
	const unsigned char *p = data;
	uint64_t h = mix(seed + 0x9e3779b97f4a7c15u) ^ n;

	while (n) {
		size_t take = n < 8 ? n : 8;
		uint64_t word = 0;
		for (size_t i = 0; i < take; i++)
			word |= (uint64_t)p[i] << (8 * i);
		h = mix(h ^ word) + 0x9e3779b97f4a7c15u;
		p += take;
		n -= take;
	}
	return mix(h);
}
