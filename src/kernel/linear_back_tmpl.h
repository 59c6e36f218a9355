/* SPDX-License-Identifier: Apache-2.0
 *
 * dx = dy W, fp32.  Included after linear_tmpl.h, whose tiles do it: here a
 * row of W lies along the columns of the result, so it is unpacked as it
 * comes and no transposition is needed.  A panel is some rows of W by some
 * columns, [group][n][LANES]; chains go on from one panel's rows to the
 * next's through dx in memory, which changes no bit.
 */

/* Rows of W in a panel: fewer load and store dx too often, more take W in
 * narrow pieces, slow to come from memory.  From BACK_MANY rows of dy on the
 * first counts for more. */
#define BACK_ROWS 167
#define BACK_ROWS_MANY 383
#define BACK_MANY 256
#define BACK_AHEAD 12000	/* bytes of W asked for in advance */

/* ---- unpacking: a row's block goes to dst, dst + stride, ... ---- */

INLINE void back_q4(const uint8_t *q, vf d, vf m, float *dst, size_t stride)
{
	const int half = 16 / LANES;

	UNROLL for (int j = 0; j < half; j++) {
		vi b = of_u8(q + LANES * j);
		vi low = vi_and(b, MM(set1_epi32)(15));
		vi high = MM(srli_epi32)(b, 4);
		MM(store_ps)(dst + (size_t)j * stride,
			     MM(fmadd_ps)(d, MM(cvtepi32_ps)(low), m));
		MM(store_ps)(dst + (size_t)(j + half) * stride,
			     MM(fmadd_ps)(d, MM(cvtepi32_ps)(high), m));
	}
}

INLINE void back_block(nnr__dtype type, const uint8_t *p, float *dst,
		       size_t stride)
{
	uint32_t head = nnr__u16(p);

	if (type == NNR__Q4_1)
		memcpy(&head, p, 4);
	__m128 s = _mm_cvtph_ps(_mm_cvtsi32_si128((int)head));
	vf d = MM(broadcastss_ps)(s);
	if (type == NNR__Q4_1)
		back_q4(p + 4, d, MM(broadcastss_ps)(_mm_movehdup_ps(s)), dst,
			stride);
	else if (type == NNR__Q4_0)
		back_q4(p + 2, d, MM(mul_ps)(d, MM(set1_ps)(-8)), dst, stride);
	else
		UNROLL for (int j = 0; j < 32 / LANES; j++)
			MM(store_ps)(dst + (size_t)j * stride, MM(mul_ps)(
				d, MM(cvtepi32_ps)(of_i8(p + 2 + LANES * j))));
}

/* n values of a row from p on.  The last group may lack some: what stands
 * there goes into results that nobody keeps. */
INLINE void back_row(nnr__dtype type, const uint8_t *p, int n, float *dst,
		     size_t stride)
{
	const int bytes = type == NNR__F32 ? 4 : type == NNR__Q4_0 ? 18 :
		type == NNR__Q4_1 ? 20 : type == NNR__Q8_0 ? 34 : 2;

	if (type == NNR__Q4_0 || type == NNR__Q4_1 || type == NNR__Q8_0) {
		for (; n > 0; n -= 32, p += bytes) {
			back_block(type, p, dst, stride);
			dst += 32 / LANES * stride;
		}
		return;
	}
	for (; n >= LANES; n -= LANES, p += LANES * bytes, dst += stride)
		if (type == NNR__F32)
			MM(store_ps)(dst, MM(loadu_ps)((const void *)p));
		else if (type == NNR__F16)
			MM(store_ps)(dst, of_half(p));
		else
			MM(store_ps)(dst, vf_bits(MM(slli_epi32)(of_u16(p),
								 16)));
	if (n > 0)
		nnr__unpack_generic(type, p, n, dst);
}

/* Columns k0..k1 of rows n0..n1 of W; the rows behind come into the cache
 * meanwhile. */
