/* SPDX-License-Identifier: Apache-2.0
 *
 * schedule.c: the factor of the learning rate at a step: warm-up in a line,
 * then one case of the fall.  No libm: the same bits everywhere.
 */
#include "optim/optimiser.h"

const nnr__optimiser *nnr__optimiser_of(int optimizer)
{
	static const nnr__optimiser *const table[] = {
#define OPTIMISER(NAME, name) [NNR__OPT_##NAME] = &nnr__optimiser_##name,
#include "optim/optimisers.def"
#undef OPTIMISER
	};

	return table[optimizer];
}

/* cos(pi p) for 0 <= p <= 1: sin of pi/2 - pi p by its series, whose terms
 * are below 1e-17 after the 12th. */
static double cos_pi(double p)
{
	double x = 0x1.921fb54442d18p+1 * (0.5 - p), z = x * x, s = 1;

	for (int i = 24; i >= 2; i -= 2)
		s = 1 - s * z / (i * (i + 1));
	return s * x;
}

/* p: part of the way from the end of the warm-up to the end of the run;
 * run: part of the whole run that is done. */
static double fall(const nnr__train_plan *plan, double p, double run)
{
	double factor = 1;

	switch (plan->schedule) {
	case NNR__LR_LINEAR:
		return 1 - p;
	case NNR__LR_COSINE:
		return 0.5 * (1 + cos_pi(p));
	case NNR__LR_MILESTONES:
		for (int i = 0; i < plan->milestones; i++)
			if (run >= plan->milestone[i])
				factor *= plan->gamma;
		return factor;
	default:
		return 1;
	}
}

double nnr__schedule(const nnr__train_plan *plan, int64_t step,
		     int64_t steps)
{
	int64_t warm = plan->warmup < steps ? plan->warmup : steps;
	double p = 0, rise = 1;

	if (step < warm)
		rise = (double)(step + 1) / (double)warm;
	else
		p = (double)(step - warm) / (double)(steps - warm);
	return rise * fall(plan, p, (double)step / (double)steps);
}
