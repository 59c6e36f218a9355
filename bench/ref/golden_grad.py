"""Gradients in float64 for learnable data of every kind: what nnr's must be.

The network is written out here in torch, in the GGUF file's own row order
(RoPE turns the adjacent pairs 2i, 2i+1), so that it runs in any precision:
transformers computes norms, angles and softmax in float32 whatever the
weights are.  check() compares it with transformers.

    $NNR_PEERS/venv/bin/python bench/ref/golden_grad.py -o FOLDER [CASE ...]
        [--model GGUF] [--check]

One safetensors file a case, and list.json, which says what each holds:

tokens, starts      all items' prompt tokens in one row, and where each begins;
                    -1 - r stands for learnable row r
choices, choices_starts   the tokens of each label, one after another
targets, targets_starts   next-token loss: the tokens of each item's answer,
                    the end token too; the loss is the mean over all of them
labels              the index of each item's true label
init.NAME           F32, the values that the gradient is taken at
grad.NAME           F64, gradient of the mean loss, by autograd in float64
grad32.NAME         F32, the same by autograd in float32: what rounding costs
loss, losses        F64, the mean and each item's
hf_from_gguf        I64 [head_dim]: in each head of a key, a query or a row of
                    q and k weights, HF's row j is GGUF's row hf_from_gguf[j]
"""

import argparse
import json
import math
import sys
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
import yaml

from reference import MODEL, Reference, build_tokenizer, read_gguf, sha256
from token_lines import REPO

PROGRAMS = REPO / "bench" / "fidelity" / "programs"

# Of check(): ten times what fp32 costs a gradient here (log-probabilities, ten
# times as large, are allowed as much more); a wrong RoPE is off by over 1e-2.
TOLERANCE = 5e-5

# Sentences of our own.
REVIEWS = [
    ("positive", "A warm, patient film with two wonderful leads."),
    ("negative", "It runs for three hours and says nothing at all."),
    ("positive", "Not once did I look at my watch; the ending is superb, and "
                 "the music by an unknown composer stays with you for days."),
    ("negative", "Dull."),
]
MESSAGES = [
    ("delivery", "My order was due on Monday and nobody has seen it since."),
    ("billing", "I was charged twice for the same month."),
    ("account", "How do I change the address I log in with?"),
    ("technical", "The screen stays black after the update to 2.4.1."),
]
FACTS = [
    ("name: The Blue Boat; food: fish; area: harbour; price: high",
     "The Blue Boat is an expensive fish restaurant at the harbour."),
    ("name: Zum Löwen; food: German; family friendly: yes",
     "Families are welcome at Zum Löwen, which serves German food."),
    ("name: Alba; area: city centre",
     "Alba is in the city centre."),
]


# ---- the network ----

