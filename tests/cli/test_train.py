# SPDX-License-Identifier: Apache-2.0
"""nnr train: what it writes and says, that a run that was killed and resumed
ends with the same bytes, and what it refuses before it starts."""
import csv
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import pytest

from conftest import NNR, TINY, environment

SOFT = """\
nnr: 1
name: soft
model: {model}
input: {{text: string}}
output: {{label: [no, yes]}}
in:
  - soft_tokens: {{count: 3, init: {{random: 0.1}}}}
  - template: "{{text}}"
out:
  - score: {{choices: {{"no": "e", "yes": "o"}}}}
train: {{steps: 30, batch: 4, lr: 0.05, validate_every: 10, seed: 1}}
"""

TEXTS = """\
nnr: 1
name: texts
model: {model}
input: {{text: string}}
output: {{answer: string}}
in:
  - soft_tokens: {{count: 2, init: {{random: 0.1}}}}
  - template: "{{text}}"
out:
  - generate: {{max_tokens: 2}}
  - parse: {{method: text}}
train: {{epochs: 5, batch: 3, lr: 0.05}}
"""


def rows(n, first=0):
    words = ["hello", "a o", "o", "ell a", "e e a", "o o", "a a e"]
    return "".join(f"{'yes' if i % 3 else 'no'}\t{words[i % 7]} "
                   f"{'a' * (i % 4)}e\n" for i in range(first, first + n))


def names(folder):
    """What is there beside the model."""
    return sorted(p.name for p in folder.iterdir() if p.name != "tiny.gguf")


@pytest.fixture
def model(tmp_path):
    """An artifact looks for its model beside it."""
    shutil.copy(TINY, tmp_path / "tiny.gguf")
    return "./tiny.gguf"


@pytest.fixture
def soft(tmp_path, model):
    path = tmp_path / "soft.yaml"
    path.write_text(SOFT.format(model=model))
    return path


@pytest.fixture
def files(tmp_path):
    """Training and validation data."""
    (tmp_path / "d.tsv").write_text(rows(23))
    (tmp_path / "v.tsv").write_text(rows(9, 40))
    return tmp_path / "d.tsv", tmp_path / "v.tsv"


