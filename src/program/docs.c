/* SPDX-License-Identifier: Apache-2.0
 *
 * docs.c: what the table of steps says, as the tables of docs/program.md and
 * as a JSON Schema of a source for editors.
 */
#include "step.h"

#include <stdlib.h>
#include <string.h>

/* ---- Markdown ---- */

/* "|" and the end of a line would end a cell. */
static void cell(nnr__buf *out, const char *s)
{
	for (; *s; s++) {
		if (*s == '|')
			nnr__buf_addc(out, '\\');
		if (*s == '\n')
			nnr__buf_adds(out, "\\n");
		else
			nnr__buf_addc(out, *s);
	}
}

static void range_text(const nnr__param *q, nnr__buf *out)
{
	if (q->max >= 1e15)
		nnr__buf_addf(out, ", at least %.15g", q->min);
	else
		nnr__buf_addf(out, ", %.15g to %.15g", q->min, q->max);
}

static void type_text(const nnr__param *q, nnr__buf *out)
{
	static const char *const names[] = {
		[NNR__P_STRING] = "text",	[NNR__P_TEMPLATE] = "template",
		[NNR__P_INT] = "integer",	[NNR__P_NUMBER] = "number",
		[NNR__P_BOOL] = "yes or no",	[NNR__P_ENUM] = "",
		[NNR__P_FILE] = "file",		[NNR__P_STRINGS] = "texts",
		[NNR__P_MAP] = "map of texts",	[NNR__P_OWN] = ""
	};

	nnr__buf_adds(out, q->own ? q->own->text : names[q->type]);
	for (int i = 0; q->names && q->names[i]; i++)
		nnr__buf_addf(out, "%s%s", i ? ", " : "", q->names[i]);
	if (q->type == NNR__P_INT || q->type == NNR__P_NUMBER)
		range_text(q, out);
}

static void param_rows(const nnr__step_row *r, nnr__buf *out)
{
	nnr__buf_adds(out, "| parameter | type | default | meaning |\n"
			   "|---|---|---|---|\n");
	for (const nnr__param *q = r->param; q->name; q++) {
		bool bare = r->bare && strcmp(r->bare, q->name) == 0;
		nnr__buf_addf(out, "| `%s`%s | ", q->name, bare ? " *" : "");
		type_text(q, out);
		nnr__buf_adds(out, " | ");
		if (q->required)
			nnr__buf_adds(out, "needed");
		else if (q->fallback) {
			nnr__buf_addc(out, '`');
			cell(out, q->fallback);
			nnr__buf_addc(out, '`');
		}
		nnr__buf_adds(out, " | ");
		cell(out, q->help);
		nnr__buf_adds(out, " |\n");
	}
	nnr__buf_addc(out, '\n');
}

static void axes_text(const nnr__step_row *r, nnr__buf *out)
{
	nnr__buf_addf(out, "In `%s`: %s to %s", r->input ? "in" : "out",
		      nnr__kind_name(r->takes), nnr__kind_name(r->gives));
	if (r->location)
		nnr__buf_addf(out, "; location %s", r->location);
	if (r->adapt)
		nnr__buf_addf(out, ", adaptation %s", r->adapt);
	if (r->operation)
		nnr__buf_addf(out, ", operation %s", r->operation);
	if (r->alignment)
		nnr__buf_addf(out, "; alignment %s%s", r->alignment,
			      r->alignment_of ? " or linear" : "");
	if (r->needs)
		nnr__buf_addf(out, "; needs `%s` of the model", r->needs);
	if (r->axis)
		nnr__buf_addf(out, "; opens the axis `%s`", r->axis);
	nnr__buf_adds(out, ".\n\n");
}

char *nnr__steps_markdown(void)
{
	nnr__buf out = { 0 };

	for (int i = 0; nnr__step_table[i]; i++) {
		const nnr__step_row *r = nnr__step_table[i];
		nnr__buf_addf(&out, "### %s\n\n%c%s.\n", r->name,
			      r->help[0] >= 'a' && r->help[0] <= 'z'
				      ? r->help[0] - 'a' + 'A' : r->help[0],
			      r->help + 1);
		axes_text(r, &out);
		param_rows(r, &out);
	}
	return nnr__buf_take(&out);
}

