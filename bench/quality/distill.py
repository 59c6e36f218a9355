"""Eight demonstrations compiled into 20 soft tokens.

    $NNR_PEERS/venv/bin/python bench/quality/distill.py [--sets sst2 ...]

The teacher is a text program with eight balanced demonstrations; where it is
right 5 points more often than the majority class, a prompt of 20 soft tokens
is trained on its label distributions of training items it is asked about
(their labels are not used).  Bars: the two agree on 90 % of the test items,
the student has 95 % of the teacher's accuracy, and its input is 5 times
shorter, tokens of the prompt less those of the item.
"""

import json
import sys
from pathlib import Path

import yaml

BENCH = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(BENCH / "fidelity"), str(BENCH / "ref")]

from common import WORK, beside, json_lines, nnr, parser, verdict  # noqa: E402
from train_soft import PROGRAMS, load, test_rows, training_rows  # noqa: E402

SETS = ["sst2", "ag_news", "trec", "subj"]


def write_rows(name, rows):
    path = WORK / name
    path.write_text("".join(f"{label}\t{text}\n" for label, text in rows),
                    encoding="utf-8")
    return path


def sources(args, name, demos):
    """The programs of the teacher and the student."""
    base = load(name)
    base["model"] = beside(args.model)
    teacher, student = dict(base), dict(base)
    template = base["in"][-1]
    labels = {str(k): v for k, v in base["data"]["labels"].items()}
    write_rows(f"distill-{name}.demos.tsv",
               [(labels[label], text) for label, text in demos])
    teacher["name"] = f"{name}-teacher"
    teacher["in"] = [{"demos": {"file": f"distill-{name}.demos.tsv",
                                "count": len(demos)}}, template]
    del teacher["train"]
    student["name"] = f"{name}-student"
    student["train"] = {**base["train"], "steps": args.steps, "lr": 5e-3,
                        "schedule": "cosine", "warmup": 20,
                        "loss": [{"distill": {"from": f"distill-{name}-teacher.yaml"}}]}
    paths = []
    for kind, source in (("teacher", teacher), ("student", student)):
        path = WORK / f"distill-{name}-{kind}.yaml"
        path.write_text(yaml.safe_dump(source, sort_keys=False))
        paths.append(path)
    return paths


def pick_demos(rows, count):
    """Balanced over the labels, in order of the file."""
    by = {}
    for label, text in rows:
        by.setdefault(label, []).append((label, text))
    out, labels = [], sorted(by)
    while len(out) < count:
        label = labels[len(out) % len(labels)]
        out.append(by[label].pop(0))
    return out


def answers(args, program, data, *options):
    out = WORK / "distill.jsonl"
    out.unlink(missing_ok=True)
    report = json.loads(nnr(args, "eval", program, "--data", data,
                            "--predictions", out, "--json", *options))
    return [row["prediction"] for row in json_lines(out.read_text())], report


def fixed_tokens(args, program):
    """Tokens of the prompt that are there for every item."""
    shown = json.loads(nnr(args, "run", program, "--text", "x", "--explain",
                           "--json"))
    return shown["explain"]["prompt"]["tokens"] - 1


def one_set(args, name, rows):
    train = training_rows(name, 1, 8 * args.steps + 400)
    demos, items = pick_demos(train[:400], 8), train[400:]
    teacher, student = sources(args, name, demos)
    data = write_rows(f"distill-{name}.train.tsv", items)
    held = test_rows(name)[:args.items]
    test = write_rows(f"distill-{name}.test.tsv", held)
    labels = {str(k): v for k, v in load(name)["data"]["labels"].items()}
    truth = [labels[label] for label, _ in held]
    most = max(truth.count(v) for v in set(truth)) / len(truth)
    given, _ = answers(args, teacher, test)
    right = sum(a == b for a, b in zip(given, truth)) / len(truth)
    print(f"{name}: majority {100 * most:.1f} %, teacher {100 * right:.1f} %",
          flush=True)
    if right < most + 0.05:
        print(f"{name}: the teacher does not beat the majority class by 5 points")
        return
    out = WORK / f"distill-{name}.nnr"
    out.unlink(missing_ok=True)
    nnr(args, "train", student, "--data", data, "-o", out)
    got, _ = answers(args, out, test)
    own = sum(a == b for a, b in zip(got, truth)) / len(truth)
    agree = sum(a == b for a, b in zip(got, given)) / len(truth)
    shorter = fixed_tokens(args, teacher) / fixed_tokens(args, out)
    print(f"{name}: student {100 * own:.1f} %, {args.seconds:.0f} s", flush=True)
    rows += [(f"{name}: agreement with the teacher", f"{100 * agree:.1f} %",
              "90 %", agree >= 0.9),
             (f"{name}: accuracy of the teacher's", f"{100 * own / right:.1f} %",
              "95 %", own >= 0.95 * right),
             (f"{name}: input shorter", f"{shorter:.1f} times", "5", shorter >= 5)]


def main():
    p = parser(__doc__.split("\n")[0])
    p.add_argument("--sets", nargs="*", default=SETS)
    p.add_argument("--steps", type=int, default=300)
    p.add_argument("--items", type=int, default=400)
    args = p.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in args.sets:
        one_set(args, name, rows)
    return verdict(rows)


if __name__ == "__main__":
    sys.exit(main())
