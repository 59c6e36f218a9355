"""BLEU and ROUGE-L of `nnr eval` against sacreBLEU and rouge-score."""

import json
import sys

from common import WORK, json_lines, nnr, parser, verdict


def library_scores(rows):
    """The libraries' figures of a predictions file's rows."""
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU

    said = [row["prediction"] or "" for row in rows]
    refs = [row["target"] if isinstance(row["target"], list)
            else [row["target"]] for row in rows]
    streams = [[r[k] if k < len(r) else None for r in refs]
               for k in range(max(map(len, refs)))]
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    rouge = [scorer.score_multi(r, s)["rougeL"].fmeasure
             for r, s in zip(refs, said)]
    return (BLEU(tokenize="13a").corpus_score(said, streams).score,
            sum(rouge) / len(rouge))


def main():
    p = parser(__doc__)
    p.add_argument("program", help="a source or an artifact that writes text")
    p.add_argument("--data", required=True)
    p.add_argument("--sample", type=int, default=200)
    p.add_argument("--untrained", action="store_true")
    args = p.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    out = WORK / "texts.jsonl"
    results = json.loads(nnr(
        args, "eval", args.program, "--data", args.data, "--sample",
        args.sample, "--predictions", out, "--json", "--threads",
        args.threads, *["--untrained"] * args.untrained))["results"]
    rows = json_lines(out.read_text(encoding="utf-8"))
    bleu, rouge = library_scores(rows)
    print(f"{len(rows)} items, {results['references']} references, BLEU "
          f"{bleu:.4f}, ROUGE-L {rouge:.6f}")
    # Counts are equal or wrong by far more; the rest is a few doubles.
    bars = [("BLEU", abs(bleu - results["bleu"]["value"]), 1e-9),
            ("ROUGE-L", abs(rouge - results["rouge_l"]["value"]), 1e-12)]
    return verdict([(f"{name}: difference", gap, f"{bar:g}", gap <= bar)
                    for name, gap, bar in bars])


if __name__ == "__main__":
    sys.exit(main())
