# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command share: the command, a model of 8 kB that
needs no download, and the real one where it is."""
import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NNR = os.environ.get("NNR", str(ROOT / "build/release/nnr"))
TINY = ROOT / "fuzz/seeds/gguf/tiny.gguf"
REAL = "smollm2-135m-instruct"

PROGRAM = """\
nnr: 1
name: tiny
model: {model}
input: {{text: string}}
output: {{label: [no, yes]}}
in:
  - template: "{{text}}:"
out:
  - score: {{choices: {{"no": "ell", "yes": "hel"}}}}
"""

WRITES = """\
nnr: 1
name: writes
model: {model}
input: {{text: string}}
output: {{answer: string}}
in:
  - template: "{{text}}"
out:
  - generate: {{max_tokens: 8, samples: 1, temperature: 1, seed: 1}}
  - parse: {{method: text}}
"""


class Result:
    def __init__(self, run):
        self.code = run.returncode
        self.out = run.stdout.decode()
        self.err = run.stderr.decode()

    def json(self):
        return json.loads(self.out)

    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


def environment():
    """Without colours; the cache stays what the user's is."""
    return {**os.environ, "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}


@pytest.fixture(scope="session")
def nnr():
    """nnr("run", ...) runs the command; it must not end by a signal."""
    if not os.access(NNR, os.X_OK):
        pytest.skip(f"no command at {NNR}")

    def call(*args, stdin=b"", stdout=None, timeout=300):
        run = subprocess.run([NNR, *map(str, args)], input=stdin,
                             stdout=stdout or subprocess.PIPE,
                             stderr=subprocess.PIPE, timeout=timeout,
                             env=environment())
        if stdout:
            run.stdout = b""
        result = Result(run)
        assert result.code in (0, 1, 2, 3, 4, 130), result.err
        return result

    return call


@pytest.fixture
def program(tmp_path):
    """Path of a program on the tiny model that gives a label."""
    path = tmp_path / "tiny.yaml"
    path.write_text(PROGRAM.format(model=TINY))
    return path


@pytest.fixture
def writer(tmp_path):
    """The same that generates."""
    path = tmp_path / "writes.yaml"
    path.write_text(WRITES.format(model=TINY))
    return path


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.tsv"
    path.write_text("yes\thello\nno\thell\nyes\thel\nno\the\n")
    return path


@pytest.fixture(scope="session")
def real(nnr):
    """Path of the real model, or the test is skipped."""
    info = nnr("model", "info", os.environ.get("NNR_TEST_MODEL", REAL),
               "--json")
    if info.code != 0:
        pytest.skip(f"no model; `nnr model pull {REAL}` or NNR_TEST_MODEL")
    return os.path.abspath(info.json()["file"])