INLINE void back_rows(nnr__dtype type, const nnr__mat *w, int n0, int n1,
		      int k0, int k1, float *dst, size_t stride)
{
	const nnr__dtype_info *t = &nnr__dtypes[w->type];
	const uint8_t *p = nnr__row(w, n0) +
		(size_t)(k0 / t->block * t->bytes);
	const int bytes = (k1 - k0) / t->block * t->bytes;
	const size_t ahead = (size_t)(BACK_AHEAD / bytes + 1) * w->row_bytes;

	for (int n = n0; n < n1; n++, p += w->row_bytes, dst += LANES) {
		const char *next = (const char *)p + ahead;
		for (int i = 0; i < bytes; i += 64)
			_mm_prefetch(next + i, _MM_HINT_T0);
		back_row(type, p, k1 - k0, dst, stride);
	}
}

static void back_panel(const nnr__mat *w, int n0, int n1, int k0, int k1,
		       float *dst, size_t stride)
{
#define BACK_CASE(type) \
	case type: back_rows(type, w, n0, n1, k0, k1, dst, stride); break
	switch (w->type) {
	BACK_CASE(NNR__F16);
	BACK_CASE(NNR__BF16);
	BACK_CASE(NNR__Q4_0);
	BACK_CASE(NNR__Q4_1);
	BACK_CASE(NNR__Q8_0);
	default:
		back_rows(NNR__F32, w, n0, n1, k0, k1, dst, stride);
	}
#undef BACK_CASE
}

/* ---- the product ---- */

/* The last columns, fewer than 16: by way of a copy. */
static void back_edge(job t, int rows, int width)
{
	float copy[TILE * 16];
	float *dx = t.y;
	const size_t ld = t.ldy, size = (size_t)width * 4;

	t.y = copy;
	t.ldy = 16;
	memset(copy, 0, sizeof copy);
	for (int high; rows > 0; rows -= high) {
		high = rows < TILE ? rows : TILE;
		for (int r = 0; r < high; r++)
			memcpy(copy + 16 * r, dx + (size_t)r * ld, size);
		tile_fns[high - 1][16 / LANES - 1](&t);
		for (int r = 0; r < high; r++)
			memcpy(dx + (size_t)r * ld, copy + 16 * r, size);
		t.x += (size_t)high * t.ldx;
		dx += (size_t)high * ld;
	}
}

/* Panels of nearly equal size: *high of `rows` rows of W, of which at most
 * `most` should be, by *wide of `cols` columns. */
static void back_split(int rows, int most, int cols, int *high, int *wide)
{
	const int room = (int)(NNR__PANEL_MAX / 4), all = (cols + 31) & ~31;
	int h = rows < most ? rows : most, count;

	count = (all + room / (h + 1) - 1) / (room / (h + 1));
	*wide = ((all + count - 1) / count + 31) & ~31;
	h = room / *wide - 1;
	count = (rows + h - 1) / h;
	/* odd, so that groups do not fall on the same lines of the cache */
	*high = (rows + count - 1) / count | 1;
}

void ISA(linear_back)(const nnr__mat *w, int k0, int k1, const float *dy,
		      size_t ldy, int rows, float *dx, size_t ldx, bool add,
		      void *scratch)
{
	int high, wide;

	assert(k0 % 32 == 0 && (k1 % 32 == 0 || k1 == w->cols));
	if (rows <= 0 || k0 >= k1)
		return;
	back_split(w->rows, rows < BACK_MANY ? BACK_ROWS : BACK_ROWS_MANY,
		   k1 - k0, &high, &wide);
	for (int n = 0; n < w->rows; n += high) {
		int n1 = w->rows - n < high ? w->rows : n + high;
		job t = { .x = dy + n, .ldx = ldy, .ldy = ldx,
			  .stride = (size_t)high * LANES,
			  .cols = n1 - n, .how = n || add ? PUT_ON : PUT };
		for (int k = k0; k < k1; k += wide) {
			int end = k1 - k < wide ? k1 : k + wide;
			int whole = (end - k) & ~15;
			back_panel(w, n, n1, k, end, scratch, t.stride);
			t.panel = scratch;
			t.y = dx + k;
			panel_tiles(t, rows, whole / LANES);
			t.panel += (size_t)(whole / LANES) * t.stride;
			t.y += whole;
			if (k + whole < end)
				back_edge(t, rows, end - k - whole);
		}
	}
}
