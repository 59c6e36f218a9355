"""Zero-shot and 4-shot choice scores on 400 items of four data sets.

exact against the reference: predictions equal on 99.5 % of all items, score
gaps within 2e-3.  fast against exact: under 2 % of predictions differ.
A gap is a score less the item's first label's, so that a constant per item
does not count.
"""

import json
import sys
from pathlib import Path

import yaml

from common import HERE, WORK, Lazy, cached, nnr, parser, verdict
from token_lines import DATA

# File, and every which line: Subj's test file is in order of its labels.
SETS = {"sst2": ("dev.tsv", 1), "trec": ("test.tsv", 1),
        "ag_news": ("test.tsv", 1), "subj": ("test.tsv", 5)}


def read_tsv(path, limit=None):
    with open(path, encoding="utf-8", newline="\n") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file]
    return rows[:limit]


def demos(name, count):
    """Short training items, the labels in turn."""
    kept = {}
    for label, text in read_tsv(DATA / name / "train.tsv"):
        if 40 <= len(text) <= 200:
            kept.setdefault(label, []).append((label, text))
    labels = sorted(kept)
    return [kept[labels[i % len(labels)]][i // len(labels)] for i in range(count)]


def load(args, path):
    """A program for both sides: written to the work folder, and parsed."""
    source = path.read_text().replace("model: smollm2-135m-instruct",
                                      f"model: {args.model}")
    program = yaml.safe_load(source)
    program["path"] = WORK / path.name
    program["path"].write_text(source)
    program["demos"] = []
    for step in program["in"]:
        if "demos" in step:
            name = Path(step["demos"]["file"]).stem
            program["demos"] = demos(name, step["demos"]["count"])
            (WORK / step["demos"]["file"]).write_text(
                "".join(f"{label}\t{text}\n" for label, text in program["demos"]))
        else:
            program["template"] = step["template"]
    program["choices"] = program["out"][0]["score"]["choices"]
    return program


def prompts(program, rows):
    names, choices = program["data"]["labels"], program["choices"]
    template = program["template"]
    before = "".join(template.replace("{text}", text) + choices[names[label]] + "\n\n"
                     for label, text in program["demos"])
    return [before + template.replace("{text}", text) for _, text in rows]


def predict(args, program, data, precision):
    out = WORK / "predictions.jsonl"
    out.unlink(missing_ok=True)
    nnr(args, "eval", program["path"], "--data", data, "--limit", args.limit,
        "--predictions", out, "--precision", precision, "--threads", args.threads,
        "--json")
    rows = [json.loads(line) for line in out.read_text().split("\n") if line]
    labels = list(program["choices"])
    return ([r["prediction"] for r in rows],
            [[r["scores"][label] for label in labels] for r in rows])


def gaps(scores):
    return [[s - row[0] for s in row[1:]] for row in scores]


def main():
    p = parser(__doc__)
    p.add_argument("--limit", type=int, default=400)
    p.add_argument("--only", nargs="*", default=sorted(SETS))
    args = p.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    ref = Lazy(args)
    items = equal = same = over = 0
    worst = 0.0
    print("program     reference  exact  fast   equal  largest gap  fast=exact")
    for name in args.only:
        file, stride = SETS[name]
        rows = read_tsv(DATA / name / file)[::stride][:args.limit]
        data = WORK / f"{name}.data.tsv"
        data.write_text("".join(f"{label}\t{text}\n" for label, text in rows))
        for shots in (0, 4):
            program = load(args, HERE / "programs" / f"{name}-{shots}.yaml")
            labels = list(program["choices"])
            asked = prompts(program, rows)
            choices = list(program["choices"].values())
            want = cached(args, "scores", [asked, choices],
                          lambda: ref.scores(asked, choices))
            answer = [labels[max(range(len(r)), key=r.__getitem__)] for r in want]
            target = [program["data"]["labels"][label] for label, _ in rows]

            def right(predictions):
                return 100 * sum(p == t for p, t in zip(predictions, target)) / len(rows)
            line = f"{name}-{shots:<8}"[:12] + f"{right(answer):8.2f}"
            if args.reference_only:
                print(line, flush=True)
                continue
            exact, scores = predict(args, program, data, "exact")
            fast, _ = predict(args, program, data, "fast")
            if len(exact) != len(rows) or len(fast) != len(rows):
                raise SystemExit(f"{name}: {len(exact)} and {len(fast)} predictions "
                                 f"for {len(rows)} items")
            far = [max(abs(a - b) for a, b in zip(g, w))
                   for g, w in zip(gaps(scores), gaps(want))]
            hits = sum(a == b for a, b in zip(exact, answer))
            agree = sum(a == b for a, b in zip(exact, fast))
            items, equal, same = items + len(rows), equal + hits, same + agree
            over += sum(f > 2e-3 for f in far)
            worst = max(worst, max(far))
            print(f"{line} {right(exact):8.2f} {right(fast):6.2f} {hits:6} "
                  f"{max(far):10.2e} {agree:9}", flush=True)
    if args.reference_only:
        return 0
    return verdict([
        ("exact, predictions equal to the reference's",
         f"{100 * equal / items:.2f} % of {items}", "99.5 %", equal >= 0.995 * items),
        ("exact, largest score gap", f"{worst:.2e} ({over} over the bar)", "2e-3",
         worst <= 2e-3),
        ("fast, predictions other than exact's",
         f"{100 * (items - same) / items:.2f} %", "2 %", items - same < 0.02 * items)])


if __name__ == "__main__":
    sys.exit(main())
