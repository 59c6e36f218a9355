/* SPDX-License-Identifier: Apache-2.0
 *
 * record.c: one record: named values of an item.
 */
#include "step.h"

#include <stdlib.h>
#include <string.h>

const nnr__value *nnr__record_get(const nnr__record *r, const char *name)
{
	for (int i = 0; i < r->n; i++)
		if (strcmp(r->v[i].name, name) == 0)
			return &r->v[i];
	return NULL;
}

int nnr__record_set(nnr__record *r, const char *name, const char *text,
		    size_t len, nnr_error *err)
{
	char *copy = nnr__strndup(text, len);
	nnr__value *v;

	if (!copy)
		return nnr__fail_memory(err, name, len);
	for (int i = 0; i < r->n; i++) {
		if (strcmp(r->v[i].name, name) == 0) {
			free(r->v[i].text);
			nnr__strings_free(&r->v[i].all);
			r->v[i].text = copy;
			r->v[i].len = len;
			return 0;
		}
	}
	if (!nnr__grow(&r->v, &r->cap, (size_t)r->n, sizeof(*r->v))) {
		free(copy);
		return nnr__fail_memory(err, name, len);
	}
	v = &r->v[r->n];
	v->name = nnr__strdup(name);
	v->text = copy;
	v->len = len;
	v->all = (nnr__strings){ NULL, 0 };
	if (!v->name) {
		free(copy);
		return nnr__fail_memory(err, name, len);
	}
	r->n++;
	return 0;
}

void nnr__strings_free(nnr__strings *s)
{
	for (int i = 0; i < s->n; i++)
		free(s->s[i]);
	free(s->s);
	*s = (nnr__strings){ NULL, 0 };
}

int nnr__record_set_all(nnr__record *r, const char *name,
			const nnr__strings *all, nnr_error *err)
{
	int rc = nnr__record_set(r, name, all->s[0], strlen(all->s[0]), err);
	nnr__value *v = r->v;

	if (rc)
		return rc;
	while (strcmp(v->name, name) != 0)
		v++;
	v->all.s = nnr__calloc((size_t)all->n, sizeof(*v->all.s));
	for (; v->all.s && v->all.n < all->n; v->all.n++) {
		v->all.s[v->all.n] = nnr__strdup(all->s[v->all.n]);
		if (!v->all.s[v->all.n])
			break;
	}
	return v->all.n == all->n ? 0 : nnr__fail_memory(err, name,
							 (size_t)all->n);
}

int nnr__record_copy(nnr__record *r, const nnr__record *from, nnr_error *err)
{
	int rc = 0;

	for (int i = 0; i < from->n && !rc; i++) {
		const nnr__value *v = &from->v[i];

		rc = v->all.n ? nnr__record_set_all(r, v->name, &v->all, err)
			      : nnr__record_set(r, v->name, v->text, v->len,
						err);
	}
	return rc;
}

void nnr__record_release(nnr__record *r)
{
	for (int i = 0; i < r->n; i++) {
		free(r->v[i].name);
		free(r->v[i].text);
		nnr__strings_free(&r->v[i].all);
	}
	free(r->v);
	memset(r, 0, sizeof(*r));
}
