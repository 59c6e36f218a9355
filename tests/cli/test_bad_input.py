# SPDX-License-Identifier: Apache-2.0
"""Bad input: the exit code, and one line that names the place."""
import re

import pytest

from conftest import PROGRAM, TINY

PLAIN = PROGRAM.format(model=TINY)


def check_message(run, code, pattern):
    assert run.code == code, (run.code, run.err)
    assert run.out == ""
    assert run.err.startswith("nnr: ") and run.err.count("\n") == 1, run.err
    assert re.search(pattern, run.err), run.err


@pytest.mark.parametrize("args, pattern", [
    (["evl"], r"unknown command 'evl', did you mean eval\?"),
    (["frobnicate"], r"unknown command"),
    (["run", "p", "--treads", "2"],
     r"unknown option --treads, did you mean --threads\?"),
    (["run", "p", "--data", "x"], r"run does not take --data"),
    (["run", "p", "--threads", "two"], r"--threads wants a whole number"),
    (["run", "p", "--threads", "0"], r"from 1 to 1024"),
    (["run", "p", "--threads"], r"--threads wants N after it"),
    (["run", "p", "--precision", "exakt"], r"one of exact\|fast"),
    (["run", "p", "--json=yes"], r"--json takes no value"),
    (["run", "p", "--set", "x"], r"KEY=VALUE"),
    (["run", "p"], r"one of --text T, -i JSON and -"),
    (["run", "p", "--text", "a", "-i", "{}"], r"one of"),
    (["run", "p", "q"], r"only -"),
    (["run"], r"use nnr run PROGRAM"),
    (["eval", "p"], r"--data FILE"),
    (["check", "a", "b", "c"], r"one operand too many"),
    (["schema", "x"], r"takes no operand"),
    (["model", "fly", "x"], r"use nnr model"),
    (["model", "list", "x"], r"no model"),
    (["logits", "m", "--text", "x"], r"-o FILE"),
    (["tokenize", "m"], r"--text T and --data FILE"),
], ids=lambda a: "-".join(a) if isinstance(a, list) else "")
def test_usage(nnr, args, pattern):
    check_message(nnr(*args), 2, pattern)


@pytest.mark.parametrize("find, put, pattern", [
    ("template:", "tempalte:", r"tiny\.yaml:7:5: .*tempalte.*template"),
    ("input:", "inptu:", r"tiny\.yaml:4:1: .*inptu.*input"),
    ("nnr: 1\n", "nnr: 7\n", r"tiny\.yaml:1:"),
    ("name: tiny\n", "", r"tiny\.yaml:.*name"),
    ("model: ", "molde: ", r"tiny\.yaml:3:1: .*molde.*model"),
    ("{text}", "{txet}", r"tiny\.yaml:7:.*txet"),
    ("choices", "choice", r"tiny\.yaml:9:.*choice.*choices"),
    ('"yes": "hel"', '"maybe": "hel"', r"tiny\.yaml:9:.*(maybe|yes)"),
    ("string", "strong", r"tiny\.yaml:4:.*strong.*string"),
    ("score:", "prefix:", r"tiny\.yaml:9:5: .*prefix"),
    ("[no, yes]", "[no, no]", r"tiny\.yaml:5:.*no"),
    ("{text: string}", "{text: &a string}", r"tiny\.yaml:4:.*anchor"),
    ("tiny\n", "\xff\n", None),
])
def test_program(nnr, program, find, put, pattern):
    assert find in PLAIN
    if pattern is None:
        program.write_bytes(PLAIN.encode().replace(b"tiny\n", b"ti\xffny\n",
                                                   1))
        pattern = r"tiny\.yaml:2:9: .*UTF-8"
    else:
        program.write_text(PLAIN.replace(find, put, 1))
    check_message(nnr("check", program), 3, pattern)


def test_program_files(nnr, program, tmp_path):
    demos = tmp_path / "demos.tsv"
    program.write_text(PLAIN.replace(
        "in:\n", "in:\n  - demos: {file: demos.tsv, count: 2}\n"))
    check_message(nnr("check", program), 3, r"tiny\.yaml:7:.*demos\.tsv")
    demos.write_text("yes\thello\textra\n")
    check_message(nnr("check", program), 3, r"demos\.tsv:1")
    demos.write_text("maybe\thello\nno\the\n")
    check_message(nnr("check", program), 3, r"demos\.tsv:1.*maybe")
    demos.write_bytes(b"yes\thello\nno\th\xffe\n")
    check_message(nnr("check", program), 3, r"demos\.tsv:2:5.*UTF-8")
    demos.write_text("")
    check_message(nnr("check", program), 3, r"demos\.tsv.*empty")


def test_regex(nnr, writer):
    source = writer.read_text()
    writer.write_text(source.replace("method: text", "regex: '(a'"))
    check_message(nnr("check", writer), 3, r"writes\.yaml:10:.*regex")


@pytest.mark.parametrize("body, pattern", [
    (b"", r"data\.tsv.*empty"),
    (b"yes\thello\nmaybe\thell\n", r"data\.tsv:2: .*maybe.*no, yes"),
    (b"yes\thello\nno\th\xffll\n", r"data\.tsv:2:5: .*UTF-8"),
    (b"yes\thello\nhell\n", r"data\.tsv:2"),
    (b"yes\thello\tmore\n", r"data\.tsv:1"),
], ids=["empty", "label", "utf8", "column", "columns"])
def test_data(nnr, program, data, tmp_path, body, pattern):
    data.write_bytes(body)
    out = tmp_path / "p.jsonl"
    run = nnr("eval", program, "--data", data, "--predictions", out)
    check_message(run, 3, pattern)
    assert not out.exists()


