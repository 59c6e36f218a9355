"""PEFT's prompt folders through nnr and back.

    $NNR_PEERS/venv/bin/python bench/peers/peft_roundtrip.py [TRAINED.nnr ...]

PEFT itself makes a folder of each kind: prompt tuning, prefix tuning, p-tuning
(whose encoder is gone once it is saved).  Then, on texts of our own:

import  nnr import FOLDER, nnr logits: log-probabilities as PEFT's, within 1e-3
export  nnr export, opened by PEFT: the same tensors bit by bit, and PEFT's
        log-probabilities from them

Programs given by name, trained by nnr, make the way back alone: PEFT's
log-probabilities from what nnr exports are nnr's own.  PEFT keeps keys in HF's
row order, nnr in the GGUF file's: a prefix that passes has both right.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fidelity"))

import numpy as np  # noqa: E402

from common import WORK, Lazy, beside, nnr, parser, verdict  # noqa: E402
from reference import log_softmax  # noqa: E402

COUNT = 12
INIT = "Answer the question below in one short and friendly sentence."
TEXTS = [
    "Review: A warm, patient film with two wonderful leads. Sentiment:",
    "Q: What is the capital of France? A: Paris. Q: And of Italy? A:",
    "12 apples and 7 pears are 19 pieces of fruit.",
    "Zum Löwen serves German food; families are welcome.",
]
# The bar of fidelity/logits.py, which allows ten times what fp32 costs; a
# prefix in another row order is off by more than 1.
BAR = 1e-3


# ---- PEFT ----

def text_cache(ref, ids):
    """What a text leaves in the cache, as PEFT flattens it: a row a token."""
    import torch
    with torch.no_grad():
        cache = ref.model(torch.tensor([ids]), use_cache=True).past_key_values
    rows = []
    for layer in cache.layers:
        for part in (layer.keys, layer.values):     # [1, kv_heads, count, dim]
            rows.append(part[0].transpose(0, 1).reshape(len(ids), -1))
    return torch.cat(rows, 1)


def configs(ref):
    from peft import (PrefixTuningConfig, PromptEncoderConfig, PromptTuningConfig,
                      PromptTuningInit, TaskType)
    shared = {"task_type": TaskType.CAUSAL_LM, "num_virtual_tokens": COUNT}
    return {
        "prompt": PromptTuningConfig(
            prompt_tuning_init=PromptTuningInit.TEXT, prompt_tuning_init_text=INIT,
            tokenizer_name_or_path=str(ref.folder), **shared),
        "prefix": PrefixTuningConfig(**shared),
        "p-tuning": PromptEncoderConfig(encoder_hidden_size=64, **shared),
    }


def make_folder(ref, kind, config):
    """A folder as if trained: not at a start that could be made again."""
    import torch
    from peft import get_peft_model
    torch.manual_seed(1)
    model = get_peft_model(ref.model, config)
    weight = model.prompt_encoder["default"].embedding.weight
    with torch.no_grad():
        if kind == "prefix":
            ids = ref.tokenize(INIT)
            weight.copy_(text_cache(ref, [ids[i % len(ids)] for i in range(COUNT)]))
        if kind != "p-tuning":
            weight.add_(torch.randn_like(weight) * 0.1 * weight.std())
    folder = WORK / f"peft-{kind}"
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    return folder


def peft_logprobs(ref, folder):
    """Log-probabilities at the texts' own positions."""
    import torch
    from peft import PeftModel
    model = PeftModel.from_pretrained(ref.model, folder).eval()
    out = []
    with torch.inference_mode():
        for text in TEXTS:
            ids = ref.tokenize(text)
            logits = model(input_ids=torch.tensor([ids])).logits[0]
            out.append(log_softmax(logits[len(logits) - len(ids):].numpy()))
    return out


def saved_tensors(folder):
    from safetensors.numpy import load_file
    return load_file(Path(folder) / "adapter_model.safetensors")


# ---- nnr ----

def has(args, command):
    """Whether this nnr has the command."""
    return subprocess.run([args.nnr, command, "--help"],
                          capture_output=True).returncode == 0


