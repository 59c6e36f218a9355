/* SPDX-License-Identifier: Apache-2.0
 *
 * exec.c: runs a chunk through the graph, and features through the head.
 *
 * Many rows: every thread owns a range of them and walks through the steps
 * in strips that stay in its cache; it meets the others around attention
 * only.  Few rows: the columns of each product are split instead.  Both give
 * the same bits, for no sum is ever split.
 */
#include "graph/graph_int.h"

#include <stdlib.h>
#include <string.h>

#define STRIP 96		/* most rows a thread takes through the steps */
#define ROWS_PER_THREAD 32	/* from here on rows are split */
#define JOB_ROWS 16		/* rows of an attention job */

/* ---- set-up ---- */

static void carve_slots(nnr__exec *e, nnr__bump *b)
{
	for (int i = 0; i < e->plan.slots; i++) {
		nnr__slot *s = &e->plan.slot[i];

		s->rows = nnr__bump_take(b, (size_t)e->max_rows *
					 (size_t)s->cols * sizeof(float));
		if (s->coded)
			nnr__codes_carve(b, &s->codes, e->max_rows, s->cols);
	}
}

static void carve(nnr__exec *e, nnr__bump *b)
{
	size_t rows = (size_t)e->max_rows, t = (size_t)e->threads;
	size_t jobs = rows * (size_t)e->g->kv_heads * sizeof(nnr__job);
	int last = e->g->seed ? e->g->seed - 1 : e->g->nodes - 1;
	int features = e->g->node[last].cols;

	carve_slots(e, b);
	e->scratch = nnr__bump_take(b, t * e->scratch_each);
	e->page_ptr = nnr__bump_take(b, t * 2 * (size_t)e->max_pages *
				     sizeof(*e->page_ptr));
	e->pos = nnr__bump_take(b, rows * sizeof(*e->pos));
	e->seq = nnr__bump_take(b, rows * sizeof(*e->seq));
	e->cs = nnr__bump_take(b, rows * (size_t)e->rope_dim * sizeof(float));
	e->jobs[0].job = nnr__bump_take(b, jobs);
	e->jobs[1].job = nnr__bump_take(b, jobs);
	e->next_job = nnr__bump_take(b, (size_t)e->plan.steps *
				     sizeof(*e->next_job));
	if (e->g->seed)
		nnr__train_carve(e, b);
	nnr__codes_carve(b, &e->head_codes, NNR__HEAD_ROWS, features);
	if (e->g->seed)
		e->head_part = nnr__bump_take(b, NNR__HEAD_ROWS *
					      (size_t)features *
					      sizeof(float));
}

static int find_rope(nnr__exec *e, nnr_error *err)
{
	for (int i = 1; i < e->g->nodes; i++) {
		const nnr__node *n = &e->g->node[i];

		if (n->op != NNR__OP_ROPE)
			continue;
		if (e->rope_inv && (e->rope_inv != n->vec ||
				    e->rope_dim != n->dim))
			return nnr__fail(err, NNR_E_UNSUPPORTED,
					 "layers with different rope tables");
		e->rope_inv = n->vec;
		e->rope_dim = n->dim;
	}
	return 0;
}

static int set_up(nnr__exec *e, int context, nnr_error *err)
{
	nnr__bump b = { NULL, 0 };
	int rc = nnr__plan_make(&e->plan, e->g, e->mode, e->k, err);

	if (!rc)
		rc = find_rope(e, err);
	if (rc)
		return rc;
	e->max_pages = (context + NNR__PAGE - 1) / NNR__PAGE + 1;
	e->train.max_positions = context;
	e->scratch_each = (nnr__kernel_scratch(e->plan.max_cols) + 127) /
			  64 * 64;
	carve(e, &b);
	e->arena_bytes = b.used;
	e->arena = nnr__aligned(b.used);
	if (!e->arena)
		return nnr__fail_memory(err, "session", b.used);
	b = (nnr__bump){ e->arena, 0 };
	carve(e, &b);
	return 0;
}

int nnr__exec_new(nnr__exec **out, const nnr__graph *g, nnr__pool *pool,
		  const nnr__kernels *k, nnr_precision mode, int max_rows,
		  int context, nnr_error *err)
{
	nnr__exec *e = nnr__calloc(1, sizeof(*e));
	int rc;

	*out = NULL;
	if (!e)
		return nnr__fail_memory(err, "session", sizeof(*e));
	e->g = g;
	e->pool = pool;
	e->k = k;
	e->mode = mode;
	e->threads = nnr__pool_threads(pool);
	e->max_rows = max_rows;
	rc = set_up(e, context, err);
	if (rc)
		nnr__exec_free(e);
	else
		*out = e;
	return rc;
}

