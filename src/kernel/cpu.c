/* SPDX-License-Identifier: Apache-2.0
 *
 * Which kernels this CPU runs.  Decided by feature flags, never by model;
 * NNR_CPU lowers the choice.
 */
#include "isa.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#if NNR__X86
#include <cpuid.h>
#endif

#define TABLE(isa, feats, terms) { \
	.name = #isa, .features = feats, .plain_terms = terms, \
	.unpack = nnr__unpack_##isa, .linear = nnr__linear_##isa, \
	.linear_i8 = nnr__linear_i8_##isa, .encode = nnr__encode_##isa, \
	.rmsnorm = nnr__rmsnorm_##isa, .rope = nnr__rope_##isa, \
	.swiglu = nnr__swiglu_##isa, .attention = nnr__attention_##isa, \
	.logsumexp = nnr__logsumexp_##isa, \
	.linear_back = nnr__linear_back_##isa, \
	.attention_back = nnr__attention_back_##isa, \
	.rmsnorm_back = nnr__rmsnorm_back_##isa, \
	.swiglu_back = nnr__swiglu_back_##isa, \
	.softmax = nnr__softmax_##isa, .outer = nnr__outer_##isa, \
}

static const nnr__kernels tables[] = {	/* best last */
	TABLE(generic, "C", 1),
#if NNR__X86
	TABLE(avx2, "avx2 fma f16c", 1),
	TABLE(avx512, "avx512f bw vl dq vnni fma", 2),
#endif
};
#define TABLES (sizeof tables / sizeof tables[0])

const char *const nnr__kernel_names[] = {
	"generic",
#if NNR__X86
	"avx2",
	"avx512",
#endif
	NULL
};

/* fp32 panels of PANEL_MAX bytes, or of 16 columns when K is large (integer
 * panels are smaller). */
size_t nnr__kernel_scratch(int cols)
{
	size_t panel = (size_t)cols * 16 * 4;

	return panel > NNR__PANEL_MAX ? panel : NNR__PANEL_MAX;
}

#if NNR__X86
/* clang 14 does not know this name in __builtin_cpu_supports. */
static bool has_f16c(void)
{
	unsigned a, b, c = 0, d;

	return __get_cpuid(1, &a, &b, &c, &d) && c & bit_F16C;
}
#endif

static bool runs(const char *name)
{
	if (strcmp(name, "generic") == 0)
		return true;
#if NNR__X86
	__builtin_cpu_init();
	bool fma = __builtin_cpu_supports("avx2") &&
		__builtin_cpu_supports("fma") && has_f16c();
	if (strcmp(name, "avx2") == 0)
		return fma;
	return fma && __builtin_cpu_supports("avx512f") &&
		__builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512vl") &&
		__builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512vnni");
#else
	return false;
#endif
}

const nnr__kernels *nnr__kernels_named(const char *name)
{
	for (size_t i = 0; i < TABLES; i++)
		if (strcmp(tables[i].name, name) == 0)
			return runs(name) ? &tables[i] : NULL;
	return NULL;
}

const nnr__kernels *nnr__kernels_best(void)
{
	const char *want = getenv("NNR_CPU");

	if (want && *want)
		return nnr__kernels_named(want);
	for (size_t i = TABLES; i-- > 1; )
		if (runs(tables[i].name))
			return &tables[i];
	return &tables[0];
}

/* ---- features, for records ---- */

static char features[160];
static pthread_once_t features_once = PTHREAD_ONCE_INIT;

static void feature(bool have, const char *name)
{
	size_t n = strlen(features);

	if (have)
		snprintf(features + n, sizeof(features) - n, "%s%s",
			 n ? " " : "", name);
}

static void features_find(void)
{
#if NNR__X86
#define FEATURE(f) feature(__builtin_cpu_supports(f), f)
	__builtin_cpu_init();
	FEATURE("avx2");
	FEATURE("fma");
	feature(has_f16c(), "f16c");
	FEATURE("avx512f");
	FEATURE("avx512bw");
	FEATURE("avx512vl");
	FEATURE("avx512dq");
	FEATURE("avx512vnni");
	FEATURE("avx512bf16");
#undef FEATURE
#endif
}

const char *nnr__cpu_features(void)
{
	pthread_once(&features_once, features_find);
	return features;
}
