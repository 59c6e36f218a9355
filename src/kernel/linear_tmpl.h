/* SPDX-License-Identifier: Apache-2.0
 *
 * fp32 products.  Included once by each of linear_avx512.c and linear_avx2.c
 * with ISA(name), TILE and so on defined.  Groups of LANES rows of W are
 * unpacked into scratch as [k][LANES], which stays in L2; tiles of up to
 * TILE rows of x by 2 groups run over them, one chain per output.  x is
 * never copied.  For up to FEW rows of x, which would not reuse a panel,
 * WIDE groups are taken through L1 in slices of SLICE values of k.
 */
#include <assert.h>

#define FEW 3
#define SLICE 64

/* ---- unpacking: dst[LANES k + row] ---- */

INLINE void put_k(float *dst, int k, vf v)
{
	MM(store_ps)(dst + LANES * k, v);
}

/* A nibble at bit 4p needs no shift: it converts to q 16^p exactly, and
 * the scale carries the exact 16^-p. */
INLINE void block_q4(const block *b, float *dst)
{
	UNROLL for (int p = 0; p < 8; p++) {
		const vi mask = MM(set1_epi32)((int)(15u << 4 * p));
		float unit = p == 7 ? 1.0f : 1.0f / (float)(1u << 4 * p);
		vf d = MM(mul_ps)(b->d, MM(set1_ps)(unit));
		UNROLL for (int j = 0; j < 4; j++) {
			vi q = p == 7 ? MM(srli_epi32)(b->q[j], 28) :
				vi_and(b->q[j], mask);
			put_k(dst, 4 * j + p / 2 + p % 2 * 16,
			      MM(fmadd_ps)(d, MM(cvtepi32_ps)(q),
					      b->m));
		}
	}
}

/* Byte p of each dword to the top: q 2^24 exactly. */
INLINE vi byte_up(vi q, int p)
{
	const int z = 0x808080;

	if (p == 3)
		return vi_and(q, MM(set1_epi32)(-16777216));
	return shuffle(q, _mm_setr_epi32(z | p << 24, z | (p + 4) << 24,
					 z | (p + 8) << 24,
					 z | (p + 12) << 24));
}

INLINE void block_q8(const block *b, float *dst)
{
	const vf d = MM(mul_ps)(b->d, MM(set1_ps)(0x1p-24f));

	UNROLL for (int j = 0; j < 8; j++)
		UNROLL for (int p = 0; p < 4; p++)
			put_k(dst, 4 * j + p, MM(mul_ps)(
				d, MM(cvtepi32_ps)(byte_up(b->q[j], p))));
}

INLINE void block_any(nnr__dtype type, const block *b, float *dst)
{
	if (type == NNR__Q8_0)
		block_q8(b, dst);
	else
		block_q4(b, dst);
}

/* n values of LANES rows from p on; next: where the rows behind lie. */
INLINE void unpack_coded(nnr__dtype type, const uint8_t *p,
			 const uint8_t *next, size_t rb, int n, float *dst)
{
	const int bytes = type == NNR__Q8_0 ? 34 : type == NNR__Q4_1 ? 20 : 18;
	block b[2];

	for (; n >= 64; n -= 64, dst += 64 * LANES) {
		read_ahead(type, p, next, rb, b);
		block_any(type, &b[0], dst);
		block_any(type, &b[1], dst + 32 * LANES);
		p += 2 * bytes;
		next += 2 * LANES * bytes;
	}
	if (n) {
		read1(type, p, rb, b);
		block_any(type, b, dst);
	}
}

/* One step of 16 bytes: 4 floats or 8 halves of LANES rows. */
INLINE void plain_step(nnr__dtype type, const uint8_t *p, size_t rb,
		       float *dst)
{
	const vi high = MM(set1_epi32)(-65536);
	vi t[4];

	dwords4(p, rb, t);
	UNROLL for (int j = 0; j < 4; j++)
		if (type == NNR__F32) {
			put_k(dst, j, vf_bits(t[j]));
		} else if (type == NNR__F16) {
			put_k(dst, 2 * j, half_of(t[j]));
			put_k(dst, 2 * j + 1,
			      half_of(MM(srli_epi32)(t[j], 16)));
		} else {
			put_k(dst, 2 * j, vf_bits(
				MM(slli_epi32)(t[j], 16)));
			put_k(dst, 2 * j + 1, vf_bits(
				vi_and(t[j], high)));
		}
}

