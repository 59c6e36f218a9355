/* SPDX-License-Identifier: Apache-2.0
 *
 * checkpoint.c: a run as one safetensors file.  For a tensor NAME of the
 * program it holds value.NAME, the optimizer's moment0.NAME, moment1.NAME
 * and best.NAME; beside them the losses so far, the validations and the
 * counts.  The texts say what it belongs to; `sha256` is of the whole file
 * with those 64 digits zero, so a byte that changed anywhere is seen.
 */
#include "optim/optim.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/safetensors.h"

#define FORMAT "nnr checkpoint 1"
#define DIGITS 64
#define SEAL "\"sha256\":\""

enum { AT_STEP, AT_EPOCHS, AT_BEST, AT_ENDED, AT_STEPS, COUNTS };
enum { OF_SLOT = 2 + NNR__MOMENTS, BESIDE = 7, TEXTS = 8 };

/* Everything as tensors; to be written, or to be filled from a file. */
typedef struct image {
	nnr__arena names;
	nnr__st_tensor *tensor;
	int tensors;
	int64_t counts[COUNTS];
	uint8_t *set;			/* of each slot */
	int64_t *val_step;
	float *val_score, *val_loss;
} image;

static bool add(image *m, const char *kind, const char *name,
		nnr__st_type type, int64_t n, const void *data)
{
	nnr__st_tensor *t = &m->tensor[m->tensors++];
	nnr__buf text = { 0 };

	nnr__buf_addf(&text, name ? "%s.%s" : "%s", kind, name);
	*t = (nnr__st_tensor){ .type = type, .dims = 1, .dim = { n },
			       .data = data };
	if (!text.bad)
		t->name = nnr__arena_strndup(&m->names, text.p, text.len);
	nnr__buf_release(&text);
	return t->name != NULL;
}

static bool add_slots(image *m, const nnr__training *t)
{
	bool ok = true;

	for (int i = 0; i < t->slots; i++) {
		const nnr__slot *s = &t->slot[i];
		const char *name = s->tensor->name;
		int64_t n = (int64_t)s->tensor->n;
		ok = ok && add(m, "value", name, NNR__ST_F32, n,
			       s->tensor->value);
		for (int k = 0; k < NNR__MOMENTS; k++) {
			char kind[24];
			snprintf(kind, sizeof(kind), "moment%d", k);
			ok = ok && (!s->moment[k] ||
				    add(m, kind, name, NNR__ST_F32, n,
					s->moment[k]));
		}
		if (t->best)
			ok = ok && add(m, "best", name, NNR__ST_F32, n,
				       s->best);
		m->set[i] = s->tensor->set;
	}
	return ok;
}

/* Shapes as t says; the values of what is not a tensor's are in the image. */
static bool image_of(image *m, const nnr__training *t)
{
	size_t most = (size_t)t->slots * OF_SLOT + BESIDE;
	size_t vals = (size_t)t->vals;

	memset(m, 0, sizeof(*m));
	m->tensor = nnr__calloc(most, sizeof(*m->tensor));
	m->set = nnr__calloc((size_t)t->slots, 1);
	m->val_step = nnr__calloc(vals + 1, sizeof(*m->val_step));
	m->val_score = nnr__calloc(vals + 1, sizeof(*m->val_score));
	m->val_loss = nnr__calloc(vals + 1, sizeof(*m->val_loss));
	if (!m->tensor || !m->set || !m->val_step || !m->val_score ||
	    !m->val_loss)
		return false;
	for (size_t i = 0; i < vals; i++) {
		m->val_step[i] = t->val[i].step;
		m->val_score[i] = t->val[i].score;
		m->val_loss[i] = t->val[i].loss;
	}
	m->counts[AT_STEP] = t->step;
	m->counts[AT_EPOCHS] = t->epochs;
	m->counts[AT_BEST] = t->best;
	m->counts[AT_ENDED] = t->ended;
	m->counts[AT_STEPS] = t->steps;
	return add(m, "counts", NULL, NNR__ST_I64, COUNTS, m->counts) &&
	       add(m, "set", NULL, NNR__ST_U8, t->slots, m->set) &&
	       add(m, "loss", NULL, NNR__ST_F32, t->step, t->loss) &&
	       add(m, "norm", NULL, NNR__ST_F32, t->step, t->norm) &&
	       add(m, "val_step", NULL, NNR__ST_I64, t->vals, m->val_step) &&
	       add(m, "val_score", NULL, NNR__ST_F32, t->vals,
		   m->val_score) &&
	       add(m, "val_loss", NULL, NNR__ST_F32, t->vals, m->val_loss) &&
	       add_slots(m, t);
}

static void image_release(image *m)
{
	nnr__arena_release(&m->names);
	free(m->tensor);
	free(m->set);
	free(m->val_step);
	free(m->val_score);
	free(m->val_loss);
}

/* Where the digits of the seal are in the header, or NULL. */
static const char *find_seal(const char *head, size_t n)
{
	const size_t mark = strlen(SEAL);

	for (size_t i = 0; i + mark + DIGITS <= n; i++)
		if (memcmp(head + i, SEAL, mark) == 0)
			return head + i + mark;
	return NULL;
}

