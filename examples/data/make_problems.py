#!/usr/bin/env python3
"""Writes problems_test.jsonl: 80 one-step word problems with their answers.

Sentences of our own, numbers from a seeded generator; problems_demos.jsonl
was written by hand.
"""

import json
import random
from pathlib import Path

PLUS = [
    "{n} has {a} {x}. {m} gives {n} {b} more {x}. How many {x} does {n} have now?",
    "There are {a} {x} on the table and {b} {x} in the drawer. How many {x} are there in all?",
    "{n} picked {a} {x} in the morning and {b} {x} in the evening. How many {x} did {n} pick?",
    "{n} needs {a} {x} and {m} needs {b} {x}. How many {x} do they need together?",
]
MINUS = [
    "{n} has {a} {x}. {n} gives {b} {x} to {m}. How many {x} does {n} have left?",
    "There were {a} {x} in the box. {n} took {b} of them out. How many {x} are in the box now?",
    "{n} has {a} {x} and {m} has {b} {x}. How many more {x} does {n} have than {m}?",
    "{n} bought {a} {x} and {b} of them broke. How many {x} are whole?",
]
TIMES = [
    "There are {a} bags with {b} {x} in each bag. How many {x} are there?",
    "{n} reads {a} pages a day for {b} days. How many pages does {n} read?",
]
NAMES = "Ada Ben Clara Dan Eva Felix Greta Hugo Ida Jonas Karin Leo".split()
THINGS = "apples stamps marbles pencils shells coins books cards stones cups".split()


def problem(rng):
    n, m = rng.sample(NAMES, 2)
    kind = rng.choice("++--*")
    a, b = rng.randint(2, 30), rng.randint(2, 20)
    if kind == "*":
        a, b = rng.randint(2, 9), rng.randint(2, 9)
    elif kind == "-":
        a, b = max(a, b) + 1, min(a, b)
    text = rng.choice({"+": PLUS, "-": MINUS, "*": TIMES}[kind])
    answer = {"+": a + b, "-": a - b, "*": a * b}[kind]
    return {"question": text.format(n=n, m=m, a=a, b=b, x=rng.choice(THINGS)),
            "answer": answer}


def main():
    rng = random.Random(11)
    path = Path(__file__).parent / "problems_test.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for _ in range(80):
            file.write(json.dumps(problem(rng)) + "\n")


if __name__ == "__main__":
    main()
