/* SPDX-License-Identifier: Apache-2.0
 *
 * train_groups.c: which tensors a group of `train` means.
 */
#include "program/learn.h"
#include "step.h"

#include <string.h>

bool nnr__glob(const char *pattern, const char *name)
{
	const char *star = NULL, *from = NULL;

	while (*name) {
		if (*pattern == '*') {
			star = pattern++;
			from = name;
		} else if (*pattern == '?' || *pattern == *name) {
			pattern++;
			name++;
		} else if (star) {	/* the star takes one byte more */
			pattern = star + 1;
			name = ++from;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static int fail_group(const nnr_program *p, const nnr__train_group *g,
		      nnr_error *err)
{
	char known[200] = "";
	size_t at = 0;

	for (int i = 0; i < p->tensors && at < sizeof(known); i++) {
		int k = p->tensor[i]->grad
				? snprintf(known + at, sizeof(known) - at,
					   "%s%.40s", at ? ", " : "",
					   p->tensor[i]->name) : 0;
		at += k > 0 ? (size_t)k : 0;
	}
	known[nnr__utf8_whole(known, strlen(known))] = '\0';
	return nnr__fail_place(p, g->place, NNR_E_INPUT, err, "`groups`: "
			       "`%.60s` matches no learnable tensor; known: "
			       "%s", g->match, known);
}

int nnr__train_groups_check(nnr_program *p, nnr_error *err)
{
	for (int g = 0; g < p->train->groups; g++) {
		const nnr__train_group *group = &p->train->group[g];
		bool found = false;
		for (int i = 0; i < p->tensors && !found; i++)
			found = p->tensor[i]->grad &&
				nnr__glob(group->match, p->tensor[i]->name);
		if (!found)
			return fail_group(p, group, err);
	}
	return 0;
}