/* ---- saving ---- */

static void texts_of(const nnr__identity *id, nnr__st_text out[TEXTS])
{
	static const char zeros[DIGITS + 1] =
		"00000000000000000000000000000000"
		"00000000000000000000000000000000";
	const char *const pair[TEXTS][2] = {
		{ "format", FORMAT }, { "program", id->program },
		{ "backbone", id->backbone }, { "data", id->data },
		{ "validation", id->validation }, { "plan", id->plan },
		{ "mode", id->mode }, { "sha256", zeros }
	};

	for (int i = 0; i < TEXTS; i++)
		out[i] = (nnr__st_text){ pair[i][0], pair[i][1],
					 strlen(pair[i][1]) };
}

/* The bytes in file order: the head, then the tensors. */
static void seal_pieces(nnr__buf *head, nnr__piece *piece, int pieces)
{
	char hex[DIGITS + 1];
	char *at = head->p + (find_seal(head->p, head->len) - head->p);
	nnr__sha sha;

	piece[0] = (nnr__piece){ head->p, head->len };
	nnr__sha_init(&sha);
	for (int i = 0; i < pieces; i++)
		nnr__sha_add(&sha, piece[i].data, piece[i].size);
	nnr__sha_end(&sha, hex);
	memcpy(at, hex, DIGITS);
}

static int write_image(image *m, const nnr__identity *id, const char *path,
		       nnr_error *err)
{
	const int pieces = m->tensors + 1;
	nnr__piece *piece = nnr__calloc((size_t)pieces, sizeof(*piece));
	nnr__st_text text[TEXTS];
	nnr__buf head = { 0 };
	int rc;

	if (!piece)
		return nnr__fail_memory(err, path, (size_t)pieces);
	texts_of(id, text);
	nnr__st_sort(m->tensor, m->tensors);
	rc = nnr__st_head(&head, m->tensor, m->tensors, text, TEXTS, err);
	if (!rc) {
		for (int i = 1; i < pieces; i++)
			piece[i] = (nnr__piece){
				m->tensor[i - 1].data,
				nnr__st_bytes(&m->tensor[i - 1]) };
		seal_pieces(&head, piece, pieces);
		rc = nnr__file_write_pieces(path, piece, pieces, err);
	}
	nnr__buf_release(&head);
	free(piece);
	return rc;
}

int nnr__checkpoint_save(const nnr__training *t, const nnr__identity *id,
			 const char *path, nnr_error *err)
{
	nnr_error local;
	image m;
	int rc;

	err = err ? err : &local;
	if (image_of(&m, t))
		rc = write_image(&m, id, path, err);
	else
		rc = nnr__fail_memory(err, path, 0);
	image_release(&m);
	return rc ? nnr__err_prefix(err, "checkpoint at step %lld",
				    (long long)t->step) : 0;
}

/* ---- loading ---- */

static int fail_damaged(const char *path, const char *what, nnr_error *err)
{
	return nnr__fail(err, NNR_E_FORMAT, "checkpoint '%.200s' is damaged: "
			 "%s; remove it to start again", path, what);
}

/* Of the bytes as they are, before anything is read. */
static int check_seal(const char *path, const void *data, size_t size,
		      nnr_error *err)
{
	static const char zeros[DIGITS] = "0000000000000000000000000000000000"
					  "000000000000000000000000000000";
	nnr__cur c = nnr__cur_init(data, size);
	uint64_t header = nnr__take_u64(&c);
	const char *start = data, *at = NULL;
	char hex[DIGITS + 1];
	nnr__sha sha;

	if (!c.bad && header <= nnr__cur_left(&c))
		at = find_seal(start, header + 8);
	if (!at)
		return fail_damaged(path, "it has no hash", err);
	nnr__sha_init(&sha);
	nnr__sha_add(&sha, start, (size_t)(at - start));
	nnr__sha_add(&sha, zeros, DIGITS);
	nnr__sha_add(&sha, at + DIGITS, size - DIGITS - (size_t)(at - start));
	nnr__sha_end(&sha, hex);
	if (memcmp(hex, at, DIGITS) != 0)
		return fail_damaged(path, "its bytes are not those of its "
				    "hash", err);
	return 0;
}

