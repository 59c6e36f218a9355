"""Every speed ratio of nnr to its peers, from one run on one machine.

    $NNR_PEERS/venv/bin/python bench/peers/speed.py [--only prompt score ...]

Sides alternate within each part, so that a change of the machine's clock or
load meets both; a figure is the median of the rounds, with the smallest and
largest beside it.  The table is printed and, when all parts ran, kept with the
CPU's features in bench/results/DATE-CPU.json.

prompt   nnr bench and llama-bench: 512 prompt tokens, then 128 generated
samples  ten samples of 128 tokens a question: nnr and llama-server, 10 slots
score    4-shot choice scores: nnr eval and transformers, best batch size
start    a second nnr run of a 4-shot program and llama-completion, wall time
memory   largest resident set of nnr run, prompts up to 1,024 tokens
"""

import datetime
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fidelity"))

from common import HERE as FIDELITY  # noqa: E402
from common import PEERS, REPO, WORK, Lazy, parser  # noqa: E402
from scores import load, prompts, read_tsv  # noqa: E402
from token_lines import DATA  # noqa: E402

LLAMA = PEERS / "llama" / "bin"
QUESTIONS, SAMPLES, LENGTH = 20, 10, 128
PARTS = ["prompt", "samples", "score", "start", "memory"]


class Run:
    """One run: options, and the rows of the table so far."""

    def __init__(self, args):
        self.args, self.rows, self.notes, self.ref = args, [], [], Lazy(args)

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def note(self, text):
        self.notes.append(text)
        self.say("note: " + text)

    def row(self, what, unit, ours, theirs, bar, peer, less=False):
        """Add a comparison; `less`: smaller is better and ratio is ours/theirs."""
        ours, theirs = spread(ours), spread(theirs)
        ratio = ours["median"] / theirs["median"] if ours and theirs else None
        holds = None
        if ratio is not None and bar is not None:
            holds = ratio <= bar if less else ratio >= bar
        self.rows.append({"what": what, "unit": unit, "nnr": ours, "peer": theirs,
                          "peer_name": peer, "ratio": ratio, "bar": bar,
                          "at_most": less, "holds": holds})
        self.say("  " + table_line(self.rows[-1]))


def spread(values):
    values = [v for v in values if v is not None]
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values),
            "max": max(values), "n": len(values)}


def shown(s):
    if not s:
        return "-"
    digits = 0 if s["median"] >= 100 else 1 if s["median"] >= 10 else 3
    return (f"{s['median']:.{digits}f} "
            f"[{s['min']:.{digits}f}, {s['max']:.{digits}f}]")


def table_line(r):
    ratio = "-" if r["ratio"] is None else f"{r['ratio']:.2f}x"
    bar = "" if r["bar"] is None else ("<= " if r["at_most"] else ">= ") + f"{r['bar']:.2f}x"
    holds = {None: "", True: "holds", False: "falls short"}[r["holds"]]
    return (f"{r['what']:38} {shown(r['nnr']):24} {shown(r['peer']):24} "
            f"{r['unit']:9} {ratio:>8} {bar:>9} {holds:12} {r['peer_name']}")


def command(words, stdin=None):
    """Run a command: (standard output, wall seconds, peak resident bytes)."""
    words = [str(w) for w in words]
    start = time.monotonic()
    with open(WORK / "stderr.txt", "w+b") as err:
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=err,
                                 stdin=subprocess.PIPE if stdin else subprocess.DEVNULL)
        if stdin:
            child.stdin.write(stdin.encode())
            child.stdin.close()
        out = child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            err.seek(0)
            raise SystemExit(f"{' '.join(words)[:300]}\nexit {child.returncode}: "
                             f"{err.read()[-2000:].decode(errors='replace')}")
    return out.decode(errors="replace"), seconds, usage.ru_maxrss * 1024


def nnr(run, *words, stdin=None):
    if run.args.peers_only:
        return None
    return command([run.args.nnr, *words, "--threads", run.args.threads], stdin)


# ---- prompt processing and decoding ----

def nnr_bench(run, precision):
    out = nnr(run, "bench", run.args.model, "-p", 512, "-n", 128,
              "--precision", precision, "--json")
    if out is None:
        return None, None
    result = json.loads(out[0])
    return result["prompt_tps"], result["gen_tps"]


