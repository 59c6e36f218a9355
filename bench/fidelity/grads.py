"""nnr grad against autograd in float64 on the same items.

For every case of ref/golden_grad.py that has a program here, and for every
learnable tensor of it: |g - g64| / |g64|, beside what PyTorch's own float32
costs.  exact: at most 1e-4.

    $NNR_PEERS/venv/bin/python bench/fidelity/grads.py [CASE ...]
"""

import hashlib
import sys

import numpy as np

from common import WORK, cache_path, nnr, parser, verdict
from golden_grad import CASES, PROGRAMS, Case, Net, load_program, relative_error

# fp32 itself costs 4e-6 to 6e-5 on these items (golden_grad.py prints it); a
# sum in another order may cost the same again.  A row that is not there, a
# wrong position or a missing term costs 1e-2 and more.
BAR = 1e-4

# What golden_grad.py's case learns that the program of its texts does not.
LEARNS = {"soft": "soft_tokens", "prefix": "prefix", "shift": "shift",
          "deep": "deep_tokens"}


class Nets:
    """The network in both precisions, loaded when first needed."""

    def __init__(self, path):
        self.path, self.net = path, {}

    def __getitem__(self, name):
        import torch
        if not self.net:
            torch.set_num_threads(2)
        if name not in self.net:
            self.net[name] = Net(self.path, getattr(torch, name))
        return self.net[name]


def reference(args, nets, case, init):
    """Loss, initial values and gradients, kept under what they depend on."""
    from safetensors.numpy import load_file, save_file
    given = {k: hashlib.sha256(v.tobytes()).hexdigest() for k, v in init.items()}
    path = cache_path(args, f"grad-{case.name}", [
        case.kind, case.prompts, case.choices, case.labels, case.targets, given,
        load_program(case.program_name)]).with_suffix(".safetensors")
    if not path.exists():
        start = {**case.init(nets["float32"]), **init}
        losses, grad = case.gradient(nets["float64"], start)
        _, grad32 = case.gradient(nets["float32"], start)
        save_file({"losses": losses,
                   **{f"init.{k}": np.array(v, order="C") for k, v in start.items()},
                   **{f"grad.{k}": np.array(v, order="C") for k, v in grad.items()},
                   **{f"grad32.{k}": np.array(v, order="C") for k, v in grad32.items()}},
                  path)
    return load_file(path)


def ours(args, case):
    """What nnr grad writes for the case's program and items."""
    from safetensors.numpy import load_file
    program = WORK / f"{case.program_name}.yaml"
    program.write_text((PROGRAMS / program.name).read_text().replace(
        "model: smollm2-135m-instruct", f"model: {args.model}"))
    suffix, lines = case.data()
    data = WORK / f"grad-{case.name}.{suffix}"
    data.write_text(lines, encoding="utf-8")
    out = WORK / "grad.safetensors"
    out.unlink(missing_ok=True)
    nnr(args, "grad", program, "--data", data, "-o", out,
        "--precision", "exact", "--threads", args.threads)
    return load_file(out)


def parts(name, tensor):
    """A prefix's keys and values also apart: keys' gradients are smaller."""
    yield name, tensor
    if name == "prefix":
        yield "  keys", tensor[:, 0]
        yield "  values", tensor[:, 1]


def compare(args, nets, name):
    """Prints a case's rows; (worst error of a gradient, error of the loss)."""
    case = Case(name, args.model)
    got = {} if args.reference_only else ours(args, case)
    # A gradient belongs to the values it was taken at, if nnr tells them.
    init = {k.removeprefix("init."): v for k, v in got.items() if k.startswith("init.")}
    want = reference(args, nets, case, init)
    loss, worst = float(want["losses"].mean()), 0.0
    off = abs(float(got["loss"].reshape(-1)[0]) - loss) if got else 0.0
    for key in sorted(k for k in want if k.startswith("grad.")):
        tensor = key.removeprefix("grad.")
        g64, g32 = want[key], want["grad32." + tensor]
        g = got.get(tensor)
        if got and (g is None or g.shape != g64.shape):
            raise SystemExit(f"{name}: {tensor} is {None if g is None else g.shape} in "
                             f"nnr's file ({', '.join(sorted(got))}), expected {g64.shape}")
        rows = zip(parts(tensor, g64), parts(tensor, g32),
                   parts(tensor, g64 if g is None else g))
        for (label, a), (_, b), (_, c) in rows:
            error = relative_error(c, a)
            worst = max(worst, error) if np.isfinite(error) else float("inf")
            shown = "-" if g is None else f"{error:.1e}"
            print(f"{name:9} {label:14} {loss:9.5f} {np.linalg.norm(a):11.4g} "
                  f"{relative_error(b, a):10.1e} {shown:>10}", flush=True)
    return worst, off


def main():
    p = parser(__doc__.split("\n")[0])
    p.add_argument("cases", nargs="*", metavar="CASE", help="of " + ", ".join(CASES))
    args = p.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    nets, results = Nets(args.model), []
    print("case      tensor              loss  |gradient|  fp32 torch        nnr")
    for name in args.cases or CASES:
        kind, program, _ = CASES[name]
        if not args.reference_only and LEARNS.get(kind) not in known(program):
            print(f"{name:9} no program learns this yet")
            continue
        results.append((name, *compare(args, nets, name)))
    if args.reference_only:
        return 0
    return verdict(
        [(f"{name}, relative error of the gradient", f"{worst:.1e}", f"{BAR:.0e}",
          worst <= BAR) for name, worst, _ in results] +
        [(f"{name}, error of the loss", f"{off:.1e}", f"{BAR:.0e}", off <= BAR)
         for name, _, off in results])


def known(program):
    return {kind for step in load_program(program)["in"] for kind in step}


if __name__ == "__main__":
    sys.exit(main())
