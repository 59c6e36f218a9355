# SPDX-License-Identifier: Apache-2.0
"""What every command does when all is well, on a model of 8 kB."""
import json
import math
import os
import pty
import struct
import subprocess

import pytest

from conftest import NNR, ROOT, TINY, environment

COMMANDS = ("check run train eval show model tokenize logits grad bench "
            "schema").split()


def test_version_and_help(nnr):
    run = nnr("--version")
    assert run.code == 0 and run.out.startswith("nnr ") and not run.err
    run = nnr("--help")
    assert run.code == 0 and not run.out
    assert all(name in run.err for name in COMMANDS)
    assert nnr().code == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(nnr, name):
    run = nnr(name, "--help")
    assert run.code == 0 and not run.out
    assert f"nnr {name}" in run.err and "--json" in run.err
    assert max(map(len, run.err.splitlines())) <= 80


def test_check(nnr, program):
    run = nnr("check", program)
    assert run.code == 0 and not run.out and "ok" in run.err
    assert nnr("check", program, "--json").json() == {"ok": True,
                                                      "model": True}
    assert nnr("check", program, "-q").err == ""
    assert "ready after" in nnr("check", program, "-v").err


def test_check_without_its_model(nnr, program):
    run = nnr("check", program, "--json", "--set", "model=no-such-model")
    assert run.code == 0 and run.json() == {"ok": True, "model": False}
    assert "no-such-model" in run.err


def test_check_run(nnr, program):
    answer = nnr("run", program, "--text", "hello").out.strip()
    other = "no" if answer == "yes" else "yes"
    source = program.read_text()
    for label, code in (answer, 0), (other, 1):
        program.write_text(source + "tests:\n  - {in: {text: hello}, "
                           f"out: {{label: \"{label}\"}}}}\n")
        run = nnr("check", program, "--run", "--json")
        assert run.code == code
        assert run.json()["tests"] == 1 and run.json()["failed"] == code
        assert run.json()["results"][0]["out"] == {"label": answer}


def test_run(nnr, program):
    run = nnr("run", program, "--text", "hello")
    assert run.code == 0 and run.out in ("yes\n", "no\n") and not run.err
    one = nnr("run", program, "-i", '{"text": "hello"}', "--json").json()
    assert one["out"] == {"label": run.out.strip()}
    assert set(one["scores"]) == {"no", "yes"}
    assert max(one["scores"], key=one["scores"].get) == run.out.strip()


def test_run_lines(nnr, program):
    texts = ["hello", "he", "ell \u00e9", "hello hello"]
    lines = "".join(json.dumps({"text": t}) + "\n" for t in texts)
    run = nnr("run", program, "-", stdin=lines.encode())
    assert run.code == 0 and not run.err
    alone = [nnr("run", program, "--text", t, "--json").json() for t in texts]
    assert run.lines() == alone


def test_run_lines_without_a_line_end(nnr, program):
    run = nnr("run", program, "-", stdin=b'\n{"text": "he"}\n\n{"text":"hel"}')
    assert run.code == 0 and len(run.lines()) == 2
    assert nnr("run", program, "-").out == ""


def test_explain(nnr, program):
    run = nnr("run", program, "--text", "hello", "--explain", "--json")
    told = run.json()["explain"]["prompt"]
    assert [p["part"] for p in told["parts"]] == ["template"]
    assert told["parts"][0]["text"] == "hello:"
    assert told["parts"][0]["to"] == told["tokens"]
    run = nnr("run", program, "--text", "hello", "--explain")
    assert run.out in ("yes\n", "no\n") and "| hello:" in run.err


def test_run_generates(nnr, writer):
    run = nnr("run", writer, "--text", "hello")
    assert run.code == 0 and not run.err
    assert nnr("run", writer, "--text", "hello").out == run.out
    told = nnr("run", writer, "--text", "hello", "--explain", "--json",
               "--set", "out.generate.samples=3", "--set",
               "out.reduce.by=vote")
    assert told.code == 3      # there is no step `reduce` to set
    told = nnr("run", writer, "--text", "hello", "--explain", "--json")
    assert len(told.json()["samples"]) == 1


def on_terminal(*args):
    """What the command writes on a terminal."""
    try:
        ours, theirs = pty.openpty()
    except OSError:
        pytest.skip("this system has no pseudo-terminals")
    run = subprocess.Popen([NNR, *map(str, args)], stdout=theirs,
                           stderr=subprocess.PIPE, env=environment())
    os.close(theirs)
    pieces = []
    try:
        while piece := os.read(ours, 1 << 16):
            pieces.append(piece)
    except OSError:     # the other side is closed
        pass
    assert run.wait(timeout=60) == 0
    os.close(ours)
    return b"".join(pieces).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("stop", ["[]", '["l"]', '["ll", "lo he"]', '["hel"]'])
