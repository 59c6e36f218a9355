"""Soft-prompt training in PyTorch: what nnr's training should come to.

    $NNR_PEERS/venv/bin/python bench/ref/train_soft.py [--sets sst2 ...]
        [--seeds 1 2 3] [--steps 300]

Texts, choices, initial rows and settings are those of bench/quality/programs;
the model is transformers' in fp32, its weights frozen.  A seed draws the
training items, in order, from the train split.  The loss is cross-entropy over
the choices' sums of token log-probabilities; accuracy is that of 400 items of
the dev or test file (all of them if there are fewer), before and after.
quality/soft.py compares nnr with it.
"""

import random
import statistics
import sys
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fidelity"))

from common import REPO, Lazy, cached, parser  # noqa: E402
from golden_grad import init_tokens  # noqa: E402
from scores import SETS, read_tsv  # noqa: E402
from token_lines import DATA  # noqa: E402

PROGRAMS = REPO / "bench" / "quality" / "programs"
SEEDS = [1, 2, 3]
ITEMS = 400


def load(name):
    return yaml.safe_load((PROGRAMS / f"{name}.yaml").read_text())


def training_rows(name, seed, count):
    """(label, text), drawn from the train split without repetition."""
    rows = read_tsv(DATA / name / "train.tsv")
    random.Random(seed).shuffle(rows)
    return rows[:count]


def test_rows(name):
    file, stride = SETS[name]
    return read_tsv(DATA / name / file)[::stride][:ITEMS]


class Task:
    """A program's texts as tokens."""

    def __init__(self, ref, program):
        soft = program["in"][0]["soft_tokens"]
        self.ref, self.template = ref, program["in"][1]["template"]
        choices = program["out"][0]["score"]["choices"]
        self.init = init_tokens(ref.tokenize, soft)
        self.choices = [ref.tokenize(text) for text in choices.values()]
        self.label = {k: list(choices).index(v)
                      for k, v in program["data"]["labels"].items()}

    def items(self, rows):
        return [(self.ref.tokenize(self.template.replace("{text}", text)),
                 self.label[label]) for label, text in rows]


def last_rows(model, soft, rows):
    """Hidden states [items, longest, hidden] of the tokens after the soft rows.

    Shorter items are padded on the right, where a causal model needs no mask.
    """
    import torch
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, :len(row)] = torch.tensor(row)
    x = torch.cat((soft.expand(len(rows), -1, -1), model.model.embed_tokens(ids)), 1)
    return model.model(inputs_embeds=x, use_cache=False)[0][:, len(soft):]


def choice_scores(model, soft, prompts, choices):
    """Summed log-probabilities [items, choices], up to a constant per item."""
    import torch
    each = torch.arange(len(prompts))
    ends = torch.tensor([len(p) for p in prompts])
    if all(len(c) == 1 for c in choices):
        # the vocabulary's normaliser cancels
        hidden = last_rows(model, soft, prompts)[each, ends - 1]
        return hidden @ model.lm_head.weight[[c[0] for c in choices]].T
    columns = []
    for choice in choices:
        hidden = last_rows(model, soft, [p + choice[:-1] for p in prompts])
        columns.append(sum(
            (hidden[each, ends - 1 + i] @ model.lm_head.weight.T).log_softmax(-1)[:, t]
            for i, t in enumerate(choice)))
    return torch.stack(columns, 1)


def accuracy(model, soft, items, choices, size=16):
    """Per cent; items of like length together."""
    import torch
    order = sorted(items, key=lambda item: len(item[0]))
    right = 0
    with torch.inference_mode():
        for at in range(0, len(order), size):
            part = order[at:at + size]
            best = choice_scores(model, soft, [p for p, _ in part], choices).argmax(1)
            right += sum(int(b) == label for b, (_, label) in zip(best, part))
    return 100 * right / len(items)


def train(ref, program, rows, test, steps):
    """Accuracies before and after, losses, seconds of the median step."""
    import torch
    model, task, plan = ref.model, Task(ref, program), program["train"]
    model.requires_grad_(False)
    items, held = task.items(rows), task.items(test)
    soft = model.model.embed_tokens.weight[task.init].clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([soft], lr=float(plan["lr"]), eps=1e-8,
                                  betas=plan["betas"],
                                  weight_decay=plan["weight_decay"])
    before = accuracy(model, soft, held, task.choices)
    losses, seconds = [], []
    for step in range(steps):
        start = time.monotonic()
        at = step * plan["batch"]
        batch = [items[i % len(items)] for i in range(at, at + plan["batch"])]
        scores = choice_scores(model, soft, [p for p, _ in batch], task.choices)
        loss = torch.nn.functional.cross_entropy(
            scores, torch.tensor([label for _, label in batch]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.monotonic() - start)
    return {"before": before, "after": accuracy(model, soft, held, task.choices),
            "losses": losses, "step_s": statistics.median(seconds)}


def reference(args, ref, name, seed):
    """train()'s result for a set and a seed, kept under what it depends on."""
    program = load(name)
    rows = training_rows(name, seed, args.steps * program["train"]["batch"])
    test = test_rows(name)[:args.items]
    return cached(args, "soft", [program, rows, test, args.steps],
                  lambda: train(ref, program, rows, test, args.steps))


def soft_parser(text):
    p = parser(text)
    p.add_argument("--sets", nargs="*", default=sorted(SETS), choices=sorted(SETS))
    p.add_argument("--seeds", nargs="*", type=int, default=SEEDS)
    p.add_argument("--steps", type=int, default=300)
    p.add_argument("--items", type=int, default=ITEMS, help="items of the test")
    return p


def main():
    args = soft_parser(__doc__.split("\n")[0]).parse_args()
    ref = Lazy(args)
    print("set      seed  before   after  last 20 losses  s a step")
    for name in args.sets:
        after = []
        for seed in args.seeds:
            r = reference(args, ref, name, seed)
            after.append(r["after"])
            print(f"{name:8} {seed:4} {r['before']:7.2f} {r['after']:7.2f} "
                  f"{statistics.mean(r['losses'][-20:]):15.4f} {r['step_s']:9.3f}",
                  flush=True)
        if len(after) > 1:
            print(f"{name:8} mean {'':7} {statistics.mean(after):7.2f} "
                  f"deviation {statistics.stdev(after):.2f}")


if __name__ == "__main__":
    main()
