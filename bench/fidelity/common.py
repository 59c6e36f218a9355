"""What the fidelity scripts share: the nnr binary, the reference, a cache."""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
sys.path.insert(0, str(REPO / "bench" / "ref"))

import numpy as np  # noqa: E402

from reference import FORMAT, MODEL, PEERS, Reference, sha256  # noqa: E402

WORK = PEERS / "work"
CACHE = PEERS / "cache"


def parser(text):
    p = argparse.ArgumentParser(description=text)
    p.add_argument("--nnr", default=os.environ.get(
        "NNR", str(REPO / "build" / "release" / "nnr")), help="the nnr binary")
    p.add_argument("--model", default=str(MODEL), help="the GGUF file")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--reference-only", action="store_true",
                   help="compute and keep the reference's side, run no nnr")
    return p


def nnr(args, *words, stdin=None):
    """Run nnr; its standard output.  A failure ends the script."""
    command = [args.nnr, *map(str, words)]
    start = time.monotonic()
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, encoding="utf-8")
    args.seconds = time.monotonic() - start
    if done.returncode:
        shown = " ".join(w if len(w) < 60 else w[:57] + "..." for w in command)
        raise SystemExit(f"{shown}\nexit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def beside(model):
    """The model's name beside the programs: an artifact keeps no folder."""
    link = WORK / Path(model).name
    if not link.exists() or not link.samefile(model):
        link.unlink(missing_ok=True)
        link.symlink_to(Path(model).resolve())
    return link.name


def json_lines(text):
    # Not splitlines(): JSON may hold U+2028 and U+0085 as they are.
    return [json.loads(line) for line in text.split("\n") if line]


def cache_path(args, name, inputs):
    if not hasattr(args, "model_hash"):
        args.model_hash = sha256(args.model)
    # What answers depend on: the packages up to the first empty line.
    requirements = (REPO / "bench" / "peers" / "requirements.txt").read_text()
    requirements = requirements.split("\n\n")[0].rstrip("\n") + "\n"
    text = json.dumps([FORMAT, args.model_hash, requirements, inputs])
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def cached(args, name, inputs, make):
    """make()'s value, kept as JSON under the inputs it depends on."""
    path = cache_path(args, name, inputs).with_suffix(".json")
    if not path.exists():
        value = make()
        part = path.with_suffix(".part")
        part.write_text(json.dumps(value))
        part.rename(path)
    return json.loads(path.read_text())


def cached_array(args, name, inputs, make):
    path = cache_path(args, name, inputs).with_suffix(".npy")
    if not path.exists():
        part = path.with_suffix(".part.npy")
        np.save(part, make())
        part.rename(path)
    return np.load(path, mmap_mode="r")


class Lazy:
    """A Reference that is loaded when an answer is not in the cache."""

    def __init__(self, args):
        self.args, self.ref = args, None

    def __getattr__(self, name):
        if self.ref is None:
            self.ref = Reference(self.args.model, threads=self.args.threads)
        return getattr(self.ref, name)


def verdict(rows):
    """Print (what, figure, bar, holds) rows; the exit status."""
    print()
    for what, figure, bar, holds in rows:
        print(f"{'holds' if holds else 'FALLS SHORT':12} {what}: {figure} (bar: {bar})")
    return 0 if all(row[3] for row in rows) else 1
