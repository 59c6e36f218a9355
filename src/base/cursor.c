/* SPDX-License-Identifier: Apache-2.0
 *
 * cursor.c: reading untrusted bytes.  A cursor never passes its end: a read
 * that would sets `bad`, gives zero, and so does every read after it.  A
 * loader reads a whole record and asks once.  All numbers are little endian.
 */
#include "base.h"

#include <string.h>

nnr__cur nnr__cur_init(const void *data, size_t size)
{
	nnr__cur c = { .base = data, .p = data, .end = data };
	if (size)
		c.end += size;
	return c;
}

size_t nnr__cur_pos(const nnr__cur *c)
{
	return (size_t)(c->p - c->base);
}

size_t nnr__cur_left(const nnr__cur *c)
{
	return c->bad ? 0 : (size_t)(c->end - c->p);
}

const uint8_t *nnr__take_bytes(nnr__cur *c, size_t n)
{
	const uint8_t *p = c->p;

	if (c->bad || n > (size_t)(c->end - p)) {
		c->bad = true;
		return NULL;
	}
	if (n)
		c->p += n;
	return p;
}

static uint64_t take(nnr__cur *c, unsigned bytes)
{
	const uint8_t *p = nnr__take_bytes(c, bytes);
	uint64_t v = 0;

	for (unsigned i = 0; p && i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

uint8_t nnr__take_u8(nnr__cur *c)
{
	return (uint8_t)take(c, 1);
}

uint16_t nnr__take_u16(nnr__cur *c)
{
	return (uint16_t)take(c, 2);
}

uint32_t nnr__take_u32(nnr__cur *c)
{
	return (uint32_t)take(c, 4);
}

uint64_t nnr__take_u64(nnr__cur *c)
{
	return take(c, 8);
}

float nnr__take_f32(nnr__cur *c)
{
	uint32_t bits = nnr__take_u32(c);
	float v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}

double nnr__take_f64(nnr__cur *c)
{
	uint64_t bits = nnr__take_u64(c);
	double v;
	memcpy(&v, &bits, sizeof(v));
	return v;
}