@pytest.mark.parametrize("body, pattern", [
    (b'{"text": "a", "label": "yes"}\n{"text": 1', r"data\.jsonl:2"),
    (b'{"txet": "a", "label": "yes"}\n', r"data\.jsonl:1: .*text.*txet"),
    (b'{"text": "a"}\n', r"data\.jsonl:1: .*label"),
    (b'{"text": "\xff", "label": "yes"}\n', r"data\.jsonl:1:11: .*UTF-8"),
])
def test_json_data(nnr, program, tmp_path, body, pattern):
    path = tmp_path / "data.jsonl"
    path.write_bytes(body)
    check_message(nnr("eval", program, "--data", path), 3, pattern)


def test_data_that_is_not_there(nnr, program, data):
    check_message(nnr("eval", program, "--data", "/none.tsv"), 3, "none.tsv")
    check_message(nnr("eval", program, "--data", data, "--where", "kind=1"),
                  3, "kind")
    check_message(nnr("eval", program, "--data", data, "--where",
                      "label=other"), 3, r"data\.tsv")


@pytest.mark.parametrize("record, pattern", [
    ("{", r"input:1:"), ("[]", r"input"), ('{"txet": "a"}', r"text.*txet"),
    ("{}", r"text"), ('{"text": {"a": 1}}', r"text"),
])
def test_record(nnr, program, record, pattern):
    check_message(nnr("run", program, "-i", record), 3, pattern)


def test_lines_before_a_bad_one_are_answered(nnr, program):
    lines = b'{"text": "he"}\n{"text": "hell"}\n\nnonsense\n{"text": "l"}\n'
    run = nnr("run", program, "-", stdin=lines)
    assert run.code == 3 and len(run.lines()) == 2
    assert re.match(r"nnr: stdin:4:", run.err), run.err
    run = nnr("run", program, "-", stdin=b'{"text": "\xff"}\n')
    check_message(run, 3, r"stdin:1.*UTF-8")
    run = nnr("run", program, "-", stdin=b'{"text": "a\0"}\n')
    check_message(run, 3, r"stdin:1.*NUL")


def test_text_that_is_not_utf8(nnr, program):
    text = b"ab\xff".decode(errors="surrogateescape")
    run = nnr("run", program, "--text", text)
    check_message(run, 3, r"UTF-8 at byte 2")


def test_prompt_longer_than_the_context(nnr, program):
    text = "hello " * 60
    check_message(nnr("run", program, "--text", text), 3,
                  r"input: .*\d+ tokens.*64")
    lines = b'{"text": "he"}\n\n{"text": "%s"}\n' % text.encode()
    run = nnr("run", program, "-", stdin=lines)
    assert run.code == 3 and "stdin:3: the prompt has" in run.err
    check_message(nnr("logits", TINY, "--text", text, "-o", "x"), 3,
                  r"\d+ tokens.*64")


def test_model(nnr, program, tmp_path):
    for command in ["model", "info"], ["tokenize", "--text", "a"]:
        check_message(nnr(*command, "smollm2-135m-instrukt"), 3,
                      r"did you mean 'smollm2-135m-instruct'")
        check_message(nnr(*command, "no/such/model.gguf"), 3, r"model\.gguf")
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"not a model at all, but long enough to be read")
    check_message(nnr("model", "info", junk), 3, r"junk\.gguf|GGUF")
    check_message(nnr("check", program, "--set", f"model={junk}"), 3, "GGUF")
    check_message(nnr("run", program, "--text", "a", "--set",
                      f"model={TINY}@sha256:{'0' * 64}"), 3, r"SHA-256")


def test_set(nnr, program):
    for value, pattern in ("out.scoer.normalize=sum", "scoer.*score"), \
            ("out.score.normalize=summ", "summ"), ("bogus=1", "bogus"):
        check_message(nnr("check", program, "--set", value), 3,
                      f"--set.*{pattern}")


@pytest.mark.parametrize("where, code", [
    ("/no/such/folder/x", 3), ("/dev/full", 4)])
def test_unwritable(nnr, program, data, where, code):
    for option in "--predictions", "--record":
        run = nnr("eval", program, "--data", data, option, where)
        assert run.code == code and "cannot write" in run.err, run.err
        assert run.out == ""
    check_message(nnr("logits", TINY, "--text", "he", "-o", where), code,
                  "cannot write")


def test_stdout_is_full(nnr, program, data):
    with open("/dev/full", "wb") as full:
        for args in (["run", program, "--text", "he"],
                     ["eval", program, "--data", data, "--json"],
                     ["tokenize", TINY, "--text", "he"]):
            run = nnr(*args, stdout=full)
            assert run.code == 4 and "cannot write to stdout" in run.err


def test_cpu_that_is_not_there(nnr, program, monkeypatch):
    monkeypatch.setenv("NNR_CPU", "abacus")
    check_message(nnr("run", program, "--text", "he"), 2, "NNR_CPU")
