/* SPDX-License-Identifier: Apache-2.0
 *
 * exp and log of the specification and the rotary tables.  No libm: the
 * same bits everywhere.  The double functions round differently from libm
 * now and then, but far below what the float result can show.
 */
#include "isa.h"

#include <math.h>	/* fmaf only: exact by definition */

#define LN2_HI 0x1.62e42fefa3800p-1	/* 42 bits: exact times an int */
#define LN2_LO 0x1.ef35793c76730p-45
/* pi/2 in parts of 33, 33 and 53 bits: exact times k < 2^20 */
#define PIO2_1 0x1.921fb544p+0
#define PIO2_2 0x1.0b4611a6p-34
#define PIO2_3 0x1.3198a2e037073p-69

float nnr__exp(float x)
{
	if (x < NNR__EXP_MIN)
		return 0;
	if (!(x <= NNR__EXP_MAX))
		return x + INFINITY;
	float t = fmaf(x, NNR__EXP_LOG2E, NNR__RINT);
	float n = t - NNR__RINT;
	float r = fmaf(n, -NNR__EXP_LN2_HI, x);
	r = fmaf(n, -NNR__EXP_LN2_LO, r);
	float p = NNR__EXP_Q4;
	p = fmaf(p, r, NNR__EXP_Q3);
	p = fmaf(p, r, NNR__EXP_Q2);
	p = fmaf(p, r, NNR__EXP_Q1);
	p = fmaf(p, r, NNR__EXP_Q0);
	p = fmaf(p, r, 1.0f);
	p = fmaf(p, r, 1.0f);
	return nnr__float(nnr__bits(p) + (nnr__bits(t) << 23));
}

/* log of a positive, finite, normal double. */
static double log_of(double x)
{
	uint64_t u;
	memcpy(&u, &x, 8);
	int e = (int)(u >> 52) - 1023;
	u = (u & 0xfffffffffffff) | 0x3ff0000000000000;
	memcpy(&x, &u, 8);
	if (x > 0x1.6a09e667f3bcdp+0) {		/* sqrt 2 */
		x *= 0.5;
		e++;
	}
	double s = (x - 1) / (x + 1), z = s * s, p = 0;
	for (int i = 23; i >= 3; i -= 2)
		p = (p + 1.0 / i) * z;
	return e * LN2_HI + (2 * s + 2 * s * p + e * LN2_LO);
}

/* exp of |x| < 700 */
static double exp_of(double x)
{
	int n = (int)(x * 0x1.71547652b82fep+0 + (x < 0 ? -0.5 : 0.5));
	double r = x - n * LN2_HI - n * LN2_LO, p = 1, scale;

	for (int i = 14; i >= 1; i--)
		p = 1 + p * r / i;
	uint64_t u = (uint64_t)(n + 1023) << 52;
	memcpy(&scale, &u, 8);
	return p * scale;
}

float nnr__log(float x)
{
	if (x != x || x < 0)
		return NAN;
	if (x == 0)
		return -INFINITY;
	if (x == INFINITY)
		return x;
	return (float)log_of((double)x);	/* normal as a double */
}

void nnr__rope_freqs(float *inv, int dim, double base)
{
	double step = 2 * log_of(base) / dim;

	for (int i = 0; i < dim / 2; i++)
		inv[i] = (float)exp_of(-i * step);
}

/* Sine and cosine of 0 <= x < 1.6e6. */
static void sincos_of(double x, double *sine, double *cosine)
{
	int k = (int)(x * 0x1.45f306dc9c883p-1 + 0.5);
	double r = x - k * PIO2_1 - k * PIO2_2 - k * PIO2_3, z = r * r;
	double s = 1, c = 1;

	for (int i = 16; i >= 2; i -= 2) {
		s = 1 - s * z / (i * (i + 1));
		c = 1 - c * z / ((i - 1) * i);
	}
	s *= r;
	*sine = k & 1 ? c : s;
	*cosine = k & 1 ? s : c;
	if (k & 2)
		*sine = -*sine;
	if ((k + 1) & 2)
		*cosine = -*cosine;
}

void nnr__rope_row(float *cs, const float *inv, int dim, int pos)
{
	for (int i = 0; i < dim / 2; i++) {
		double s, c;
		sincos_of((double)((float)pos * inv[i]), &s, &c);
		cs[2 * i] = (float)c;
		cs[2 * i + 1] = (float)s;
	}
}
