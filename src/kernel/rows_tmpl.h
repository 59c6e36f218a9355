/* SPDX-License-Identifier: Apache-2.0
 *
 * Blocks of LANES rows of a file's matrix as vectors whose lane is the row.
 *
 * The rows' bytes are loaded 16 at a time and their dwords transposed, so a
 * pair of blocks comes as consecutive dwords D0, D1, ...
 *   Q4_1  40 bytes: D0 = d|m<<16, D1..4 nibbles; D5, D6..9
 *   Q4_0  36 bytes: D0 = d|q<<16, nibbles from byte 2; D4 = q|d<<16, D5..8
 *   Q8_0  68 bytes: D0 = d|q<<16, codes from byte 2; D8 = q|d<<16, D9..16
 * Loads that would run past the pair start earlier and overlap: nothing
 * outside the pair's bytes is read.
 */

/* One block of LANES rows: q[0..3] nibbles (byte b of dword j: k = 4j+b in
 * the low, 16+4j+b in the high nibble) or q[0..7] int8 (k = 4j+b). */
typedef struct {
	vi q[8];
	vf d, m;		/* m: Q4_1 as stored, Q4_0 -8 d */
} block;

/* 16 bytes of each row as 4 vectors of dwords. */
INLINE void dwords4(const uint8_t *p, size_t rb, vi out[4])
{
	vi a = fourth_rows(p, rb), b = fourth_rows(p + rb, rb);
	vi c = fourth_rows(p + 2 * rb, rb), d = fourth_rows(p + 3 * rb, rb);
	vi ab = MM(unpacklo_epi32)(a, b), ab2 = MM(unpackhi_epi32)(a, b);
	vi cd = MM(unpacklo_epi32)(c, d), cd2 = MM(unpackhi_epi32)(c, d);

	out[0] = MM(unpacklo_epi64)(ab, cd);
	out[1] = MM(unpackhi_epi64)(ab, cd);
	out[2] = MM(unpacklo_epi64)(ab2, cd2);
	out[3] = MM(unpackhi_epi64)(ab2, cd2);
}

INLINE void scales(nnr__dtype type, vi low, vi high, block *b)
{
	b->d = half_of(low);
	if (type == NNR__Q4_1)
		b->m = half_of(high);
	else if (type == NNR__Q4_0)
		b->m = MM(mul_ps)(b->d, MM(set1_ps)(-8));
}

/* Two consecutive blocks from p, rows rb bytes apart. */
INLINE void read2(nnr__dtype type, const uint8_t *p, size_t rb, block b[2])
{
	vi t[20];

	if (type == NNR__Q4_1) {
		dwords4(p, rb, t);
		dwords4(p + 16, rb, t + 4);
		dwords4(p + 24, rb, t + 8);	/* D6..9 */
		UNROLL for (int j = 0; j < 4; j++) {
			b[0].q[j] = t[j + 1];
			b[1].q[j] = t[j + 8];
		}
		scales(type, t[0], MM(srli_epi32)(t[0], 16), &b[0]);
		scales(type, t[5], MM(srli_epi32)(t[5], 16), &b[1]);
		return;
	}
	int n = type == NNR__Q4_0 ? 4 : 8;	/* dwords of codes */
	UNROLL for (int j = 0; j <= n; j += 4)
		dwords4(p + 4 * j, rb, t + j);
	UNROLL for (int j = 0; j < n; j += 4)
		dwords4(p + 4 * n + 4 + 4 * j, rb, b[1].q + j);
	UNROLL for (int j = 0; j < n; j++)
		b[0].q[j] = straddle(t[j], t[j + 1]);
	scales(type, t[0], t[0], &b[0]);
	vi d1 = MM(srli_epi32)(t[n], 16);
	scales(type, d1, d1, &b[1]);
}

/* The last block of a row with an odd number of them. */
INLINE void read1(nnr__dtype type, const uint8_t *p, size_t rb, block *b)
{
	vi t[4];
	int head = type == NNR__Q4_1 ? 4 : 2;

	dwords4(p, rb, t);
	scales(type, t[0], MM(srli_epi32)(t[0], 16), b);
	dwords4(p + head, rb, b->q);
	if (type == NNR__Q8_0)
		dwords4(p + head + 16, rb, b->q + 4);
}

/* The next LANES rows lie right behind these; while a piece of the rows is
 * worked on, its share of the next comes into the cache, in the order of
 * addresses.  (The rows by themselves are too many streams for the
 * hardware's prefetchers.) */
INLINE void prefetch(const uint8_t *next, int bytes)
{
	UNROLL for (int i = 0; i < bytes; i += 64)
		_mm_prefetch((const char *)next + i, _MM_HINT_T0);
}

/* read2, and the share of the next rows that lies at `next`. */
INLINE void read_ahead(nnr__dtype type, const uint8_t *p, const uint8_t *next,
		       size_t rb, block b[2])
{
	prefetch(next, 2 * LANES * (type == NNR__Q8_0 ? 34 : 20));
	read2(type, p, rb, b);
}

/* ---- results ---- */

/* Results that no cache would hold until they are read go past it. */
#define STREAM_BYTES ((size_t)16 << 20)
enum put {
	PUT, PUT_ADD, PUT_STREAM,
	PUT_ON		/* the chain began at what y holds (linear_back) */
};

static enum put put_how(const float *y, size_t ldy, int rows, bool add)
{
	bool aligned = ((uintptr_t)y | ldy * 4) % sizeof(vf) == 0;

	return add ? PUT_ADD :
		aligned && (size_t)rows * ldy * 4 >= STREAM_BYTES ?
		PUT_STREAM : PUT;
}

INLINE void put(float *y, vf c, enum put how)
{
	if (how == PUT_STREAM) {
		MM(stream_ps)(y, c);
		return;
	}
	if (how == PUT_ADD)
		c = MM(add_ps)(MM(loadu_ps)(y), c);
	MM(storeu_ps)(y, c);
}

/* After the last put: streamed results are there for other threads. */
INLINE void put_end(enum put how)
{
	if (how == PUT_STREAM)
		_mm_sfence();
}
