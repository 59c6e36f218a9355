"""Writes tests/golden/scores/{zero,four}.json: choice scores of a mini task.

Sentences, demonstrations and programs beside them are our own.  A score is
the sum of the choice's token log-probabilities.

    $NNR_PEERS/venv/bin/python bench/ref/golden_scores.py
"""

import json

from reference import Reference
from token_lines import REPO

FOLDER = REPO / "tests" / "golden" / "scores"
LABELS = ["negative", "positive"]
CHOICES = [" " + label for label in LABELS]


def read(name):
    with open(FOLDER / name, encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]


def template(text):
    return f"Review: {text}\nSentiment:"


def main():
    ref = Reference()
    items = read("items.tsv")
    shots = "".join(template(text) + f" {label}\n\n"
                    for label, text in read("demos.tsv"))
    for name, before in (("zero", ""), ("four", shots)):
        prompts = [before + template(text) for _, text in items]
        table = ref.scores(prompts, CHOICES)
        right = 0
        with open(FOLDER / f"{name}.json", "w", encoding="utf-8") as file:
            for i, ((label, _), prompt, row) in enumerate(zip(items, prompts, table)):
                best = LABELS[max(range(len(row)), key=row.__getitem__)]
                right += best == label
                file.write(json.dumps({
                    "item": i, "target": label, "prediction": best,
                    "prompt_tokens": len(ref.tokenize(prompt)),
                    "scores": {k: round(s, 6) for k, s in zip(LABELS, row)}}) + "\n")
        print(f"{name}-shot: {right} of {len(items)} right")


if __name__ == "__main__":
    main()
