#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks of style that a script can make; file:line: message, exit 1 if any.

Include direction, names, banned functions, sizes, complexity (with pmccabe).
An exception is an entry of ALLOW with its reason; one that no longer
excepts anything is an error too.
"""
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A folder of src/ may include headers of the folders before it.
ORDER = ["base", "kernel", "graph", "load", "text", "image", "program",
         "optim", "eval", "api"]

# One file wraps a library; nobody else sees its header.
WRAPPED = {
    "yaml.h": "src/base/yaml.c",
    "jansson.h": "src/base/json.c",
    "pcre2.h": "src/base/regex.c",
    "utf8proc.h": "src/base/unicode.c",
    "sodium.h": "src/base/hash.c",
}

BANNED = ("strcpy strcat sprintf vsprintf gets strtok atoi atol atof alloca "
          "system popen rand srand").split()
# The library never prints, exits or aborts.
CLI_ONLY = ("printf vprintf fprintf vfprintf puts fputs putchar perror exit "
            "_exit abort").split()

LINE_MAX, FUNCTION_MAX, FUNCTION_HARD = 80, 60, 100
FILE_MAX, FILE_HARD, COMPLEXITY_MAX = 600, 1000, 20
SOURCE_BUDGET = 40000   # lines of code in src/

# (rule, "file" or "file:function"): reason
ALLOW = {
}

used = set()
found = []


def report(path, line, rule, message, key=None):
    """key: what an entry of ALLOW would name; None: no exception possible."""
    name = str(path.relative_to(ROOT))
    if key is not None:
        entry = (rule, f"{name}:{key}" if key else name)
        if entry in ALLOW:
            used.add(entry)
            return
    found.append(f"{name}:{line}: {message} [{rule}]")


def blank(text):
    """Comments and texts become spaces; lines stay lines."""
    pattern = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"'
                         r"|'(?:\\.|[^'\\\n])*'", re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def static_words():
    """`static`, and the macros that stand for it."""
    words = {"static"}
    for path in (ROOT / "src").glob("*/*.[ch]"):
        words.update(re.findall(r"^#define\s+(\w+)\s+static\b",
                                path.read_text(encoding="utf-8"), re.M))
    return re.compile(r"\b(?:" + "|".join(sorted(words)) + r")\b")


STATIC = static_words()


def functions(lines):
    """(name, static, first line, last line), for kernel style: the brace of
    a function, and only that, stands alone in column 0."""
    for i, line in enumerate(lines):
        if line.rstrip() != "{":
            continue
        first = i
        while first > 0 and lines[first - 1].strip() and \
                not lines[first - 1].startswith(("}", "#")) and \
                not lines[first - 1].rstrip().endswith(";"):
            first -= 1
        head = " ".join(lines[first:i])
        if "=" in head or "(" not in head:
            continue
        head = re.sub(r"__attribute__\s*\(\(.*?\)\)", "", head)
        name = re.search(r"(\w+)\s*\(", head)
        last = i
        while last + 1 < len(lines) and lines[last].rstrip() != "}":
            last += 1
        if name:
            static = STATIC.search(head) is not None
            yield name.group(1), static, first + 1, last + 1


def check_lines(path, text):
    for n, line in enumerate(text.split("\n"), 1):
        if len(line.expandtabs(8)) > LINE_MAX:
            report(path, n, "line", f"{len(line.expandtabs(8))} columns, "
                   f"at most {LINE_MAX}", "")
        if line != line.rstrip():
            report(path, n, "space", "space at the end of a line")
    head = text[:200]
    if "SPDX-License-Identifier: Apache-2.0" not in head:
        report(path, 1, "spdx", "no SPDX line at the top", "")
    count = text.count("\n")
    free = path.suffix == ".def" or path.relative_to(ROOT).parts[0] == "tests"
    if count > FILE_HARD or (count > FILE_MAX and not free):
        report(path, 1, "file", f"{count} lines, at most {FILE_MAX}",
               "" if count <= FILE_HARD else None)


def check_functions(path, lines):
    in_src = "src" in path.relative_to(ROOT).parts
    public = (ROOT / "include/nnr.h").read_text()
    cli = "cli" in path.relative_to(ROOT).parts
    for name, static, first, last in functions(lines):
        size = last - first + 1
        if size > FUNCTION_MAX:
            report(path, first, "function", f"{name} has {size} lines, at "
                   f"most {FUNCTION_MAX}",
                   name if size <= FUNCTION_HARD else None)
        if not in_src:
            continue
        if static:
            if name.startswith("nnr_") and path.suffix != ".h":
                report(path, first, "name", f"static {name}: no prefix",
                       name)
        elif name == "main" or name.isupper() or cli:
            continue    # upper case: a macro makes the name
        elif not name.startswith("nnr_"):
            report(path, first, "name", f"{name}: nnr_, nnr__ or static",
                   name)
        elif not name.startswith("nnr__") and \
                not re.search(rf"\b{name}\(", public):
            report(path, first, "name", f"{name} is not in nnr.h: nnr__",
                   name)


def check_banned(path, lines):
    top = path.relative_to(ROOT).parts[0]
    words = list(BANNED)
    if top == "src" and "cli" not in path.parts:
        words += CLI_ONLY
    call = re.compile(r"(?<![\w.>])(" + "|".join(words) + r")\s*\(")
    for n, line in enumerate(lines, 1):
        for m in call.finditer(line):
            report(path, n, "banned", f"{m.group(1)}() is banned here",
                   m.group(1))


def headers():
    """Header name -> folder; names are unique in the tree."""
    where = {}
    for path in sorted((ROOT / "src").glob("*/*")):
        if path.suffix in (".h", ".def"):
            where.setdefault(path.name, path.parent.name)
    return where


def check_includes(path, text, where):
    folder = path.parent.name
    in_src = path.relative_to(ROOT).parts[0] == "src"
    for m in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]',
                         text, re.M):
        line = text.count("\n", 0, m.start()) + 1
        kind, name = m.group(1), m.group(2)
        short = name.split("/")[-1]
        owner = WRAPPED.get(short) if kind == "<" else None
        if owner and str(path.relative_to(ROOT)) != owner:
            report(path, line, "include", f"<{short}> only in {owner}", "")
        if kind == "<" or not in_src or short == "nnr.h":
            continue
        target = where.get(short)
        if (path.parent / short).exists() and "/" not in name:
            target = folder
        if target is None:
            report(path, line, "include", f'"{name}" is in no folder', "")
        elif target != folder and (
                folder == "cli" or target == "cli" or
                folder not in ORDER or target not in ORDER or
                ORDER.index(target) > ORDER.index(folder)):
            report(path, line, "include", f"src/{folder} must not include "
                   f"a header of src/{target}", short)


def check_complexity(paths):
    if not shutil.which("pmccabe"):
        return "pmccabe is not there: complexity not checked; "
    out = subprocess.run(["pmccabe", *map(str, paths)], text=True,
                         capture_output=True, check=False).stdout
    for row in out.splitlines():
        part = row.split("\t")
        if len(part) < 6 or not part[0].isdigit():
            continue
        where = re.match(r"(.*)\((\d+)\): (\S+)", part[5])
        if where and int(part[0]) > COMPLEXITY_MAX:
            report(Path(where.group(1)), where.group(2), "complexity",
                   f"{where.group(3)} has complexity {part[0]}, at most "
                   f"{COMPLEXITY_MAX}", where.group(3))
    return ""


def main():
    places = ["src/*/*.[ch]", "src/*/*.def", "include/*.h", "fuzz/*.c",
              "tests/*.[ch]", "tests/unit/*.[ch]"]
    paths = sorted(p for g in places for p in ROOT.glob(g))
    where = headers()
    code = 0
    for path in paths:
        text = path.read_text(encoding="utf-8")
        lines = blank(text).split("\n")
        check_lines(path, text)
        if path.suffix == ".def":
            continue
        check_functions(path, lines)
        if path.relative_to(ROOT).parts[0] != "tests":
            check_banned(path, lines)
        check_includes(path, text, where)
        if path.relative_to(ROOT).parts[0] == "src":
            code += sum(1 for line in lines if line.strip())
    note = check_complexity([p for p in paths if p.suffix == ".c"])
    for entry in sorted(set(ALLOW) - used):
        found.append(f"tools/check.py: {entry} excepts nothing [allow]")
    if code > SOURCE_BUDGET:
        found.append(f"src: {code} lines of code, budget {SOURCE_BUDGET}")
    for line in found:
        print(line)
    print(f"{note}{len(paths)} files, {code} lines of code in src, "
          f"{len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