def norm(x, weight, eps):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def rope(x, position, base):
    """x [rows, heads, dim]: turns the pairs (2i, 2i+1) of each head."""
    dim = x.shape[-1]
    rate = base ** (-torch.arange(0, dim, 2, dtype=x.dtype) / dim)
    angle = (position.to(x.dtype)[:, None] * rate)[:, None, :]
    cos, sin = angle.cos(), angle.sin()
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Net:
    """The Llama of a GGUF file in a precision of choice."""

    def __init__(self, gguf, dtype):
        from gguf.quants import dequantize
        meta, tensors = read_gguf(gguf)
        self.dtype = dtype
        self.weight = {
            t.name: torch.from_numpy(np.array(
                dequantize(t.data, t.tensor_type), np.float32)).to(dtype)
            for t in tensors}
        self.embed = self.weight["token_embd.weight"]
        self.head = self.weight.get("output.weight", self.embed)
        self.layers = meta["llama.block_count"]
        self.heads = meta["llama.attention.head_count"]
        self.kv_heads = meta["llama.attention.head_count_kv"]
        self.hidden = meta["llama.embedding_length"]
        self.dim = self.hidden // self.heads
        self.eps = float(meta["llama.attention.layer_norm_rms_epsilon"])
        self.base = float(meta["llama.rope.freq_base"])

    def attend(self, layer, x, start, prefix, lora, kept):
        def project(name, heads):
            y = x @ self.weight[f"blk.{layer}.attn_{name}.weight"].T
            if lora and f"{name}.a" in lora:
                y = y + x @ lora[f"{name}.a"][layer].T @ lora[f"{name}.b"][layer].T
            return y.view(len(x), heads, self.dim)
        position = torch.arange(start, start + len(x))
        q = rope(project("q", self.heads), position, self.base)
        k = rope(project("k", self.kv_heads), position, self.base)
        v = project("v", self.kv_heads)
        if kept is not None:
            kept.append(torch.stack((k.flatten(1), v.flatten(1))))
        if prefix is not None:
            past = prefix[layer].view(2, start, self.kv_heads, self.dim)
            k, v = torch.cat((past[0], k)), torch.cat((past[1], v))
        group = self.heads // self.kv_heads
        k, v = (t.repeat_interleave(group, dim=1) for t in (k, v))
        score = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(self.dim)
        later = torch.arange(len(k))[None, :] > position[:, None]
        weight = score.masked_fill(later, -math.inf).softmax(-1)
        return torch.einsum("hqk,khd->qhd", weight, v).flatten(1)

    def forward(self, x, prefix=None, deep=None, lora=None, kv=None, inputs=None):
        """Normalised last hidden states of the rows x [rows, hidden].

        prefix [layers, 2, count, kv_heads * dim]: key and value rows before x,
        which then starts at position count.  deep [layers, count, hidden]:
        replaces the first rows at the input of every block.  lora: q.a [layers,
        r, in], q.b [layers, out, r], v.a, v.b; q += b a x.  kv, inputs: lists
        that get what each block puts in the cache and takes in.
        """
        w = self.weight
        start = prefix.shape[2] if prefix is not None else 0
        for i in range(self.layers):
            if deep is not None:
                x = torch.cat((deep[i], x[deep.shape[1]:]))
            if inputs is not None:
                inputs.append(x)
            y = norm(x, w[f"blk.{i}.attn_norm.weight"], self.eps)
            y = self.attend(i, y, start, prefix, lora, kv)
            x = x + y @ w[f"blk.{i}.attn_output.weight"].T
            y = norm(x, w[f"blk.{i}.ffn_norm.weight"], self.eps)
            gate = torch.nn.functional.silu(y @ w[f"blk.{i}.ffn_gate.weight"].T)
            y = gate * (y @ w[f"blk.{i}.ffn_up.weight"].T)
            x = x + y @ w[f"blk.{i}.ffn_down.weight"].T
        return norm(x, w["output_norm.weight"], self.eps)


def hf_from_gguf(dim):
    """In a head, HF's row j is GGUF's row hf_from_gguf[j]."""
    return np.concatenate((np.arange(0, dim, 2), np.arange(1, dim, 2)))


# ---- a program's texts, as tokens ----

class Tokenizer:
    """The file's own; in a test model's tiny vocabulary a word is a token."""

    def __init__(self, gguf):
        meta = read_gguf(gguf)[0]
        self.vocab = len(meta["tokenizer.ggml.tokens"])
        self.tokenizer = build_tokenizer(meta)
        self.tokenizer.encode_special_tokens = True

    def __call__(self, text):
        if self.vocab < 256:
            return [crc32(word[::-1].encode()) % self.vocab for word in text.split()]
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def load_program(name):
    return yaml.safe_load((PROGRAMS / f"{name}.yaml").read_text())


def step_of(program, kind):
    return next((s[kind] for s in program["in"] if kind in s), None)


def prompt_tokens(tokenize, program, item):
    """One string is tokenised at a time; soft tokens cut it."""
    ids, text = [], ""
    for step in program["in"]:
        if "template" in step:
            part = step["template"]
            for field, value in item.items():
                part = part.replace("{" + field + "}", value)
            text += part
        for kind in ("soft_tokens", "deep_tokens"):
            if kind in step:
                ids += tokenize(text) if text else []
                ids += [-1 - r for r in range(step[kind]["count"])]
                text = ""
    return ids + (tokenize(text) if text else [])


def init_tokens(tokenize, spec):
    """The text's tokens, repeated or cut to the count."""
    ids = tokenize(spec["init"])
    return [ids[i % len(ids)] for i in range(spec.get("rows") or spec["count"])]


# ---- cases ----

