# SPDX-License-Identifier: Apache-2.0
"""PEFT folders, written by hand as its library writes them, in and out; the
round trip with the library itself is bench/peers/peft_roundtrip.py.

The tiny model has hidden size 32, 1 layer, 1 key head of 16 dimensions."""
import json
import math
import struct
import sys

import pytest

from conftest import ROOT, TINY

sys.path.insert(0, str(ROOT / "tests"))
import reader  # noqa: E402

HIDDEN, LAYERS, DIM, COUNT = 32, 1, 16, 3

PROGRAM = """\
nnr: 1
name: labels
model: {model}
input: {{text: string}}
output: {{label: [no, yes]}}
in:
  - {step}
  - template: "{{text}}:"
out:
  - score: {{choices: {{"no": "ne", "yes": " pos"}}}}
  - calibrate: {{inputs: [to]}}
"""


def safetensors(tensors, dtype="F32"):
    """One file of {name: (shape, values)}."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, (shape, values) in tensors.items():
        code = {"F32": "f", "F16": "e", "I32": "i"}[dtype]
        raw = struct.pack(f"<{len(values)}{code}", *values)
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def config(kind, **changes):
    """As PEFT 0.21 writes it."""
    prefix = kind == "PREFIX_TUNING"
    c = {"auto_mapping": None, "base_model_name_or_path": "/home/me/tiny",
         "inference_mode": True,
         "num_attention_heads": 1 if prefix else 2, "num_layers": LAYERS,
         "num_transformer_submodules": 1, "num_virtual_tokens": COUNT,
         "peft_type": kind, "peft_version": "0.21.2", "revision": None,
         "task_type": "CAUSAL_LM", "token_dim": DIM if prefix else HIDDEN}
    return {**c, **changes}


def values_of(n):
    """Distinct, exact in half precision."""
    return [(i - n // 2) / 64 for i in range(n)]


def folder(path, kind, tensors=None, dtype="F32", **changes):
    cols = 2 * LAYERS * DIM if kind == "PREFIX_TUNING" else HIDDEN
    if tensors is None:
        tensors = {"prompt_embeddings": ([COUNT, cols],
                                         values_of(COUNT * cols))}
    path.mkdir()
    (path / "adapter_config.json").write_text(
        json.dumps(config(kind, **changes), indent=2, sort_keys=True))
    (path / "adapter_model.safetensors").write_bytes(
        safetensors(tensors, dtype))
    return path


def run(nnr, program, text="a pint"):
    got = nnr("run", program, "--text", text, "--json", "--precision",
              "exact")
    assert got.code == 0, got.err
    return got.json()


@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "P_TUNING"])
@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_prompt(nnr, tmp_path, kind, dtype):
    source, out = folder(tmp_path / "mine", kind, dtype=dtype), \
        tmp_path / "o.nnr"
    made = nnr("import", source, "-o", out, "--model", TINY, "--json")
    assert made.code == 0, made.err
    assert made.json()["tensors"] == {"soft_tokens": [COUNT, HIDDEN]}
    assert made.json()["untrained"] == []
    got = reader.read(out)
    assert got["tensors"]["soft_tokens"]["values"] == \
        tuple(values_of(COUNT * HIDDEN))
    doc = got["nnr"]
    assert doc["program"]["name"] == "mine"
    assert doc["training"]["imported"] == {
        "base_model_name_or_path": "tiny", "from": "peft",
        "peft_type": kind, "peft_version": "0.21.2",
        "sha256": reader.hashlib.sha256(
            (source / "adapter_model.safetensors").read_bytes()).hexdigest()}
    assert b"/home" not in out.read_bytes()
    assert "answer" in run(nnr, out)["out"]


def test_prefix_rows(nnr, tmp_path):
    """Where each number goes: PEFT's [token][layer][key or value][dim], its
    keys in the order of HF's models, to ours."""
    out = tmp_path / "o.nnr"
    source = folder(tmp_path / "p", "PREFIX_TUNING")
    made = nnr("import", source, "-o", out, "--model", TINY)
    assert made.code == 0, made.err
    tensor = reader.read(out)["tensors"]["prefix"]
    assert tensor["shape"] == [LAYERS, 2, COUNT, DIM]
    have = tensor["values"]
    theirs = values_of(COUNT * 2 * DIM)
    for token in range(COUNT):
        for i in range(DIM):
            # rope turns i and i + 8 there, 2i and 2i + 1 here
            ours = 2 * i if i < 8 else 2 * (i - 8) + 1
            key = theirs[token * 2 * DIM + i]
            value = theirs[token * 2 * DIM + DIM + i]
            assert have[token * DIM + ours] == key
            assert have[COUNT * DIM + token * DIM + i] == value
    run(nnr, out)