char *nnr__train_markdown(void)
{
	nnr__buf out = { 0 };

	param_rows(&nnr__train_row, &out);
	return nnr__buf_take(&out);
}

/* ---- JSON Schema ---- */

static void schema_text(nnr__buf *out, const char *key, const char *s)
{
	nnr__buf_addf(out, "\"%s\":", key);
	nnr__buf_add_json(out, s, strlen(s));
}

static void schema_enum(nnr__buf *out, const char *const *names)
{
	nnr__buf_adds(out, "\"enum\":[");
	for (int i = 0; names[i]; i++) {
		nnr__buf_adds(out, i ? "," : "");
		nnr__buf_add_json(out, names[i], strlen(names[i]));
	}
	nnr__buf_addc(out, ']');
}

#define SCALAR "{\"type\":[\"string\",\"number\",\"boolean\"]}"

static void schema_type(nnr__buf *out, const nnr__param *q)
{
	switch (q->type) {
	case NNR__P_STRING:
	case NNR__P_TEMPLATE:
	case NNR__P_FILE:
		nnr__buf_adds(out, "\"type\":[\"string\",\"number\","
				   "\"boolean\"]");
		break;
	case NNR__P_INT:
	case NNR__P_NUMBER:
		nnr__buf_addf(out, "\"type\":\"%s\",\"minimum\":%.15g,"
			      "\"maximum\":%.15g",
			      q->type == NNR__P_INT ? "integer" : "number",
			      q->min, q->max);
		break;
	case NNR__P_BOOL:
		nnr__buf_adds(out, "\"enum\":[\"yes\",\"no\"]");
		break;
	case NNR__P_ENUM:
		schema_enum(out, q->names);
		break;
	case NNR__P_STRINGS:
		nnr__buf_adds(out, "\"anyOf\":[" SCALAR ",{\"type\":\"array\","
				   "\"items\":" SCALAR "}]");
		break;
	case NNR__P_MAP:
		nnr__buf_adds(out, "\"type\":\"object\","
				   "\"additionalProperties\":" SCALAR);
		break;
	case NNR__P_OWN:
		nnr__buf_adds(out, q->own->schema);
		break;
	}
}

static void schema_params(nnr__buf *out, const nnr__step_row *r)
{
	bool first = true;

	nnr__buf_adds(out, "{\"type\":\"object\",\"additionalProperties\":"
			   "false,\"properties\":{");
	for (const nnr__param *q = r->param; q->name; q++) {
		nnr__buf_addf(out, "%s\"%s\":{", first ? "" : ",", q->name);
		schema_text(out, "description", q->help);
		nnr__buf_addc(out, ',');
		schema_type(out, q);
		if (q->fallback && q->type != NNR__P_STRINGS &&
		    q->type != NNR__P_OWN) {
			bool number = q->type == NNR__P_INT ||
				      q->type == NNR__P_NUMBER;
			nnr__buf_adds(out, ",\"default\":");
			if (number)
				nnr__buf_adds(out, q->fallback);
			else
				nnr__buf_add_json(out, q->fallback,
						  strlen(q->fallback));
		}
		nnr__buf_addc(out, '}');
		first = false;
	}
	nnr__buf_adds(out, "},\"required\":[");
	first = true;
	for (const nnr__param *q = r->param; q->name; q++)
		if (q->required) {
			nnr__buf_addf(out, "%s\"%s\"", first ? "" : ",",
				      q->name);
			first = false;
		}
	nnr__buf_adds(out, "]}");
}

