# SPDX-License-Identifier: Apache-2.0
"""Writes classes.def: the character classes of the tokenizers library.

    python3 -m venv V && V/bin/pip install tokenizers==0.23.3
    V/bin/python src/text/gen_classes.py > src/text/classes.def

Asks the library itself, code point by code point, so that ours are equal
whichever Unicode versions its regex engine, Rust and utf8proc have.
"""

import sys

import tokenizers
from tokenizers import pre_tokenizers

GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
DIGITS = pre_tokenizers.Digits(individual_digits=True)


def joined(pre, text):
    return len(pre.pre_tokenize_str(text)) == 1


def class_of(cp):
    """L, N, S, or D: split off by Digits but no number to the regex."""
    char = chr(cp)
    if 0xd800 <= cp < 0xe000:
        return None
    number = not joined(DIGITS, "a" + char)
    for name, before in (("L", "a"), ("N", "1"), ("S", "\n")):
        if joined(GPT2, before + char):
            if number != (name == "N"):
                raise SystemExit(f"U+{cp:04X}: a class we do not know")
            return name
    return "D" if number else None


def main():
    ranges = []
    for cp in range(0x110000):
        name = class_of(cp)
        if name and ranges and ranges[-1][1:] == [cp - 1, name]:
            ranges[-1][1] = cp
        elif name:
            ranges.append([cp, cp, name])
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print(f"/* Made by gen_classes.py from tokenizers "
          f"{tokenizers.__version__}: do not edit. */")
    cells = [f"R(0x{a:x}, 0x{b:x}, {name})" for a, b, name in ranges]
    for at in range(0, len(cells), 3):
        print(" ".join(cells[at:at + 3]))
    print(f"{len(ranges)} ranges", file=sys.stderr)


if __name__ == "__main__":
    main()