def test_text_comes_as_it_is_generated(nnr, writer, stop):
    for seed in range(6):
        args = ["run", writer, "--text", "hello", "--seed", seed, "--set",
                f"out.generate.stop={stop}", "--set",
                "out.generate.max_tokens=40"]
        assert on_terminal(*args) == nnr(*args).out


def test_seed(nnr, writer):
    texts = {nnr("run", writer, "--text", "hello", "--seed", s).out
             for s in range(8)}
    assert len(texts) > 1
    again = {nnr("run", writer, "--text", "hello", "--seed", s).out
             for s in range(8)}
    assert texts == again


def test_eval(nnr, program, data, tmp_path):
    lines, record = tmp_path / "p.jsonl", tmp_path / "r.json"
    run = nnr("eval", program, "--data", data, "--json", "--predictions",
              lines, "--record", record, "--threads", 1)
    assert run.code == 0
    report = run.json()
    assert json.loads(record.read_text()) == report
    results = report["results"]
    assert results["accuracy"]["n"] == 4
    assert results["majority"]["accuracy"]["hits"] == 2
    assert results["majority"]["answer"] == "yes"
    assert sum(map(sum, results["confusion"]["rows"])) == 4
    assert report["machine"]["threads"] == 1
    assert report["machine"]["mode"] == "fast"
    assert report["cost"]["prompt_tokens"] > 0
    assert str(tmp_path) not in record.read_text()
    for key in "program", "model", "data":
        assert len(report[key]["hash"]) == 64
    rows = [json.loads(r) for r in lines.read_text().splitlines()]
    assert [r["item"] for r in rows] == [0, 1, 2, 3]
    assert [r["target"] for r in rows] == ["yes", "no", "yes", "no"]
    hits = sum(r["target"] == r["prediction"] for r in rows)
    assert hits == results["accuracy"]["hits"]
    nll = 0
    for r in rows:
        total = math.log(sum(map(math.exp, r["scores"].values())))
        nll += (total - r["scores"][r["target"]]) / 4
    assert abs(nll - results["nll"]) < 1e-9


def test_eval_for_people(nnr, program, data):
    run = nnr("eval", program, "--data", data)
    assert run.code == 0 and not run.out
    assert "accuracy" in run.err and "majority class" in run.err
    assert max(map(len, run.err.splitlines())) <= 80
    assert nnr("eval", program, "--data", data, "-q").err == ""


def test_eval_selects(nnr, program, tmp_path):
    rows = [{"text": "hello" * (1 + i % 3), "label": "yes" if i % 2 else "no",
             "kind": str(i % 5)} for i in range(50)]
    path = tmp_path / "data.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))

    def items(*more):
        run = nnr("eval", program, "--data", path, "--json", *more)
        assert run.code == 0, run.err
        return run.json()["results"]["accuracy"]["n"]

    assert items() == 50
    assert items("--limit", 7) == 7
    assert items("--sample", 20, "--seed", 3) == 20
    assert items("--where", "kind=2") == 10
    assert items("--where", "kind=2", "--where", "label=yes") == 5
    assert items("--where", "kind=2", "--limit", 3) == 3


def test_eval_columns(nnr, program, tmp_path):
    path = tmp_path / "data.tsv"
    path.write_text("a\thello\tyes\nb\thell\tno\n")
    run = nnr("eval", program, "--data", path, "--columns", "id,text,label",
              "--json")
    assert run.code == 0, run.err
    assert run.json()["data"]["columns"] == "id,text,label"


def test_eval_exact_match(nnr, writer, tmp_path):
    path = tmp_path / "data.jsonl"
    told = nnr("run", writer, "-i", '{"text": "he"}', "--json").json()
    rows = [{"text": "he", "answer": told["out"]["answer"] or ""},
            {"text": "he", "answer": "never this"}]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    results = nnr("eval", writer, "--data", path, "--json").json()["results"]
    assert results["exact_match"]["hits"] == 1
    assert results["parse_failures"]["n"] == 2


def test_same_bits_for_any_batch_and_thread_count(nnr, program, tmp_path):
    path = tmp_path / "data.tsv"
    path.write_text("".join(f"yes\t{'hello ' * (1 + i % 6)}\n"
                            for i in range(40)))
    files = []
    for threads in 1, 2, 3:
        files.append(tmp_path / f"p{threads}")
        run = nnr("eval", program, "--data", path, "--predictions",
                  files[-1], "--threads", threads)
        assert run.code == 0
    assert len({f.read_bytes() for f in files}) == 1


