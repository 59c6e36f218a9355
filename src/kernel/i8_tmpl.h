/* SPDX-License-Identifier: Apache-2.0
 *
 * Integer products.  Included once by each of i8_avx512.c and i8_avx2.c,
 * which say how codes are kept (codes8) and how dots are made (dot_*).
 *
 * Up to FUSED rows of x, blocks of LANES rows of W go from the file through
 * registers into the dots: decoding, memory speed.  Above, 2 * LANES rows of
 * W are laid out in scratch, which stays in L1 or L2, block by block as
 *   w[8][groups]        dword j of each row: k = 4j..4j+3
 *   float d[groups][LANES], m[groups][LANES]
 * and tiles of TILE rows of x run over them.
 */
#include <assert.h>

#define VEC (4 * LANES)			/* bytes */
#define BLOCK_BYTES (10 * VEC)		/* of a laid out block and group */

/* ---- laying out ---- */

INLINE void lay_block(nnr__dtype type, const block *b, uint8_t *dst,
		      int groups)
{
	vi w[8];
	float *scale = (float *)(dst + 8 * VEC * groups);

	codes8(type, b, w);
	UNROLL for (int j = 0; j < 8; j++)
		vi_store(dst + VEC * groups * j, w[j]);
	MM(store_ps)(scale, b->d);
	if (type != NNR__Q8_0)
		MM(store_ps)(scale + LANES * groups, b->m);
}

/* Lays out `blocks` (1 or 2) of LANES rows at p for a panel of `groups`. */
typedef void lay_fn(const uint8_t *p, const uint8_t *next, size_t rb,
		    int blocks, uint8_t *dst, int groups);

INLINE void lay(nnr__dtype type, const uint8_t *p, const uint8_t *next,
		size_t rb, int blocks, uint8_t *dst, int groups)
{
	block b[2];

	if (blocks == 1) {
		read1(type, p, rb, b);
		lay_block(type, b, dst, groups);
		return;
	}
	read_ahead(type, p, next, rb, b);
	lay_block(type, &b[0], dst, groups);
	lay_block(type, &b[1], dst + BLOCK_BYTES * groups, groups);
}

#define LAY_FN(type) \
	static void lay_##type(const uint8_t *p, const uint8_t *next, \
			       size_t rb, int blocks, uint8_t *dst, \
			       int groups) \
	{ \
		lay(NNR__##type, p, next, rb, blocks, dst, groups); \
	}
LAY_FN(Q4_0)
LAY_FN(Q4_1)
LAY_FN(Q8_0)

static lay_fn *lay_of(nnr__dtype type)
{
	return type == NNR__Q4_0 ? lay_Q4_0 :
		type == NNR__Q4_1 ? lay_Q4_1 : lay_Q8_0;
}

/* LANES rows of W from n on, a group of the panel. */
static void lay_rows(const nnr__mat *w, int n, uint8_t *panel, int groups)
{
	const int nb = w->cols / 32, bytes = nnr__dtypes[w->type].bytes;
	const uint8_t *p = nnr__row(w, n), *next = p + LANES * w->row_bytes;
	lay_fn *fn = lay_of(w->type);

	for (int b = 0; b < nb; b += 2, p += 2 * bytes) {
		fn(p, next, w->row_bytes, nb - b > 1 ? 2 : 1, panel, groups);
		next += 2 * LANES * bytes;
		panel += 2 * BLOCK_BYTES * groups;
	}
}

/* ---- one block ---- */

/* Where the codes of a row of x lie, at its block 0. */
typedef struct {
	const int8_t *hi, *lo;
	const float *d, *sum;
	const int32_t *isum, *isum_lo;
} xrow;

INLINE xrow xrow_at(const nnr__codes *x, int row, int terms)
{
	size_t b = (size_t)row * (size_t)(x->ld / 32);

	return (xrow){ x->hi + b * 32, x->lo + b * 32, x->d + b,
		       (terms == 2 ? x->sum2 : x->sum1) + b,
		       x->isum + b, x->isum_lo + b };
}

/* Broadcasts dword j of block b. */
INLINE vi dword(const int8_t *codes, int b, int j)
{
	int32_t v;
	memcpy(&v, codes + 32 * b + 4 * j, 4);
	return MM(set1_epi32)(v);
}

/* The chain of the contract for one block: s is its integer dot.  Q4_0 goes
 * as Q4_1, its offset stands in the layout. */
INLINE vf chain(nnr__dtype type, int terms, const xrow *x, int b,
		    vi s, vf d, vf m, vf c)
{
	float dx = terms == 2 ? x->d[b] * NNR__INV254 : x->d[b];

	c = MM(fmadd_ps)(MM(cvtepi32_ps)(s),
			    MM(mul_ps)(d, MM(set1_ps)(dx)), c);
	if (type != NNR__Q8_0)
		c = MM(fmadd_ps)(m, MM(set1_ps)(x->sum[b]), c);
	return c;
}

/* Adds the dots of one block of codes to s. */
INLINE void dots(nnr__dtype type, int rows, int groups, const uint8_t *panel,
		 const int8_t *const *codes, int b, vi s[FUSED][2])
{
	vi a[FUSED][2];

	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < groups; g++)
			a[r][g] = dot_begin(type, s[r][g]);
	UNROLL for (int j = 0; j < 8; j++) {
		vi w[2];
		UNROLL for (int g = 0; g < groups; g++)
			w[g] = vi_load(panel + VEC * (groups * j + g));
		UNROLL for (int r = 0; r < rows; r++) {
			vi v = dword(codes[r], b, j);
			UNROLL for (int g = 0; g < groups; g++)
				a[r][g] = dot_step(type, a[r][g], w[g], v);
		}
	}
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < groups; g++)
			s[r][g] = dot_end(type, s[r][g], a[r][g]);
}

