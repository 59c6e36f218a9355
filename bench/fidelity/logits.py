"""nnr logits against the reference: every position, up to 4,000 tokens.

exact: the largest difference of a log-probability, over the whole vocabulary.
fast: the mean over positions of KL(reference || nnr).
"""

import sys

import numpy as np

from common import Lazy, WORK, cached_array, nnr, parser, verdict
from golden_logits import TEXTS
from prompts import PROMPTS
from reference import log_softmax
from token_lines import DATA


def texts(ref, longest):
    """Short texts of our own, then Wikipedia, plays and news by length."""
    for text in TEXTS + PROMPTS[::4]:
        yield text
    corpora = DATA / "lm_corpora"
    for name, start, count in (("wikitext2_valid.txt", 0, 256),
                               ("tinyshakespeare.txt", 5000, 512),
                               ("wikitext2_test.txt", 40000, 1024),
                               ("tinyshakespeare.txt", 90000, 2048),
                               ("wikitext2_test.txt", 90000, 4000)):
        text = (corpora / name).read_text(encoding="utf-8")[start:start + count * 6]
        ids = ref.tokenize(text)
        while len(ids) > min(count, longest):
            text = text[:int(len(text) * min(count, longest) / len(ids))]
            ids = ref.tokenize(text)
        yield text


def compare(got, want):
    """Largest log-probability gap, its position, and the KL per position."""
    worst, where, kl = 0.0, 0, []
    for at in range(0, len(want), 128):
        a = log_softmax(got[at:at + 128])
        b = log_softmax(want[at:at + 128])
        gap = np.abs(a - b).max(1)
        if not np.isfinite(gap).all():
            return float("inf"), at, [float("inf")]
        if gap.max() > worst:
            worst, where = float(gap.max()), at + int(gap.argmax())
        kl += (np.exp(b) * (b - a)).sum(1).tolist()
    return worst, where, kl


def run(args, text, precision):
    from safetensors.numpy import load_file
    out = WORK / "logits.safetensors"
    out.unlink(missing_ok=True)
    nnr(args, "logits", args.model, "--text", text, "-o", out,
        "--precision", precision, "--threads", args.threads)
    result = load_file(out)
    out.unlink()
    return result["tokens"].tolist(), result["logits"]


def main():
    p = parser(__doc__)
    p.add_argument("--longest", type=int, default=4000, help="tokens")
    args = p.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    ref = Lazy(args)
    worst = {"exact": 0.0, "fast": 0.0}
    kls = {"exact": [], "fast": []}
    print("tokens  exact: max gap  at    KL        fast: max gap  KL")
    for text in texts(ref, args.longest):
        ids = ref.tokenize(text)
        want = cached_array(args, "logits", ids, lambda: ref.logits(ids))
        if args.reference_only:
            print(f"{len(ids):6}")
            continue
        shown = []
        for precision in ("exact", "fast"):
            tokens, got = run(args, text, precision)
            if tokens != ids:
                raise SystemExit(f"other tokens for {text[:60]!r}")
            gap, where, kl = compare(got, want)
            worst[precision] = max(worst[precision], gap)
            kls[precision] += kl
            shown.append((gap, where, float(np.mean(kl))))
        (e, at, ekl), (f, _, fkl) = shown
        print(f"{len(ids):6}  {e:14.2e} {at:5} {ekl:.2e}  {f:14.2e} {fkl:.2e}",
              flush=True)
    if args.reference_only:
        return 0
    mean = {k: float(np.mean(v)) for k, v in kls.items()}
    return verdict([
        ("exact, largest log-probability gap", f"{worst['exact']:.2e}", "1e-3",
         worst["exact"] <= 1e-3),
        (f"fast, mean KL over {len(kls['fast'])} positions",
         f"{mean['fast']:.2e}", "2e-3", mean["fast"] < 2e-3)])


if __name__ == "__main__":
    sys.exit(main())