@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "PREFIX_TUNING"])
def test_round_trip(nnr, tmp_path, kind):
    out, back, again = (tmp_path / n for n in ("o.nnr", "back", "2.nnr"))
    source = folder(tmp_path / "p", kind)
    assert nnr("import", source, "-o", out, "--model", TINY).code == 0
    got = nnr("export", out, "-o", back, "--json")
    assert got.code == 0, got.err
    assert got.json()["lost"] == [
        {"step": "template", "id": "template", "learned": False},
        {"step": "generate", "id": "generate", "learned": False}]
    assert "template" in got.err
    name = "adapter_model.safetensors"
    assert (back / name).read_bytes() == (source / name).read_bytes()
    text = (back / "adapter_config.json").read_text()
    theirs, ours = config(kind), json.loads(text)
    assert list(ours) == sorted(ours)
    for key in ("peft_type", "task_type", "num_virtual_tokens", "token_dim",
                "num_layers", "num_attention_heads",
                "num_transformer_submodules"):
        assert ours[key] == theirs[key]
    assert ours["base_model_name_or_path"] == "tiny"
    assert nnr("import", back, "-o", again, "--model", TINY).code == 0
    assert run(nnr, again) == run(nnr, out)


def test_rows_matter(nnr, tmp_path):
    """Other rows, other scores: they are run with."""
    step = "soft_tokens: {count: 3, init: {random: 0.1}}"
    program = tmp_path / "labels.yaml"
    program.write_text(PROGRAM.format(model=TINY, step=step))
    made = []
    for scale in (1, -1):
        tensors = {"prompt_embeddings": (
            [COUNT, HIDDEN], [scale * v for v in values_of(COUNT * HIDDEN)])}
        source = folder(tmp_path / f"p{scale}", "PROMPT_TUNING", tensors)
        out = tmp_path / f"{scale}.nnr"
        got = nnr("import", source, "-o", out, "--program", program,
                  "--precision", "exact")
        assert got.code == 0, got.err
        made.append(run(nnr, out)["scores"])
    assert made[0] != made[1]
    got = nnr("export", tmp_path / "1.nnr", "-o", tmp_path / "b", "--json")
    assert [s["step"] for s in got.json()["lost"]] == \
        ["template", "score", "calibrate"]


def test_fit_is_of_these_rows(nnr, tmp_path):
    """A contextual fit is made again after the rows came: with rows of
    another import it is not the same."""
    step = "prefix: {rows: 3, init: {random: 0.1}}"
    program = tmp_path / "labels.yaml"
    program.write_text(PROGRAM.format(model=TINY, step=step))
    source = folder(tmp_path / "p", "PREFIX_TUNING")
    out = tmp_path / "o.nnr"
    got = nnr("import", source, "-o", out, "--program", program,
              "--model", TINY, "--precision", "exact")
    assert got.code == 0, got.err
    stored = run(nnr, out)
    # an override that changes nothing has the fit made anew
    again = nnr("run", out, "--text", "a pint", "--json", "--precision",
                "exact", "--set", "calibrate.inputs=[to]").json()
    assert again == stored
    plain = nnr("run", program, "--text", "a pint", "--json", "--untrained",
                "--precision", "exact").json()
    assert plain != stored


def no_tensor(path):
    (path / "adapter_model.safetensors").write_bytes(
        safetensors({"other": ([1], [1.0])}))


def pickle(path):
    (path / "adapter_model.safetensors").unlink()
    (path / "adapter_model.bin").write_bytes(b"\x80\x02.")


def two_tensors(path):
    (path / "adapter_model.safetensors").write_bytes(safetensors({
        "prompt_embeddings": ([COUNT, HIDDEN],
                              values_of(COUNT * HIDDEN)),
        "score.weight": ([1], [1.0])}))


def not_finite(path):
    rows = values_of(COUNT * HIDDEN)
    rows[40] = math.nan
    (path / "adapter_model.safetensors").write_bytes(
        safetensors({"prompt_embeddings": ([COUNT, HIDDEN], rows)}))


def whole_numbers(path):
    (path / "adapter_model.safetensors").write_bytes(safetensors(
        {"prompt_embeddings": ([COUNT, HIDDEN], [1] * COUNT * HIDDEN)},
        "I32"))


def other_size(path):
    (path / "adapter_model.safetensors").write_bytes(safetensors(
        {"prompt_embeddings": ([COUNT, 64], values_of(COUNT * 64))}))


def cut(path):
    file = path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])


def set_config(**changes):
    def change(path):
        file = path / "adapter_config.json"
        both = {**json.loads(file.read_text()), **changes}
        file.write_text(json.dumps({k: v for k, v in both.items()
                                    if v != "gone"}))
    return change