/* The same for one row of x, with the codes of W in registers. */
INLINE vi dots1(nnr__dtype type, const vi w[8], const int8_t *codes, int b,
		vi s)
{
	vi a = dot_begin(type, s);

	UNROLL for (int j = 0; j < 8; j++)
		a = dot_step(type, a, w[j], dword(codes, b, j));
	return dot_end(type, s, a);
}

/* What the sum of one row starts from, and 254 times what it has of hi,
 * where that of lo goes on. */
INLINE vi begin_hi(nnr__dtype type, int terms, const xrow *x, int b)
{
	return terms == 1 ? dot_bias(type, x->isum[b]) : MM(set1_epi32)(0);
}

INLINE vi begin_lo(nnr__dtype type, const xrow *x, int b, vi s)
{
	s = MM(mullo_epi32)(s, MM(set1_epi32)(254));
	return MM(add_epi32)(s, dot_bias(type, 254 * x->isum[b] +
					 x->isum_lo[b]));
}

/* One block of all columns: c is the chain of each row and column. */
INLINE void tile_block(nnr__dtype type, int terms, int rows, int groups,
		       const uint8_t *panel, const xrow *x, int b,
		       vf c[FUSED][2])
{
	const float *d = (const float *)(panel + 8 * VEC * groups);
	const int8_t *codes[FUSED];
	vi s[FUSED][2];

	UNROLL for (int r = 0; r < rows; r++) {
		codes[r] = x[r].hi;
		UNROLL for (int g = 0; g < groups; g++)
			s[r][g] = begin_hi(type, terms, &x[r], b);
	}
	dots(type, rows, groups, panel, codes, b, s);
	if (terms == 2) {
		UNROLL for (int r = 0; r < rows; r++) {
			codes[r] = x[r].lo;
			UNROLL for (int g = 0; g < groups; g++)
				s[r][g] = begin_lo(type, &x[r], b, s[r][g]);
		}
		dots(type, rows, groups, panel, codes, b, s);
	}
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < groups; g++)
			c[r][g] = chain(type, terms, &x[r], b, s[r][g],
					MM(load_ps)(d + LANES * g),
					MM(load_ps)(d + LANES * (groups + g)),
					c[r][g]);
}

INLINE void clear(int rows, int groups, vf c[FUSED][2])
{
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < groups; g++)
			c[r][g] = MM(setzero_ps)();
}

