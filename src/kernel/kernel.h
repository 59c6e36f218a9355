/* SPDX-License-Identifier: Apache-2.0
 *
 * kernel: the arithmetic.  One table of function pointers; the generic C
 * files are the specification, an ISA file overrides entries and must give
 * the same bits (tests/kernels.c compares them with memcmp).
 *
 * The law that makes that possible, and makes results independent of thread
 * count and batch: every output is one chain of fused multiply-adds over k,
 * ascending; row sums use 16 lanes (lane = index mod 16) that are added as
 * ((l0+l8)+(l4+l12)) ... (see nnr__sum16); attention takes keys in blocks of
 * 64 aligned to position; no libm, no contraction.  Work may be split over
 * rows and columns of the output, never over k.
 */
#ifndef NNR_KERNEL_H
#define NNR_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types a weight may have in a file.  A row is K values; a block is the
 * unit the format is stored in. */
typedef enum {
	NNR__F32, NNR__F16, NNR__BF16, NNR__Q4_0, NNR__Q4_1, NNR__Q8_0,
	NNR__DTYPES
} nnr__dtype;

typedef struct nnr__dtype_info {
	const char *name;
	int block;		/* values in a block */
	int bytes;		/* bytes of a block */
	bool coded;		/* int8 products exist (linear_i8) */
} nnr__dtype_info;
extern const nnr__dtype_info nnr__dtypes[NNR__DTYPES];

/* A frozen matrix W (rows N x cols K), row major as the file has it. */
typedef struct nnr__mat {
	nnr__dtype type;
	int rows, cols;
	size_t row_bytes;
	const uint8_t *data;
} nnr__mat;

/* Rows of activations as int8 codes in blocks of 32 along k.
 *   d    = max|x| / 127 over the block
 *   t    = x * (127 / max|x|)
 *   hi   = round to nearest even of t                 in -127..127
 *   lo   = round to nearest even of (t - hi) * 254,   in -127..127
 * One-term value: d * hi.  Two-term value: d * (hi + lo / 254).
 *   sum1 = d * sum(hi)             (float of an exact integer, times d)
 *   sum2 = (d * (1/254f)) * (254 sum(hi) + sum(lo))
 * A block with max|x| < 2^-100 counts as zero: d = 0, codes 0.  A block
 * with an inf or NaN has codes 0 and d = NaN, so that it surfaces.
 * Layout: row r starts at hi + r*ld, d + r*(ld/32), ...; ld = cols. */
typedef struct nnr__codes {
	int8_t *hi, *lo;
	float *d;		/* scale of hi */
	float *sum1, *sum2;
	int32_t *isum;		/* sum(hi), for formats stored signed */
	int32_t *isum_lo;	/* sum(lo) */
	int ld;
} nnr__codes;

#define NNR__PAGE 64		/* positions in a key/value page */

/* One attention job: query rows that share their keys (the query heads of
 * one key/value head, of `rows` consecutive rows of one sequence).
 * A page holds, for one layer and key/value head,
 *   kt [dim][64]  keys transposed        v [64][dim]  values
 * For row r (position pos0 + r) and head h of `heads`:
 *   o = softmax(scale * q . k) v over positions 0 .. pos0 + r.
 * dim is a multiple of 16, at most 256.  A page's slots after the row's
 * position are never used, whatever they hold.  Per page, with its keys j:
 *   s_j = scale * chain over d of fma(q_d, k_jd);  m' = max(m, s_j);
 *   p_j = exp(s_j - m');  alpha = exp(m - m');
 *   l = fma(l, alpha, sum16(p));  o_d = o_d alpha, then fma(p_j, v_jd).
 * In the end o * (1 / l). */
