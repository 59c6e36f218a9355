"""Writes tests/golden/logits/logits.json: log-probabilities of three texts.

At every position: the 20 likeliest tokens and 64 tokens that are the same
everywhere, so that both the head and the tail of the distribution are held.

    $NNR_PEERS/venv/bin/python bench/ref/golden_logits.py
"""

import json

import numpy as np

from reference import Reference
from token_lines import REPO

TOP = 20
FIXED = sorted((17 + 769 * i) % 49152 for i in range(64))
TEXTS = [
    "The capital of France is Paris, and the river that runs through it is "
    "the Seine. In spring the water is high, and the boats wait under the "
    "bridges until it falls.",
    "def gcd(a, b):\n    while b:\n        a, b = b, a % b\n    return a\n\n"
    "print(gcd(48, 18))  # 6\n",
    "Größe 12,5 cm — 東京 ☂ naïve <|im_start|> 'twas 2024, wasn't it?",
]


def record(ref, text):
    tokens = ref.tokenize(text)
    assert len(tokens) <= 48, len(tokens)
    logp = ref.logprobs(tokens)
    rows = []
    for row in logp:
        top = np.argsort(-row, kind="stable")[:TOP]
        rows.append({"top": [[int(t), round(float(row[t]), 6)] for t in top],
                     "fixed": [round(float(row[t]), 6) for t in FIXED]})
    return {"text": text, "tokens": tokens, "positions": rows}


def main():
    ref = Reference()
    exact = Reference(dtype="float64")
    texts, gap = [], 0.0
    for text in TEXTS:
        texts.append(record(ref, text))
        tokens = texts[-1]["tokens"]
        gap = max(gap, np.abs(ref.logprobs(tokens) - exact.logprobs(tokens)).max())
    out = REPO / "tests" / "golden" / "logits"
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "logits.json", "w", encoding="utf-8") as file:
        json.dump({"fixed": FIXED, "texts": texts}, file, separators=(",", ":"))
        file.write("\n")
    print(f"{[len(t['tokens']) for t in texts]} tokens; "
          f"fp32 and fp64 runs of the reference differ by at most {gap:.2e}")


if __name__ == "__main__":
    main()
