"""Writes tests/golden/tokens/tokens.jsonl: varied lines and their tokens.

    $NNR_PEERS/venv/bin/python bench/ref/golden_tokens.py
"""

import json

from reference import Reference
from token_lines import REPO, made_lines

COUNT, SEED = 600, 2

# UTF-8 bytes that SmolLM2's vocabulary has no token for: dropped by the
# reference (and by llama.cpp), so text with them does not come back.
DROPPED = bytes([0x04, 0x06, 0x13, 0x14, 0x16, 0x1d, 0xf1, 0xf2])


def kept(text):
    return text.encode().translate(None, DROPPED).decode(errors="replace")


def main():
    ref = Reference()
    wrong = ref.check()
    if wrong:
        raise SystemExit(f"the reference fails its own test vectors: {wrong}")
    out = REPO / "tests" / "golden" / "tokens"
    out.mkdir(parents=True, exist_ok=True)
    total = 0
    with open(out / "tokens.jsonl", "w", encoding="utf-8") as file:
        for text in made_lines(COUNT, SEED):
            tokens = ref.tokenize(text)
            if ref.detokenize(tokens) != kept(text):
                raise SystemExit(f"no round trip: {text!r}")
            total += len(tokens)
            # ASCII only, so that no editor or terminal changes a byte.
            file.write(json.dumps({"text": text, "tokens": tokens}) + "\n")
    print(f"{COUNT} lines, {total} tokens")


if __name__ == "__main__":
    main()
