"""The gradient of lora beside PyTorch's in float64.

    $NNR_PEERS/venv/bin/python bench/fidelity/lora.py

lora starts with B = 0, where half of its gradient is nothing: three steps are
trained first and the artifact's tensors are what both sides differentiate at.
"""

import sys

import numpy as np

from common import WORK, beside, nnr, parser, verdict
from golden_grad import Case, Net, relative_error

BAR = 1e-4      # as grads.py
SOURCE = """\
nnr: 1
name: lora
model: {model}
input: {{text: string}}
output: {{label: [negative, positive]}}
in:
  - lora: {{weights: [attn_q, attn_v], rank: 8, alpha: 8}}
  - template: "Review: {{text}}\\nSentiment:"
out:
  - score: {{choices: {{negative: " negative", positive: " positive"}}}}
train: {{lr: 1e-2, steps: 3, batch: 4, clip: 0}}
"""
NAMES = {f"{w}.{m}": f"lora.attn_{w}.{m}" for w in "qv" for m in "ab"}


def main():
    args = parser(__doc__.split("\n")[0]).parse_args()
    import torch
    from safetensors.numpy import load_file
    torch.set_num_threads(args.threads)
    WORK.mkdir(parents=True, exist_ok=True)
    case = Case("lora", args.model)
    source, out = WORK / "lora.yaml", WORK / "lora.nnr"
    source.write_text(SOURCE.format(model=beside(args.model)))
    suffix, lines = case.data()
    data = WORK / f"lora.{suffix}"
    data.write_text(lines, encoding="utf-8")
    for path in (out, WORK / "lora.safetensors"):
        path.unlink(missing_ok=True)
    nnr(args, "train", source, "--data", data, "-o", out)
    nnr(args, "grad", out, "--data", data, "-o", WORK / "lora.safetensors",
        "--precision", "exact")
    values, got = load_file(out), load_file(WORK / "lora.safetensors")
    init = {ours: values[name] for ours, name in NAMES.items()}
    # the reference has the prompts of a program with soft tokens in front
    case.kind = "lora"
    case.prompts = [[t for t in prompt if t >= 0] for prompt in case.prompts]
    losses, exact = case.gradient(Net(args.model, torch.float64), init)
    _, single = case.gradient(Net(args.model, torch.float32), init)
    rows = [("error of the loss", f"{abs(float(got['loss']) - losses.mean()):.1e}",
             f"{BAR:.0e}", abs(float(got["loss"]) - losses.mean()) <= BAR)]
    for ours, name in NAMES.items():
        error = relative_error(got[name], exact[ours])
        rows.append((f"{name}, relative error of the gradient (PyTorch's fp32: "
                     f"{relative_error(single[ours], exact[ours]):.1e})",
                     f"{error:.1e}", f"{BAR:.0e}", error <= BAR))
    return verdict(rows)


if __name__ == "__main__":
    sys.exit(main())
