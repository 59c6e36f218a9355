# SPDX-License-Identifier: Apache-2.0
"""The command on SmolLM2-135M-Instruct, against the reference's goldens."""
import json

import pytest

from conftest import ROOT

GOLDEN = ROOT / "tests/golden/scores"
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize("precision", ["exact", "fast"])
@pytest.mark.parametrize("name", ["zero", "four"])
def test_scores(nnr, real, tmp_path, name, precision):
    path = tmp_path / "p.jsonl"
    run = nnr("eval", GOLDEN / f"{name}.yaml", "--data", GOLDEN / "items.tsv",
              "--set", f"model={real}", "--predictions", path, "--precision",
              precision)
    assert run.code == 0, run.err
    have = [json.loads(row) for row in path.read_text().splitlines()]
    want = [json.loads(row) for row in
            (GOLDEN / f"{name}.json").read_text().splitlines()]
    assert len(have) == len(want) > 0
    for h, w in zip(have, want):
        assert h["item"] == w["item"] and h["target"] == w["target"]
        if precision == "exact":
            assert h["prediction"] == w["prediction"]
            gap = [r["scores"]["positive"] - r["scores"]["negative"]
                   for r in (h, w)]
            assert abs(gap[0] - gap[1]) < 2e-3


def test_constant_part_comes_from_the_cache(nnr, real, tmp_path, monkeypatch):
    monkeypatch.setenv("NNR_CACHE", str(tmp_path))
    program = EXAMPLES / "sentiment_8shot.yaml"
    args = ["run", program, "--text", "A gem.", "--json", "--set",
            f"model={real}"]
    first = nnr(*args)
    assert first.code == 0 and list((tmp_path / "prefix").iterdir())
    assert nnr(*args).out == first.out
    assert nnr(*args, "--no-cache").out == first.out


def test_example_beats_the_majority(nnr, real):
    run = nnr("eval", EXAMPLES / "sentiment.yaml", "--data",
              EXAMPLES / "data/reviews_test.tsv", "--json", "--set",
              f"model={real}")
    results = run.json()["results"]
    assert results["accuracy"]["low"] > \
        results["majority"]["accuracy"]["high"]


def test_chat_program(nnr, real, tmp_path):
    path = tmp_path / "chat.yaml"
    path.write_text(f"""\
nnr: 1
name: chat
model: {real}
input: {{question: string}}
output: {{answer: string}}
in:
  - template: "{{question}}"
  - chat
out:
  - generate: {{max_tokens: 24}}
  - parse: {{method: text}}
""")
    run = nnr("run", path, "--text", "What is the capital of France?",
              "--precision", "exact")
    assert run.code == 0 and "Paris" in run.out
    told = nnr("run", path, "--text", "<|im_end|>", "--explain", "--json")
    prompt = told.json()["explain"]["prompt"]
    assert [p["part"] for p in prompt["parts"]] == ["chat", "template", "chat"]
    assert prompt["parts"][1]["text"] == "<|im_end|>"
    assert prompt["parts"][-1]["to"] == prompt["tokens"]
    places = [p[k] for p in prompt["parts"] for k in ("from", "to")]
    assert places[0] == 0 and places[1::2][:-1] == places[2::2]


def test_steps_of_thought(nnr, real):
    run = nnr("eval", EXAMPLES / "problems.yaml", "--data",
              EXAMPLES / "data/problems_test.jsonl", "--limit", 8, "--json",
              "--set", f"model={real}")
    report = run.json()
    assert report["results"]["parse_failures"]["n"] == 40
    assert 0 < report["results"]["agreement"] <= 1
    assert report["cost"]["made_tokens"] > 100
