# SPDX-License-Identifier: Apache-2.0
"""nnr compare: programs beside each other on the same items."""
import json

from test_train import SOFT, rows

from conftest import TINY


def write(tmp_path, name, source):
    path = tmp_path / f"{name}.yaml"
    path.write_text(source.replace("name: soft", f"name: {name}"))
    return path


def test_rows(nnr, tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(TINY.read_bytes())
    soft = SOFT.format(model="tiny.gguf")
    text = "\n".join(line for line in soft.split("\n") if "soft_tokens" not in line)
    lora = soft.replace("soft_tokens: {count: 3, init: {random: 0.1}}",
                        "lora: {weights: [attn_q], rank: 2}")
    programs = [write(tmp_path, "text", text), write(tmp_path, "soft", soft),
                write(tmp_path, "lora", lora)]
    (tmp_path / "d.tsv").write_text(rows(12))
    r = nnr("compare", *programs, "--data", tmp_path / "d.tsv", "--untrained", "--json")
    assert r.code == 0, r.err
    got = json.loads(r.out)
    assert [p["program"] for p in got["programs"]] == ["text", "soft", "lora"]
    assert [p["pca"] for p in got["programs"]] == [False, False, True]
    assert [p["learned"] for p in got["programs"]] == [0, 3 * 32, 2 * (32 + 32)]
    assert all(p["n"] == 12 for p in got["programs"])
    first, _, third = got["programs"]
    # a fresh pair adds nothing: the same answers
    assert third["hits"] == first["hits"] and third["with_first"]["p"] == 1
    assert got["full_fine_tuning"]["run"] is False
    r = nnr("compare", *programs, "--data", tmp_path / "d.tsv", "--untrained")
    assert r.code == 0 and all(len(line) <= 80 for line in r.out.split("\n"))
    assert "PCA" in r.out and "not run" in r.out


def test_refused(nnr, tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(TINY.read_bytes())
    soft = write(tmp_path, "soft", SOFT.format(model="tiny.gguf"))
    (tmp_path / "d.tsv").write_text(rows(4))
    r = nnr("compare", soft, soft, "--data", tmp_path / "d.tsv")
    assert r.code == 3 and "untrained" in r.err
    assert nnr("compare", soft, "--data", tmp_path / "d.tsv").code == 2
    assert nnr("compare", soft, soft).code == 2
