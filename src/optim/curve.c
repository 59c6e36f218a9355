/* SPDX-License-Identifier: Apache-2.0
 *
 * curve.c: the learning curve of a run: a plot for a terminal, CSV, SVG.
 * A column or point is the mean of the steps it stands for.
 */
#include "optim/optim.h"

#include <math.h>
#include <string.h>

/* What is drawn: both losses over the steps. */
typedef struct frame {
	double low, high;
	int64_t steps;
	int columns;
} frame;

/* Mean loss of the steps of column c. */
static double column_loss(const nnr__training *t, const frame *f, int c)
{
	int64_t from = f->steps * c / f->columns;
	int64_t to = f->steps * (c + 1) / f->columns;
	double sum = 0;

	for (int64_t i = from; i < to; i++)
		sum += t->loss[i];
	return sum / (double)(to - from);
}

static void reach(frame *f, double v)
{
	if (!isfinite(v))
		return;
	if (v < f->low)
		f->low = v;
	if (v > f->high)
		f->high = v;
}

/* columns: at most so many. */
static frame frame_of(const nnr__training *t, int columns)
{
	frame f = { .low = INFINITY, .high = -INFINITY, .steps = t->step };

	f.columns = t->step < columns ? (int)t->step : columns;
	for (int c = 0; c < f.columns; c++)
		reach(&f, column_loss(t, &f, c));
	for (int i = 0; i < t->vals; i++)
		reach(&f, t->val[i].loss);
	if (!(f.high > f.low))
		f.high = f.low + 1e-9;
	return f;
}

/* ---- for people ---- */

enum { WIDE = 68, HIGH = 10 };

static int row_of(const frame *f, double v)
{
	double part = (f->high - v) / (f->high - f->low);

	return (int)(part * (HIGH - 1) + 0.5);
}

static void draw(const nnr__training *t, const frame *f,
		 char cell[HIGH][WIDE + 1])
{
	memset(cell, 0, (size_t)HIGH * (WIDE + 1));
	for (int r = 0; r < HIGH; r++)
		memset(cell[r], ' ', (size_t)f->columns);
	for (int c = 0; c < f->columns; c++)
		cell[row_of(f, column_loss(t, f, c))][c] = '*';
	for (int i = 0; i < t->vals; i++) {
		const nnr__validation *v = &t->val[i];
		int64_t c = (v->step - 1) * f->columns / f->steps;
		if (isfinite(v->loss))
			cell[row_of(f, v->loss)][v->step ? c : 0] = 'o';
	}
}

void nnr__curve_text(const nnr__training *t, nnr__buf *out)
{
	char cell[HIGH][WIDE + 1], last[40];
	frame f = frame_of(t, WIDE);
	int wide;

	if (!t->step)
		return;
	draw(t, &f, cell);
	nnr__buf_adds(out, t->vals ? "loss: * training, o validation\n"
				   : "loss\n");
	for (int r = 0; r < HIGH; r++) {
		size_t n = strlen(cell[r]);
		while (n && cell[r][n - 1] == ' ')
			n--;
		if (r == 0 || r == HIGH - 1)
			nnr__buf_addf(out, "%9.4g |", r ? f.low : f.high);
		else
			nnr__buf_adds(out, "          |");
		nnr__buf_add(out, cell[r], n);
		nnr__buf_addc(out, '\n');
	}
	nnr__buf_adds(out, "          +");
	for (int c = 0; c < f.columns; c++)
		nnr__buf_addc(out, '-');
	wide = snprintf(last, sizeof(last), " %lld steps",
			(long long)f.steps);
	nnr__buf_addf(out, "\n           1%*s\n",
		      f.columns > wide ? f.columns - 1 : wide, last);
}

/* ---- CSV ---- */

static void csv_number(nnr__buf *out, double v)
{
	nnr__buf_addc(out, ',');
	if (isfinite(v))
		nnr__buf_add_num(out, v);
}