def llama_bench(run):
    out, _, _ = command([LLAMA / "llama-bench", "-m", run.args.model, "-p", 512,
                         "-n", 128, "-t", run.args.threads, "-r", 1, "-o", "json"])
    by_kind = {bool(r["n_gen"]): r["avg_ts"] for r in json.loads(out)}
    return by_kind[False], by_kind[True]


def part_prompt(run):
    fast, exact, llama = [], [], []
    for _ in range(run.args.rounds):
        fast.append(nnr_bench(run, "fast"))
        llama.append(llama_bench(run))
        exact.append(nnr_bench(run, "exact"))
    def column(rows, i):
        return [r[i] for r in rows]
    run.row("prompt, fast", "tokens/s", column(fast, 0), column(llama, 0), 3.5, "llama-bench")
    run.row("prompt, exact", "tokens/s", column(exact, 0), column(llama, 0), 2.0, "llama-bench")
    run.row("decoding, fast", "tokens/s", column(fast, 1), column(llama, 1), 2.0, "llama-bench")
    run.row("decoding, exact", "tokens/s", column(exact, 1), column(llama, 1), None, "llama-bench")


# ---- samples ----

SAMPLING = f"""nnr: 1
name: samples
model: %s
input:  {{question: string}}
output: {{answer: number}}
data:   {{target: {{answer: '#### (.*)'}}}}
in:
  - template: "Q: {{question}}\\nA:"
out:
  - generate: {{max_tokens: {LENGTH}, samples: {SAMPLES}, temperature: 0.7, seed: 1, end_token: no}}
  - parse:    {{method: number}}
  - reduce:   {{over: sample, by: vote}}
"""


def questions():
    with open(DATA / "gsm8k" / "test.jsonl", encoding="utf-8") as file:
        return [json.loads(line) for line in file][:QUESTIONS]