INLINE void unpack_plain(nnr__dtype type, const uint8_t *p,
			 const uint8_t *next, size_t rb, int n, float *dst)
{
	const int size = type == NNR__F32 ? 4 : 2, step = 16 / size;
	int k = 0;

	for (; k + step <= n; k += step, next += 16 * LANES) {
		prefetch(next, 16 * LANES);
		plain_step(type, p + size * k, rb, dst + LANES * k);
	}
	for (; k < n; k++)
		for (size_t r = 0; r < LANES; r++)
			nnr__unpack_generic(type, p + r * rb +
					    (size_t)(size * k), 1,
					    dst + LANES * (size_t)k + r);
}

/* Values k0..k1 of LANES rows of W from n on; rows n + ahead.. come into the
 * cache meanwhile. */
static void unpack_group(const nnr__mat *w, int n, int ahead, int k0, int k1,
			 float *dst)
{
	const nnr__dtype_info *t = &nnr__dtypes[w->type];
	const size_t rb = w->row_bytes;
	const size_t at = (size_t)(k0 / t->block * t->bytes);
	const uint8_t *p = nnr__row(w, n) + at;
	const uint8_t *next = nnr__row(w, n + ahead) + LANES * at;

	switch (w->type) {
	case NNR__Q4_0:
		unpack_coded(NNR__Q4_0, p, next, rb, k1 - k0, dst);
		break;
	case NNR__Q4_1:
		unpack_coded(NNR__Q4_1, p, next, rb, k1 - k0, dst);
		break;
	case NNR__Q8_0:
		unpack_coded(NNR__Q8_0, p, next, rb, k1 - k0, dst);
		break;
	case NNR__F16:
		unpack_plain(NNR__F16, p, next, rb, k1 - k0, dst);
		break;
	case NNR__BF16:
		unpack_plain(NNR__BF16, p, next, rb, k1 - k0, dst);
		break;
	default:
		unpack_plain(NNR__F32, p, next, rb, k1 - k0, dst);
	}
}

/* ---- tiles ---- */

typedef struct {
	const float *x;
	size_t ldx, ldy, stride;	/* stride: floats between groups */
	const float *panel;
	float *y;
	int cols;
	enum put how;
} job;

/* c[r * groups + g] += x[r][k] panel[g][k], k ascending. */
INLINE void chains(int rows, int groups, const job *t, const float *x,
		   int cols, vf *c)
{
	const float *b = t->panel;

	for (int k = 0; k < cols; k++, b += LANES) {
		vf w[WIDE];
		UNROLL for (int g = 0; g < groups; g++)
			w[g] = MM(load_ps)(b + (size_t)g * t->stride);
		UNROLL for (int r = 0; r < rows; r++) {
			vf v = MM(set1_ps)(x[(size_t)r * t->ldx +
						    (size_t)k]);
			UNROLL for (int g = 0; g < groups; g++)
				c[r * groups + g] = MM(fmadd_ps)(
					v, w[g], c[r * groups + g]);
		}
	}
}

INLINE void tile(int rows, int groups, const job *t)
{
	vf c[TILE * 2];

	UNROLL for (int i = 0; i < rows * groups; i++)
		c[i] = MM(setzero_ps)();
	if (t->how == PUT_ON)
		UNROLL for (int i = 0; i < rows * groups; i++)
			c[i] = MM(loadu_ps)(t->y + (size_t)(i / groups) *
					    t->ldy + LANES * (i % groups));
	chains(rows, groups, t, t->x, t->cols, c);
	UNROLL for (int r = 0; r < rows; r++)
		UNROLL for (int g = 0; g < groups; g++)
			put(t->y + (size_t)r * t->ldy + LANES * g,
			    c[r * groups + g], t->how);
}

typedef void tile_fn(const job *t);
#define TILE_FN(rows) \
	static void tile_##rows##_2(const job *t) { tile(rows, 2, t); }
#if LANES == 16		/* then there may be an odd group at the end */
#define TILE_FN_1(rows) \
	static void tile_##rows##_1(const job *t) { tile(rows, 1, t); }