def nnr_logprobs(args, ref, program):
    from safetensors.numpy import load_file
    data, out = WORK / "roundtrip.txt", WORK / "roundtrip.safetensors"
    data.write_text("".join(text + "\n" for text in TEXTS), encoding="utf-8")
    out.unlink(missing_ok=True)
    nnr(args, "logits", program, "--data", data, "-o", out,
        "--precision", "exact", "--threads", args.threads)
    result, rows = load_file(out), []
    for i, text in enumerate(TEXTS):
        ids, logits = ref.tokenize(text), result[f"logits.{i}"]
        if result[f"tokens.{i}"].tolist() != ids or len(logits) != len(ids):
            raise SystemExit(f"{program}: {logits.shape} logits and other tokens for "
                             f"{text!r}; expected a row for each of {ids}")
        rows.append(log_softmax(logits))
    return rows


def gap(a, b):
    worst = max(float(np.abs(x - y).max()) for x, y in zip(a, b))
    return worst if np.isfinite(worst) else float("inf")


def exported(args, program, name):
    folder = WORK / f"exported-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    nnr(args, "export", program, "-o", folder)
    return folder


def way_in(args, ref, kind, folder, want, rows):
    """Imports a folder; the program, or None where nnr cannot yet."""
    if not has(args, "import"):
        return None
    program = WORK / f"peft-{kind}.nnr"
    program.unlink(missing_ok=True)
    nnr(args, "import", folder, "-o", program, "--model",
        WORK / beside(args.model))
    worst = gap(nnr_logprobs(args, ref, program), want)
    rows.append((f"{kind}, imported, log-probabilities", f"{worst:.1e}", BAR,
                 worst <= BAR))
    return program


def way_back(args, ref, kind, folder, program, want, rows):
    back = exported(args, program, kind)
    same = {k: v.tobytes() for k, v in saved_tensors(folder).items()} == \
        {k: v.tobytes() for k, v in saved_tensors(back).items()}
    rows.append((f"{kind}, exported, tensors", "equal" if same else "differ", "equal",
                 same))
    worst = gap(peft_logprobs(ref, back), want)
    rows.append((f"{kind}, exported, PEFT's log-probabilities", f"{worst:.1e}", BAR,
                 worst <= BAR))
    theirs, ours = (json.loads((f / "adapter_config.json").read_text())
                    for f in (folder, back))
    keys = ("peft_type", "task_type", "num_virtual_tokens", "token_dim", "num_layers",
            "num_attention_heads", "num_transformer_submodules")
    # p-tuning's encoder is gone: its rows are a prompt's, and may be saved so
    other = [k for k in keys if theirs.get(k) != ours.get(k)
             and not (kind == "p-tuning" and k == "peft_type")]
    rows.append((f"{kind}, exported, settings that differ", ", ".join(other) or "none",
                 "none", not other))


def main():
    p = parser(__doc__.split("\n")[0])
    p.add_argument("trained", nargs="*", metavar="TRAINED.nnr")
    args = p.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    ref, rows, missing = Lazy(args), [], set()
    plain = [ref.logprobs(ref.tokenize(text)) for text in TEXTS]
    for kind, config in configs(ref).items():
        folder = make_folder(ref, kind, config)
        want = peft_logprobs(ref, folder)
        tensor = saved_tensors(folder)["prompt_embeddings"]
        print(f"{kind:9} {config.peft_type.value:14} {str(tensor.shape):13} changes "
              f"log-probabilities by up to {gap(want, plain):.1f}", flush=True)
        program = way_in(args, ref, kind, folder, want, rows)
        if not program:
            missing.add("import")
        elif not has(args, "export"):
            missing.add("export")
        else:
            way_back(args, ref, kind, folder, program, want, rows)
    for program in args.trained:
        if not has(args, "export"):
            missing.add("export")
            break
        folder = exported(args, program, Path(program).stem)
        worst = gap(peft_logprobs(ref, folder), nnr_logprobs(args, ref, program))
        rows.append((f"{Path(program).name}, exported, log-probabilities",
                     f"{worst:.1e}", BAR, worst <= BAR))
    status = verdict(rows)
    for command in sorted(missing):
        print(f"not compared: {args.nnr} has no command `{command}`")
    return 1 if missing else status


if __name__ == "__main__":
    sys.exit(main())
