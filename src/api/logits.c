/* SPDX-License-Identifier: Apache-2.0
 *
 * logits.c: logits of texts -> a safetensors file.  All token counts are
 * known before anything runs, so the header is written first and one text's
 * logits are in memory at a time.  The bytes go to a file beside the wanted
 * one, which takes its name once it is whole.
 *
 *   u64 header length | JSON header, padded with spaces to 8 bytes |
 *   tokens of every text (I64) | logits of every text (F32, row major)
 */
#include "api/api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct sheet {
	const nnr_model *m;
	nnr__ids *ids;		/* [texts] */
	int texts;
	size_t tokens, longest;
	const char *path;
	nnr__buf temp;
	int fd;
} sheet;

static int encode(sheet *s, const nnr_text *text, nnr_error *err)
{
	const nnr__tok *t = s->m->tok;
	int context = s->m->bb->context;

	for (int i = 0; i < s->texts; i++) {
		nnr__ids *ids = &s->ids[i];
		int rc = 0;
		if (nnr__tok_add_bos(t) && nnr__tok_bos(t) >= 0 &&
		    !nnr__ids_add(ids, nnr__tok_bos(t)))
			return nnr__fail_memory(err, "tokens", 0);
		rc = nnr__tok_encode(t, text[i].s, text[i].n, ids, err);
		if (rc)
			return rc;
		if (ids->n == 0)
			return nnr__fail(err, NNR_E_INPUT, "text %d has no "
					 "tokens", i);
		if (ids->n > (size_t)context)
			return nnr__fail(err, NNR_E_INPUT, "text %d has %zu "
					 "tokens; the model's context is %d",
					 i, ids->n, context);
		s->tokens += ids->n;
		if (ids->n > s->longest)
			s->longest = ids->n;
	}
	return 0;
}

static void entry(nnr__buf *b, const sheet *s, const char *name, int i,
		  size_t from, size_t bytes)
{
	bool tokens = *name == 't';

	nnr__buf_addf(b, "%s\"%s", b->len > 1 ? "," : "", name);
	if (s->texts > 1)
		nnr__buf_addf(b, ".%d", i);
	nnr__buf_addf(b, "\":{\"dtype\":\"%s\",\"shape\":[%zu",
		      tokens ? "I64" : "F32", s->ids[i].n);
	if (!tokens)
		nnr__buf_addf(b, ",%d", s->m->bb->vocab);
	nnr__buf_addf(b, "],\"data_offsets\":[%zu,%zu]}", from, from + bytes);
}

static void header(nnr__buf *b, const sheet *s)
{
	size_t at = 0, row = (size_t)s->m->bb->vocab * sizeof(float);

	nnr__buf_addc(b, '{');
	for (int i = 0; i < s->texts; i++) {
		entry(b, s, "tokens", i, at, s->ids[i].n * 8);
		at += s->ids[i].n * 8;
	}
	for (int i = 0; i < s->texts; i++) {
		entry(b, s, "logits", i, at, s->ids[i].n * row);
		at += s->ids[i].n * row;
	}
	nnr__buf_addc(b, '}');
	while (b->len % 8)
		nnr__buf_addc(b, ' ');
}