void nnr__exec_free(nnr__exec *e)
{
	if (!e)
		return;
	nnr__train_release(e);
	nnr__plan_release(&e->plan);
	nnr__tail_release(&e->head_tail);
	nnr__aligned_free(e->arena);
	nnr__aligned_free(e->logits);
	free(e);
}

size_t nnr__exec_bytes(const nnr__exec *e)
{
	return e->arena_bytes + e->logits_n * sizeof(float);
}

int nnr__exec_max_rows(const nnr__exec *e)
{
	return e->max_rows;
}

/* ---- a chunk ---- */

static int check_chunk(const nnr__exec *e, const nnr__chunk *c,
		       nnr_error *err)
{
	int rows = 0;

	for (int i = 0; i < c->runs; i++)
		rows += c->run[i].n;
	if (rows != c->rows || rows > e->max_rows || c->wants > rows)
		return nnr__fail(err, NNR_E_USAGE, "chunk of %d rows, %d in "
				 "runs, %d wanted; at most %d", c->rows, rows,
				 c->wants, e->max_rows);
	for (int i = 0; i < c->runs; i++) {
		const nnr__run *r = &c->run[i];

		if (c->claimed)
			continue;
		if ((r->seq->len + r->n - 1) / NNR__PAGE >= e->max_pages)
			return nnr__fail(err, NNR_E_INPUT, "%d tokens exceed "
					 "the context of the model",
					 r->seq->len + r->n);
		if (!nnr__seq_reserve(r->seq, r->n))
			return nnr__fail(err, NNR_E_MEMORY, "the key/value "
					 "rows exceed the session's budget");
	}
	return 0;
}

/* Consecutive rows of one sequence become tiles, one job per kv head. */
static void add_jobs(nnr__exec *e, nnr__extent x, int row, int rows)
{
	nnr__jobs *j = &e->jobs[x];
	int from = x == NNR__WANTED ? e->chunk->want[row] : row;

	for (int r = 0; r < rows; r += JOB_ROWS)
		for (int h = 0; h < e->g->kv_heads; h++)
			j->job[j->n++] = (nnr__job){
				.seq = e->seq[from], .row = row + r,
				.rows = rows - r < JOB_ROWS ? rows - r :
					JOB_ROWS,
				.pos0 = e->pos[from] + r, .head = h };
}

static void make_jobs(nnr__exec *e, nnr__extent x)
{
	const int32_t *want = e->chunk->want;
	int start = 0;

	e->jobs[x].n = 0;
	for (int i = 1; i <= e->rows[x]; i++) {
		int a = x == NNR__WANTED ? want[i - 1] : i - 1;
		int b = i == e->rows[x] ? -1 :
			x == NNR__WANTED ? want[i] : i;

		if (b == a + 1 && e->seq[b] == e->seq[a])
			continue;
		add_jobs(e, x, start, i - start);
		start = i;
	}
}

static void lay_out(nnr__exec *e, const nnr__chunk *c)
{
	int r = 0;

	e->chunk = c;
	e->rows[NNR__ROWS] = c->rows;
	e->rows[NNR__WANTED] = c->wants;
	for (int i = 0; i < c->runs; i++) {
		nnr__seq *q = c->run[i].seq;
		int pos0 = q->len - (c->claimed ? c->run[i].n : 0);

		for (int j = 0; j < c->run[i].n; j++, r++) {
			e->seq[r] = q;
			e->pos[r] = pos0 + j;
		}
	}
	make_jobs(e, NNR__ROWS);
	make_jobs(e, NNR__WANTED);
	for (int i = 0; i < e->plan.steps; i++)
		atomic_init(&e->next_job[i], 0);
}

/* ---- threads ---- */

static bool split_rows(const nnr__exec *e, const nnr__step_of *s)
{
	return e->rows[s->extent] >= ROWS_PER_THREAD * e->threads;
}

/* Steps i..end run without waiting, on rows of one extent. */
static int stretch(const nnr__exec *e, int i, bool by_rows)
{
	nnr__extent x = e->plan.step[i].extent;

	for (i++; i < e->end; i++) {
		const nnr__step_of *s = &e->plan.step[i];

		if (split_rows(e, s) != by_rows || (by_rows &&
		    (s->barrier_rows || s->extent != x)))
			break;
		if (!by_rows && s->barrier_cols)
			break;
	}
	return i;
}

static void run_rows(nnr__exec *e, int from, int end, int id)
{
	const nnr__step_of *s = e->plan.step;
	int rows = e->rows[s[from].extent];
	int r0 = rows * id / e->threads, r1 = rows * (id + 1) / e->threads;
	int strips;

	if (s[from].split == NNR__S_JOBS) {
		nnr__exec_rows(e, &s[from++], 0, 0, id);
		if (from == end)
			return;
	}
	/* strips of one length: a short last one would unpack every weight
	 * for a few rows */
	strips = (r1 - r0 + STRIP - 1) / STRIP;
	for (int k = 0; k < strips; k++)
		for (int i = from; i < end; i++)
			nnr__exec_rows(e, &s[i],
				       r0 + (r1 - r0) * k / strips,
				       r0 + (r1 - r0) * (k + 1) / strips, id);
}