class Server:
    """llama-server on loopback, stopped while the other side runs."""

    def __init__(self, run):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = open(WORK / "server.log", "wb")
        self.child = subprocess.Popen(
            [str(LLAMA / "llama-server"), "-m", run.args.model, "--host", "127.0.0.1",
             "--port", str(self.port), "-np", str(SAMPLES), "-c", str(SAMPLES * 1024),
             "-t", str(run.args.threads), "--no-ui", "--offline"],
            stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        for _ in range(200):
            time.sleep(0.1)
            try:
                if self.get("health")["status"] == "ok":
                    return
            except OSError:
                pass
        self.stop()
        raise SystemExit(f"llama-server did not start: {self.log.name}")

    def get(self, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            data=None if body is None else json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)

    def samples(self, prompt, together):
        """Tokens of ten samples, as one request or as ten at once."""
        body = {"prompt": prompt, "n_predict": LENGTH, "ignore_eos": True,
                "temperature": 0.7, "top_k": 0, "top_p": 1.0, "min_p": 0.0,
                "samplers": ["temperature"], "cache_prompt": True}
        if together:
            answers = self.get("completion", {**body, "n_cmpl": SAMPLES})
        else:
            with ThreadPoolExecutor(SAMPLES) as pool:
                answers = list(pool.map(lambda seed: self.get(
                    "completion", {**body, "seed": seed}), range(SAMPLES)))
        return sum(a["tokens_predicted"] for a in answers)

    def pause(self):
        self.child.send_signal(signal.SIGSTOP)

    def resume(self):
        self.child.send_signal(signal.SIGCONT)

    def stop(self):
        self.resume()
        self.child.terminate()
        self.child.wait(30)
        self.log.close()


def part_samples(run):
    asked = questions()
    program = WORK / "samples.yaml"
    program.write_text(SAMPLING % run.args.model)
    data = WORK / "samples.jsonl"
    data.write_text("".join(json.dumps(q) + "\n" for q in asked))
    server = Server(run)
    ours, theirs = [], {"ten requests": [], "one request": []}
    try:
        server.samples("Q: Warm up.\nA:", True)
        for i in range(run.args.rounds):
            server.pause()
            # end_token: no, so that every sample has its 128 tokens
            out = nnr(run, "eval", program, "--data", data, "--json")
            if out:
                ours.append(QUESTIONS * SAMPLES * LENGTH / out[1])
            server.resume()
            for name, together in (("ten requests", False), ("one request", True)):
                start = time.monotonic()
                made = server.samples(f"Q: {asked[i % len(asked)]['question']}\nA:", together)
                theirs[name].append(made / (time.monotonic() - start))
    finally:
        server.stop()
    best = max(theirs, key=lambda name: statistics.median(theirs[name]))
    for name, values in theirs.items():
        run.note(f"llama-server, {name}: {shown(spread(values))} tokens/s")
    run.row("ten samples a question, fast", "tokens/s", ours, theirs[best], 4.0,
            f"llama-server, {SAMPLES} slots, {best}; a question a round")


# ---- scoring ----

def torch_scores(model, ids, rows, choices, size):
    """Label logits of prompts in padded batches, longest together."""
    import torch
    order = sorted(rows, key=lambda i: -len(ids[i]))
    head = model.lm_head.weight[choices]
    out = {}
    with torch.inference_mode():
        for at in range(0, len(order), size):
            part = order[at:at + size]
            longest = max(len(ids[i]) for i in part)
            batch = torch.zeros(len(part), longest, dtype=torch.long)
            mask = torch.zeros(len(part), longest, dtype=torch.long)
            for r, i in enumerate(part):
                batch[r, :len(ids[i])] = torch.tensor(ids[i])
                mask[r, :len(ids[i])] = 1
            padded = int(mask.sum()) != mask.numel()
            hidden = model.model(input_ids=batch, use_cache=False,
                                 attention_mask=mask if padded else None)[0]
            last = hidden[torch.arange(len(part)), mask.sum(1) - 1]
            for r, i in enumerate(part):
                out[i] = (last[r] @ head.T).float().tolist()
    return out


def part_score(run):
    import torch
    torch.set_num_threads(run.args.threads)
    program = load(run.args, FIDELITY / "programs" / "sst2-4.yaml")
    data = DATA / "sst2" / "dev.tsv"
    rows = read_tsv(data, 400)
    ids = [run.ref.tokenize(text) for text in prompts(program, rows)]
    choices = [run.ref.tokenize(text) for text in program["choices"].values()]
    if any(len(c) != 1 for c in choices):
        raise SystemExit("this part expects choices of one token")
    choices = [c[0] for c in choices]
    some = list(range(0, len(rows), len(rows) // run.args.items))[:run.args.items]
    run.note(f"{len(ids[0])} tokens in the first prompt; transformers timed on "
             f"{len(some)} items evenly from the {len(rows)}")
    model = run.ref.model

    def theirs(model, size):
        start = time.monotonic()
        torch_scores(model, ids, some, choices, size)
        return len(some) / (time.monotonic() - start)

    best = {}
    for kind in ("fp32", "bf16"):
        model = model.to(torch.float32 if kind == "fp32" else torch.bfloat16)
        torch_scores(model, ids, some[:8], choices, 8)
        tried = {size: theirs(model, size) for size in (1, 8, 16, 32)}
        best[kind] = max(tried, key=tried.get)
        run.note(f"transformers {kind}, items/s by batch size: "
                 + ", ".join(f"{k}: {v:.2f}" for k, v in tried.items()))
    model = model.to(torch.float32)
    import copy
    small = copy.deepcopy(model).to(torch.bfloat16)
    ours, peer = {"fast": [], "exact": []}, {"fp32": [], "bf16": []}
    for _ in range(run.args.rounds):
        for precision, kind, which in (("fast", "fp32", model), ("exact", "bf16", small)):
            out = nnr(run, "eval", program["path"], "--data", data, "--limit", 400,
                      "--precision", precision, "--json")
            if out:
                ours[precision].append(len(rows) / out[1])
            peer[kind].append(theirs(which, best[kind]))
    for precision, bar in (("fast", 6.0), ("exact", None)):
        run.row(f"4-shot scoring, {precision}", "items/s", ours[precision],
                peer["fp32"], bar, f"transformers fp32, batch {best['fp32']}")
    run.row("4-shot scoring, fast", "items/s", ours["fast"], peer["bf16"], None,
            f"transformers bf16, batch {best['bf16']}")


# ---- a second start ----

def part_start(run):
    program = load(run.args, FIDELITY / "programs" / "sst2-4.yaml")
    row = read_tsv(DATA / "sst2" / "dev.tsv", 1)[0]
    prompt = WORK / "prompt.txt"
    prompt.write_text(prompts(program, [row])[0])
    ours, theirs = [], {"--no-warmup": [], "--warmup": []}
    nnr(run, "run", program["path"], "--text", row[1], "--json")
    for _ in range(run.args.rounds + 2):
        out = nnr(run, "run", program["path"], "--text", row[1], "--json")
        if out:
            ours.append(out[1])
        for flag, values in theirs.items():
            values.append(command([
                LLAMA / "llama-completion", "-m", run.args.model, "-f", prompt,
                "-n", 1, "-t", run.args.threads, "-no-cnv", "--temp", 0,
                "--no-display-prompt", "--simple-io", flag])[1])
    best = min(theirs, key=lambda name: statistics.median(theirs[name]))
    run.row("second run of a 4-shot program", "s", ours, theirs[best], 1 / 3,
            f"llama-completion -n 1 {best}", less=True)


# ---- memory ----

# A child starts with its parent's peak, so a small interpreter starts it.
PEAK = """
import os, sys
null = os.open(os.devnull, os.O_RDWR)
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)])
_, status, usage = os.wait4(child, 0)
print(usage.ru_maxrss * 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak_bytes(run, *words):
    words = [run.args.nnr, *map(str, words), "--threads", str(run.args.threads)]
    return int(subprocess.run([sys.executable, "-c", PEAK, *map(str, words)],
                              check=True, capture_output=True, text=True).stdout)


def part_memory(run):
    text = (DATA / "lm_corpora" / "wikitext2_test.txt").read_text()[:8000]
    while len(run.ref.tokenize(text)) > 990:
        text = text[:-50]
    score = load(run.args, FIDELITY / "programs" / "sst2-0.yaml")["path"]
    greedy = WORK / "greedy.yaml"
    greedy.write_text((FIDELITY / "programs" / "greedy.yaml").read_text().replace(
        "model: smollm2-135m-instruct", f"model: {run.args.model}"))
    size = os.path.getsize(run.args.model)
    for name, path in (("score", score), ("generate", greedy)):
        # An empty cache folder: the compiled prefix is made in this run.
        peak = [] if run.args.peers_only else [
            peak_bytes(run, "run", path, "--text", text, "--no-cache") / 1e6]
        run.row(f"peak memory, {name}, fast", "MB", peak, [(size + 150e6) / 1e6],
                1.0, "model file + 150 MB", less=True)


def cpu():
    info = Path("/proc/cpuinfo").read_text()
    def field(name):
        found = re.search(rf"^{name}\s*:\s*(.*)$", info, re.M)
        return found.group(1) if found else "unknown"
    return {"name": field("model name"), "family": field("cpu family"),
            "model": field("model"), "cpus": os.cpu_count(),
            "flags": field("flags").split()}


def save(run, machine, load_before, kind=""):
    name = re.sub(r"[^a-z0-9]+", "-", machine["name"].lower()).strip("-")
    name += f"-f{machine['family']}m{machine['model']}"
    now = datetime.datetime.now(datetime.timezone.utc)
    stem = f"{now:%Y-%m-%d}-{name}{kind}" + ("-peers" if run.args.peers_only else "")
    path = REPO / "bench" / "results" / f"{stem}.json"
    commit = subprocess.run(["git", "-C", REPO, "rev-parse", "HEAD"],
                            capture_output=True, text=True).stdout.strip()
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({
        "time": f"{now:%Y-%m-%dT%H:%MZ}", "commit": commit, "cpu": machine,
        "threads": run.args.threads, "load_before": load_before,
        "model": Path(run.args.model).name,
        "peers": (REPO / "bench" / "peers" / "requirements.txt").read_text().split("\n"),
        "llama": (PEERS / "llama" / "package").read_text().strip(),
        "rows": run.rows, "notes": run.notes}, indent=1) + "\n")
    return path


def main():
    p = parser("Speed of nnr beside its peers.")
    p.add_argument("--only", nargs="*", default=PARTS, choices=PARTS)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--items", type=int, default=64, help="items transformers is timed on")
    p.add_argument("--peers-only", action="store_true")
    p.add_argument("--no-save", action="store_true")
    args = p.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    run, machine = Run(args), cpu()
    load_before = os.getloadavg()[0]
    if load_before > 0.3:
        run.note(f"the machine is not idle: load {load_before:.2f}")
    for part in args.only:
        run.say(part)
        first = len(run.rows)
        globals()["part_" + part](run)
        for row in run.rows[first:]:
            row["part"] = part
    print(f"{machine['name']}, family {machine['family']} model {machine['model']}, "
          f"{args.threads} threads; median [min, max]\n")
    print(f"{'':38} {'nnr':24} {'peer':24}")
    for row in run.rows:
        print(table_line(row))
    for text in run.notes:
        print("note:", text)
    # A part by itself is a look, not a record.
    if args.only == PARTS and not args.no_save:
        print("saved", save(run, machine, load_before).relative_to(REPO))
    return 1 if any(r["holds"] is False for r in run.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
