/* SPDX-License-Identifier: Apache-2.0
 *
 * peft: the prompt folders of Hugging Face PEFT, in and out.
 *
 *   PROMPT_TUNING, P_TUNING  prompt_embeddings [count, hidden]: a program
 *                            that begins with soft_tokens
 *   PREFIX_TUNING            prompt_embeddings [count, layers 2 kv_heads
 *                            head_dim], per layer keys, then values: prefix
 *
 * Keys are those that rope has turned.  PEFT's have the order of dimensions
 * of HF's models (the pairs that rope turns are half a head apart), ours that
 * of the model file (they are neighbours).
 */
#ifndef NNR_PEFT_H
#define NNR_PEFT_H

#include "load/safetensors.h"
#include "program/learn.h"

enum { NNR__PEFT_PROMPT, NNR__PEFT_P, NNR__PEFT_PREFIX, NNR__PEFT_TYPES };
const char *nnr__peft_type(int type);		/* "PROMPT_TUNING" */

typedef struct nnr__peft {
	int type;
	int64_t count;		/* virtual tokens */
	int64_t layers;		/* as its configuration says, or 0 */
	char *dir, *base, *version;	/* base: what it was trained on */
	nnr__st *st;
	nnr__st_tensor rows;	/* prompt_embeddings */
	char sha[65];		/* of the tensors' file */
} nnr__peft;

/* Reads a folder; release it whatever the result (peft_import.c). */
int nnr__peft_read(nnr__peft *f, const char *dir, nnr_error *err);
void nnr__peft_release(nnr__peft *f);
/* The source of a program that does nothing but generate after it; context:
 * the model's. */
void nnr__peft_source(const nnr__peft *f, const char *model, int context,
		      nnr__buf *out);
/* Sets the tensor of a bound program that begins with the step for it. */
int nnr__peft_give(nnr_program *p, const nnr__peft *f, nnr_error *err);
/* What it was, as a training record: one JSON object. */
void nnr__peft_record(const nnr__peft *f, nnr__buf *out);

/* Writes a bound program as a folder; `lost` gets a JSON list of what the
 * folder cannot hold: {"step","id","learned"} (peft_export.c). */
int nnr__peft_write(nnr_program *p, const char *dir, nnr__buf *lost,
		    nnr_error *err);

/* Dimension i of a key's head in HF's order is this one of ours. */
int nnr__peft_dim(const nnr__backbone *b, int i);

#endif