typedef struct nnr__attn {
	const float *q;		/* row r, head h: q + r*ldq + h*dim */
	float *o;		/* the same layout with ldo */
	float *lse;		/* row r, head h: lse + r*ldlse + h, m + log l
				   at the end; NULL: not wanted */
	size_t ldq, ldo, ldlse;
	int rows, heads, dim, pos0;
	float scale;
	const float *const *kt;	/* page j of this layer and head */
	const float *const *v;
} nnr__attn;

/* The gradient of attention: every query row of one sequence for one
 * key/value head, at positions pos0 .. pos0 + rows - 1.  o and lse are the
 * forward results.  With keys j <= pos0 + r and flat rows i = (r, h), r the
 * slower:
 *   delta_i = sum16 over d of do_id o_id (lane d mod 16, fma);
 *   p_ij = exp(s_ij - lse_i), s as in the forward pass;
 *   dp_ij = chain over d of fma(do_id, v_jd);
 *   ds_ij = p_ij * (dp_ij - delta_i) * scale, in this order;
 *   dq_i  = chain over j ascending of fma(ds_ij, k_j), from 0;
 *   dk_j  = chain over i ascending of fma(ds_ij, q_i), from 0;
 *   dv_j  = chain over i ascending of fma(p_ij, do_i), from 0.
 * dk and dv are dense, [pos0 + rows - from][dim]: row 0 is position `from`
 * (<= pos0); keys before it are frozen and get none. */
typedef struct nnr__attn_back {
	const float *q, *o, *dout;	/* row r, head h: + r*ld + h*dim */
	const float *lse;		/* + r*ldlse + h */
	float *dq;			/* as q, with lddq */
	size_t ldq, ldo, lddout, ldlse, lddq;
	int rows, heads, dim, pos0, from;
	float scale;
	const float *const *kt;		/* page j of this layer and head */
	const float *const *v;
	float *dk, *dv;
} nnr__attn_back;

