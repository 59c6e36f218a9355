"""nnr tokenize against the tokenizers library on 10,000 varied lines."""

import json
import sys

from common import WORK, Lazy, cached, json_lines, nnr, parser, verdict
from token_lines import varied_lines


def main():
    p = parser(__doc__)
    p.add_argument("--count", type=int, default=10000)
    p.add_argument("--seed", type=int, default=1)
    args = p.parse_args()
    ref = Lazy(args)
    lines = varied_lines(args.count, args.seed)
    want = cached(args, "tokens", lines,
                  lambda: [ref.tokenize(text) for text in lines])
    print(f"{len(lines)} lines, {sum(map(len, want))} tokens")
    if args.reference_only:
        return 0
    WORK.mkdir(parents=True, exist_ok=True)
    data = WORK / "lines.jsonl"
    data.write_text("".join(json.dumps({"text": t}) + "\n" for t in lines))
    got = json_lines(nnr(args, "tokenize", args.model, "--data", data))
    if len(got) != len(want):
        raise SystemExit(f"{len(got)} answers for {len(want)} lines")
    wrong = [i for i, g in enumerate(got) if g["tokens"] != want[i]]
    for i in wrong[:20]:
        print(f"line {i} {lines[i][:80]!r}\n  nnr       {got[i]['tokens'][:24]}"
              f"\n  reference {want[i][:24]}")
    rate = sum(map(len, want)) / args.seconds
    print(f"{args.seconds:.2f} s, {rate:.0f} tokens/s, loading included")
    return verdict([("lines with other tokens", len(wrong), "0", not wrong)])


if __name__ == "__main__":
    sys.exit(main())