INLINE void put(int rows, int groups, vf c[FUSED][2], float *y,
		size_t ldy, bool add)
{
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < groups; g++) {
			float *p = y + (size_t)r * ldy + LANES * g;
			if (add)
				c[r][g] = MM(add_ps)(MM(loadu_ps)(p),
							c[r][g]);
			MM(storeu_ps)(p, c[r][g]);
		}
}

/* ---- tiles ---- */

/* x from row `row` on; y points at that row's first output. */
typedef struct {
	const nnr__mat *w;
	const nnr__codes *x;
	uint8_t *panel;
	float *y;
	size_t ldy;
	int row, n0, n1;	/* n0, n1: of W, for fused tiles */
	bool add;
} job;
typedef void tile_fn(const job *t);

INLINE void rows_of(const job *t, int terms, int rows, xrow *x)
{
	UNROLL for (int r = 0; r < rows; r++)
		x[r] = xrow_at(t->x, t->row + r, terms);
}

/* Over a panel of whole rows. */
INLINE void tile(nnr__dtype type, int terms, int rows, int groups,
		 const job *t)
{
	const int nb = t->w->cols / 32;
	const uint8_t *panel = t->panel;
	xrow x[FUSED];
	vf c[FUSED][2];

	rows_of(t, terms, rows, x);
	clear(rows, groups, c);
	for (int b = 0; b < nb; b++, panel += BLOCK_BYTES * groups)
		tile_block(type, terms, rows, groups, panel, x, b, c);
	put(rows, groups, c, t->y, t->ldy, t->add);
}

/* One block of LANES columns out of registers. */
INLINE void fused_block(nnr__dtype type, int terms, int rows,
			const block *blk, const xrow *x, int b,
			vf c[FUSED][2])
{
	vi w[8];

	codes8(type, blk, w);
	UNROLL for (int r = 0; r < rows; r++) {
		vi s = begin_hi(type, terms, &x[r], b);
		s = dots1(type, w, x[r].hi, b, s);
		if (terms == 2)		/* apart: shorter chains */
			s = MM(add_epi32)(begin_lo(type, &x[r], b, s),
					  dots1(type, w, x[r].lo, b,
						MM(set1_epi32)(0)));
		c[r][0] = chain(type, terms, &x[r], b, s, blk->d, blk->m,
				c[r][0]);
	}
}

/* The last block of rows with an odd number of blocks: rare, so small. */
static __attribute__((noinline)) void last_block(
	nnr__dtype type, int terms, int rows, const uint8_t *p, size_t rb,
	const xrow *x, int b, vf c[FUSED][2])
{
	block blk = { .m = MM(setzero_ps)() };

	if (type == NNR__Q8_0)
		read1(NNR__Q8_0, p, rb, &blk);
	else if (type == NNR__Q4_0)
		read1(NNR__Q4_0, p, rb, &blk);
	else
		read1(NNR__Q4_1, p, rb, &blk);
	for (int r = 0; r < rows; r++)
		fused_block(type, terms, 1, &blk, x + r, b, c + r);
}

/* From the file's blocks straight through registers; y points at column
 * 0. */
INLINE void fused(nnr__dtype type, int terms, int rows, const job *t)
{
	const nnr__mat *w = t->w;
	const int nb = w->cols / 32, bytes = nnr__dtypes[w->type].bytes;
	const size_t rb = w->row_bytes;
	xrow x[FUSED];

	rows_of(t, terms, rows, x);
	for (int n = t->n0; n < t->n1; n += LANES) {
		const uint8_t *p = nnr__row(w, n), *next = p + LANES * rb;
		block blk[2];
		vf c[FUSED][2];
		clear(rows, 1, c);
		for (int b = 0; b + 2 <= nb; b += 2) {
			if (type == NNR__Q8_0)
				read_ahead(NNR__Q8_0, p, next, rb, blk);
			else if (w->type == NNR__Q4_1)
				read_ahead(NNR__Q4_1, p, next, rb, blk);
			else
				read_ahead(NNR__Q4_0, p, next, rb, blk);
			p += 2 * bytes;
			next += 2 * LANES * bytes;
			fused_block(type, terms, rows, &blk[0], x, b, c);
			fused_block(type, terms, rows, &blk[1], x, b + 1, c);
		}
		if (nb % 2) {
			vf tail[FUSED][2];
			UNROLL for (int r = 0; r < rows; r++)
				tail[r][0] = c[r][0];
			last_block(w->type, terms, rows, p, rb, x, nb - 1,
				   tail);
			UNROLL for (int r = 0; r < rows; r++)
				c[r][0] = tail[r][0];
		}
		put(rows, 1, c, t->y + n, t->ldy, t->add);
	}
}

