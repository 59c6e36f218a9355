"""A prompt-tuning step of nnr beside PEFT's, from one run on one machine.

    $NNR_PEERS/venv/bin/python bench/peers/train.py [--only long short sst2]
        [--peers-only] [--rounds 5]

SmolLM2-135M in fp32, 20 soft tokens, AdamW, loss on the label alone:

long    8 prompts of 128 tokens
short   16 prompts of 32 tokens
sst2    SST-2's own prompts in batches of 16, padded to the batch's longest

A step is forward, backward and update.  PEFT runs its best of eager attention,
sdpa and torch.compile, and of padding left or right, each tried first; it
counts the label among its 128 or 32 tokens, nnr has as many without it.  The
loss is the model's own (`labels=`), as PEFT's users have it; a line beside
shows a hand-written loss that makes the last logits only.  Sides alternate;
PEFT's process waits idle while nnr runs.  Peak memory is that of a process by
itself that loads the model and makes the steps.
"""

import json
import os
import random
import select
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fidelity"))

STEPS = 5               # timed steps of a round, after one that is not counted
COUNT = 20              # soft tokens
# Prompts, prompt tokens (0: as they come), least ratio of speed.
KINDS = {"long": (8, 128, 1.7), "short": (16, 32, 1.8), "sst2": (16, 0, 2.5)}
MEMORY = 1 / 3
LAST = "sdpa+last"      # the hand-written loss
PATIENCE = 400          # seconds until a variant that is not ready is given up


# ---- PEFT's side, a process of its own ----

def padded(rows, side):
    """Token ids, mask and labels (the last token's alone) of a batch."""
    import torch
    longest = max(map(len, rows))
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for i, row in enumerate(rows):
        at = longest - len(row) if side == "left" else 0
        ids[i, at:at + len(row)] = torch.tensor(row)
        mask[i, at:at + len(row)] = 1
        labels[i, at + len(row) - 1] = row[-1]
    return ids, mask, labels


def peft_model(folder, attention, init):
    import torch
    from peft import PromptTuningConfig, PromptTuningInit, TaskType, get_peft_model
    from transformers import LlamaForCausalLM
    torch.manual_seed(0)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                             attn_implementation=attention)
    return get_peft_model(model, PromptTuningConfig(
        task_type=TaskType.CAUSAL_LM, num_virtual_tokens=COUNT,
        prompt_tuning_init=PromptTuningInit.TEXT, prompt_tuning_init_text=init,
        tokenizer_name_or_path=str(folder))).train()


def last_logits_loss(model, ids, mask, labels):
    """What `labels=` computes, of the one row an item that counts."""
    import torch
    rows = torch.arange(len(ids))
    last = (labels != -100).int().argmax(1)
    embeds = torch.cat((model.get_prompt(len(ids)),
                        model.word_embeddings(ids)), 1)
    mask = torch.cat((torch.ones(len(ids), COUNT, dtype=mask.dtype), mask), 1)
    base = model.base_model
    hidden = base.model(inputs_embeds=embeds, attention_mask=mask, use_cache=False)[0]
    logits = base.lm_head(hidden[rows, COUNT + last - 1])
    return torch.nn.functional.cross_entropy(logits, labels[rows, last])