static void rope_rows(nnr__exec *e, int id)
{
	int r0 = e->rows[0] * id / e->threads;
	int r1 = e->rows[0] * (id + 1) / e->threads;

	for (int r = r0; e->rope_inv && r < r1; r++)
		nnr__rope_row(e->cs + (size_t)r * (size_t)e->rope_dim,
			      e->rope_inv, e->rope_dim, e->pos[r]);
	if (!e->g->seed)
		return;
	for (int i = r0 * e->rope_dim; i < r1 * e->rope_dim; i++)
		e->train.cs[i] = i % 2 ? -e->cs[i] : e->cs[i];
}

static void walk(void *ctx, int id)
{
	nnr__exec *e = ctx;
	int i = e->first;

	if (!i)
		rope_rows(e, id);
	while (i < e->end) {
		bool by_rows = split_rows(e, &e->plan.step[i]);
		int end = stretch(e, i, by_rows);

		if (by_rows)
			run_rows(e, i, end, id);
		else
			for (int s = i; s < end; s++)
				nnr__step_cols(e, &e->plan.step[s], id);
		i = end;
		if (i < e->end)
			nnr__pool_barrier(e->pool, id);
	}
}

static int run_steps(nnr__exec *e, int first, int end, nnr_error *err)
{
	if (nnr__interrupted())
		return nnr__fail(err, NNR_E_INTERRUPTED, "interrupted");
	e->first = first;
	e->end = end;
	nnr__pool_run(e->pool, walk, e);
	return 0;
}

int nnr__exec_run(nnr__exec *e, const nnr__chunk *c, const float **features,
		  nnr_error *err)
{
	int last = e->plan.slot_of[e->g->nodes - 1];
	int rc = check_chunk(e, c, err);

	if (rc)
		return rc;
	lay_out(e, c);
	rc = run_steps(e, 0, e->plan.steps, err);
	for (int i = 0; i < c->runs && !rc; i++)
		c->run[i].seq->len += c->run[i].n;
	*features = e->plan.slot[last].rows;
	return rc;
}

int nnr__exec_forward(nnr__exec *e, const nnr__chunk *c,
		      const float **features, nnr_error *err)
{
	int rc = check_chunk(e, c, err);

	if (rc)
		return rc;
	lay_out(e, c);
	rc = nnr__train_lay_out(e, c, err);
	*features = nnr__slot_of(e, e->g->seed - 1)->rows;
	return rc ? rc : run_steps(e, 0, e->plan.forward_steps, err);
}

const float *nnr__exec_block_in(const nnr__exec *e, int block)
{
	for (int i = 1; i < e->g->seed; i++) {
		const nnr__node *n = &e->g->node[i];

		if (block ? n->entry == block : n->op == NNR__OP_EMBED)
			return nnr__slot_of(e, i)->rows;
	}
	return NULL;
}

float *nnr__exec_seed(nnr__exec *e)
{
	return nnr__slot_of(e, e->g->seed)->rows;
}

int nnr__exec_backward(nnr__exec *e, const nnr__site_grads *grads,
		       nnr_error *err)
{
	int rc;

	e->train.grads = grads;
	rc = run_steps(e, e->plan.forward_steps, e->plan.steps, err);
	if (!rc)
		nnr__train_embed(e);
	return rc;
}

/* ---- head ---- */

typedef struct head_job {
	nnr__exec *e;
	const float *features;
	const nnr__mat *head;
	int rows, terms;
	float *out;
	size_t ldo;
	nnr__logz z;		/* out NULL: logits only */
} head_job;

static void normalise_row(const head_job *j, int r)
{
	const float *l = j->out + (size_t)r * j->ldo;
	int best;

	j->z.out[r] = j->e->k->logsumexp(l, j->head->rows, &best);
	if (j->z.best)
		j->z.best[r] = best;
	if (j->z.pick)
		j->z.picked[r] = l[j->z.pick[r]];
}

static void head_part(void *ctx, int id)
{
	head_job *j = ctx;
	nnr__exec *e = j->e;
	int k = j->head->cols, c0, c1;
	int r0 = j->rows * id / e->threads;
	int r1 = j->rows * (id + 1) / e->threads;
	nnr__product p = {
		.k = e->k, .w = j->head, .tail = &e->head_tail,
		.terms = j->terms, .codes = &e->head_codes,
		.x = j->features, .ldx = (size_t)k, .y = j->out,
		.ldy = j->ldo, .rows = j->rows,
		.scratch = e->scratch + (size_t)id * e->scratch_each,
	};

	if (j->terms) {
		for (int r = r0; r < r1; r++)
			e->k->encode(j->features + (size_t)r * (size_t)k, k,
				     &e->head_codes, r, 0);
		nnr__pool_barrier(e->pool, id);
	}
	nnr__col_part(j->head->rows, id, e->threads, &c0, &c1);
	nnr__product_run(&p, c0, c1);
	if (!j->z.out)
		return;
	nnr__pool_barrier(e->pool, id);
	for (int r = r0; r < r1; r++)
		normalise_row(j, r);
}