static int check_identity(const nnr__st *st, const nnr__identity *id,
			  const char *path, nnr_error *err)
{
	static const char *const names[TEXTS] = {
		[1] = "program", [2] = "backbone", [3] = "data",
		[4] = "validation data", [5] = "plan", [6] = "arithmetic"
	};
	const nnr__st_text *format = nnr__st_text_of(st, "format");
	nnr__st_text want[TEXTS];

	if (!format || strcmp(format->text, FORMAT) != 0)
		return nnr__fail(err, NNR_E_FORMAT, "'%.200s' is not a "
				 "checkpoint of this version of nnr", path);
	texts_of(id, want);
	for (int i = 1; i < TEXTS - 1; i++) {
		const nnr__st_text *have = nnr__st_text_of(st, want[i].key);
		if (!have)
			return fail_damaged(path, "a hash is missing", err);
		if (strcmp(have->text, want[i].text) == 0)
			continue;
		if (strcmp(want[i].key, "plan") == 0)
			return nnr__fail(err, NNR_E_INPUT, "checkpoint "
					 "'%.200s' is of a run with another "
					 "`train` or seed; --resume cannot go "
					 "on with it", path);
		return nnr__fail(err, NNR_E_INPUT, "checkpoint '%.160s' is of "
				 "another %s: %.64s there, %.64s here; "
				 "--resume cannot go on with it", path,
				 names[i], *have->text ? have->text : "none",
				 *want[i].text ? want[i].text : "none");
	}
	return 0;
}

/* The tensor of this name, F32 or what the type says, with n values. */
static const void *values_of(const nnr__st *st, const char *name,
			     nnr__st_type type, int64_t n)
{
	const nnr__st_tensor *t = nnr__st_find(st, name);

	if (!t || t->type != type || t->dims != 1 || t->dim[0] != n)
		return NULL;
	return t->data;
}

/* Lengths: what the file has of what depends on how far it is. */
static bool take_counts(const nnr__st *st, nnr__training *t)
{
	const nnr__st_tensor *vals = nnr__st_find(st, "val_step");
	const void *data = values_of(st, "counts", NNR__ST_I64, COUNTS);
	int64_t c[COUNTS], n = vals && vals->dims == 1 ? vals->dim[0] : -1;

	if (!data || n < 0 || n > t->steps + 1)
		return false;
	memcpy(c, data, sizeof(c));
	if (c[AT_STEPS] != t->steps || c[AT_STEP] < 0 ||
	    c[AT_STEP] > t->steps || c[AT_EPOCHS] < 0 ||
	    c[AT_EPOCHS] > t->steps || c[AT_BEST] < 0 ||
	    (n && c[AT_BEST] >= n) || (!n && c[AT_BEST]) ||
	    (n && !t->o->validate))
		return false;
	t->step = c[AT_STEP];
	t->epochs = c[AT_EPOCHS];
	t->best = (int)c[AT_BEST];
	t->ended = c[AT_ENDED] != 0;
	t->vals = (int)n;
	return true;
}

static void take_validations(nnr__training *t, const image *m)
{
	for (int i = 0; i < t->vals; i++)
		t->val[i] = (nnr__validation){ m->val_step[i],
					       m->val_score[i],
					       m->val_loss[i] };
	for (int i = 0; i < t->slots; i++)
		t->slot[i].tensor->set = m->set[i] != 0;
}

static int take_image(nnr__training *t, const nnr__st *st, const char *path,
		      nnr_error *err)
{
	image m;
	int rc = 0;

	if (!take_counts(st, t))
		return fail_damaged(path, "its counts do not fit", err);
	if (!nnr__grow(&t->val, &t->val_cap, (size_t)t->vals,
		       sizeof(*t->val)))
		return nnr__fail_memory(err, path, (size_t)t->vals);
	if (!image_of(&m, t))
		rc = nnr__fail_memory(err, path, 0);
	if (!rc && m.tensors != st->tensors)
		rc = fail_damaged(path, "tensors are missing", err);
	for (int i = 0; i < m.tensors && !rc; i++) {
		nnr__st_tensor *to = &m.tensor[i];
		const void *from = values_of(st, to->name, to->type,
					     to->dim[0]);
		if (!from)
			rc = fail_damaged(path, "a tensor has another shape",
					  err);
		else if (nnr__st_bytes(to))
			memcpy((void *)(uintptr_t)to->data, from,
			       nnr__st_bytes(to));
	}
	if (!rc)
		take_validations(t, &m);
	image_release(&m);
	return rc;
}

int nnr__checkpoint_load(nnr__training *t, const nnr__identity *id,
			 const char *path, nnr_error *err)
{
	nnr_error local;
	nnr__st *st = NULL;
	nnr__map map;
	int rc;

	err = err ? err : &local;
	rc = nnr__map_open(&map, path, err);
	if (rc)
		return rc;
	rc = check_seal(path, map.data, map.size, err);
	rc = rc ? rc : nnr__st_parse(&st, path, map.data, map.size, err);
	rc = rc ? rc : check_identity(st, id, path, err);
	rc = rc ? rc : take_image(t, st, path, err);
	nnr__st_close(st);
	nnr__map_close(&map);
	return rc;
}

/* ---- removing ---- */

void nnr__checkpoint_remove(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char *dir = nnr__path_dir(path);
	DIR *d = dir ? opendir(dir) : NULL;
	nnr__buf temp = { 0 };
	struct dirent *e;

	unlink(path);
	nnr__buf_addf(&temp, "%s.tmp.", name);
	while (d && !temp.bad && (e = readdir(d)) != NULL)
		if (strncmp(e->d_name, temp.p, temp.len) == 0)
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	nnr__buf_release(&temp);
	free(dir);
}
