# SPDX-License-Identifier: Apache-2.0
"""A second reader of artifacts, from docs/format.md alone: plain Python, no
line of nnr.  `read(path)` gives the program, its files and its tensors, or
raises Bad with what is wrong.

    python3 tests/reader.py X.nnr       # a summary as JSON
"""
import hashlib
import json
import math
import struct
import sys
from pathlib import Path

HEADER_MAX = 100_000_000
MARK = b'"sha256":"'
MEMBERS = ["backbone", "data", "files", "format", "golden", "parent",
           "program", "tool", "training"]


class Bad(Exception):
    pass


def want(ok, what):
    if not ok:
        raise Bad(what)


def once(pairs):
    """An object whose keys occur once each."""
    keys = [key for key, _ in pairs]
    want(len(keys) == len(set(keys)), "a key comes twice")
    return dict(pairs)


def is_digest(value):
    return isinstance(value, str) and len(value) == 64 and \
        set(value) <= set("0123456789abcdef")


# ---- the one spelling ----

def quoted(text):
    out = ['"']
    short = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r",
             "\t": "\\t", '"': '\\"', "\\": "\\\\"}
    for c in text:
        if c in short:
            out.append(short[c])
        elif ord(c) < 0x20 or ord(c) == 0x7f:
            out.append(f"\\u{ord(c):04x}")
        else:
            out.append(c)
    return "".join(out) + '"'


def number(value):
    if isinstance(value, int):
        want(abs(value) < 2 ** 53, "a whole number of 2^53 or more")
        if abs(value) < 10 ** 15:
            return str(value)
    value = float(value)
    if value == 0:
        return "-0.0" if math.copysign(1, value) < 0 else "0"
    first = 1 if abs(value) < sys.float_info.min else 15
    for digits in range(first, 18):
        text = f"{value:.{digits}g}"
        if float(text) == value:
            return text
    raise Bad("a number that is not finite")


def spelling(value):
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (int, float)):
        return number(value)
    if isinstance(value, list):
        return "[" + ",".join(map(spelling, value)) + "]"
    keys = sorted(value, key=lambda key: key.encode())
    return "{" + ",".join(f"{quoted(k)}:{spelling(value[k])}"
                          for k in keys) + "}"


# ---- the file ----

def split(data):
    """Header and tensors' bytes; the SHA-256 is right."""
    want(len(data) >= 8, "shorter than 8 bytes")
    length, = struct.unpack("<Q", data[:8])
    want(length <= HEADER_MAX and length <= len(data) - 8,
         "the header is longer than the file")
    header = data[8:8 + length]
    want(header[:1] == b"{", "the header does not begin with {")
    want((8 + length) % 8 == 0, "the header is not padded to 8 bytes")
    at = header.find(MARK)
    want(at >= 0, "no sha256")
    at += 8 + len(MARK)
    digits = data[at:at + 64].decode("latin-1")
    want(is_digest(digits), "sha256 is not 64 digits")
    zeroed = data[:at] + b"0" * 64 + data[at + 64:]
    want(hashlib.sha256(zeroed).hexdigest() == digits, "damaged")
    return json.loads(header.decode("utf-8"), object_pairs_hook=once), \
        data[8 + length:], digits


def tensors(header, data):
    out, end = {}, 0
    for name in sorted(header, key=lambda name: name.encode()):
        entry = header[name]
        want(set(entry) == {"dtype", "shape", "data_offsets"},
             f"{name}: not dtype, shape, data_offsets")
        want(entry["dtype"] == "F32", f"{name}: not F32")
        shape = entry["shape"]
        want(1 <= len(shape) <= 4 and
             all(isinstance(d, int) and d >= 1 for d in shape),
             f"{name}: shape")
        begin, stop = entry["data_offsets"]
        want(begin == end and stop - begin == 4 * math.prod(shape),
             f"{name}: data_offsets")
        end = stop
        values = struct.unpack(f"<{math.prod(shape)}f", data[begin:stop])
        want(all(map(math.isfinite, values)), f"{name}: not finite")
        out[name] = {"shape": shape, "values": values}
    want(end == len(data), "bytes behind the last tensor")
    return out


def check_files(files):
    names = [f["name"].encode() for f in files]
    want(names == sorted(set(names)), "files are not sorted by name")
    for f in files:
        want(set(f) == {"name", "sha256", "text"}, "a file's members")
        want(f["name"] and f["name"][0] != "/" and
             ".." not in f["name"].split("/"), "a file's name")
        want(is_digest(f["sha256"]), "a file's sha256")
        if f["text"] is not None:
            have = hashlib.sha256(f["text"].encode()).hexdigest()
            want(have == f["sha256"], f"{f['name']}: another sha256")


def check_members(doc):
    want(list(doc) == MEMBERS, "other members than format 1 has")
    want(doc["format"] == 1, "another format")
    want(is_digest(doc["backbone"]["sha256"]), "backbone")
    want(doc["data"] is None or is_digest(doc["data"]), "data")
    want(doc["golden"] is None or isinstance(doc["golden"], list), "golden")
    want(doc["training"] is None or isinstance(doc["training"], dict),
         "training")
    want(doc["parent"] is None or
         (set(doc["parent"]) == {"backbone", "sha256"} and
          all(map(is_digest, doc["parent"].values()))), "parent")
    want(set(doc["program"]) == {"model", "name", "source"}, "program")
    want(not doc["program"]["model"].startswith("/"), "an absolute path")
    check_files(doc["files"])


def parse(data):
    header, rest, digits = split(data)
    want(next(iter(header)) == "__metadata__", "__metadata__ is not first")
    texts = header.pop("__metadata__")
    want(list(texts) == ["nnr", "sha256"], "texts are not nnr and sha256")
    doc = json.loads(texts["nnr"], object_pairs_hook=once)
    want(spelling(doc) == texts["nnr"], "nnr is not in its one spelling")
    check_members(doc)
    return {"sha256": digits, "nnr": doc, "tensors": tensors(header, rest)}


def read(path):
    return parse(Path(path).read_bytes())


if __name__ == "__main__":
    try:
        got = read(sys.argv[1])
    except (Bad, ValueError, KeyError, TypeError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    print(json.dumps({
        "sha256": got["sha256"], "name": got["nnr"]["program"]["name"],
        "backbone": got["nnr"]["backbone"]["sha256"],
        "files": {f["name"]: f["sha256"] for f in got["nnr"]["files"]},
        "tensors": {name: t["shape"] for name, t in got["tensors"].items()},
    }, indent=1))