class Case:
    """Items as tokens, initial tensors, and the loss of one item.

    A kind of learnable datum says two things: init(net32) gives the float32
    tensors, run(net, tensors, ids) the hidden states of the prompt's rows.
    Adding one is such a pair, an entry of CASES and a program.
    """

    def __init__(self, name, gguf):
        self.name, self.gguf = name, gguf
        self.kind, self.program_name, rows = CASES[name]
        self.program = load_program(self.program_name)
        self.tokenize = Tokenizer(gguf)
        self.field = next(iter(self.program["input"]))
        score = self.program["out"][0].get("score")
        self.items = [text for _, text in rows] if score else [f for f, _ in rows]
        if self.kind not in ("soft", "shift", "deep"):
            # rows of these are not positions of the prompt
            self.program["in"] = [s for s in self.program["in"] if "template" in s]
        self.prompts = [prompt_tokens(self.tokenize, self.program, {self.field: t})
                        for t in self.items]
        self.choices = self.labels = self.targets = None
        if score:
            names = list(score["choices"])
            self.choices = [self.tokenize(t) for t in score["choices"].values()]
            self.labels = [names.index(label) for label, _ in rows]
        else:
            end = [read_gguf(gguf)[0]["tokenizer.ggml.eos_token_id"]]
            self.targets = [self.tokenize(" " + answer) + end for _, answer in rows]

    def data(self):
        """The same items as lines for nnr: .tsv, or .jsonl with the answer."""
        _, _, rows = CASES[self.name]
        if self.choices:
            return "tsv", "".join(f"{label}\t{text}\n" for label, text in rows)
        out = next(iter(self.program["output"]))
        return "jsonl", "".join(json.dumps(
            {self.field: given, out: answer}, ensure_ascii=False) + "\n"
            for given, answer in rows)

    def init(self, net):
        with torch.no_grad():
            return INIT[self.kind](self, net)

    def rows(self, net, tensors, ids):
        return RUN[self.kind](net, tensors, ids)

    def logp(self, net, tensors, prompt, text):
        """Log-probabilities of a text's tokens after the prompt."""
        rows = self.rows(net, tensors, prompt + text[:-1])
        logp = (rows[len(rows) - len(text):] @ net.head.T).log_softmax(-1)
        return logp[torch.arange(len(text)), text]

    def loss(self, net, tensors, i):
        """Item i's part of the loss, which is the mean of all items' parts.

        Next-token loss is the mean over the tokens of all answers, each with
        its end token: a long answer has more of it.
        """
        prompt = self.prompts[i]
        if not self.choices:
            per_item = sum(map(len, self.targets)) / len(self.targets)
            return -self.logp(net, tensors, prompt, self.targets[i]).sum() / per_item
        if all(len(c) == 1 for c in self.choices):
            # the vocabulary's normaliser cancels
            first = [c[0] for c in self.choices]
            score = self.rows(net, tensors, prompt)[-1] @ net.head[first].T
        else:
            score = torch.stack([self.logp(net, tensors, prompt, c).sum()
                                 for c in self.choices])
        return -score.log_softmax(-1)[self.labels[i]]

    def gradient(self, net, init):
        """(items' losses, gradients of their mean) at init, in net's precision."""
        tensors = {k: torch.tensor(np.asarray(v), dtype=net.dtype, requires_grad=True)
                   for k, v in init.items()}
        losses = []
        for i in range(len(self.prompts)):
            loss = self.loss(net, tensors, i)
            (loss / len(self.prompts)).backward()
            losses.append(loss.item())
        return np.array(losses), {k: t.grad.numpy() for k, t in tensors.items()}


def embedded(net, ids, rows=None):
    """Rows of the embedding table; -1 - r is learnable row r."""
    ids = torch.tensor(ids)
    x = net.embed[ids.clamp(min=0)]
    if rows is None:
        return x
    return torch.where(ids[:, None] < 0, rows[(-1 - ids).clamp(min=0)], x)


def drawn(seed, sd, *shape):
    return (np.random.default_rng(seed).standard_normal(shape) * sd).astype(np.float32)


def soft_init(case, net):
    spec = step_of(case.program, "soft_tokens")
    ids = init_tokens(case.tokenize, spec)
    return {"soft_tokens": net.embed[ids].numpy()}


def soft_run(net, tensors, ids):
    return net.forward(embedded(net, ids, tensors["soft_tokens"]))


def prefix_init(case, net):
    """What the text's tokens put in the cache: [layers, 2, count, width]."""
    spec = step_of(load_program(case.program_name), "prefix")
    kv = []
    net.forward(embedded(net, init_tokens(case.tokenize, spec)), kv=kv)
    return {"prefix": torch.stack(kv).numpy()}


def prefix_run(net, tensors, ids):
    return net.forward(embedded(net, ids), prefix=tensors["prefix"])


