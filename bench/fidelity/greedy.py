"""Greedy continuations of 20 prompts, 64 tokens each, against the reference.

nnr answers with text, so text is compared: the reference's tokens up to its
end token, decoded.  Where the texts part, the reference's gap at that step
decides: under 1e-3 the step is excused and counted, the reference's token is
fed and the rest is compared; otherwise the prompt differs.
"""

import json
import sys

from common import HERE, WORK, Lazy, cached, json_lines, nnr, parser, verdict
from golden_greedy import STEPS, continuations

NEAR = 1e-3
END = 2  # <|im_end|>


def answers(args, prompts, steps):
    """nnr's greedy texts for prompts, in one process."""
    source = (HERE / "programs" / "greedy.yaml").read_text()
    source = source.replace("model: smollm2-135m-instruct", f"model: {args.model}")
    source = source.replace("max_tokens: 64", f"max_tokens: {steps}")
    program = WORK / "greedy.yaml"
    program.write_text(source)
    lines = "".join(json.dumps({"text": p}) + "\n" for p in prompts)
    out = json_lines(nnr(args, "run", program, "-", "--json", "--precision",
                         "exact", "--threads", args.threads, stdin=lines))
    return [find(record, "answer") for record in out]


def find(record, field):
    if field in record:
        return record[field]
    for value in record.values():
        if isinstance(value, dict) and (found := find(value, field)) is not None:
            return found
    return None


def parting(ref, tokens, text):
    """The first step at which the text leaves the tokens; None if it never does."""
    if text == ref.detokenize(tokens):
        return None
    step = 0
    while step < len(tokens):
        # Half a code point decodes to U+FFFD: ask again one token later.
        so_far = ref.detokenize(tokens[:step + 1]).rstrip("\ufffd")
        if not text.startswith(so_far):
            return step
        step += 1
    return step


def main():
    args = parser(__doc__).parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    ref = Lazy(args)
    from prompts import PROMPTS
    records = cached(args, "greedy", [PROMPTS, STEPS], lambda: continuations(ref))
    if args.reference_only:
        return 0
    different, excused, unread = 0, 0, 0
    first = answers(args, [r["prompt"] for r in records], STEPS)
    for record, text in zip(records, first):
        tokens = record["tokens"]
        if END in tokens:
            tokens = tokens[:tokens.index(END)]
        done = 0  # tokens already held
        while (step := parting(ref, tokens[done:], text)) is not None:
            step += done
            gap = record["gaps"][step]
            print(f"{record['prompt'][:40]!r} step {step} gap {gap:.5f}: "
                  f"nnr {text[-40:]!r}")
            if gap >= NEAR:
                different += 1
                break
            excused += 1
            done = step + 1
            prompt = record["prompt"] + ref.detokenize(record["tokens"][:done])
            if ref.tokenize(prompt) != record["prompt_tokens"] + record["tokens"][:done]:
                unread += 1  # the text so far has other tokens: cannot be fed
                break
            if done >= len(tokens):
                break
            text = answers(args, [prompt], STEPS - done)[0]
    print(f"{len(records)} prompts, {args.seconds:.1f} s for the last call; "
          f"near ties excused: {excused}, of which not continued: {unread}")
    return verdict([("prompts with another continuation", different, "0",
                     different == 0)])


if __name__ == "__main__":
    sys.exit(main())
