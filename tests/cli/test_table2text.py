# SPDX-License-Identifier: Apache-2.0
"""Lists in and several answers out: join, BLEU and ROUGE-L in `nnr eval`,
an item for each answer in `nnr train`."""
import json

import pytest

from conftest import TINY

SOURCE = """\
nnr: 1
name: table
model: {model}
input: {{rows: {{list: [a, b]}}}}
output: {{text: string}}
data: {{target: {{refs: '.*'}}}}
in:
  - soft_tokens: {{count: 2, init: {{random: 0.1}}}}
  - join: {{field: rows, template: "{{a}}:{{b}}", between: ","}}
    id: table
  - template: "{{table}} "
out:
  - generate: {{max_tokens: 6}}
train: {{steps: 3, batch: 2, seed: 1}}
"""


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "table.yaml"
    path.write_text(SOURCE.format(model=TINY))
    return path


def write(path, *rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def test_a_list_becomes_a_prompt(nnr, table):
    record = json.dumps({"rows": [["he", 1], ["o", "l,{a}"]]})
    run = nnr("run", table, "-i", record, "--untrained", "--explain",
              "--json")
    assert run.code == 0, run.err
    parts = run.json()["explain"]["prompt"]["parts"]
    text = {p["part"]: p["text"] for p in parts}
    assert text["table"] == "he:1,o:l,{a}"
    assert [p["varies"] for p in parts if p["part"] == "table"] == [True]


@pytest.mark.parametrize("value, message", [
    ("he", "`rows` is not JSON; a list of [a, b] was expected"),
    ([["he"]], "element 1 of `rows` has 1 part; a list of [a, b]"),
    ([["he", 1], "o"], "element 2 of `rows` is a text; a list of [a, b]"),
    ([["he", ["o"]]], "`b` of element 1 of `rows` is a list; a text"),
])
def test_wrong_lists_say_where(nnr, table, tmp_path, value, message):
    data = write(tmp_path / "d.jsonl", {"rows": [], "refs": ["a"]},
                 {"rows": value, "refs": ["a"]})
    run = nnr("eval", table, "--data", data, "--untrained")
    assert run.code == 3
    assert f"d.jsonl:2: {message}" in run.err
    run = nnr("run", table, "-i", json.dumps({"rows": value}), "--untrained")
    assert run.code == 3 and message in run.err


def test_eval_takes_any_answer_for_right(nnr, table, tmp_path):
    rows = [["he", "llo"], ["o", "l"]]
    said = nnr("run", table, "-i", json.dumps({"rows": rows}), "--untrained",
               "--json").json()["out"]["text"]
    data = write(tmp_path / "d.jsonl",
                 {"rows": rows, "refs": ["never this", said]},
                 {"rows": rows, "refs": ["nor this, which is longer"]})
    lines = tmp_path / "p.jsonl"
    run = nnr("eval", table, "--data", data, "--untrained", "--json",
              "--predictions", lines)
    assert run.code == 0, run.err
    results = run.json()["results"]
    assert results["exact_match"]["hits"] == 1
    assert results["references"] == 3
    for measure, most in ("bleu", 100), ("rouge_l", 1):
        figure = results[measure]
        assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= most
    # the tiny model's text need not have words: then ROUGE-L sees none
    if any(c.isascii() and c.isalnum() for c in said):
        assert results["rouge_l"]["high"] > 0
    told = [json.loads(s) for s in lines.read_text().splitlines()]
    assert told[0] == {"item": 0, "target": ["never this", said],
                       "prediction": said}
    assert told[1]["target"] == ["nor this, which is longer"]
    run = nnr("eval", table, "--data", data, "--untrained")
    assert "BLEU" in run.err and "3 references" in run.err


def test_training_takes_each_answer(nnr, table, tmp_path):
    data = write(tmp_path / "d.jsonl",
                 {"rows": [["he", 1]], "refs": ["hell", "hello"]},
                 {"rows": [["lo", 2]], "refs": "o"})
    alone = write(tmp_path / "e.jsonl",
                  {"rows": [["he", 1]], "refs": "hell"},
                  {"rows": [["he", 1]], "refs": "hello"},
                  {"rows": [["lo", 2]], "refs": "o"})
    losses = []
    for file in data, alone:
        run = nnr("grad", table, "--data", file, "-o", tmp_path / "g", "--json")
        assert run.code == 0, run.err
        assert run.json()["items"] == 3
        losses.append(run.json()["loss"])
    assert losses[0] == losses[1]
    out = tmp_path / "table.nnr"
    run = nnr("train", table, "--data", data, "-o", out, "--json")
    assert run.code == 0, run.err
    assert nnr("eval", out, "--data", data).code == 0