typedef struct nnr__kernels {
	const char *name;	/* "generic", "avx2", "avx512" */
	const char *features;	/* what it relies on, for records */
	/* Terms of linear_i8 for products that bear one: two where dots are
	 * so cheap (VNNI) that the second hardly shows. */
	int plain_terms;

	/* One row of a file's values as fp32; n a multiple of the block. */
	void (*unpack)(nnr__dtype type, const uint8_t *src, int n,
		       float *dst);
	/* y[m][n] = sum_k x[m][k] W[n][k] (+ y[m][n] if add), fp32 on
	 * dequantised weights, for n0 <= n < n1 and `rows` rows of x.
	 * Each weight is rounded once: Q4_1 fma(d,q,m), Q4_0 fma(d,q,-8d),
	 * Q8_0 d*q, with d and m converted from f16.  n0 and n1 multiples
	 * of 16.  y points at column 0 of row 0.  With add, y + the chain
	 * (which always starts at 0). */
	void (*linear)(const nnr__mat *w, int n0, int n1, const float *x,
		       size_t ldx, int rows, float *y, size_t ldy, bool add,
		       void *scratch);
	/* The same on codes, terms 1 or 2.  Per 32-block b, with the exact
	 * integer dot s = sum q*hi (terms 1) or 254 sum q*hi + sum q*lo
	 * (terms 2), q in 0..15 (Q4_1, Q4_0) or -127..127 (Q8_0), and
	 * dx = d (terms 1) or d/254 (terms 2: d * (1/254f)):
	 *   c = fma(float(s), dw * dx, c);
	 *   Q4_1: c = fma(m, sumT, c);  Q4_0: c = fma(-8*dw, sumT, c). */
	void (*linear_i8)(const nnr__mat *w, int n0, int n1,
			  const nnr__codes *x, int row0, int rows, int terms,
			  float *y, size_t ldy, bool add, void *scratch);
	/* Codes of n values (a multiple of 32) of one row from column c0. */
	void (*encode)(const float *x, int n, const nnr__codes *c, int row,
		       int c0);
	/* y = x / sqrt(mean(x^2) + eps) * w */
	void (*rmsnorm)(const float *x, const float *w, int n, float eps,
			float *y);
	/* Rotates adjacent pairs of `heads` heads of dim values in place;
	 * cs holds dim/2 pairs (cos, sin).  Per pair (a, b):
	 * fma(a, cos, -(b sin)), fma(b, cos, a sin). */
	void (*rope)(float *x, int heads, int dim, const float *cs);
	/* y = (g / (1 + exp(-g))) * u */
	void (*swiglu)(const float *g, const float *u, int n, float *y);
	void (*attention)(const nnr__attn *a, void *scratch);
	/* log(sum(exp(x))) of n values, and the largest value's index. */
	float (*logsumexp)(const float *x, int n, int *argmax);

	/* ---- gradients ---- */
	/* dx[m][k] = sum_n dy[m][n] W[n][k] for k0 <= k < k1, multiples of
	 * 32 (or k1 = K): one chain of fma over n ascending, from 0, or from
	 * dx[m][k] with add.  W rounded as in linear; any number of rows of
	 * W.  dy and dx point at column 0 of row 0. */
	void (*linear_back)(const nnr__mat *w, int k0, int k1,
			    const float *dy, size_t ldy, int rows, float *dx,
			    size_t ldx, bool add, void *scratch);
	void (*attention_back)(const nnr__attn_back *a, void *scratch);
	/* With inv = 1 / sqrt(mean(x^2) + eps) as rmsnorm has it, and
	 * g_i = dy_i w_i, t = sum16 of fma(g_i, x_i), c = t inv^3 / n as
	 * ((t * inv) * inv) * inv / n:
	 * dx_i = fma(-c, x_i, g_i * inv), plus dx_i before with add. */
	void (*rmsnorm_back)(const float *x, const float *w, const float *dy,
			     int n, float eps, bool add, float *dx);
	/* With s = 1 / (1 + exp(-g)):  du = dy * (g * s);
	 * dg = (dy * u) * (s * fma(g, 1 - s, 1)).
	 * dg, du may be g, u. */
	void (*swiglu_back)(const float *g, const float *u, const float *dy,
			    int n, float *dg, float *du);
	/* y = scale * exp(x - shift); y may be x. */
	void (*softmax)(const float *x, int n, float shift, float scale,
			float *y);
	/* dw[n][k] = chain over rows m ascending of fma(dy[m][n], x[m][k]),
	 * from dw[n][k]; for n < N, k < K.  The gradient of a learnable
	 * matrix; N, K any. */
	void (*outer)(const float *dy, size_t ldy, int n, const float *x,
		      size_t ldx, int k, int rows, float *dw, size_t ldw);
} nnr__kernels;

/* Bytes of scratch, 64-byte aligned, a thread needs for any call with
 * K <= cols. */
size_t nnr__kernel_scratch(int cols);

/* The best table this CPU runs, lowered by NNR_CPU=generic|avx2|avx512.
 * NULL if NNR_CPU names what the CPU does not have or nobody knows. */
const nnr__kernels *nnr__kernels_best(void);
/* The table of that name, or NULL if this CPU cannot run it. */
const nnr__kernels *nnr__kernels_named(const char *name);
/* Names known to this build, best last, NULL at the end. */
extern const char *const nnr__kernel_names[];
/* Space-separated CPU features that matter (avx2 fma avx512f ...). */
const char *nnr__cpu_features(void);

float nnr__half(uint16_t h);		/* IEEE binary16 to float, exact */
/* exp and log of the specification (no libm). */
float nnr__exp(float x);
float nnr__log(float x);
/* Rope: inv[i] = base^(-2i/dim) rounded to float, i < dim/2; then one row's
 * cs: pairs (cos, sin) of the float product pos * inv[i]. */
void nnr__rope_freqs(float *inv, int dim, double base);
void nnr__rope_row(float *cs, const float *inv, int dim, int pos);

#endif