#define TILE_ENTRY(rows) { tile_##rows##_1, tile_##rows##_2 },
TILE_LIST(TILE_FN_1)
#else
#define TILE_ENTRY(rows) { NULL, tile_##rows##_2 },
#endif
TILE_LIST(TILE_FN)
static tile_fn *const tile_fns[][2] = { TILE_LIST(TILE_ENTRY) };

/* All rows over a panel of `groups`, in tiles of nearly equal height. */
static void panel_tiles(job t, int rows, int groups)
{
	const int count = (rows + TILE - 1) / TILE;
	const float *panel = t.panel;
	float *y = t.y;

	for (int i = 0; i < count; i++) {
		int high = rows / count + (i < rows % count);
		for (int g = 0; g < groups; g += 2) {
			t.panel = panel + (size_t)g * t.stride;
			t.y = y + LANES * g;
			tile_fns[high - 1][groups - g > 1](&t);
		}
		t.x += (size_t)high * t.ldx;
		y += (size_t)high * t.ldy;
	}
}

/* ---- few rows ---- */

INLINE void slice(int rows, int groups, const job *t, int k0, int cols,
		  vf *state)
{
	vf c[FEW * WIDE];

	UNROLL for (int i = 0; i < rows * groups; i++)
		c[i] = k0 ? state[i] : MM(setzero_ps)();
	chains(rows, groups, t, t->x + k0, cols, c);
	UNROLL for (int i = 0; i < rows * groups; i++)
		state[i] = c[i];
}

typedef void slice_fn(const job *t, int k0, int cols, vf *state);
#define SLICE_FN(rows, groups) \
	static void slice_##rows##_##groups(const job *t, int k0, int cols, \
					    vf *state) \
	{ \
		slice(rows, groups, t, k0, cols, state); \
	}
SLICE_FN(1, 1) SLICE_FN(2, 1) SLICE_FN(3, 1)
SLICE_FN(1, WIDE) SLICE_FN(2, WIDE) SLICE_FN(3, WIDE)
static slice_fn *const slice_fns[FEW][2] = {
	{ slice_1_1, slice_1_WIDE }, { slice_2_1, slice_2_WIDE },
	{ slice_3_1, slice_3_WIDE },
};

static void few(const nnr__mat *w, int n, int groups, const job *t, int rows,
		float *panel)
{
	vf state[FEW * WIDE];

	for (int k = 0; k < t->cols; k += SLICE) {
		int len = t->cols - k < SLICE ? t->cols - k : SLICE;
		for (int g = 0; g < groups; g++)
			unpack_group(w, n + LANES * g, LANES * groups, k,
				     k + len, panel + (size_t)g * t->stride);
		slice_fns[rows - 1][groups > 1](t, k, len, state);
	}
	for (int r = 0; r < rows; r++)
		for (int g = 0; g < groups; g++)
			put(t->y + (size_t)r * t->ldy + LANES * g,
			    state[r * groups + g], t->how);
}

void ISA(linear)(const nnr__mat *w, int n0, int n1, const float *x, size_t ldx,
		 int rows, float *y, size_t ldy, bool add, void *scratch)
{
	const int cols = w->cols;
	const size_t stride = rows <= FEW ? SLICE * LANES :
		(size_t)cols * LANES;
	float *panel = scratch;
	job t = { x, ldx, ldy, stride, panel, y + n0, cols,
		  put_how(y, ldy, rows, add) };
	int wide = (int)(NNR__PANEL_MAX / 4 / stride);

	assert(n0 % 16 == 0 && n1 % 16 == 0);
	wide = wide > GROUPS ? GROUPS : wide > 16 / LANES ? wide / 2 * 2 :
		16 / LANES;
	for (int n = n0; rows > 0 && n < n1; ) {
		int groups = (n1 - n) / LANES;
		if (rows <= FEW) {
			groups = groups < WIDE ? 1 : WIDE;
			few(w, n, groups, &t, rows, panel);
		} else {
			groups = groups < wide ? groups : wide;
			for (int g = 0; g < groups; g++)
				unpack_group(w, n + LANES * g, LANES, 0, cols,
					     panel + (size_t)g * stride);
			panel_tiles(t, rows, groups);
		}
		n += LANES * groups;
		t.y += LANES * groups;
	}
	put_end(t.how);
}
