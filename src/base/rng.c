/* SPDX-License-Identifier: Apache-2.0
 *
 * rng.c: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
 * 1, 2, 3", 2011).  A counter RNG: the bits are a function of (seed, stream,
 * index), so there is no state to keep, to share or to checkpoint.  The seed
 * is the key, (index, stream) the counter; of the four words two are used.
 */
#include "base.h"

static uint32_t high(uint32_t a, uint32_t b, uint32_t *low)
{
	uint64_t p = (uint64_t)a * b;
	*low = (uint32_t)p;
	return (uint32_t)(p >> 32);
}

uint64_t nnr__rng_u64(uint64_t seed, uint64_t stream, uint64_t index)
{
	uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
	uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
	uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);

	for (int round = 0; round < 10; round++) {
		uint32_t lo0, lo1;
		uint32_t hi0 = high(0xd2511f53u, c0, &lo0);
		uint32_t hi1 = high(0xcd9e8d57u, c2, &lo1);
		c0 = hi1 ^ c1 ^ k0;
		c1 = lo1;
		c2 = hi0 ^ c3 ^ k1;
		c3 = lo0;
		k0 += 0x9e3779b9u;
		k1 += 0xbb67ae85u;
	}
	return c0 | (uint64_t)c1 << 32;
}

double nnr__rng_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
	uint64_t bits = nnr__rng_u64(seed, stream, index) >> 11;
	return (double)bits * 0x1p-53;
}

void nnr__rng_shuffle(uint32_t *perm, uint32_t n, uint64_t seed, uint64_t s)
{
	for (uint32_t i = 0; i < n; i++)
		perm[i] = i;
	for (uint32_t i = n; i > 1; i--) {
		/* 64 bits modulo at most 32: the bias is below 2^-32 */
		uint32_t j = (uint32_t)(nnr__rng_u64(seed, s, i) % i);
		uint32_t t = perm[i - 1];
		perm[i - 1] = perm[j];
		perm[j] = t;
	}
}