def shift_init(case, net):
    """The soft tokens, and zeros for the first positions behind them."""
    spec = step_of(case.program, "shift")
    return {**soft_init(case, net),
            "shift": np.zeros((spec["length"], net.hidden), np.float32)}


def shift_run(net, tensors, ids):
    lead = len(tensors["soft_tokens"])
    if ids[:lead] != [-1 - r for r in range(lead)]:
        raise ValueError("soft tokens lead the prompt")
    x = embedded(net, ids, tensors["soft_tokens"])
    n = min(len(ids) - lead, len(tensors["shift"]))
    return net.forward(torch.cat((x[:lead], x[lead:lead + n] + tensors["shift"][:n],
                                  x[lead + n:])))


def deep_init(case, net):
    """What the text's tokens are at the input of every block."""
    spec = step_of(case.program, "deep_tokens")
    inputs = []
    net.forward(embedded(net, init_tokens(case.tokenize, spec)), inputs=inputs)
    return {"deep_tokens": torch.stack(inputs).numpy()}


def deep_run(net, tensors, ids):
    deep = tensors["deep_tokens"]
    if ids[:deep.shape[1]] != [-1 - r for r in range(deep.shape[1])]:
        raise ValueError("deep tokens lead the prompt")
    return net.forward(embedded(net, ids, deep[0]), deep=deep)


def lora_init(case, net, rank=8):
    """Rank 8 on q and v of all layers, scale 1; b is not zero, so that both
    gradients are there.  Rows of q.b are in GGUF order."""
    kv = net.kv_heads * net.dim
    sd = 1 / math.sqrt(net.hidden)
    return {"q.a": drawn(3, sd, net.layers, rank, net.hidden),
            "q.b": drawn(4, 0.02, net.layers, net.hidden, rank),
            "v.a": drawn(5, sd, net.layers, rank, net.hidden),
            "v.b": drawn(6, 0.02, net.layers, kv, rank)}


def lora_run(net, tensors, ids):
    return net.forward(embedded(net, ids), lora=tensors)


INIT = {"soft": soft_init, "prefix": prefix_init, "shift": shift_init,
        "deep": deep_init, "lora": lora_init}
RUN = {"soft": soft_run, "prefix": prefix_run, "shift": shift_run,
       "deep": deep_run, "lora": lora_run}

# Case: kind, the program its texts come from, items.
CASES = {
    "soft": ("soft", "grad-soft", REVIEWS),
    "middle": ("soft", "grad-middle", REVIEWS),
    "choices": ("soft", "grad-choices", MESSAGES),
    "prefix": ("prefix", "grad-prefix", REVIEWS),
    "next": ("soft", "grad-next", FACTS),
    "shift": ("shift", "grad-shift", REVIEWS),
    "deep": ("deep", "grad-deep", REVIEWS),
    "lora": ("lora", "grad-soft", REVIEWS),
}


# ---- files ----

def relative_error(got, want):
    """|got - want| / |want|, in double."""
    want = np.asarray(want, np.float64)
    return float(np.linalg.norm(np.asarray(got, np.float64) - want)
                 / np.linalg.norm(want))


def ragged(rows):
    starts = np.cumsum([0] + [len(r) for r in rows])
    return np.array([t for r in rows for t in r], np.int64), starts.astype(np.int64)


def tensors_of(case, nets):
    exact, single = nets
    init = case.init(single)
    losses, grad = case.gradient(exact, init)
    _, grad32 = case.gradient(single, init)
    out = {"loss": np.array(losses.mean()), "losses": losses,
           "hf_from_gguf": hf_from_gguf(exact.dim).astype(np.int64)}
    out["tokens"], out["starts"] = ragged(case.prompts)
    for name in ("choices", "targets"):
        if getattr(case, name):
            out[name], out[name + "_starts"] = ragged(getattr(case, name))
    if case.labels:
        out["labels"] = np.array(case.labels, np.int64)
    for name in init:
        out[f"init.{name}"] = init[name]
        out[f"grad.{name}"] = grad[name]
        out[f"grad32.{name}"] = grad32[name]
    return {k: np.array(v, order="C") for k, v in out.items()}, list(init)


