"""Soft tokens behind 128 tokens of text: what never changes is run once.

    $NNR_PEERS/venv/bin/python bench/quality/tail.py [--steps 100]

Items are reviews of SST-2 with one label, as many as come to 128 tokens.  A
step of the second epoch with 20 soft tokens behind the text is at least 5
times as fast as one with the same tokens leading; both accuracies on held-out
items are printed.
"""

import json
import random
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCH / "fidelity"), str(BENCH / "ref")]

from common import WORK, beside, json_lines, nnr, parser, verdict  # noqa: E402
from train_soft import training_rows  # noqa: E402

LENGTH = 128
SOURCE = """\
nnr: 1
name: {name}
model: {model}
input: {{text: string}}
output: {{label: [negative, positive]}}
data: {{labels: {{"0": negative, "1": positive}}}}
in:
  - {first}
  - {second}
out:
  - score: {{choices: {{negative: " negative", positive: " positive"}}}}
train: {{lr: 3e-3, batch: 8, steps: {steps}, clip: 0, seed: 1}}
"""
SOFT = 'soft_tokens: {count: 20, init: "Classify the sentiment of the reviews:"}'
TEXT = 'template: "{text}"'


def long_items(args, count):
    """(label, text) with LENGTH tokens each."""
    rows = training_rows("sst2", 1, 40 * count)
    data = WORK / "tail.txt"
    data.write_text("".join(text + "\n" for _, text in rows), encoding="utf-8")
    lines = json_lines(nnr(args, "tokenize", args.model, "--data", data))
    pool = {"0": [], "1": []}
    for (label, text), line in zip(rows, lines):
        pool[label].append((text, len(line["tokens"])))
    out, draw = [], random.Random(1)
    while len(out) < count:
        label, words, n = draw.choice("01"), [], 0
        while n < LENGTH:
            text, tokens = pool[label].pop()
            words.append(text)
            n += tokens
        text = " ".join(words).split(" ")
        out.append((label, " ".join(text[:len(text) * LENGTH // n])))
    return out


def write_rows(name, rows):
    path = WORK / name
    path.write_text("".join(f"{label}\t{text}\n" for label, text in rows),
                    encoding="utf-8")
    return path


def main():
    p = parser(__doc__.split("\n")[0])
    p.add_argument("--steps", type=int, default=100)
    p.add_argument("--items", type=int, default=64, help="training items")
    args = p.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    rows = long_items(args, args.items + 100)
    data = write_rows("tail.train.tsv", rows[:args.items])
    test = write_rows("tail.test.tsv", rows[args.items:])
    second = args.items // 8 * 2    # the first epoch fills what is kept
    step, right = {}, {}
    for name, parts in (("leading", (SOFT, TEXT)), ("behind", (TEXT, SOFT))):
        source = WORK / f"tail-{name}.yaml"
        source.write_text(SOURCE.format(name=name, model=beside(args.model),
                                        first=parts[0], second=parts[1],
                                        steps=args.steps))
        bench = json.loads(nnr(args, "bench", source, "--step", "--data", data,
                               "-r", second if name == "behind" else 5, "--json",
                               "--precision", "exact"))
        # of two epochs the faster half is the second
        step[name] = bench["step_s"] if name == "leading" else bench["step_q1_s"]
        out = WORK / f"tail-{name}.nnr"
        out.unlink(missing_ok=True)
        nnr(args, "train", source, "--data", data, "-o", out)
        report = json.loads(nnr(args, "eval", out, "--data", test, "--json"))
        right[name] = 100 * report["results"]["accuracy"]["value"]
        print(f"{name:8} {step[name]:.3f} s a step, {right[name]:.1f} % of 100 items "
              f"after {args.steps} steps", flush=True)
    ratio = step["leading"] / step["behind"]
    return verdict([("a step of the second epoch, times as fast", f"{ratio:.1f}",
                     "5", ratio >= 5)])


if __name__ == "__main__":
    sys.exit(main())