static void schema_step(nnr__buf *out, const nnr__step_row *r)
{
	bool bare = false;

	nnr__buf_adds(out, "{\"type\":\"object\",\"additionalProperties\":"
			   "false,\"required\":[");
	nnr__buf_add_json(out, r->name, strlen(r->name));
	nnr__buf_addf(out, "],\"properties\":{\"%s\":{", r->name);
	schema_text(out, "description", r->help);
	nnr__buf_adds(out, ",\"anyOf\":[");
	for (const nnr__param *q = r->param; q->name; q++) {
		if (!r->bare || strcmp(r->bare, q->name) != 0)
			continue;
		nnr__buf_addc(out, '{');
		schema_type(out, q);
		nnr__buf_addc(out, '}');
		bare = true;
	}
	nnr__buf_adds(out, bare ? "," : "");
	schema_params(out, r);
	nnr__buf_adds(out, "]},\"id\":{\"type\":\"string\"},\"when\":{\"enum\""
			   ":[\"always\",\"train\",\"run\"]}}}");
}

/* A step without needed parameters can be its bare name. */
static bool nameable(const nnr__step_row *r)
{
	for (const nnr__param *q = r->param; q->name; q++)
		if (q->required)
			return false;
	return true;
}

static void schema_side(nnr__buf *out, bool input)
{
	bool first = true;

	nnr__buf_adds(out, "{\"type\":\"array\",\"minItems\":1,\"items\":{"
			   "\"anyOf\":[{\"enum\":[");
	for (int i = 0; nnr__step_table[i]; i++) {
		const nnr__step_row *r = nnr__step_table[i];
		if (r->input != input || !nameable(r))
			continue;
		nnr__buf_addf(out, "%s\"%s\"", first ? "" : ",", r->name);
		first = false;
	}
	nnr__buf_adds(out, "]}");
	for (int i = 0; nnr__step_table[i]; i++) {
		if (nnr__step_table[i]->input != input)
			continue;
		nnr__buf_addc(out, ',');
		schema_step(out, nnr__step_table[i]);
	}
	nnr__buf_adds(out, "]}}");
}

#define FIELDS(more) "{\"type\":\"object\",\"minProperties\":1," \
	"\"additionalProperties\":{\"anyOf\":[{\"enum\":[\"string\",\"int\"," \
	"\"number\",\"bool\",\"string?\",\"int?\",\"number?\",\"bool?\"]}," \
	"{\"type\":\"array\",\"minItems\":2,\"items\":" SCALAR "}" more "]}}"
#define LIST ",{\"type\":\"object\",\"additionalProperties\":false," \
	"\"required\":[\"list\"],\"properties\":{\"list\":{\"type\":" \
	"\"array\",\"minItems\":1,\"items\":{\"type\":\"string\"}}}}"
#define ITEM "{\"type\":\"object\",\"additionalProperties\":{\"anyOf\":[" \
	SCALAR ",{\"type\":\"array\"}]}}"
#define TEXT_MAP "{\"type\":\"object\",\"additionalProperties\":" SCALAR "}"

char *nnr__steps_schema(void)
{
	nnr__buf out = { 0 };

	nnr__buf_adds(&out, "{\"$schema\":\"https://json-schema.org/draft/"
		"2020-12/schema\",\"title\":\"nnr program\",\"type\":"
		"\"object\",\"additionalProperties\":false,\"required\":["
		"\"nnr\",\"name\",\"model\",\"input\",\"output\",\"in\","
		"\"out\"],\"properties\":{\"nnr\":{\"const\":1},\"name\":"
		"{\"type\":\"string\"},\"model\":{\"type\":\"string\"},"
		"\"input\":" FIELDS(LIST) ",\"output\":" FIELDS("")
		",\"data\":{"
		"\"type\":\"object\",\"additionalProperties\":false,"
		"\"properties\":{\"labels\":" TEXT_MAP ",\"target\":" TEXT_MAP
		"}},\"access\":{\"type\":[\"string\",\"array\"]},\"train\":");
	schema_params(&out, &nnr__train_row);
	nnr__buf_adds(&out, ",\"tests\":{\"type\":\"array\",\"items\":"
		"{\"type\":\"object\",\"required\":[\"in\"],"
		"\"additionalProperties\":false,\"properties\":{\"in\":"
		ITEM ",\"out\":" TEXT_MAP "}}},\"in\":");
	schema_side(&out, true);
	nnr__buf_adds(&out, ",\"out\":");
	schema_side(&out, false);
	nnr__buf_adds(&out, "}}");
	return nnr__buf_take(&out);
}