def check(gguf, nets):
    """The network here beside transformers: log-probabilities, a gradient."""
    ref = Reference(gguf)
    case = Case("soft", gguf)
    ids = ref.tokenize("The capital of France is Paris, and the river is")
    with torch.no_grad():
        mine = (nets[1].forward(embedded(nets[1], ids)) @ nets[1].head.T).log_softmax(-1)
    gap = float(np.abs(mine.numpy() - ref.logprobs(ids)).max())
    rows = torch.tensor(case.init(nets[1])["soft_tokens"], requires_grad=True)
    first = [c[0] for c in case.choices]
    for prompt, label in zip(case.prompts, case.labels):
        out = ref.model(inputs_embeds=embedded(nets[1], prompt, rows)[None],
                        use_cache=False, logits_to_keep=1)
        loss = -out.logits[0, -1, first].log_softmax(-1)[label]
        (loss / len(case.prompts)).backward()
    _, grad = case.gradient(nets[0], case.init(nets[1]))
    error = relative_error(rows.grad.numpy(), grad["soft_tokens"])
    print(f"transformers fp32: log-probabilities within {gap:.1e}, "
          f"gradient of soft tokens within {error:.1e}")
    return max(gap / 10, error, *same_in_other_words(gguf, nets[0])) < TOLERANCE


def same_in_other_words(gguf, net):
    """Data that says what another says gives the same loss."""
    gaps = {}
    with torch.no_grad():
        def losses(case, init):
            tensors = {k: torch.tensor(v, dtype=net.dtype) for k, v in init.items()}
            return torch.stack([case.loss(net, tensors, i)
                                for i in range(len(case.prompts))])
        soft, deep, prefix, lora = (Case(name, gguf)
                                    for name in ("soft", "deep", "prefix", "lora"))
        base = losses(soft, soft.init(net))
        gaps["deep tokens as soft tokens"] = base - losses(deep, deep.init(net))
        rows = losses(prefix, prefix.init(net))
        spec = step_of(load_program("grad-prefix"), "prefix")
        prefix.prompts = [init_tokens(prefix.tokenize, spec) + p for p in prefix.prompts]
        prefix.kind = "soft"
        gaps["a prefix as its text"] = rows - losses(
            prefix, {"soft_tokens": net.embed[:1].numpy()})
        init = lora.init(net)
        rows = losses(lora, {k: 0 * v for k, v in init.items()})
        lora.kind = "soft"
        gaps["lora of zeros as nothing"] = rows - losses(
            lora, {"soft_tokens": net.embed[:1].numpy()})
    for what, gap in gaps.items():
        print(f"{what}: losses within {float(gap.abs().max()):.1e}")
    return [float(gap.abs().max()) for gap in gaps.values()]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("cases", nargs="*", metavar="CASE",
                   help="of " + ", ".join(CASES) + "; default all")
    p.add_argument("-o", "--output", type=Path, required=True)
    p.add_argument("--model", default=str(MODEL), help="the GGUF file")
    p.add_argument("--check", action="store_true",
                   help="compare the network with transformers first")
    args = p.parse_args()
    from safetensors.numpy import save_file
    torch.set_num_threads(2)
    unknown = set(args.cases) - set(CASES)
    if unknown:
        p.error(f"no case {', '.join(sorted(unknown))}")
    nets = Net(args.model, torch.float64), Net(args.model, torch.float32)
    if args.check and not check(args.model, nets):
        return 1
    args.output.mkdir(parents=True, exist_ok=True)
    entries = []
    print("case      items  tokens  loss      tensor       fp32's error  |gradient|")
    for name in args.cases or CASES:
        case = Case(name, args.model)
        tensors, learned = tensors_of(case, nets)
        save_file(tensors, args.output / f"{name}.safetensors", metadata={
            "order": "gguf", "case": name, "program": case.program_name})
        entry = {"case": name, "file": f"{name}.safetensors", "kind": case.kind,
                 "program": case.program_name, "loss": float(tensors["loss"]),
                 "model_sha256": sha256(args.model), "order": "gguf",
                 "items": case.items, "learned": {}}
        for t in learned:
            error = relative_error(tensors[f"grad32.{t}"], tensors[f"grad.{t}"])
            size = float(np.linalg.norm(tensors[f"grad.{t}"]))
            entry["learned"][t] = {"shape": list(tensors[f"init.{t}"].shape),
                                   "fp32_error": error, "norm": size}
            print(f"{name:9} {len(case.items):5} {len(tensors['tokens']):7} "
                  f"{entry['loss']:8.5f}  {t:12} {error:12.1e} {size:12.5g}",
                  flush=True)
        entry["tensors"] = {k: [str(v.dtype), list(v.shape)] for k, v in tensors.items()}
        entries.append(entry)
    (args.output / "list.json").write_text(
        json.dumps(entries, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
