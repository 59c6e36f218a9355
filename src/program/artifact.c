/* SPDX-License-Identifier: Apache-2.0
 *
 * artifact.c: opening an artifact and giving its tensors to the bound
 * program.  The file is read into memory, its SHA-256 is checked, and only
 * then is anything in it looked at; it is still held against the format, for
 * anybody can make a file whose hash is right.
 */
#include "program/artifact_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX ((size_t)1 << 30)
#define MEMBERS 9		/* of `nnr` */

static const char mark[] = "\"sha256\":\"";

/* ---- the content address ---- */

size_t nnr__artifact_digits(const void *data, size_t size)
{
	nnr__cur c = nnr__cur_init(data, size);
	uint64_t length = nnr__take_u64(&c);
	const char *s = data;
	const size_t m = sizeof(mark) - 1, whole = m + NNR__ARTIFACT_DIGITS;
	size_t end;

	if (c.bad || length > nnr__cur_left(&c))
		return 0;
	end = 8 + (size_t)length;
	for (size_t i = 8; i + whole < end; i++) {
		if (s[i] != '"' || memcmp(s + i, mark, m) != 0)
			continue;
		i += m;
		for (size_t k = 0; k < NNR__ARTIFACT_DIGITS; k++)
			if (!memchr("0123456789abcdef", s[i + k], 16))
				return 0;
		return s[i + NNR__ARTIFACT_DIGITS] == '"' ? i : 0;
	}
	return 0;
}

void nnr__artifact_sha(const void *data, size_t size, size_t digits,
		       char hex[65])
{
	const char *s = data;
	char zeros[NNR__ARTIFACT_DIGITS];
	nnr__sha sha;

	memset(zeros, '0', sizeof(zeros));
	nnr__sha_init(&sha);
	nnr__sha_add(&sha, s, digits);
	nnr__sha_add(&sha, zeros, sizeof(zeros));
	digits += sizeof(zeros);
	nnr__sha_add(&sha, s + digits, size - digits);
	nnr__sha_end(&sha, hex);
}

static int fail(const char *name, nnr_error *err, const char *fmt, ...)
	NNR__PRINTF(3, 4);

static int fail(const char *name, nnr_error *err, const char *fmt, ...)
{
	char what[360];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return nnr__fail(err, NNR_E_FORMAT, "%.160s: %s", name, what);
}

static int check_sha(nnr__artifact *a, const char *name, nnr_error *err)
{
	const char *p = a->bytes.p ? a->bytes.p : "";
	size_t at = nnr__artifact_digits(p, a->bytes.len);

	if (!at)
		return fail(name, err, "not an artifact of nnr: no `sha256` "
			    "in its header; cut or of another kind?");
	nnr__artifact_sha(p, a->bytes.len, at, a->hash);
	if (memcmp(p + at, a->hash, NNR__ARTIFACT_DIGITS) != 0)
		return fail(name, err, "damaged: its SHA-256 is %s, its "
			    "header says %.64s", a->hash, p + at);
	return 0;
}

/* ---- the members of `nnr` ---- */

static bool is_digest(const nnr__jnode *n)
{
	return n && n->kind == NNR__J_STRING && n->len == 64 &&
	       strspn(n->text, "0123456789abcdef") == 64;
}

/* A string without NUL. */
static bool is_text(const nnr__jnode *n)
{
	return n && n->kind == NNR__J_STRING && strlen(n->text) == n->len;
}

static bool is_name(const nnr__jnode *n)
{
	const char *s = is_text(n) ? n->text : "/";

	if (!*s || *s == '/')
		return false;
	for (; *s; s += strcspn(s, "/"), s += *s == '/')
		if (strcspn(s, "/") == 2 && s[0] == '.' && s[1] == '.')
			return false;
	return true;
}

