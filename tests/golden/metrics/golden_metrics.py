"""Writes metrics.json: figures of src/eval/metric.c by scipy and sklearn.

    python3 -m venv V && V/bin/pip install scipy==1.17.1 scikit-learn==1.9.1
    V/bin/python tests/golden/metrics/golden_metrics.py

Each case: labels, the target and the prediction of each item (-1: none),
its scores (natural-log, up to a constant) and the figures expected.
"""

import json
import math
import random
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.metrics import f1_score, log_loss

HERE = Path(__file__).parent
BINS = 15


def ece(p, target):
    top, best = p.max(axis=1), p.argmax(axis=1)
    total = 0.0
    for b in range(BINS):
        inside = (top > b / BINS) & (top <= (b + 1) / BINS)
        if inside.any():
            gap = (best == target)[inside].mean() - top[inside].mean()
            total += inside.mean() * abs(gap)
    return total


def case(rng, labels, items, spread, lost):
    target = [rng.randrange(labels) for _ in range(items)]
    scores = [[round(rng.gauss(-5, spread) + (2 if c == t else 0), 6)
               for c in range(labels)] for t in target]
    said = [-1 if rng.random() < lost else max(range(labels), key=s.__getitem__)
            for s in scores]
    logp = log_softmax(np.array(scores), axis=1)
    p, t = np.exp(logp), np.array(target)
    hits = sum(a == b for a, b in zip(said, target))
    wilson = binomtest(hits, items).proportion_ci(0.95, "wilson")
    met = sorted((set(said) | set(target)) - {-1})
    return {
        "labels": labels, "target": target, "said": said, "scores": scores,
        "hits": hits, "low": wilson.low, "high": wilson.high,
        "macro_f1": f1_score(target, said, labels=met, average="macro",
                             zero_division=0),
        "nll": log_loss(target, p, labels=range(labels)),
        "brier": float(((p - np.eye(labels)[t]) ** 2).sum(axis=1).mean()),
        "ece": float(ece(p, t)),
    }


def main():
    rng = random.Random(7)
    cases = [case(rng, *row) for row in (
        (2, 40, 2.0, 0.0), (2, 7, 0.2, 0.0), (3, 60, 3.0, 0.1),
        (6, 100, 1.5, 0.0), (10, 12, 1.0, 0.3), (2, 1, 1.0, 0.0))]
    rates = []
    for hits, n in ((0, 10), (10, 10), (1, 3), (325, 400), (1, 100000)):
        ci = binomtest(hits, n).proportion_ci(0.95, "wilson")
        rates.append({"hits": hits, "n": n, "low": ci.low, "high": ci.high})
    assert all(math.isfinite(c["ece"]) for c in cases)
    with open(HERE / "metrics.json", "w", encoding="utf-8") as file:
        file.write('{"rates":%s,\n"cases":[\n' % json.dumps(rates))
        file.write(",\n".join(json.dumps(c) for c in cases) + "\n]}\n")


if __name__ == "__main__":
    main()