def no_config(path):
    (path / "adapter_config.json").unlink()


@pytest.mark.parametrize("change, says", [
    (no_tensor, "no tensor `prompt_embeddings` among its 1"),
    (pickle, "is a pickle"),
    (two_tensors, "holds `score.weight` too"),
    (not_finite, "`prompt_embeddings`: value 40 is not finite"),
    (whole_numbers, "is I32; F32, F16 or BF16 expected"),
    (other_size, "for a model of another size: `prompt_embeddings` is F32 "
                 "[3, 64]"),
    (cut, "adapter_model.safetensors: tensor `prompt_embeddings`"),
    (no_config, "adapter_config.json"),
    (set_config(peft_type="gone"), "no `peft_type`"),
    (set_config(peft_type="LORA"), "`peft_type` is LORA; nnr reads"),
    (set_config(task_type="SEQ_CLS"), "`task_type` is SEQ_CLS"),
    (set_config(num_virtual_tokens=4), "4 rows, one a virtual token"),
    (set_config(num_virtual_tokens="gone"), "`num_virtual_tokens` from 1"),
    (set_config(num_virtual_tokens=-1), "not a whole number from 1 on"),
    (set_config(num_layers=30), "for a model of another size"),
    (set_config(num_transformer_submodules=2), "encoder and a decoder"),
])
def test_bad_folder(nnr, tmp_path, change, says):
    source, out = folder(tmp_path / "p", "PROMPT_TUNING"), \
        tmp_path / "o.nnr"
    change(source)
    got = nnr("import", source, "-o", out, "--model", TINY)
    assert got.code == 3
    assert says in got.err
    assert len(got.err.strip().splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize("step, says", [
    ("soft_tokens: {count: 4, init: {random: 0.1}}",
     "`soft_tokens`: 4, but the folder has 3 virtual tokens"),
    ("prefix: {rows: 3, init: {random: 0.1}}", "has no step `soft_tokens`"),
    ("soft_tokens: {count: 3, form: {mlp: 4}, init: {random: 0.1}}",
     "its form must be free"),
    ("template: \"x\"\n    id: x\n  - soft_tokens: {count: 3, init: "
     "{random: 0.1}}", "it must be the first step of `in`"),
])
def test_program_that_does_not_fit(nnr, tmp_path, step, says):
    source = folder(tmp_path / "p", "PROMPT_TUNING")
    program = tmp_path / "p.yaml"
    program.write_text(PROGRAM.format(model=TINY, step=step))
    got = nnr("import", source, "-o", tmp_path / "o.nnr", "--program",
              program)
    assert got.code == 3
    assert says in got.err


def test_what_cannot_be_exported(nnr, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(PROGRAM.format(model=TINY, step="template: \"a \"\n"
                                   "    id: x"))
    got = nnr("export", path, "-o", tmp_path / "d")
    assert got.code == 3
    assert "neither `soft_tokens` nor `prefix`" in got.err
    path.write_text(PROGRAM.format(
        model=TINY, step="soft_tokens: {count: 3, init: {random: 0.1}}"))
    got = nnr("export", path, "-o", tmp_path / "d")
    assert got.code == 3
    assert "never trained" in got.err
    assert not (tmp_path / "d").exists()
    got = nnr("export", path, "-o", tmp_path / "d", "--untrained")
    assert got.code == 0


def test_usage(nnr, tmp_path):
    source = folder(tmp_path / "p", "PROMPT_TUNING")
    assert nnr("import", source, "--model", TINY).code == 2
    assert nnr("import", source, "-o", tmp_path / "o.nnr").code == 2
    assert nnr("export", tmp_path / "x.nnr").code == 2


def test_logits_in_a_program(nnr, tmp_path):
    """The logits of a text after the rows; the rows themselves have none."""
    source, out = folder(tmp_path / "p", "PROMPT_TUNING"), \
        tmp_path / "o.nnr"
    assert nnr("import", source, "-o", out, "--model", TINY).code == 0
    files = {}
    for name, what in (("with", out), ("without", TINY)):
        file = tmp_path / f"{name}.safetensors"
        got = nnr("logits", what, "--text", "a pint", "-o", file, "--json")
        assert got.code == 0, got.err
        files[name] = (got.json(), file.read_bytes())
    assert files["with"][0] == files["without"][0]
    assert len(files["with"][1]) == len(files["without"][1])
    # the same header and tokens, other logits
    head = 8 + struct.unpack("<Q", files["with"][1][:8])[0]
    head += 8 * files["with"][0]["tokens"]
    assert files["with"][1][:head] == files["without"][1][:head]
    assert files["with"][1][head:] != files["without"][1][head:]