static int read_file(nnr__artifact *a, const nnr__jnode *n, const char *name,
		     nnr_error *err)
{
	const nnr__jnode *text = nnr__json_get(n, "text");
	const nnr__jnode *sha = nnr__json_get(n, "sha256");
	const nnr__jnode *rel = nnr__json_get(n, "name");
	nnr__embedded *f = &a->file[a->files];
	bool here = text && text->kind == NNR__J_STRING;

	if (!is_name(rel) || !is_digest(sha) || !text || n->count != 3 ||
	    (!here && text->kind != NNR__J_NULL))
		return fail(name, err, "entry %d of `files` is not {name, "
			    "sha256, text}", a->files);
	if (a->files && strcmp(f[-1].name, rel->text) >= 0)
		return fail(name, err, "`files` is not sorted by name at "
			    "`%.100s`", rel->text);
	f->name = (char *)(uintptr_t)rel->text;
	f->text = here ? (char *)(uintptr_t)text->text : NULL;
	f->len = here ? text->len : 0;
	memcpy(f->hash, sha->text, sizeof(f->hash));
	if (here) {
		char hex[65];
		nnr__sha_of(f->text, f->len, hex);
		if (strcmp(hex, f->hash) != 0)
			return fail(name, err, "the file `%.100s` in it has "
				    "another SHA-256 than it says",
				    rel->text);
	}
	a->files++;
	return 0;
}

static int read_files(nnr__artifact *a, const char *name, nnr_error *err)
{
	const nnr__jnode *list = nnr__json_get(a->top, NNR__A_FILES);
	int rc = 0;

	if (!list || list->kind != NNR__J_ARRAY)
		return fail(name, err, "no `files`, a list");
	a->file = nnr__arena_alloc(&a->arena, (list->count + 1) *
						      sizeof(*a->file));
	if (!a->file)
		return nnr__fail_memory(err, name, list->count);
	for (const nnr__jnode *n = list->child; n && !rc; n = n->next)
		rc = read_file(a, n, name, err);
	return rc;
}

static int check_format(const nnr__artifact *a, const char *name,
			nnr_error *err)
{
	const nnr__jnode *n = nnr__json_get(a->top, NNR__A_FORMAT);

	if (!n || n->kind != NNR__J_NUMBER || !n->integer)
		return fail(name, err, "no `format`, a whole number");
	if (n->num == NNR__ARTIFACT_FORMAT)
		return 0;
	return nnr__fail(err, NNR_E_UNSUPPORTED, "%.160s: artifact format "
			 "%.0f; this nnr reads %d", name, n->num,
			 NNR__ARTIFACT_FORMAT);
}

/* An object or, unless it is needed, null. */
static int check_kind(const nnr__artifact *a, const char *key,
		      nnr__jkind kind, const char *name, nnr_error *err)
{
	const nnr__jnode *n = nnr__json_get(a->top, key);

	if (n && (n->kind == kind || n->kind == NNR__J_NULL))
		return 0;
	return fail(name, err, "`%s` is missing or not of its kind", key);
}

static int read_members(nnr__artifact *a, const char *name, nnr_error *err)
{
	const nnr__jnode *backbone = nnr__json_get(a->top, NNR__A_BACKBONE);
	const nnr__jnode *data = nnr__json_get(a->top, NNR__A_DATA);
	const nnr__jnode *sha = nnr__json_get(backbone, "sha256");
	int rc;

	if (a->top->kind != NNR__J_OBJECT)
		return fail(name, err, "`nnr` is not an object");
	rc = check_format(a, name, err);
	if (!rc && a->top->count != MEMBERS)
		rc = fail(name, err, "%u members of `nnr`; %d expected",
			  a->top->count, MEMBERS);
	if (!rc && !is_digest(sha))
		rc = fail(name, err, "no `backbone` with a `sha256`");
	if (!rc && (!data || (data->kind != NNR__J_NULL && !is_digest(data))))
		rc = fail(name, err, "`data` is neither a SHA-256 nor null");
	if (!rc && !is_text(nnr__json_get(a->top, NNR__A_TOOL)))
		rc = fail(name, err, "no `tool`, a text");
	rc = rc ? rc : check_kind(a, NNR__A_TRAINING, NNR__J_OBJECT, name,
				  err);
	rc = rc ? rc : check_kind(a, NNR__A_GOLDEN, NNR__J_ARRAY, name, err);
	rc = rc ? rc : check_kind(a, NNR__A_PARENT, NNR__J_OBJECT, name, err);
	rc = rc ? rc : read_files(a, name, err);
	if (!rc)
		memcpy(a->backbone, sha->text, sizeof(a->backbone));
	return rc;
}