def test_show(nnr, program):
    run = nnr("show", program)
    assert run.code == 0 and not run.out and "template" in run.err
    assert nnr("show", program, "--json").json()["name"] == "tiny"
    assert nnr("show", program, "--resolved", "--json").json()
    assert "default" in nnr("show", program, "--resolved").err


def test_model(nnr):
    info = nnr("model", "info", TINY, "--json").json()
    assert info["architecture"] == "llama" and len(info["sha256"]) == 64
    assert "architecture: llama" in nnr("model", "info", TINY).err
    names = [m["alias"] for m in nnr("model", "list", "--json").json()]
    assert "smollm2-135m-instruct" in names
    run = nnr("model", "verify", TINY, "--json")
    assert run.code == 0 and run.json()["same"] is None
    ref = f"{TINY}@sha256:"
    run = nnr("model", "verify", ref + info["sha256"], "--json")
    assert run.code == 0 and run.json()["same"] is True
    run = nnr("model", "verify", ref + "0" * 64, "--json")
    assert run.code == 1 and run.json()["same"] is False


def test_tokenize(nnr, tmp_path):
    one = nnr("tokenize", TINY, "--text", "hello")
    assert one.code == 0 and one.lines()[0]["tokens"]
    lines = tmp_path / "t.txt"
    lines.write_text("hello\nhell\n\nhello\n")
    many = nnr("tokenize", TINY, "--data", lines).lines()
    assert len(many) == 4 and many[0] == many[3] == one.lines()[0]
    assert many[2]["tokens"] == []
    records = tmp_path / "t.jsonl"
    records.write_text('{"text": "hello", "x": 1}\n{"text": "hell"}\n')
    assert nnr("tokenize", TINY, "--data", records).lines() == many[:2]
    assert len(nnr("tokenize", TINY, "--data", lines, "--limit",
                   2).lines()) == 2


def safetensors(path):
    raw = path.read_bytes()
    size, = struct.unpack("<Q", raw[:8])
    head, body = json.loads(raw[8:8 + size]), raw[8 + size:]
    at, tensors = 0, {}
    for name, t in sorted(head.items(), key=lambda i: i[1]["data_offsets"]):
        start, end = t["data_offsets"]
        assert start == at and (8 + size + start) % 4 == 0
        at = end
        kind, width = {"I64": ("q", 8), "F32": ("f", 4)}[t["dtype"]]
        assert end - start == math.prod(t["shape"]) * width
        values = struct.unpack(f"<{math.prod(t['shape'])}{kind}",
                               body[start:end])
        tensors[name] = t["shape"], values
    assert at == len(body)
    return tensors


def test_logits(nnr, tmp_path):
    path = tmp_path / "l.safetensors"
    run = nnr("logits", TINY, "--text", "hello", "-o", path, "--json")
    assert run.code == 0
    one = safetensors(path)
    tokens = nnr("tokenize", TINY, "--text", "hello").lines()[0]["tokens"]
    assert list(one["tokens"][1]) == tokens
    assert one["logits"][0] == [len(tokens), run.json()["vocabulary"]]
    assert all(map(math.isfinite, one["logits"][1]))
    data = tmp_path / "t.txt"
    data.write_text("hello\nhell\n")
    run = nnr("logits", TINY, "--data", data, "-o", path, "--threads", 1)
    assert run.code == 0
    many = safetensors(path)
    assert set(many) == {"tokens.0", "tokens.1", "logits.0", "logits.1"}
    assert many["logits.0"] == one["logits"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["l.safetensors",
                                                          "t.txt"]


def test_bench(nnr):
    run = nnr("bench", TINY, "-p", 16, "-n", 8, "-r", 1, "--threads", 1,
              "--json")
    told = run.json()
    assert run.code == 0 and told["threads"] == 1
    assert told["prompt_tps"] > 0 and told["gen_tps"] > 0
    assert told["mode"] == "fast" and told["cpu"] and told["kernel"]


def test_schema(nnr):
    assert nnr("schema").json() == nnr("schema", "--json").json()


def test_the_readme_shows_the_first_program():
    source = (ROOT / "examples/sentiment.yaml").read_text()
    assert f"```yaml\n{source}```" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.yaml")),
                         ids=lambda p: p.stem)
def test_examples_check(nnr, path):
    run = nnr("check", path, "--set", f"model={TINY}x")
    assert run.code == 0, run.err