def worker(job):
    """Loads, warms up, says so; then makes as many steps as a line asks for."""
    import torch
    torch.set_num_threads(job["threads"])
    variant = job["variant"].split("+")
    side = "left" if "left" in variant else "right"
    attention = "eager" if "eager" in variant else "sdpa"
    model = peft_model(job["folder"], attention, job["init"])
    batches = [padded(rows, side) for rows in job["batches"]]
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=3e-3, weight_decay=0.0)
    forward = model
    if "compile" in variant:
        forward = torch.compile(model, dynamic=len({b[0].shape for b in batches}) > 1)
    if not any(mask.numel() != int(mask.sum()) for _, mask, _ in batches):
        # without padding PEFT needs no mask, and sdpa is faster for it
        batches = [(ids, None, labels) for ids, _, labels in batches]

    def step(n):
        ids, mask, labels = batches[n % len(batches)]
        start = time.monotonic()
        if "last" in variant:
            whole = torch.ones_like(ids) if mask is None else mask
            loss = last_logits_loss(model, ids, whole, labels)
        else:
            loss = forward(input_ids=ids, attention_mask=mask, labels=labels,
                           use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.monotonic() - start
        if not torch.isfinite(loss):
            raise SystemExit("the loss is not finite")
        return seconds, loss.item()

    if "steps" in job:
        return [step(n) for n in range(job["steps"])]
    for n in range(1 if "compile" not in variant else 2):
        _, loss = step(n)
    print(json.dumps({"ready": loss}), flush=True)
    done = 0
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            times.append(step(done)[0])
            done += 1
        print(json.dumps(times), flush=True)


class Peft:
    """A worker, warmed up and idle between requests."""

    def __init__(self, job):
        self.child = subprocess.Popen(
            [sys.executable, __file__, "--worker", job_file(job)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=open(WORK / "peft.log", "w"))
        try:
            self.loss = self.answer(PATIENCE)["ready"]
        except RuntimeError:
            self.stop()
            raise

    def answer(self, seconds):
        if not select.select([self.child.stdout], [], [], seconds)[0]:
            raise RuntimeError(f"no answer in {seconds} s")
        line = self.child.stdout.readline()
        if not line:
            log = (WORK / "peft.log").read_text().strip().split("\n")
            raise RuntimeError(log[-1][:200])
        return json.loads(line)

    def steps(self, n):
        self.child.stdin.write(f"{n}\n")
        self.child.stdin.flush()
        return self.answer(600)

    def stop(self):
        self.child.kill()
        self.child.wait()


def job_file(job):
    path = WORK / f"peft-{job['kind']}-{job['variant']}.json"
    path.write_text(json.dumps(job))
    return str(path)


# ---- prompts ----

def exact_texts(ref, count, tokens):
    """Lines of Wikipedia that have exactly so many tokens each."""
    words = (DATA / "lm_corpora" / "wikitext2_valid.txt").read_text(
        encoding="utf-8").split()
    at, texts = 0, []
    while len(texts) < count:
        text, size = words[at], 1
        while len(ref.tokenize(text)) < tokens:
            text, size = f"{text} {words[at + size]}", size + 1
        at += size
        if len(ref.tokenize(text)) == tokens:
            texts.append(text)
    return texts


def items(ref, kind):
    """(label, text) for nnr's file, and PEFT's batches of token ids."""
    size, tokens, _ = KINDS[kind]
    rng = random.Random(1)
    labels = [ref.tokenize(t)[0] for t in (" negative", " positive")]
    if tokens:
        rows = [(str(i % 2), text) for i, text in
                enumerate(exact_texts(ref, size, tokens))]
        ids = [ref.tokenize(text)[:tokens - 1] + [labels[int(label)]]
               for label, text in rows]
    else:
        rows = read_tsv(DATA / "sst2" / "train.tsv")
        rows = rng.sample(rows, STEPS * size)
        ids = [ref.tokenize(f"Review: {text}\nSentiment:") + [labels[int(label)]]
               for label, text in rows]
    return rows, [ids[at:at + size] for at in range(0, len(ids), size)]


# ---- the comparison ----

def variants(kind):
    sides = ["+left", ""] if kind == "sst2" else [""]
    return [name + side for name in ("eager", "sdpa") for side in sides] + ["compile"]


def best_variant(run, job, kind):
    """Tries each; the name of the one with the fastest step."""
    tried, losses = {}, {}
    for name in (run.args.variants or variants(kind)) + [LAST]:
        try:
            peft = Peft({**job, "variant": name})
        except RuntimeError as e:
            run.note(f"{kind}: PEFT {name}: {e}")
            continue
        tried[name] = min(peft.steps(2))
        losses[name] = peft.loss
        peft.stop()
    run.note(f"{kind}: PEFT, best of two steps, seconds: "
             + ", ".join(f"{k}: {v:.3f}" for k, v in tried.items()))
    # The first losses; left padding and the compiled step's second batch differ.
    plain = [losses[k] for k in losses if k in ("eager", "sdpa", LAST)]
    if max(plain) - min(plain) > 1e-3:
        raise SystemExit(f"{kind}: the variants' losses differ: {losses}")
    return min((k for k in tried if k != LAST), key=tried.get)


def nnr_step(run, program, data, precision=None):
    """Seconds of a step and peak bytes as nnr says; None without the command."""
    words = ["bench", program, "--data", data, "--step", "--json"]
    if precision:
        words += ["--precision", precision]
    try:
        out = nnr(run, *words)
    except SystemExit as e:
        run.note(f"PEFT alone: {e}")
        run.args.peers_only = True
        return None
    if out is None:
        return None
    result = json.loads(out[0])
    return result["step_s"], result["peak_bytes"], result["mode"]


def peft_peak(job, steps):
    """Peak bytes of a process that makes so many steps."""
    words = [sys.executable, __file__, "--worker", job_file({**job, "steps": steps})]
    return int(subprocess.run([sys.executable, "-c", PEAK, *words], check=True,
                              capture_output=True, text=True).stdout)


def part(run, kind):
    size, tokens, bar = KINDS[kind]
    source = FIDELITY / "programs" / ("step-fixed.yaml" if tokens else "step-sst2.yaml")
    text = source.read_text()
    init = yaml.safe_load(text)["in"][0]["soft_tokens"]["init"]
    rows, batches = items(run.ref, kind)
    program, data = WORK / f"step-{kind}.yaml", WORK / f"step-{kind}.tsv"
    program.write_text(text.replace("model: smollm2-135m-instruct",
                                    f"model: {run.args.model}")
                       .replace("batch: 16", f"batch: {size}"))
    data.write_text("".join(f"{label}\t{text}\n" for label, text in rows))
    job = {"kind": kind, "threads": run.args.threads, "init": init,
           "folder": str(run.ref.folder), "batches": batches}
    run.note(f"{kind}: PEFT's batches have "
             + ", ".join(str(max(map(len, b))) for b in batches) + " tokens a row, "
             f"{sum(len(r) for b in batches for r in b) / len(batches):.0f} in all")
    name = best_variant(run, job, kind)
    peft = {v: Peft({**job, "variant": v}) for v in (name, LAST)}
    ours, theirs = {}, {name: [], LAST: []}
    try:
        for _ in range(run.args.rounds):
            for precision in (None, "exact"):
                result = nnr_step(run, program, data, precision)
                if result:
                    ours.setdefault(precision, []).append(result)
            for v in theirs:
                theirs[v].append(statistics.median(peft[v].steps(STEPS)))
    finally:
        for child in peft.values():
            child.stop()
    peak = {v: peft_peak({**job, "variant": v}, STEPS) / 1e6 for v in {name, "sdpa"}}
    lean = min(peak, key=peak.get)
    run.note(f"{kind}: PEFT, peak MB: " + ", ".join(f"{k}: {v:.0f}" for k, v in peak.items()))
    for v, seconds in theirs.items():
        run.note(f"{kind}: PEFT {v}: {statistics.median(seconds):.3f} s a step")
    for precision in (None, "exact"):
        got = ours.get(precision, [])
        mode = precision or (got[0][2] if got else "default")
        per_second = [1 / s for s, _, _ in got]
        for v, seconds in theirs.items():
            run.row(f"{kind}, {mode}", "steps/s", per_second, [1 / s for s in seconds],
                    bar if v == name and not precision else None,
                    f"PEFT {v}" if v == name else "PEFT's prompt, last logits only")
        run.row(f"{kind} memory, {mode}", "MB", [p / 1e6 for _, p, _ in got],
                [peak[lean]], None if precision else MEMORY, f"PEFT {lean}", less=True)


def main():
    p = parser("A training step of nnr beside PEFT's.")
    p.add_argument("--only", nargs="*", default=list(KINDS), choices=list(KINDS))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--peers-only", action="store_true")
    p.add_argument("--variants", nargs="*",
                   help="PEFT's, for a quick look: " + " ".join(variants("sst2")))
    p.add_argument("--no-save", action="store_true")
    p.set_defaults(threads=os.cpu_count())
    args = p.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    run, machine = Run(args), cpu()
    load_before = os.getloadavg()[0]
    if load_before > 0.3:
        run.note(f"the machine is not idle: load {load_before:.2f}")
    for kind in args.only:
        run.say(kind)
        part(run, kind)
    print(f"{machine['name']}, family {machine['family']} model {machine['model']}, "
          f"{args.threads} threads; median [min, max]\n")
    print(f"{'':38} {'nnr':24} {'peer':24}")
    for row in run.rows:
        print(table_line(row))
    for text in run.notes:
        print("note:", text)
    if args.only == list(KINDS) and not (args.no_save or args.variants):
        print("saved", save(run, machine, load_before, "-train").relative_to(REPO))
    return 1 if any(r["holds"] is False for r in run.rows) else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        # A process of its own: nothing of the comparison is loaded in it.
        worker(json.loads(Path(sys.argv[2]).read_text()))
        sys.exit(0)
    import yaml
    from common import HERE as FIDELITY
    from common import REPO, WORK, parser
    from scores import read_tsv
    from speed import PEAK, Run, cpu, nnr, save, table_line
    from token_lines import DATA
    sys.exit(main())
