# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C: exit code 130, one line, and nothing half-written."""
import json
import signal
import subprocess
import time

import pytest

from conftest import NNR, TINY, environment

ITEMS = 200000


@pytest.fixture
def long_data(tmp_path):
    path = tmp_path / "data.jsonl"
    row = json.dumps({"text": "hello hell", "answer": "x"}) + "\n"
    path.write_text(row * ITEMS)
    return path


def interrupted(args, number=signal.SIGINT, after=1.0):
    run = subprocess.Popen([NNR, *map(str, args)], env=environment(),
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
    time.sleep(after)
    assert run.poll() is None, run.stderr.read().decode()
    run.send_signal(number)
    out, err = run.communicate(timeout=20)
    return run.returncode, out, err.decode()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_eval(nnr, writer, long_data, tmp_path, number):
    before = sorted(p.name for p in tmp_path.iterdir())
    code, out, err = interrupted(
        ["eval", writer, "--data", long_data, "--json", "--predictions",
         tmp_path / "p.jsonl", "--record", tmp_path / "r.json"], number)
    assert code == 130 and out == b"" and err == "nnr: interrupted\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_logits(nnr, tmp_path):
    data = tmp_path / "t.txt"
    data.write_text("hello hell hello\n" * 500000)
    code, _, err = interrupted(["logits", TINY, "--data", data, "-o",
                                tmp_path / "l.safetensors"])
    assert code == 130 and err.endswith("nnr: interrupted\n")
    assert [p.name for p in tmp_path.iterdir()] == ["t.txt"]


def test_waiting_for_stdin(nnr, program):
    code, out, err = interrupted(["run", program, "-"], after=0.5)
    assert code == 130 and out == b"" and err == "nnr: interrupted\n"


def test_bench(nnr):
    code, out, _ = interrupted(["bench", TINY, "-p", 60, "-n", 60, "-r",
                                1000000, "--threads", 1, "--json"])
    assert code == 130 and out == b""
