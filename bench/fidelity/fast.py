"""Training in `fast` beside `exact`: gradients and the loss after 50 steps.

    $NNR_PEERS/venv/bin/python bench/fidelity/fast.py

The cosine of the two gradients of every learnable tensor, at least 0.999, on
the items of grads.py's cases; and the mean loss on 64 items of SST-2 after 50
steps on them from the same start, within 2 %.  Then one step's gradient after
packing and sharing (`nnr grad`) and with a copy of the soft tokens for every
item (`--plain`): the same loss bits, gradients within 1e-5.
"""

import sys

import numpy as np

from common import WORK, beside, nnr, parser, verdict
from golden_grad import CASES, PROGRAMS, Case
from token_lines import DATA

NAMES = ["soft", "middle", "choices", "prefix", "next"]
SOURCE = """\
nnr: 1
name: fast
model: {model}
input: {{text: string}}
output: {{label: [negative, positive]}}
data: {{labels: {{"0": negative, "1": positive}}}}
in:
  - soft_tokens: {{count: 20, init: "Is the review good or bad?"}}
  - template: "Review: {{text}}\\nSentiment:"
out:
  - score: {{choices: {{negative: " negative", positive: " positive"}}}}
train: {{lr: 3e-3, batch: 8, steps: 50, clip: 0, seed: 1}}
"""


def gradient(args, program, data, *options):
    from safetensors.numpy import load_file
    out = WORK / "fast.safetensors"
    out.unlink(missing_ok=True)
    nnr(args, "grad", program, "--data", data, "-o", out, *options)
    return load_file(out)


def flat(tensors, name):
    return tensors[name].astype(np.float64).ravel()


def cosines(args, rows):
    for name in NAMES:
        case = Case(name, args.model)
        program = WORK / f"{case.program_name}.yaml"
        program.write_text((PROGRAMS / program.name).read_text().replace(
            "model: smollm2-135m-instruct", f"model: {args.model}"))
        suffix, lines = case.data()
        data = WORK / f"fast-{name}.{suffix}"
        data.write_text(lines, encoding="utf-8")
        exact = gradient(args, program, data, "--precision", "exact")
        fast = gradient(args, program, data, "--precision", "fast")
        plain = gradient(args, program, data, "--precision", "exact", "--plain")
        for tensor in sorted(set(exact) - {"loss"}):
            a, b, c = (flat(g, tensor) for g in (exact, fast, plain))
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            off = np.linalg.norm(a - c) / np.linalg.norm(c)
            rows.append((f"{name} {tensor}: cosine, fast against exact",
                         f"{cosine:.7f}", "0.999", cosine >= 0.999))
            rows.append((f"{name} {tensor}: shared against a copy an item",
                         f"{off:.1e}", "1e-05", off <= 1e-5))
        same = exact["loss"].tobytes() == plain["loss"].tobytes()
        rows.append((f"{name}: loss bits, shared against copies",
                     "equal" if same else "differ", "equal", same))


def loss_after(args, mode):
    """Mean loss on the training items after training in a mode, in exact."""
    source = WORK / "fast.yaml"
    source.write_text(SOURCE.format(model=beside(args.model)))
    data = WORK / "fast.tsv"
    with open(DATA / "sst2" / "train.tsv", encoding="utf-8") as lines:
        data.write_text("".join(line for line, _ in zip(lines, range(64))))
    out = WORK / "fast.nnr"
    out.unlink(missing_ok=True)
    nnr(args, "train", source, "--data", data, "-o", out, "--precision", mode)
    return float(gradient(args, out, data, "--precision", "exact")["loss"])


def main():
    args = parser(__doc__.split("\n")[0]).parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    rows = []
    cosines(args, rows)
    exact, fast = loss_after(args, "exact"), loss_after(args, "fast")
    off = abs(fast / exact - 1)
    rows.append((f"loss after 50 steps, exact {exact:.5f}, fast {fast:.5f}",
                 f"{100 * off:.2f} %", "2 %", off <= 0.02))
    return verdict(rows)


if __name__ == "__main__":
    sys.exit(main())
