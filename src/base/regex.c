/* SPDX-License-Identifier: Apache-2.0
 *
 * regex.c: regular expressions through PCRE2.  A pattern comes from a
 * program source, so neither its compilation nor a match may run away: the
 * length and nesting of patterns, the steps, the depth and the memory of a
 * match are limited.  The interpreter is used, never the JIT, which has
 * other limits.  A subject may hold invalid UTF-8: nothing matches there.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "base.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#define PATTERN_MAX 4096
#define NEST_MAX 64
#define MATCH_MAX 1000000	/* internal steps, about 20 ms */
#define DEPTH_MAX 10000
#define HEAP_MAX_KIB 16384

struct nnr__regex {
	pcre2_code *code;
	pcre2_match_context *limits;
};

static int fail_compile(nnr_error *err, const char *pattern, int code,
			size_t at)
{
	char why[160];

	if (pcre2_get_error_message(code, (PCRE2_UCHAR *)why,
				    sizeof(why)) == PCRE2_ERROR_BADDATA)
		snprintf(why, sizeof(why), "error %d", code);
	return nnr__fail(err, NNR_E_INPUT,
			 "regex '%.100s': %s at byte %zu", pattern, why,
			 at);
}

static int compile(nnr__regex *r, const char *pattern, nnr_error *err)
{
	uint32_t flags = PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF |
			 PCRE2_NEVER_BACKSLASH_C;
	pcre2_compile_context *how = pcre2_compile_context_create(NULL);
	int code = 0;
	size_t at = 0;

	r->limits = pcre2_match_context_create(NULL);
	if (!how || !r->limits) {
		pcre2_compile_context_free(how);
		return nnr__fail_memory(err, "regex", strlen(pattern));
	}
	pcre2_set_max_pattern_length(how, PATTERN_MAX);
	pcre2_set_parens_nest_limit(how, NEST_MAX);
	pcre2_set_match_limit(r->limits, MATCH_MAX);
	pcre2_set_depth_limit(r->limits, DEPTH_MAX);
	pcre2_set_heap_limit(r->limits, HEAP_MAX_KIB);
	r->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
				flags, &code, &at, how);
	pcre2_compile_context_free(how);
	return r->code ? 0 : fail_compile(err, pattern, code, at);
}

int nnr__regex_new(nnr__regex **out, const char *pattern, nnr_error *err)
{
	nnr__regex *r;
	size_t n = strlen(pattern), bad = nnr__utf8_valid(pattern, n);
	int rc;

	*out = NULL;
	if (n > PATTERN_MAX)
		return nnr__fail(err, NNR_E_INPUT,
				 "regex of %zu bytes: at most %d", n,
				 PATTERN_MAX);
	if (bad < n)
		return nnr__fail_at(err, NNR_E_INPUT, bad,
				    "regex: not valid UTF-8");
	r = nnr__calloc(1, sizeof(*r));
	if (!r)
		return nnr__fail_memory(err, "regex", sizeof(*r));
	rc = compile(r, pattern, err);
	if (rc)
		nnr__regex_free(r);
	else
		*out = r;
	return rc;
}

void nnr__regex_free(nnr__regex *r)
{
	if (!r)
		return;
	pcre2_code_free(r->code);
	pcre2_match_context_free(r->limits);
	free(r);
}

static int fail_match(nnr_error *err, int code, size_t n)
{
	const char *what = code == PCRE2_ERROR_MATCHLIMIT ? "steps"
			 : code == PCRE2_ERROR_DEPTHLIMIT ? "depth"
			 : code == PCRE2_ERROR_HEAPLIMIT  ? "memory"
							  : NULL;

	if (code == PCRE2_ERROR_NOMEMORY)
		return nnr__fail_memory(err, "regex match", n);
	if (what)
		return nnr__fail(err, NNR_E_INPUT,
				 "regex: the match of %zu bytes went over "
				 "its limit of %s", n, what);
	return nnr__fail(err, NNR_E_INPUT, "regex: match error %d", code);
}

int nnr__regex_match(const nnr__regex *r, const char *s, size_t n,
		     size_t from, size_t *start, size_t *end, size_t *next,
		     nnr_error *err)
{
	pcre2_match_data *data;
	const size_t *span;
	int rc;

	if (from > n)
		return 0;
	data = pcre2_match_data_create_from_pattern(r->code, NULL);
	if (!data)
		return nnr__fail_memory(err, "regex match", n);
	rc = pcre2_match(r->code, (PCRE2_SPTR)(s ? s : ""), n, from, 0, data,
			 r->limits);
	if (rc == PCRE2_ERROR_NOMATCH) {
		rc = 0;
	} else if (rc < 0) {
		rc = fail_match(err, rc, n);
	} else {
		uint32_t groups;
		pcre2_pattern_info(r->code, PCRE2_INFO_CAPTURECOUNT, &groups);
		span = pcre2_get_ovector_pointer(data);
		/* \K in a lookahead can put the start after the end */
		*next = span[1] > span[0] ? span[1] : span[0];
		if (groups > 0)
			span += 2;
		/* a group that took no part is empty at the match's end */
		*start = span[0] == PCRE2_UNSET ? *next : span[0];
		*end = span[0] == PCRE2_UNSET ? *next : span[1];
		if (*end < *start)
			*end = *start;
		rc = 1;
	}
	pcre2_match_data_free(data);
	return rc;
}