void nnr__curve_csv(const nnr__training *t, nnr__buf *out)
{
	int k = 0;

	nnr__buf_adds(out, "step,epoch,rate,loss,gradient_norm,"
		      "validation_score,validation_loss\n");
	for (int64_t s = 0; s <= t->step; s++) {
		bool val = k < t->vals && t->val[k].step == s;
		if (!s && !val)
			continue;
		nnr__buf_addf(out, "%lld,%lld", (long long)s,
			      (long long)(s ? nnr__training_epoch(t, s) : 0));
		csv_number(out, s ? nnr__training_rate(t, s) : NAN);
		csv_number(out, s ? t->loss[s - 1] : NAN);
		csv_number(out, s ? t->norm[s - 1] : NAN);
		csv_number(out, val ? t->val[k].score : NAN);
		csv_number(out, val ? t->val[k].loss : NAN);
		nnr__buf_addc(out, '\n');
		k += val;
	}
}

/* ---- SVG ---- */

enum { LEFT = 60, TOP = 40, WIDTH = 560, HEIGHT = 260, POINTS = 280 };

static void put_point(const frame *f, double step, double v, nnr__buf *out)
{
	double x = LEFT + WIDTH * step / (double)f->steps;
	double y = TOP + HEIGHT * (f->high - v) / (f->high - f->low);

	/* tenths of a unit, written without a decimal point of some locale */
	nnr__buf_addf(out, "%d.%d,%d.%d ", (int)x, (int)(x * 10) % 10, (int)y,
		      (int)(y * 10) % 10);
}

static void put_text(int x, int y, const char *anchor, const char *s,
		     nnr__buf *out)
{
	nnr__buf_addf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"%s\">", x, y,
		      anchor);
	for (; *s; s++) {
		if (*s == '<' || *s == '&')
			nnr__buf_adds(out, *s == '<' ? "&lt;" : "&amp;");
		else
			nnr__buf_addc(out, *s);
	}
	nnr__buf_adds(out, "</text>\n");
}

static void put_scale(const frame *f, nnr__buf *out)
{
	char text[40];

	nnr__buf_addf(out, "<path d=\"M%d %dV%dH%d\" fill=\"none\" "
		      "stroke=\"#888\"/>\n", LEFT, TOP, TOP + HEIGHT,
		      LEFT + WIDTH);
	snprintf(text, sizeof(text), "%.4g", f->high);
	put_text(LEFT - 6, TOP + 4, "end", text, out);
	snprintf(text, sizeof(text), "%.4g", f->low);
	put_text(LEFT - 6, TOP + HEIGHT + 4, "end", text, out);
	put_text(LEFT, TOP + HEIGHT + 18, "middle", "0", out);
	snprintf(text, sizeof(text), "%lld steps", (long long)f->steps);
	put_text(LEFT + WIDTH, TOP + HEIGHT + 18, "end", text, out);
}

static void put_line(const char *colour, nnr__buf *out)
{
	nnr__buf_addf(out, "<polyline fill=\"none\" stroke=\"%s\" "
		      "points=\"", colour);
}

void nnr__curve_svg(const nnr__training *t, const char *title, nnr__buf *out)
{
	frame f = frame_of(t, POINTS);

	nnr__buf_addf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" "
		      "viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" "
		      "font-size=\"12\">\n<rect width=\"100%%\" "
		      "height=\"100%%\" fill=\"#fff\"/>\n", LEFT + WIDTH + 20,
		      TOP + HEIGHT + 30);
	put_text(LEFT, 22, "start", title, out);
	if (t->step) {
		put_scale(&f, out);
		put_line("#2266aa", out);
		for (int c = 0; c < f.columns; c++)
			put_point(&f, (c + 0.5) * (double)f.steps / f.columns,
				  column_loss(t, &f, c), out);
		nnr__buf_adds(out, "\"/>\n");
		put_text(LEFT + WIDTH, 22, "end", t->vals
			 ? "blue: training loss; orange: validation loss"
			 : "training loss", out);
	}
	if (t->step && t->vals) {
		put_line("#dd7700", out);
		for (int i = 0; i < t->vals; i++)
			if (isfinite(t->val[i].loss))
				put_point(&f, (double)t->val[i].step,
					  t->val[i].loss, out);
		nnr__buf_adds(out, "\"/>\n");
	}
	nnr__buf_adds(out, "</svg>\n");
}
