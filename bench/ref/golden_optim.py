#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/optim/optim.json: what PyTorch's optimizers and
schedulers do, in float64, for src/optim.

    $py bench/ref/golden_optim.py

A case of `runs` is a `train` of a source and what two tensors are after each
tenth of its steps, given the gradients in the file; `rates` are factors of the
learning rate at every step.
"""
import json
import random
from pathlib import Path

import torch

OUT = Path(__file__).resolve().parents[2] / "tests/golden/optim/optim.json"
STEPS, SIZES = 40, (3, 2)

RUNS = [
    ("{optimizer: adamw, lr: 0.05, clip: 0}", {}),
    ("{optimizer: adamw, lr: 0.05, weight_decay: 0.2, clip: 0}", {}),
    ("{lr: 0.01, betas: [0.5, 0.9], eps: 0.001, clip: 0}", {}),
    ("{lr: 0.05, clip: 0.7, schedule: cosine, warmup: 8}", {}),
    ("{optimizer: sgd, lr: 0.05, momentum: 0, clip: 0}", {}),
    ("{optimizer: sgd, lr: 0.02, weight_decay: 0.1, clip: 0}", {}),
    ("{optimizer: sgd, lr: 0.02, clip: 0.5, schedule: linear}", {}),
    ("{lr: 0.05, clip: 0, groups: [{match: \"b*\", lr: 0.2, weight_decay: "
     "0.1}]}", {"lr": 0.2, "weight_decay": 0.1}),
]
RATES = [
    ("{schedule: constant}", 30), ("{schedule: linear}", 30),
    ("{schedule: cosine}", 30), ("{schedule: cosine, warmup: 10}", 30),
    ("{schedule: linear, warmup: 10}", 30), ("{warmup: 5}", 30),
    ("{milestones: [0.5, 0.75], gamma: 0.2}", 40),
]


def plan(text):
    """The `train` of a case: flow YAML of plain words and numbers."""
    import yaml
    got = yaml.safe_load(text)
    return {k: float(v) if isinstance(v, (int, float)) else v
            for k, v in got.items()}


def scheduler(opt, cfg, steps):
    s = torch.optim.lr_scheduler
    warm = int(cfg.get("warmup", 0))
    left = steps - warm
    kind = cfg.get("schedule", "milestones" if "milestones" in cfg
                   else "constant")
    if kind == "cosine":
        main = s.CosineAnnealingLR(opt, left)
    elif kind == "linear":
        main = s.LinearLR(opt, 1.0, 0.0, left)
    elif kind == "milestones":
        main = s.MultiStepLR(opt, [int(m * steps)
                                   for m in cfg["milestones"]], cfg["gamma"])
    else:
        main = s.ConstantLR(opt, 1.0, steps)
    if not warm:
        return main
    rise = s.LinearLR(opt, 1.0 / warm, 1.0, warm - 1)
    return s.SequentialLR(opt, [rise, main], [warm])


def optimizer(tensors, cfg, group):
    params = [{"params": [tensors[0]]}, {"params": [tensors[1]], **group}]
    wd = cfg.get("weight_decay", 0.0)
    if cfg.get("optimizer", "adamw") == "sgd":
        return torch.optim.SGD(params, lr=cfg["lr"], weight_decay=wd,
                               momentum=cfg.get("momentum", 0.9))
    return torch.optim.AdamW(params, lr=cfg["lr"], weight_decay=wd,
                             betas=cfg.get("betas", (0.9, 0.999)),
                             eps=cfg.get("eps", 1e-8))


def run(text, group, start, grads):
    cfg = plan(text)
    tensors = [torch.tensor(v, dtype=torch.float64) for v in start]
    opt = optimizer(tensors, cfg, group)
    rates = scheduler(opt, cfg, STEPS)
    after = []
    for step in range(STEPS):
        for t, g in zip(tensors, grads[step]):
            t.grad = torch.tensor(g, dtype=torch.float64)
        if cfg["clip"]:
            torch.nn.utils.clip_grad_norm_(tensors, cfg["clip"])
        opt.step()
        rates.step()
        if (step + 1) % 10 == 0:
            after.append([v for t in tensors for v in t.tolist()])
    return {"train": text, "after": after}


def rate(text, steps):
    cfg = plan(text)
    opt = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    rates = scheduler(opt, cfg, steps)
    factors = []
    for _ in range(steps):
        factors.append(opt.param_groups[0]["lr"])
        opt.step()
        rates.step()
    return {"train": text, "steps": steps, "factor": factors}


def main():
    rng = random.Random(1)

    def number():
        # exact in float32, so that both sides read the same value
        return rng.randrange(-2048, 2048) / 1024

    start = [[number() for _ in range(n)] for n in SIZES]
    grads = [[[number() for _ in range(n)] for n in SIZES]
             for _ in range(STEPS)]
    doc = {"torch": torch.__version__, "start": start, "grads": grads,
           "runs": [run(t, g, start, grads) for t, g in RUNS],
           "rates": [rate(t, n) for t, n in RATES]}
    OUT.write_text(json.dumps(doc) + "\n")
    print(OUT, OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