static int check_tensors(const nnr__artifact *a, const char *name,
			 nnr_error *err)
{
	for (int i = 0; i < a->st->tensors; i++) {
		const nnr__st_tensor *t = &a->st->tensor[i];
		nnr__cur c = nnr__cur_init(t->data, nnr__st_bytes(t));
		size_t n = nnr__st_values(t);
		if (t->type != NNR__ST_F32 || t->dims < 1 ||
		    t->dims > NNR__DIMS || !n)
			return fail(name, err, "tensor `%.60s` is not F32 "
				    "with 1 to %d dimensions, none 0",
				    t->name, NNR__DIMS);
		for (size_t k = 0; k < n; k++)
			if (!isfinite(nnr__take_f32(&c)))
				return fail(name, err, "tensor `%.60s`: value "
					    "%zu is not finite", t->name, k);
	}
	return 0;
}

/* One content has one spelling, so that equal artifacts have equal bytes and
 * two readers cannot see two things in one. */
static int check_spelling(const nnr__artifact *a, const nnr__st_text *text,
			  const char *name, nnr_error *err)
{
	const nnr__st *st = a->st;
	nnr__buf want = { 0 };
	int rc = nnr__json_canonical(&want, a->top, err);

	if (rc)
		nnr__err_prefix(err, "%.160s", name);
	else if (want.bad)
		rc = nnr__fail_memory(err, name, text->len);
	else if (want.len != text->len ||
		 memcmp(want.p, text->text, want.len) != 0)
		rc = fail(name, err, "`nnr` is not in its one spelling: "
			  "sorted keys, no spaces, shortest numbers");
	rc = rc ? rc : nnr__st_bytes_of(&want, st->tensor, st->tensors,
					st->text, st->texts, err);
	if (!rc && (want.len != a->bytes.len ||
		    memcmp(want.p, a->bytes.p, want.len) != 0))
		rc = fail(name, err, "its header is not in its one spelling: "
			  "`__metadata__`, tensors by name, no spaces");
	nnr__buf_release(&want);
	return rc;
}

static int read_all(nnr__artifact *a, const char *name, nnr_error *err)
{
	const nnr__st_text *text;
	int rc = check_sha(a, name, err);

	rc = rc ? rc : nnr__st_parse(&a->st, name, a->bytes.p, a->bytes.len,
				     err);
	if (rc)
		return rc;
	text = nnr__st_text_of(a->st, "nnr");
	if (!text || a->st->texts != 2)
		return fail(name, err, "not an artifact of nnr: its texts are "
			    "not `nnr` and `sha256`");
	rc = nnr__json_parse(&a->arena, &a->top, "nnr", text->text, text->len,
			     err);
	if (rc) {
		nnr__err_prefix(err, "%.160s", name);
		return rc;
	}
	rc = check_spelling(a, text, name, err);
	rc = rc ? rc : read_members(a, name, err);
	return rc ? rc : check_tensors(a, name, err);
}

/* ---- opening ---- */

/* The source says what the program is; the names beside it are for tools
 * that do not read YAML. */
static int check_names(const nnr_program *p, nnr_error *err)
{
	const nnr__jnode *n = nnr__json_get(p->artifact->top,
					    NNR__A_PROGRAM);
	const nnr__jnode *name = nnr__json_get(n, "name");
	const nnr__jnode *model = nnr__json_get(n, "model");

	if (p->set.n)
		return 0;
	if (is_text(name) && strcmp(name->text, p->name) == 0 &&
	    is_text(model) && strcmp(model->text, p->model_ref) == 0)
		return 0;
	return fail(p->path, err, "`program` names another name or model "
		    "than its source");
}

bool nnr__artifact_changed(const nnr_program *p)
{
	for (int i = 0; i < p->set.n; i++)
		if (strncmp(p->set.s[i], "model=", 6) != 0)
			return true;
	return false;
}

