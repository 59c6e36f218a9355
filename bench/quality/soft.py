"""Soft prompts that nnr trains beside those that PyTorch trains.

    $NNR_PEERS/venv/bin/python bench/quality/soft.py [--sets sst2 ...]

Four data sets, three seeds, the same texts, training items and settings
(ref/train_soft.py); the order of the items is each side's own.  nnr's mean
accuracy must not be lower than the reference's by more than the reference's
own deviation over the seeds.
"""

import json
import statistics
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCH / "fidelity"), str(BENCH / "ref")]

from common import WORK, Lazy, beside, nnr, verdict  # noqa: E402
from train_soft import (PROGRAMS, load, reference, soft_parser,  # noqa: E402
                        test_rows, training_rows)


def write_rows(name, rows):
    path = WORK / name
    path.write_text("".join(f"{label}\t{text}\n" for label, text in rows),
                    encoding="utf-8")
    return path


def accuracy(args, program, data, rows, labels, *options):
    """Per cent of an evaluation, counted here from the predictions."""
    out = WORK / "predictions.jsonl"
    out.unlink(missing_ok=True)
    nnr(args, "eval", program, "--data", data, "--predictions", out,
        "--threads", args.threads, "--json", *options)
    answers = [json.loads(line)["prediction"] for line in out.read_text().split("\n")
               if line]
    if len(answers) != len(rows):
        raise SystemExit(f"{len(answers)} predictions for {len(rows)} items")
    right = sum(a == labels[label] for a, (label, _) in zip(answers, rows))
    return 100 * right / len(rows)


def ours(args, name, seed):
    """nnr's accuracies before and after training, and its seconds."""
    program = load(name)
    source = WORK / f"soft-{name}.yaml"
    source.write_text((PROGRAMS / f"{name}.yaml").read_text().replace(
        "model: smollm2-135m-instruct", f"model: {beside(args.model)}"))
    rows = training_rows(name, seed, args.steps * program["train"]["batch"])
    test = test_rows(name)[:args.items]
    data = write_rows(f"soft-{name}-{seed}.train.tsv", rows)
    held = write_rows(f"soft-{name}.test.tsv", test)
    out = WORK / f"soft-{name}-{seed}.nnr"
    out.unlink(missing_ok=True)
    nnr(args, "train", source, "--data", data, "-o", out, "--seed", seed,
        "--set", f"train.steps={args.steps}", "--threads", args.threads)
    seconds = args.seconds
    labels = program["data"]["labels"]
    return {"before": accuracy(args, source, held, test, labels, "--untrained"),
            "after": accuracy(args, out, held, test, labels), "seconds": seconds}


def main():
    args = soft_parser(__doc__.split("\n")[0]).parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    ref, rows = Lazy(args), []
    print("set      seed  reference: before  after  nnr: before  after  seconds")
    for name in args.sets:
        want, got = [], []
        for seed in args.seeds:
            r = reference(args, ref, name, seed)
            want.append(r["after"])
            line = f"{name:8} {seed:4} {r['before']:18.2f} {r['after']:6.2f}"
            if not args.reference_only:
                n = ours(args, name, seed)
                got.append(n["after"])
                line += f" {n['before']:12.2f} {n['after']:6.2f} {n['seconds']:8.1f}"
            print(line, flush=True)
        if got:
            spread = statistics.stdev(want) if len(want) > 1 else 0.0
            mean, least = statistics.mean(got), statistics.mean(want) - spread
            rows.append((f"{name}, mean accuracy of {len(got)} seeds", f"{mean:.2f}",
                         f"{statistics.mean(want):.2f} - {spread:.2f}", mean >= least))
    return verdict(rows) if rows else 0


if __name__ == "__main__":
    sys.exit(main())