static int head_rows(nnr__exec *e, head_job j, nnr_error *err)
{
	int rows = j.rows, rc;
	size_t k = (size_t)j.head->cols;

	if (e->head_of != j.head) {
		nnr__tail_release(&e->head_tail);
		rc = nnr__tail_make(&e->head_tail, j.head, err);
		if (rc)
			return rc;
		e->head_of = j.head;
	}
	j.terms = nnr__terms(j.head, e->mode, true, e->k);
	for (int r = 0; r < rows; r += NNR__HEAD_ROWS) {
		j.rows = rows - r < NNR__HEAD_ROWS ? rows - r : NNR__HEAD_ROWS;
		nnr__pool_run(e->pool, head_part, &j);
		j.features += (size_t)j.rows * k;
		if (!j.z.out)
			j.out += (size_t)j.rows * j.ldo;
		else
			j.z.out += j.rows;
		if (j.z.best)
			j.z.best += j.rows;
		if (j.z.pick) {
			j.z.pick += j.rows;
			j.z.picked += j.rows;
		}
	}
	return 0;
}

int nnr__exec_head(nnr__exec *e, const float *features, int rows,
		   const nnr__mat *head, float *out, size_t ldo,
		   nnr_error *err)
{
	return head_rows(e, (head_job){ .e = e, .features = features,
					.head = head, .rows = rows,
					.out = out, .ldo = ldo }, err);
}

int nnr__exec_logz(nnr__exec *e, const float *features, int rows,
		   const nnr__mat *head, nnr__logz z, nnr_error *err)
{
	size_t n = (size_t)head->rows * NNR__HEAD_ROWS;

	if (e->logits_n < n) {
		nnr__aligned_free(e->logits);
		e->logits_n = 0;
		e->logits = nnr__aligned(n * sizeof(float));
		if (!e->logits)
			return nnr__fail_memory(err, "logits", n);
		e->logits_n = n;
	}
	return head_rows(e, (head_job){ .e = e, .features = features,
					.head = head, .rows = rows,
					.out = e->logits,
					.ldo = (size_t)head->rows,
					.z = z }, err);
}

typedef struct head_back {
	nnr__exec *e;
	const float *dlogits;
	size_t ld;
	int rows;
	const nnr__mat *head;
	float *dx, *part;
	bool add;
} head_back;

/* One chain over a whole vocabulary would lose half a digit: it is cut, and
 * the parts are added up. */
#define HEAD_CHAIN 2048

static void head_back_part(void *ctx, int id)
{
	const head_back *j = ctx;
	nnr__exec *e = j->e;
	size_t cols = (size_t)j->head->cols;
	bool add = j->add;
	int c0, c1;

	nnr__col_part(j->head->cols, id, e->threads, &c0, &c1);
	for (int n = 0; n < j->head->rows && c0 < c1; n += HEAD_CHAIN) {
		nnr__mat m = *j->head;

		m.data += (size_t)n * m.row_bytes;
		m.rows = m.rows - n < HEAD_CHAIN ? m.rows - n : HEAD_CHAIN;
		e->k->linear_back(&m, c0, c1, j->dlogits + n, j->ld, j->rows,
				  j->part, cols, false,
				  e->scratch + (size_t)id * e->scratch_each);
		for (int r = 0; r < j->rows; r++)
			for (int c = c0; c < c1; c++) {
				size_t at = (size_t)r * cols + (size_t)c;

				j->dx[at] = add ? j->dx[at] + j->part[at]
						: j->part[at];
			}
		add = true;
	}
}

void nnr__exec_head_back(nnr__exec *e, const float *dlogits, size_t ld,
			 int rows, const nnr__mat *head, float *dx, bool add)
{
	size_t cols = (size_t)head->cols;

	for (int r = 0; r < rows; r += NNR__HEAD_ROWS) {
		head_back j = { .e = e, .dlogits = dlogits + (size_t)r * ld,
				.ld = ld, .head = head, .add = add,
				.dx = dx + (size_t)r * cols,
				.part = e->head_part };

		j.rows = rows - r < NNR__HEAD_ROWS ? rows - r :
			 NNR__HEAD_ROWS;
		nnr__pool_run(e->pool, head_back_part, &j);
	}
}