/* The content address of what it is: the artifact, or with overrides. */
static void name_program(nnr_program *p)
{
	nnr__sha sha;

	if (!nnr__artifact_changed(p)) {
		memcpy(p->hash, p->artifact->hash, sizeof(p->hash));
		return;
	}
	nnr__sha_init(&sha);
	nnr__sha_add(&sha, "nnr artifact 1\n", 15);
	nnr__sha_add(&sha, p->artifact->hash, 64);
	for (int i = 0; i < p->set.n; i++) {
		nnr__sha_add(&sha, "\nset ", 5);
		nnr__sha_add(&sha, p->set.s[i], strlen(p->set.s[i]));
	}
	nnr__sha_end(&sha, p->hash);
}

/* a is the program's from here on, whatever happens. */
static int make_program(nnr_program **p, nnr__artifact *a, const char *name,
			const char *dir, const nnr__strings *set,
			nnr_error *err)
{
	const nnr__jnode *source;
	int rc;

	source = nnr__json_get(nnr__json_get(a->top, NNR__A_PROGRAM),
			       "source");
	if (!is_text(source) || nnr__json_get(a->top, NNR__A_PROGRAM)->count
				!= 3) {
		nnr__artifact_free(a);
		return fail(name, err, "`program` is not {model, name, "
			    "source}");
	}
	rc = nnr__program_read(p, name, dir, source->text, source->len, set,
			       a, err);
	if (rc)
		return rc;
	rc = check_names(*p, err);
	if (rc) {
		nnr__program_close(*p);
		*p = NULL;
		return rc;
	}
	name_program(*p);
	return 0;
}

/* Takes the bytes. */
static int open_bytes(nnr_program **p, const char *name, const char *dir,
		      nnr__buf *bytes, const nnr__strings *set,
		      nnr_error *err)
{
	nnr__artifact *a = nnr__calloc(1, sizeof(*a));
	int rc;

	*p = NULL;
	if (!a) {
		nnr__buf_release(bytes);
		return nnr__fail_memory(err, name, sizeof(*a));
	}
	a->bytes = *bytes;
	memset(bytes, 0, sizeof(*bytes));
	rc = read_all(a, name, err);
	if (rc) {
		nnr__artifact_free(a);
		return rc;
	}
	return make_program(p, a, name, dir, set, err);
}

int nnr__artifact_parse(nnr_program **p, const char *name, const char *dir,
			const void *data, size_t size,
			const nnr__strings *set, nnr_error *err)
{
	nnr__buf bytes = { 0 };

	*p = NULL;
	nnr__buf_add(&bytes, data, size);
	if (bytes.bad)
		return nnr__fail_memory(err, name, size);
	return open_bytes(p, name, dir, &bytes, set, err);
}

int nnr__artifact_open(nnr_program **p, const char *path,
		       const nnr__strings *set, nnr_error *err)
{
	char *dir = nnr__path_dir(path);
	nnr__buf bytes = { 0 };
	int rc = dir ? nnr__file_read(&bytes, path, FILE_MAX, err)
		     : nnr__fail_memory(err, path, strlen(path));

	*p = NULL;
	if (rc)
		nnr__buf_release(&bytes);
	else
		rc = open_bytes(p, path, dir, &bytes, set, err);
	free(dir);
	return rc;
}

/* A header's length has zeros for its high bytes, which no YAML holds. */
bool nnr__artifact_is(const char *path)
{
	size_t n = strlen(path);
	nnr__map m;
	bool is;

	if (n > 4 && strcmp(path + n - 4, ".nnr") == 0)
		return true;
	if (nnr__map_open(&m, path, NULL))
		return false;
	is = m.size > 8 && !m.data[7] && m.data[8] == '{';
	nnr__map_close(&m);
	return is;
}

void nnr__artifact_free(nnr__artifact *a)
{
	if (!a)
		return;
	nnr__st_close(a->st);
	nnr__arena_release(&a->arena);
	nnr__buf_release(&a->bytes);
	free(a);
}

const char *nnr__artifact_hash(const nnr__artifact *a)
{
	return a->hash;
}

const char *nnr__artifact_backbone(const nnr__artifact *a)
{
	return a->backbone;
}