def metadata(path):
    """The artifact's JSON, read by hand."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    return json.loads(json.loads(data[8:8 + size])["__metadata__"]["nnr"])


# ---- what it does ----

def test_learns(nnr, soft, files, tmp_path):
    data, val = files
    out = tmp_path / "o.nnr"
    run = nnr("train", soft, "--data", data, "--val", val, "-o", out,
              "--record", tmp_path / "r.json", "--json", "--set",
              "train.steps=200")
    assert run.code == 0, run.err
    record = run.json()
    assert record == json.loads((tmp_path / "r.json").read_text())
    assert names(tmp_path) == ["d.tsv", "o.nnr", "r.json", "soft.yaml",
                               "v.tsv"]
    got = record["results"]
    assert got["steps"] == 200 and got["ended"] == "steps"
    assert got["best"]["loss"] < got["untrained"]["loss"] - 0.01
    assert abs(got["chance_loss"] - 0.693147) < 1e-6
    assert record["model"]["hash"] == record["model"]["hash_after"]
    assert record["parameters"] == {
        "learned": 96, "total": 7008 + 96,
        "tensors": {"soft_tokens": [3, 32]}}
    assert record["plan"]["steps"] == 200 and record["plan"]["lr"] == 0.05
    assert record["program"]["set"] == ["train.steps=200"]
    assert record["validation"]["items"] == 9
    assert record["machine"]["features"] and record["cost"]["seconds"] > 0
    # what was validated is what the artifact does
    after = nnr("eval", out, "--data", val, "--json").json()["results"]
    assert abs(after["nll"] - got["best"]["loss"]) < 1e-5
    assert after["accuracy"]["hits"] == got["best"]["accuracy"]["hits"]
    # and without training there is no answer
    assert nnr("eval", soft, "--data", val).code == 3


def test_says_before_it_starts(nnr, soft, files, tmp_path):
    data, val = files
    run = nnr("train", soft, "--data", data, "--val", val, "-o",
              tmp_path / "o.nnr")
    for line in ("learns 96 of 7104 values", "learned: soft_tokens 3x32",
                 "constant: tiny.gguf (7008 values), template, score",
                 "23 items of d.tsv", "9 items of v.tsv to choose on",
                 "30 steps of 4 items, 6 an epoch; seed 1",
                 "adamw, rate 0.05 constant", "untrained: accuracy",
                 "chance, ln 2, is 0.6931", "peak memory",
                 "step 30/30  loss", "the best of 3", "loss: * training"):
        assert line in run.err, run.err
    assert all(len(line) <= 80 for line in run.err.splitlines()), run.err
    quiet = nnr("train", soft, "--data", data, "--val", val, "-o",
                tmp_path / "o.nnr", "-q")
    assert quiet.code == 0 and quiet.err == "" and quiet.out == ""


def test_artifact_depends_on_inputs_alone(nnr, soft, files, tmp_path):
    data, val = files
    made = []
    for i, more in enumerate((["--threads", 1], ["--threads", 2],
                              ["--seed", 7], ["--seed", 7])):
        out = tmp_path / f"{i}.nnr"
        run = nnr("train", soft, "--data", data, "--val", val, "-o", out,
                  *more)
        assert run.code == 0, run.err
        made.append(out.read_bytes())
    assert made[0] == made[1] and made[2] == made[3]
    assert made[0] != made[2]
    training = metadata(tmp_path / "2.nnr")["training"]
    assert training["plan"]["seed"] == 7
    assert training["results"]["best"]["accuracy"]["n"] == 9
    assert training["backbone_before"] == training["backbone_after"]
    assert b"seconds" not in made[0] and b"/" + tmp_path.name.encode() \
        not in made[0]


def test_goes_on_from_an_artifact(nnr, soft, files, tmp_path):
    data, val = files
    one, two = tmp_path / "1.nnr", tmp_path / "2.nnr"
    first = nnr("train", soft, "--data", data, "--val", val, "-o", one,
                "--json").json()["results"]
    run = nnr("train", one, "--data", data, "--val", val, "-o", two,
              "--json")
    assert run.code == 0, run.err
    second = run.json()["results"]
    assert "as it was: accuracy" in run.err and "untrained" not in second
    assert second["start"] == "trained" and "start" not in first
    assert abs(second["before"]["loss"] - first["best"]["loss"]) < 1e-5
    assert two.read_bytes() != one.read_bytes()


def test_dry_run_writes_nothing(nnr, soft, files, tmp_path):
    before = names(tmp_path)
    run = nnr("train", soft, "--data", files[0], "--val", files[1],
              "--dry-run", "--json")
    assert run.code == 0, run.err
    assert names(tmp_path) == before
    assert run.json()["cost"]["expected_seconds"] > 0
    assert "results" not in run.json()
    assert "a first batch: loss" in run.err and "s in all" in run.err


def test_texts(nnr, model, tmp_path):
    program, data = tmp_path / "t.yaml", tmp_path / "t.jsonl"
    program.write_text(TEXTS.format(model=model))
    data.write_text("".join(
        json.dumps({"text": t, "answer": "o"}) + "\n"
        for t in ("hello", "a", "e a", "o", "a a a")))
    run = nnr("train", program, "--data", data, "--val", data, "-o",
              tmp_path / "t.nnr", "--json")
    assert run.code == 0, run.err
    got = run.json()["results"]
    assert got["best"]["loss"] < got["untrained"]["loss"]
    assert "exact_match" in got["best"] and "chance_loss" not in got
    assert "chance" not in run.err


def test_fits_follow_the_tensors(nnr, soft, files, tmp_path):
    data, val = files
    soft.write_text(soft.read_text().replace(
        "train:", '  - calibrate: {inputs: ["a", "e"]}\ntrain:'))
    run = nnr("train", soft, "--data", data, "--val", val, "-o",
              tmp_path / "o.nnr", "--json")
    assert run.code == 0, run.err
    best = run.json()["results"]["best"]
    after = nnr("eval", tmp_path / "o.nnr", "--data", val, "--json").json()
    assert abs(after["results"]["nll"] - best["loss"]) < 1e-5


def test_curves(nnr, soft, files, tmp_path):
    data, val = files
    for end in ("csv", "svg"):
        run = nnr("train", soft, "--data", data, "--val", val, "-o",
                  tmp_path / "o.nnr", "--curve", tmp_path / f"c.{end}")
        assert run.code == 0, run.err
    with open(tmp_path / "c.csv", encoding="ascii") as f:
        table = list(csv.DictReader(f))
    assert [int(r["step"]) for r in table] == list(range(31))
    assert [int(r["step"]) for r in table if r["validation_loss"]] == \
        [0, 10, 20, 30]
    assert all(float(r["rate"]) == 0.05 for r in table[1:])
    svg = ElementTree.parse(tmp_path / "c.svg").getroot()
    lines = [e for e in svg if e.tag.endswith("polyline")]
    assert len(lines) == 2 and len(lines[0].get("points").split()) == 30


def test_columns_where_and_limit(nnr, soft, tmp_path):
    soft.write_text(soft.read_text().replace("validate_every: 10, ", ""))
    data = tmp_path / "three.tsv"
    data.write_text("".join(f"x{i % 2}\t{line}\n" for i, line in
                            enumerate(rows(20).splitlines())))
    run = nnr("train", soft, "--data", data, "--columns", "part,label,text",
              "--where", "part=x1", "--limit", 7, "-o", tmp_path / "o.nnr",
              "--json")
    assert run.code == 0, run.err
    assert run.json()["data"]["items"] == 7
    assert run.json()["data"]["where"] == ["part=x1"]


# ---- several seeds ----

def test_seeds(nnr, soft, files, tmp_path):
    data, val = files
    run = nnr("train", soft, "--data", data, "--val", val, "-o",
              tmp_path / "o.nnr", "--seeds", 3, "--json")
    assert run.code == 0, run.err
    got = run.json()
    files_made = [f"o-seed{k}.nnr" for k in (1, 2, 3)]
    assert names(tmp_path) == ["d.tsv", *files_made, "o.nnr", "soft.yaml",
                               "v.tsv"]
    scores = [r["results"]["best"]["accuracy"]["value"]
              for r in got["runs"]]
    losses = [r["results"]["best"]["loss"] for r in got["runs"]]
    mean = sum(losses) / 3
    assert abs(got["loss"]["mean"] - mean) < 1e-9
    sd = (sum((v - mean) ** 2 for v in losses) / 2) ** 0.5
    assert sd > 0 and abs(got["loss"]["sd"] - sd) < 1e-9
    assert abs(got["accuracy"]["mean"] - sum(scores) / 3) < 1e-6
    best = min(range(3), key=lambda i: (-scores[i], losses[i]))
    assert got["best_seed"] == best + 1
    assert (tmp_path / "o.nnr").read_bytes() == \
        (tmp_path / files_made[best]).read_bytes()
    assert "standard deviation" in run.err
    # a seed's run is the run with that seed
    one = nnr("train", soft, "--data", data, "--val", val, "-o",
              tmp_path / "x.nnr", "--seed", 2)
    assert one.code == 0
    assert (tmp_path / "x.nnr").read_bytes() == \
        (tmp_path / "o-seed2.nnr").read_bytes()


def test_seeds_without_validation_keep_the_first(nnr, soft, files, tmp_path):
    soft.write_text(soft.read_text().replace("validate_every: 10, ", ""))
    run = nnr("train", soft, "--data", files[0], "-o", tmp_path / "o.nnr",
              "--seeds", 2, "--json", "--seed", 5)
    assert run.code == 0, run.err
    assert run.json()["best_seed"] == 5 and "accuracy" not in run.json()
    assert (tmp_path / "o.nnr").read_bytes() == \
        (tmp_path / "o-seed5.nnr").read_bytes()


# ---- killed and resumed ----

LONG = ["--set", "train.steps=400", "--checkpoint", 0]


def start(*args):
    return subprocess.Popen([NNR, "train", *map(str, args)],
                            env=environment(), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)


def stop_after_some_steps(checkpoint, number, *args):
    """Runs until there is a checkpoint and a little longer."""
    run = start(*args)
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and run.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(0.05)
    run.send_signal(number)
    out, err = run.communicate(timeout=60)
    return run.returncode, out, err.decode()


@pytest.mark.parametrize("more", [[], ["--seeds", 2]])
def test_killed_at_any_moment(nnr, soft, files, tmp_path, more):
    data, val = files
    base = [soft, "--data", data, "--val", val, *LONG, *more]
    whole = nnr("train", *base, "-o", tmp_path / "w.nnr", "--curve",
                tmp_path / "w.csv")
    assert whole.code == 0, whole.err
    rng = random.Random(4)
    out = tmp_path / "k.nnr"
    kills, most = 0, 25 if more else 50
    while True:
        run = start(*base, "-o", out, "--curve", tmp_path / "k.csv",
                    "--resume")
        try:
            run.communicate(timeout=rng.uniform(0.02, 0.2) if kills < most
                            else 60)
            break
        except subprocess.TimeoutExpired:
            run.kill()
            run.communicate()
            kills += 1
    assert run.returncode == 0 and kills >= 3
    for name in names(tmp_path):
        if name.startswith("w"):
            twin = tmp_path / ("k" + name[1:])
            assert twin.read_bytes() == (tmp_path / name).read_bytes(), name
    assert not [n for n in names(tmp_path) if "ckpt" in n]


def test_interrupted(nnr, soft, files, tmp_path):
    base = [soft, "--data", files[0], "--val", files[1], "--set",
            "train.steps=2000"]
    out = tmp_path / "o.nnr"
    ckpt = tmp_path / "o.nnr.ckpt"
    code, stdout, err = stop_after_some_steps(ckpt, signal.SIGINT, *base,
                                              "-o", out)
    assert code == 130 and stdout == b"", err
    assert err.endswith("nnr: interrupted\n")
    step = int(re.search(r"o.nnr.ckpt' holds step (\d+)", err).group(1))
    assert 0 < step < 2000 and not out.exists()
    run = nnr("train", *base, "-o", out)
    assert run.code == 3 and "--resume goes on with it" in run.err
    run = nnr("train", *base, "-o", out, "--resume")
    assert run.code == 0 and f"resumed at step {step} of 2000" in run.err
    whole = nnr("train", *base, "-o", tmp_path / "w.nnr")
    assert whole.code == 0 and not ckpt.exists()
    assert out.read_bytes() == (tmp_path / "w.nnr").read_bytes()


@pytest.fixture
def stopped(soft, files, tmp_path):
    """A run that was stopped: its arguments and its checkpoint."""
    args = [soft, "--data", files[0], "--val", files[1], *LONG]
    ckpt = tmp_path / "o.nnr.ckpt"
    code, _, err = stop_after_some_steps(ckpt, signal.SIGINT, *args, "-o",
                                         tmp_path / "o.nnr")
    assert code == 130, err
    return args + ["-o", tmp_path / "o.nnr", "--resume"], ckpt


def refused(run, *texts):
    assert run.code == 3 and run.out == "", run.err
    assert run.err.count("\n") == 1, run.err
    for text in texts:
        assert text in run.err, run.err


def last(run):
    """The same, after the lines that say what will be done."""
    run.err = run.err.splitlines(keepends=True)[-1]
    return run


def test_resume_refuses_another_run(nnr, stopped, files, soft, tmp_path):
    args, ckpt = stopped
    before = ckpt.read_bytes()
    two = r"[0-9a-f]{64} there, [0-9a-f]{64} here"
    for change, what in ((files[0], "data"), (files[1], "validation data"),
                         (soft, "program")):
        text = change.read_text()
        change.write_text(text + "no\to\n" if change != soft
                          else text.replace("count: 3", "count: 4"))
        run = last(nnr("train", *args))
        refused(run, f"of another {what}: ")
        assert re.search(two, run.err), run.err
        change.write_text(text)
    for more, what in ((["--limit", 9], "of another data"),
                       (["--precision", "exact"], "another arithmetic: "),
                       (["--seed", 3], "of another program")):
        refused(last(nnr("train", *args, *more)), what)
    data = bytearray(TINY.read_bytes())
    data[-1] ^= 1
    (tmp_path / "tiny.gguf").write_bytes(data)
    run = last(nnr("train", *args))
    refused(run, "of another backbone: ")
    assert re.search(two, run.err), run.err
    shutil.copy(TINY, tmp_path / "tiny.gguf")
    assert ckpt.read_bytes() == before
    assert nnr("train", *args).code == 0


def test_damaged_checkpoint(nnr, stopped):
    args, ckpt = stopped
    good = ckpt.read_bytes()
    rng = random.Random(1)
    for _ in range(12):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        ckpt.write_bytes(bad)
        refused(last(nnr("train", *args)), "is damaged")
    for size in (0, 7, 8, 100, len(good) // 2, len(good) - 1):
        ckpt.write_bytes(good[:size])
        refused(last(nnr("train", *args)), "is damaged")


def test_full_disk(nnr, stopped):
    args, ckpt = stopped
    before = ckpt.read_bytes()

    def small():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    run = subprocess.run([NNR, "train", *map(str, args)], env=environment(),
                         capture_output=True, preexec_fn=small, timeout=60,
                         check=False)
    assert run.returncode in (3, 4)
    assert b"checkpoint at step" in run.stderr
    assert b"cannot write" in run.stderr
    assert ckpt.read_bytes() == before
    assert [n for n in names(ckpt.parent) if "tmp" in n] == []
    assert nnr("train", *args).code == 0


# ---- what it refuses before it starts ----

def test_bad_data(nnr, soft, files, tmp_path):
    data = tmp_path / "bad.tsv"
    args = ["train", soft, "--data", data, "-o", tmp_path / "o.nnr",
            "--set", "train.validate_every=10"]
    cases = (("maybe\thello\n", "bad.tsv:1: the label `maybe` is not one of"),
             ("yes\ta\nyes\te\n", "the label of all 2 items is `yes`"),
             ("", "bad.tsv"), ("yes\ta\tb\n", "bad.tsv:1"),
             ("no\t" + "a " * 99 + "\nyes\ta\n", "line 1 of the data"))
    for text, message in cases:
        data.write_text(text)
        refused(nnr(*args, "--val", files[1]), message)
    assert not (tmp_path / "o.nnr").exists()
    data.write_text(rows(5))
    (tmp_path / "val.tsv").write_text("x\ta\n")
    refused(nnr(*args, "--val", tmp_path / "val.tsv"), "val.tsv:1")
    refused(nnr(*args, "--val", tmp_path / "none.tsv"), "none.tsv")


def test_bad_plans(nnr, soft, program, files, tmp_path):
    out = ["--data", files[0], "-o", tmp_path / "o.nnr"]
    val = ["--val", files[1]]
    refused(nnr("train", program, *out), "nothing to train")
    refused(nnr("train", soft, *out), "`validate_every` of `train` needs")
    refused(nnr("train", soft, *out, "--set", "train.patience=2"),
            "`patience` of `train` needs")
    refused(nnr("train", soft, *out, *val, "--set",
                'train.groups=[{match: "sift*", lr: 1}]'),
            "--set train.groups=", "`sift*` matches no learnable tensor",
            "known: soft_tokens")
    soft.write_text(soft.read_text().replace("steps: 30", "epochs: 2"))
    refused(nnr("train", soft, *out, *val, "--set", "train.warmup=13"),
            "`warmup` of `train` is 13 of 12 steps")
    refused(nnr("train", soft, *out, *val, "--set", "train.lrr=13"),
            "unknown key `lrr` of `train`; did you mean `lr`?")


def test_numbers_that_are_none(nnr, soft, files, tmp_path):
    run = nnr("train", soft, "--data", files[0], "--val", files[1], "-o",
              tmp_path / "o.nnr", "--set", "train.optimizer=sgd", "--set",
              "train.lr=1e6", "--set", "train.clip=0", "--set",
              "train.weight_decay=1000")
    refused(last(run), "step ", " is ", "of items", "a lower `lr`")
    assert not (tmp_path / "o.nnr").exists()


def test_bad_places(nnr, soft, files, tmp_path):
    base = ["train", soft, "--data", files[0], "--val", files[1]]
    before = names(tmp_path)
    for more in (["-o", tmp_path / "no/o.nnr"], ["-o", tmp_path],
                 ["-o", tmp_path / "o.nnr", "--curve", tmp_path / "x/c.csv"],
                 ["-o", tmp_path / "o.nnr", "--record", tmp_path / "x/r"]):
        refused(nnr(*base, *more), "cannot write")
    run = nnr(*base, "-o", tmp_path / "o.nnr", "--curve", "c.png")
    assert run.code == 2 and ".csv or .svg" in run.err
    assert nnr(*base).code == 2
    assert nnr("train", soft, "-o", "o.nnr").code == 2
    assert names(tmp_path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_folder(nnr, soft, files, tmp_path):
    folder = tmp_path / "ro"
    folder.mkdir(mode=0o555)
    run = nnr("train", soft, "--data", files[0], "--val", files[1], "-o",
              folder / "o.nnr")
    assert run.code in (3, 4) and "cannot write" in run.err


def test_same_data_to_choose_on(nnr, soft, files, tmp_path):
    run = nnr("train", soft, "--data", files[0], "--val", files[0], "-o",
              tmp_path / "o.nnr")
    assert run.code == 0
    assert "warning: the validation data are the training data" in run.err