typedef tile_fn *tile_row[2];	/* one group of columns, two */

#define FUSED_FN(type, terms, rows) \
	static void fused_##type##_##terms##_##rows(const job *t) \
	{ \
		fused(NNR__##type, terms, rows, t); \
	}
#define TWO_FN(type, terms, rows) \
	static void two_##type##_##terms##_##rows(const job *t) \
	{ \
		tile(NNR__##type, terms, rows, 2, t); \
	}
#define FUSED_ENTRY(type, terms, rows) fused_##type##_##terms##_##rows,
#if LANES == 16		/* then there may be an odd group at the end */
#define ONE_FN(type, terms, rows) \
	static void one_##type##_##terms##_##rows(const job *t) \
	{ \
		tile(NNR__##type, terms, rows, 1, t); \
	}
#define TILE_ENTRY(type, terms, rows) \
	{ one_##type##_##terms##_##rows, two_##type##_##terms##_##rows },
#else
#define ONE_FN(type, terms, rows)
#define TILE_ENTRY(type, terms, rows) \
	{ NULL, two_##type##_##terms##_##rows },
#endif

#define ALL(LIST, X) LIST(X, Q4_1, 1) LIST(X, Q4_1, 2) \
	LIST(X, Q8_0, 1) LIST(X, Q8_0, 2)
ALL(FUSED_LIST, FUSED_FN)
ALL(TILE_LIST, ONE_FN)
ALL(TILE_LIST, TWO_FN)

/* By Q8_0 or not, terms - 1, rows - 1 or - TILE_LOW. */
#define TABLE(LIST, X) { \
	{ { LIST(X, Q4_1, 1) }, { LIST(X, Q4_1, 2) } }, \
	{ { LIST(X, Q8_0, 1) }, { LIST(X, Q8_0, 2) } } }
static tile_fn *const fused_fns[2][2][FUSED] = TABLE(FUSED_LIST, FUSED_ENTRY);
static const tile_row tile_fns[2][2][TILE - TILE_LOW + 1] =
	TABLE(TILE_LIST, TILE_ENTRY);

/* As few tiles as can be, of nearly equal height. */
static void tiles(job *t, int rows, int terms, int groups)
{
	const int count = (rows + TILE - 1) / TILE;
	const tile_row *fn = tile_fns[t->w->type == NNR__Q8_0][terms - 1];

	for (int i = 0; i < count; i++) {
		int high = rows / count + (i < rows % count);
		fn[high - TILE_LOW][groups - 1](t);
		t->row += high;
		t->y += (size_t)high * t->ldy;
	}
}

void ISA(linear_i8)(const nnr__mat *w, int n0, int n1, const nnr__codes *x,
		    int row0, int rows, int terms, float *y, size_t ldy,
		    bool add, void *scratch)
{
	job t = { w, x, scratch, y, ldy, row0, n0, n1, add };

	assert(n0 % 16 == 0 && n1 % 16 == 0 && w->cols % 32 == 0);
	if (rows < 1)
		return;
	if (rows <= FUSED) {
		fused_fns[w->type == NNR__Q8_0][terms - 1][rows - 1](&t);
		return;
	}
	for (int n = n0; n < n1; n += 2 * LANES) {
		int groups = n1 - n >= 2 * LANES ? 2 : 1;
		for (int g = 0; g < groups; g++)
			lay_rows(w, n + LANES * g, t.panel + VEC * g, groups);
		t.row = row0;
		t.y = y + n;
		tiles(&t, rows, terms, groups);
	}
}