const nnr__embedded *nnr__artifact_file(const nnr__artifact *a,
					const char *name)
{
	for (int i = 0; i < a->files; i++)
		if (strcmp(a->file[i].name, name) == 0)
			return &a->file[i];
	return NULL;
}

/* ---- its tensors in a bound program ---- */

static int check_backbone(nnr_program *p, nnr_error *err)
{
	nnr__artifact *a = p->artifact;
	const char *have = p->model->bb->hash;

	a->rebound = strcmp(have, a->backbone) != 0;
	if (!a->rebound || p->rebind)
		return 0;
	return nnr__fail(err, NNR_E_INPUT, "%.160s was made on another "
			 "backbone: SHA-256 %s; this model has %s (--rebind "
			 "binds it all the same)", p->path, a->backbone,
			 *have ? have : "none");
}

static bool same_shape(const nnr__ptensor *t, const nnr__st_tensor *s)
{
	if (t->dims != s->dims)
		return false;
	for (int i = 0; i < t->dims; i++)
		if (t->dim[i] != s->dim[i])
			return false;
	return true;
}

static void add_shape(nnr__buf *out, const nnr__ptensor *t)
{
	for (int i = 0; i < t->dims; i++)
		nnr__buf_addf(out, "%s%lld", i ? ", " : "[",
			      (long long)t->dim[i]);
	nnr__buf_addc(out, ']');
}

/* What differs, as text; empty: nothing.  A tensor that the artifact lacks
 * was never trained, which is not wrong by itself. */
static void compare(nnr_program *p, nnr__buf *out)
{
	const nnr__st *st = p->artifact->st;
	char shape[120];

	for (int i = 0; i < st->tensors; i++) {
		const nnr__st_tensor *s = &st->tensor[i];
		const nnr__ptensor *t = nnr__tensor_find(p, s->name);
		if (t && same_shape(t, s))
			continue;
		nnr__buf_addf(out, "%s`%.60s` is %s", out->len ? "; " : "",
			      s->name, nnr__st_shape(s, shape,
						     sizeof(shape)));
		if (t) {
			nnr__buf_adds(out, ", the program's ");
			add_shape(out, t);
		} else {
			nnr__buf_adds(out, ", the program has none");
		}
	}
	for (int i = 0; out->len && i < p->tensors; i++)
		if (!nnr__st_find(st, p->tensor[i]->name))
			nnr__buf_addf(out, "; `%.60s` is not in it",
				      p->tensor[i]->name);
}

int nnr__artifact_apply(nnr_program *p, nnr_error *err)
{
	nnr__artifact *a = p->artifact;
	nnr__buf differ = { 0 };
	bool refit;
	int rc;

	if (!a)
		return 0;
	rc = check_backbone(p, err);
	if (rc)
		return rc;
	refit = a->rebound || nnr__artifact_changed(p);
	compare(p, &differ);
	if (differ.bad)
		rc = nnr__fail_memory(err, p->path, differ.len);
	else if (differ.len)
		rc = nnr__fail(err, NNR_E_INPUT, "%.120s: its tensors are not "
			       "the program's: %s", p->path, differ.p);
	nnr__buf_release(&differ);
	for (int i = 0; i < p->tensors && !rc; i++) {
		nnr__ptensor *t = p->tensor[i];
		const nnr__st_tensor *s = nnr__st_find(a->st, t->name);
		if (!s || (refit && t->step->row->fit))
			continue;
		nnr__st_floats(s, t->value);
		t->set = true;
	}
	return rc;
}

bool nnr__artifact_rebound(const nnr_program *p)
{
	return p->artifact && p->artifact->rebound;
}

const nnr__ptensor *nnr__untrained(const nnr_program *p)
{
	for (int i = 0; i < p->tensors; i++)
		if (p->tensor[i]->grad && !p->tensor[i]->set)
			return p->tensor[i];
	return NULL;
}

int nnr__trained_check(const nnr_program *p, nnr_error *err)
{
	const nnr__ptensor *t = nnr__untrained(p);

	if (!t || p->untrained)
		return 0;
	return nnr__fail_step(p, t->step, NULL, err, "its tensor `%.60s` was "
			      "never trained (--untrained answers with its "
			      "initial values)", t->name);
}
