/* SPDX-License-Identifier: Apache-2.0
 *
 * learn_model.h: for tests of learnable steps: a tiny model of three blocks,
 * four items of data, and programs of any `in` bound to it.
 */
#ifndef LEARN_MODEL_H
#define LEARN_MODEL_H

#include "unit/test.h"

#include <unistd.h>

#include "program/learn.h"
#include "synth_model.h"

#define BLOCKS 3

#define HEAD \
	"nnr: 1\nname: t\nmodel: m\ninput: {text: string}\n" \
	"output: {label: [no, yes, maybe]}\nin:\n"
#define OUT "out: [score: {choices: {no: \" no\", yes: \" y\", maybe: m}}]\n"
#define TEMPLATE "- template: \"Say {text}, or:\"\n"

static nnr_model model;
static char dir[64];

static inline void path_of(const char *name, char out[96])
{
	snprintf(out, 96, "%s/%s", dir, name);
}

static inline void put(const char *name, const void *data, size_t n)
{
	char path[96];
	nnr_error err;

	path_of(name, path);
	if (nnr__file_write(path, data, n, &err))
		fail_msg("%s", err.message);
}

static inline int set_up(void **state)
{
	static const char data[] = "yes\ta house\nno\tb\nmaybe\ta long text "
				   "of 12 words\nno\tb or a\n";
	nnr__buf file = { 0 };
	char path[96];
	nnr_error err;

	(void)state;
	strcpy(dir, "/tmp/nnr-learn-XXXXXX");
	assert_non_null(mkdtemp(dir));
	setenv("NNR_CACHE", dir, 1);
	synth_model_of(&file, BLOCKS);
	put("m.gguf", file.p, file.len);
	nnr__buf_release(&file);
	put("d.tsv", data, sizeof(data) - 1);
	path_of("m.gguf", path);
	model.path = nnr__strdup(path);
	if (nnr__backbone_open(&model.bb, path, &err) ||
	    nnr__tok_new(&model.tok, model.bb->file, &err) ||
	    nnr__chat_new(&model.chat, model.bb->file, model.tok, &err))
		fail_msg("%s", err.message);
	return 0;
}

static inline int tear_down(void **state)
{
	char command[96];

	(void)state;
	nnr__chat_free(model.chat);
	nnr__tok_free(model.tok);
	nnr__backbone_close(model.bb);
	free(model.path);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* ---- programs and lessons ---- */

static inline int bind(nnr_program **p, const char *in, nnr_error *err)
{
	nnr__engine_opts o = { .precision = NNR_EXACT, .threads = 2,
			       .no_cache = true };
	nnr__buf text = { 0 };
	int rc;

	nnr__buf_addf(&text, HEAD "%s" OUT, in);
	rc = nnr__program_parse(p, "p.yaml", dir, text.p, text.len, NULL,
				err);
	nnr__buf_release(&text);
	if (rc)
		return rc;
	(*p)->untrained = true;
	rc = nnr__program_bind(*p, &model, &o, err);
	if (rc) {
		nnr__program_close(*p);
		*p = NULL;
	}
	return rc;
}

static inline nnr_program *bound(const char *in)
{
	nnr_program *p;
	nnr_error err;

	if (bind(&p, in, &err))
		fail_msg("%s", err.message);
	return p;
}

#endif
