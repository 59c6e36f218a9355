"""Writes tests/golden/greedy/greedy.json: greedy continuations and gaps.

The gap at a step is the best logit less the second best: where it is tiny,
rounding alone may decide, and a comparison may excuse the step.

    $NNR_PEERS/venv/bin/python bench/ref/golden_greedy.py
"""

import json

from prompts import PROMPTS
from reference import Reference
from token_lines import REPO

STEPS = 64


def continuations(ref, steps=STEPS):
    records = []
    for prompt in PROMPTS:
        ids = ref.tokenize(prompt)
        tokens, gaps = ref.greedy(ids, steps)
        records.append({"prompt": prompt, "prompt_tokens": ids, "tokens": tokens,
                        "gaps": [round(g, 5) for g in gaps]})
    return records


def main():
    ref = Reference()
    records = continuations(ref)
    out = REPO / "tests" / "golden" / "greedy"
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "greedy.json", "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(r) for r in records) + "\n]\n")
    gaps = sorted(g for r in records for g in r["gaps"])
    print(f"{len(records)} prompts; smallest gaps {gaps[:5]}; "
          f"{sum(g < 1e-3 for g in gaps)} below 1e-3")
    for r in records:
        print(repr(r["prompt"]), "->", repr(ref.detokenize(r["tokens"][:24])))


if __name__ == "__main__":
    main()
