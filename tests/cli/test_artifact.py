# SPDX-License-Identifier: Apache-2.0
"""Artifacts through the command: compiled, run without their source, shown,
refused where they are damaged, untrained or on another backbone; and read by
tests/reader.py, which knows docs/format.md only."""
import json
import shutil
import subprocess
import sys

import pytest

from conftest import NNR, ROOT, TINY, environment

sys.path.insert(0, str(ROOT / "tests"))
import reader  # noqa: E402

FITTED = """\
nnr: 1
name: fitted
model: {model}
input: {{text: string}}
output: {{label: [no, yes]}}
in:
  - demos: {{file: demos.tsv}}
  - template: "{{text}}:"
out:
  - score: {{choices: {{"no": "ne", "yes": " pos"}}}}
  - calibrate: {{method: batch, data: train.tsv}}
"""

SOFT = """\
nnr: 1
name: soft
model: {model}
input: {{text: string}}
output: {{label: [no, yes]}}
in:
  - soft_tokens: {{count: 3, init: {{random: 0.1}}}}
  - template: "{{text}}:"
out:
  - score: {{choices: {{"no": "ne", "yes": " pos"}}}}
"""


@pytest.fixture
def fitted(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "demos.tsv").write_text("yes\tgap to d\nno\tice\n")
    (source / "train.tsv").write_text("yes\tbag\nno\tdot\nyes\tcat 0.1\n")
    path = source / "fitted.yaml"
    path.write_text(FITTED.format(model=TINY))
    return path


@pytest.fixture
def soft(tmp_path):
    path = tmp_path / "soft.yaml"
    path.write_text(SOFT.format(model=TINY))
    return path


@pytest.fixture
def compiled(nnr, fitted, tmp_path):
    """What it holds was fitted in exact arithmetic."""
    out = tmp_path / "out.nnr"
    made = nnr("compile", fitted, "-o", out, "--precision", "exact")
    assert made.code == 0, made.err
    return out


def scores(nnr, *args):
    got = nnr("run", *args, "--text", "a pint", "--json",
              "--precision", "exact")
    assert got.code == 0, got.err
    return got.json()


def test_compiled_answers_alike(nnr, fitted, compiled):
    want = scores(nnr, fitted)
    shutil.rmtree(fitted.parent)
    assert scores(nnr, compiled) == want
    assert nnr("check", compiled).code == 0


def test_same_bytes(nnr, fitted, compiled, tmp_path):
    again, twice = tmp_path / "again.nnr", tmp_path / "twice.nnr"
    made = nnr("compile", fitted, "-o", again, "--json", "--precision",
               "exact")
    assert made.json()["sha256"] == reader.read(again)["sha256"]
    assert made.json()["bytes"] == again.stat().st_size
    assert again.read_bytes() == compiled.read_bytes()
    # from another folder, on another number of threads
    moved = tmp_path / "moved"
    shutil.copytree(fitted.parent, moved)
    nnr("compile", moved / fitted.name, "-o", again, "--threads", 1,
        "--precision", "exact")
    assert again.read_bytes() == compiled.read_bytes()
    assert nnr("compile", compiled, "-o", twice).code == 0
    assert twice.read_bytes() == compiled.read_bytes()


def test_second_reader(compiled):
    got = reader.read(compiled)
    doc = got["nnr"]
    assert doc["program"]["name"] == "fitted"
    assert doc["program"]["model"] == TINY.name
    assert {name: t["shape"] for name, t in got["tensors"].items()} == {
        "calibrate.scale": [2], "calibrate.shift": [2]}
    assert got["tensors"]["calibrate.scale"]["values"] == (1, 1)
    assert [f["name"] for f in doc["files"]] == ["demos.tsv", "train.tsv"]
    assert doc["files"][0]["text"] == "yes\tgap to d\nno\tice\n"
    assert doc["files"][1]["text"] is None
    data = compiled.read_bytes()
    for place in (b"/tmp", str(ROOT).encode(), b"/home", b"/root"):
        assert place not in data


def test_readers_agree(nnr, compiled, tmp_path):
    """Changed at a byte, sealed again or not: both readers refuse it, but
    where only numbers of a tensor changed both take it."""
    data = bytearray(compiled.read_bytes())
    path = tmp_path / "changed.nnr"
    at = data.index(reader.MARK) + len(reader.MARK)
    taken = 0
    for i in range(0, len(data), 37):
        if at <= i < at + 64:
            continue
        changed = bytearray(data)
        changed[i] ^= 0x10
        path.write_bytes(changed)
        assert nnr("show", path).code == 3
        with pytest.raises(reader.Bad):
            reader.read(path)
        changed[at:at + 64] = b"0" * 64
        changed[at:at + 64] = reader.hashlib.sha256(
            changed).hexdigest().encode()
        path.write_bytes(changed)
        try:
            reader.read(path)
            theirs = 0
        except (reader.Bad, ValueError, KeyError, TypeError):
            theirs = 3
        ours = nnr("show", path)
        # nnr reads the YAML too, and compares backbones
        assert ours.code == 3 or theirs == 0, (i, ours.err)
        taken += ours.code == 0
    assert taken > 0


def test_show(nnr, compiled):
    shown = nnr("show", compiled, "--json").json()["artifact"]
    got = reader.read(compiled)
    assert shown["sha256"] == got["sha256"]
    assert shown["backbone"] == got["nnr"]["backbone"]
    assert shown["tensors"] == {"calibrate.scale": [2],
                                "calibrate.shift": [2]}
    assert shown["rebound"] is False
    text = nnr("show", compiled)
    assert text.code == 0
    assert got["sha256"] in text.err and "calibrate.shift" in text.err


