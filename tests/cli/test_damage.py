# SPDX-License-Identifier: Apache-2.0
"""Damaged model files given to the command: `nnr model info FILE --json`
answers with exit code 0 and a JSON document, or 3 and one line on stderr.

The reader itself is tested at every byte, under the sanitizers, by
tests/unit/test_gguf.c; here a sample of that goes through the command.
"""
import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NNR = os.environ.get("NNR", str(ROOT / "build/release/nnr"))
TINY = ROOT / "fuzz/seeds/gguf/tiny.gguf"
REAL = "smollm2-135m-instruct"

pytestmark = pytest.mark.skipif(not os.access(NNR, os.X_OK),
                                reason=f"no command at {NNR}")


def info(path):
    """(accepted, message or document); fails on any other behaviour."""
    run = subprocess.run([NNR, "model", "info", str(path), "--json"],
                         capture_output=True, timeout=60)
    err = run.stderr.decode()
    assert run.returncode in (0, 3), (run.returncode, err)
    if run.returncode == 0:
        return True, json.loads(run.stdout)
    assert run.stdout == b""
    assert err.endswith("\n") and err.count("\n") == 1 and len(err) > 10, err
    return False, err


@pytest.fixture
def scratch(tmp_path):
    """Writes bytes to one file and asks the command about it."""
    path = tmp_path / "scratch.gguf"

    def ask(data):
        path.write_bytes(data)
        return info(path)

    return ask


@pytest.fixture(scope="module")
def tiny():
    return TINY.read_bytes()


def after(data, text):
    """Offset of the first byte after text."""
    at = data.index(text)
    return at + len(text)


def patch(data, at, new):
    return data[:at] + new + data[at + len(new):]


def test_valid(scratch, tiny):
    ok, doc = scratch(tiny)
    assert ok
    assert doc["architecture"] == "llama"
    assert doc["parameters"] == 7008
    assert len(doc["sha256"]) == 64
    assert sum(t["tensors"] for t in doc["tensor_types"].values()) == 11


def test_cuts(scratch, tiny):
    for n in [*range(0, 64), *range(64, len(tiny), 41), len(tiny) - 1]:
        ok, message = scratch(tiny[:n])
        assert not ok, n
        assert "scratch.gguf" in message


def test_bytes(scratch, tiny):
    refused = 0
    for at in [*range(0, 64), *range(64, len(tiny), 23)]:
        ok, _ = scratch(patch(tiny, at, bytes([tiny[at] ^ 0xff])))
        refused += not ok
    assert refused > 50


def test_messages(scratch, tiny):
    """Every kind of damage has words of its own."""
    ones = b"\xff" * 8
    name = b"blk.0.attn_q.weight"
    tensor = after(tiny, name)
    cases = {
        "does not begin with": patch(tiny, 0, b"GGML"),
        "version 1": patch(tiny, 4, b"\1"),
        "big-endian": patch(tiny, 4, b"\0\0\0\3"),
        "18446744073709551615 tensors": patch(tiny, 8, ones),
        "18446744073709551615 keys": patch(tiny, 16, ones),
        "a key of 18446744073709551615 bytes": patch(tiny, 24, ones),
        "dimension 0 of tensor": patch(tiny, tensor + 4, ones),
        "type Q4_K \\(12\\); this build reads":
            patch(tiny, tensor + 20, b"\x0c"),
        "runs past the end of the file":
            patch(tiny, tensor + 24, b"\xe0" + ones[1:]),
        "architecture \"lamas\"": tiny.replace(b"llama\x11", b"lamas\x11"),
        "1 tensor is missing: blk.0.attn_q.weight":
            tiny.replace(name, b"blk.0.attn_x.weight"),
        "overlap": patch(tiny, tensor + 24, b"\0" * 8),
        "shape 32 x 31; 32 x 32 expected":
            patch(tiny, tensor + 12, b"\x1f"),
        "no tokenizer": tiny.replace(b"tokenizer.ggml.model", b"x" * 20),
        "token_type is not a list":
            patch(tiny, after(tiny, b"ggml.token_type") + 4, b"\x06"),
        "block_count is not a whole number":
            patch(tiny, after(tiny, b"block_count"), b"\x06"),
    }
    for words, data in cases.items():
        ok, message = scratch(data)
        assert not ok, words
        assert re.search(words, message), (words, message)


def test_not_a_file(tmp_path):
    for path in (tmp_path, tmp_path / "none.gguf", "/dev/null"):
        ok, _ = info(path)
        assert not ok


def real_model():
    cache = os.environ.get("NNR_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
        "nnr")
    found = list((Path(cache) / "models" / REAL).glob("*.gguf"))
    return found[0] if found else None


def test_real(tmp_path):
    """One scratch copy of the real file, its header damaged in place."""
    model = real_model()
    if not model:
        pytest.skip(f"{REAL} is not in the cache")
    path = tmp_path / "scratch.gguf"
    shutil.copy(model, path)
    header = path.read_bytes()[:1 << 21]
    rng = random.Random(1)
    refused = 0
    with open(path, "r+b") as f:
        for i in range(40):
            span = 4096 if i % 2 else 1 << 21
            at = rng.randrange(span - 8)
            f.seek(at)
            f.write(rng.randbytes(rng.choice((1, 8))))
            f.flush()
            ok, _ = info(path)
            refused += not ok
            f.seek(at)
            f.write(header[at:at + 8])
            f.flush()
        assert refused > 10
        f.truncate(1 << 21)
    ok, message = info(path)
    assert not ok and "runs past the end" in message