static int put(sheet *s, const void *data, size_t n, nnr_error *err)
{
	const char *p = data;

	while (n) {
		ssize_t k = write(s->fd, p, n < (1 << 30) ? n : 1 << 30);
		if (k < 0 && errno == EINTR && !nnr__interrupted())
			continue;
		if (k < 0 && nnr__interrupted())
			return nnr__fail(err, NNR_E_INTERRUPTED,
					 "interrupted");
		if (k < 0)
			return nnr__fail_write(err, s->path);
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static int put_head(sheet *s, nnr_error *err)
{
	nnr__buf b = { 0 };
	uint8_t length[8];
	int rc = 0;

	header(&b, s);
	if (b.bad)
		rc = nnr__fail_memory(err, "header", b.len);
	for (int i = 0; i < 8; i++)
		length[i] = (uint8_t)((uint64_t)b.len >> (8 * i));
	if (!rc)
		rc = put(s, length, sizeof(length), err);
	if (!rc)
		rc = put(s, b.p, b.len, err);
	nnr__buf_clear(&b);
	for (int i = 0; i < s->texts && !rc; i++) {
		for (size_t t = 0; t < s->ids[i].n; t++) {
			uint64_t id = (uint64_t)s->ids[i].id[t];
			for (int k = 0; k < 8; k++)
				nnr__buf_addc(&b, (char)(id >> (8 * k)));
		}
		rc = b.bad ? nnr__fail_memory(err, "tokens", b.len)
			   : put(s, b.p, b.len, err);
		nnr__buf_clear(&b);
	}
	nnr__buf_release(&b);
	return rc;
}

static int put_logits(sheet *s, const nnr_run_opts *o,
		      nnr_on_progress progress, void *ctx, nnr_error *err)
{
	size_t row = (size_t)s->m->bb->vocab * sizeof(float);
	nnr__engine_opts eo = nnr__engine_opts_of(o);
	nnr_progress done = { .total = s->texts };
	double start = nnr__now();
	nnr__engine *e = NULL;
	float *out = NULL;
	int rc = nnr__engine_new(&e, s->m->bb, &eo, err);

	if (!rc) {
		out = nnr__aligned(s->longest * row);
		if (!out)
			rc = nnr__fail_memory(err, "logits", s->longest * row);
	}
	for (int i = 0; i < s->texts && !rc; i++) {
		rc = nnr__engine_logits(e, s->ids[i].id, (int)s->ids[i].n,
					out, err);
		if (!rc)
			rc = put(s, out, s->ids[i].n * row, err);
		done.done++;
		done.tokens += s->ids[i].n;
		done.seconds = nnr__now() - start;
		if (progress)
			progress(ctx, &done);
	}
	nnr__aligned_free(out);
	nnr__engine_free(e);
	return rc;
}

/* Opens a new file beside path, or path itself where that is a device or a
 * pipe, which has no name to take over (temp stays empty then). */
static int open_out(sheet *s, nnr_error *err)
{
	struct stat st;
	bool there = stat(s->path, &st) == 0;
	int flags = O_WRONLY | O_CLOEXEC;

	if (there && S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return nnr__fail_write(err, s->path);
	}
	if (there && !S_ISREG(st.st_mode)) {
		s->fd = open(s->path, flags);
	} else {
		nnr__buf_addf(&s->temp, "%s.tmp.%ld", s->path,
			      (long)getpid());
		if (s->temp.bad)
			return nnr__fail_memory(err, "path", s->temp.len);
		s->fd = open(s->temp.p, flags | O_CREAT | O_TRUNC, 0666);
	}
	return s->fd < 0 ? nnr__fail_write(err, s->path) : 0;
}

static int write_file(sheet *s, const nnr_run_opts *o,
		      nnr_on_progress progress, void *ctx, nnr_error *err)
{
	int rc = open_out(s, err);

	if (rc)
		return rc;
	rc = put_head(s, err);
	if (!rc)
		rc = put_logits(s, o, progress, ctx, err);
	if (!rc && s->temp.p && fsync(s->fd) != 0)
		rc = nnr__fail_write(err, s->path);
	if (close(s->fd) != 0 && !rc)
		rc = nnr__fail_write(err, s->path);
	if (!s->temp.p)
		return rc;
	if (!rc && rename(s->temp.p, s->path) != 0)
		rc = nnr__fail_write(err, s->path);
	if (rc)
		unlink(s->temp.p);
	return rc;
}

int nnr_model_logits(const nnr_model *m, const nnr_text *text, int texts,
		     const char *path, const nnr_run_opts *o,
		     nnr_on_progress progress, void *ctx, char **json,
		     nnr_error *err)
{
	sheet s = { .m = m, .texts = texts, .path = path };
	nnr__buf b = { 0 };
	int rc = 0;

	*json = NULL;
	if (texts < 1)
		return nnr__fail(err, NNR_E_INPUT, "no texts");
	s.ids = nnr__calloc((size_t)texts, sizeof(*s.ids));
	if (!s.ids)
		return nnr__fail_memory(err, "tokens", (size_t)texts);
	rc = encode(&s, text, err);
	if (!rc)
		rc = write_file(&s, o, progress, ctx, err);
	if (!rc) {
		nnr__buf_addf(&b, "{\"texts\":%d,\"tokens\":%zu,"
			      "\"vocabulary\":%d}", texts, s.tokens,
			      m->bb->vocab);
		rc = nnr__hand_out(&b, json, err);
	}
	for (int i = 0; i < texts; i++)
		nnr__ids_release(&s.ids[i]);
	free(s.ids);
	nnr__buf_release(&s.temp);
	return rc;
}