def test_content_not_name(nnr, compiled, tmp_path):
    """An artifact is one under any name; a .nnr that is none says so."""
    other = tmp_path / "other.program"
    shutil.copy(compiled, other)
    assert scores(nnr, other) == scores(nnr, compiled)
    wrong = tmp_path / "wrong.nnr"
    wrong.write_text("nnr: 1\nname: x\n")
    got = nnr("check", wrong)
    assert got.code == 3
    assert "not an artifact of nnr" in got.err


def test_damaged(nnr, compiled, tmp_path):
    data = compiled.read_bytes()
    path = tmp_path / "cut.nnr"
    path.write_bytes(data[:-1])
    got = nnr("run", path, "--text", "d")
    assert got.code == 3
    assert "damaged: its SHA-256 is" in got.err
    assert len(got.err.strip().splitlines()) == 1


def test_untrained(nnr, soft, tmp_path):
    got = nnr("run", soft, "--text", "ne")
    assert got.code == 3
    assert "`soft_tokens` was never trained" in got.err
    first = scores(nnr, soft, "--untrained")
    out = tmp_path / "soft.nnr"
    made = nnr("compile", soft, "-o", out, "--json").json()
    assert made["untrained"] == ["soft_tokens"] and made["tensors"] == {}
    assert reader.read(out)["tensors"] == {}
    data = tmp_path / "data.tsv"
    data.write_text("yes\tbag\nno\tdot\n")
    assert nnr("eval", out, "--data", data).code == 3
    got = nnr("eval", out, "--data", data, "--untrained", "--json")
    assert got.code == 0
    assert got.json()["program"]["untrained"] is True
    assert "as they begin" in got.err
    assert nnr("run", out, "--text", "ne").code == 3
    assert scores(nnr, out, "--untrained") == first


def test_overrides(nnr, fitted, compiled, tmp_path):
    """Resolved in when they are compiled; a fit does not outlive one."""
    out = tmp_path / "set.nnr"
    override = ("--set", "calibrate.method=contextual",
                "--set", "calibrate={inputs: [to]}")
    assert nnr("compile", fitted, *override, "-o", out, "--precision",
               "exact").code == 0
    assert "inputs" in reader.read(out)["nnr"]["program"]["source"]
    assert scores(nnr, out) == scores(nnr, fitted, *override)
    assert scores(nnr, out) != scores(nnr, fitted)
    got = nnr("run", compiled, "--set", "template=x {text}",
              "--text", "a pint")
    assert got.code == 3
    assert "`train.tsv` is not in the artifact" in got.err


def other_model(tmp_path):
    """The tiny model with one weight changed: another backbone."""
    path = tmp_path / "other.gguf"
    data = bytearray(TINY.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    return path


def test_rebind(nnr, tmp_path):
    source = tmp_path / "p.yaml"
    source.write_text(FITTED.format(model=TINY).replace(
        "{method: batch, data: train.tsv}", "{inputs: [to]}"))
    (tmp_path / "demos.tsv").write_text("yes\tdot\n")
    out = tmp_path / "p.nnr"
    assert nnr("compile", source, "-o", out).code == 0
    other = other_model(tmp_path)
    named = ("--set", f"model={other}")
    got = nnr("run", out, *named, "--text", "d")
    assert got.code == 3
    own = reader.read(out)["nnr"]["backbone"]["sha256"]
    new = nnr("model", "info", other, "--json").json()["sha256"]
    assert own in got.err and new in got.err and "--rebind" in got.err
    got = nnr("run", out, *named, "--rebind", "--text", "d", "--json")
    assert got.code == 0
    assert f"rebound; it was made on the backbone {own}" in got.err
    assert got.json() == nnr("run", source, *named, "--text", "d",
                             "--json").json()
    got = nnr("eval", out, *named, "--rebind", "--json", "--data",
              tmp_path / "demos.tsv")
    assert got.json()["program"]["rebound"] == own
    assert own[:16] in got.err
    shown = nnr("show", out, *named, "--rebind", "--json").json()["artifact"]
    assert shown["rebound"] is True
    moved = tmp_path / "moved.nnr"
    assert nnr("compile", out, *named, "--rebind", "-o", moved).code == 0
    doc = reader.read(moved)["nnr"]
    assert doc["backbone"]["sha256"] == new
    assert doc["parent"] == {"backbone": own,
                             "sha256": reader.read(out)["sha256"]}


def test_model_not_here(compiled, tmp_path):
    """Its name means nothing elsewhere; its hash finds it, or says so."""
    env = {**environment(), "NNR_CACHE": str(tmp_path / "empty")}
    run = subprocess.run([NNR, "run", str(compiled), "--text", "d"],
                         capture_output=True, env=env, timeout=60)
    said = run.stderr.decode()
    assert run.returncode == 3
    assert reader.read(compiled)["nnr"]["backbone"]["sha256"] in said
    assert "--set model=PATH" in said
    run = subprocess.run([NNR, "run", str(compiled), "--text", "d", "--set",
                          f"model={TINY}"], capture_output=True, env=env,
                         timeout=60)
    assert run.returncode == 0, run.stderr


def test_usage(nnr, fitted, tmp_path):
    assert nnr("compile", fitted).code == 2
    assert nnr("compile", fitted, "-o", tmp_path).code == 3
    got = nnr("compile", fitted, "-o", tmp_path / "no" / "x.nnr")
    assert got.code == 3 and not list(tmp_path.glob("**/*.tmp.*"))


def test_reader_command(compiled):
    run = subprocess.run([sys.executable, str(ROOT / "tests/reader.py"),
                          str(compiled)], capture_output=True, timeout=60)
    assert run.returncode == 0
    assert json.loads(run.stdout)["name"] == "fitted"
