"""Writes tests/golden/text_metrics.json: BLEU and ROUGE-L of a few lines.

The lines are our own.  BLEU is sacrebleu's corpus BLEU with its 13a tokens,
also against several references, their number differing from line to line as
WebNLG's and E2E's does.  ROUGE-L is rouge-score's, without stemming; of several
references the one with the best F counts.

    $NNR_PEERS/venv/bin/python bench/ref/text_metrics.py
"""

import json
from importlib.metadata import version

from token_lines import REPO

# A hypothesis, then its references: one to four.
LINES = [
    ("The cat sat on the mat.", "The cat sat on the mat."),
    ("The cat sat on mat", "The cat sat on the mat.", "A cat was on the mat."),
    ("", "Nothing was said.", "There was no answer."),
    ("Alba is in the city centre.", "Alba is in the city centre.",
     "In the city centre there is Alba.", "You find Alba in the centre."),
    ("Alan Bean was born in Wheeler, Texas, on 15 March 1932.",
     "Alan Bean (born 15 March 1932) came from Wheeler, Texas.",
     "Wheeler, Texas, is where Alan Bean was born on March 15, 1932."),
    ("The price is $1,000.50 (about 3.5% more)!",
     "The price is $1,000.50, about 3.5 % more."),
    ("In 1969-70 the team won 12-3.", "The team won 12-3 in 1969-70."),
    ("\"Well,\" she said, 'it isn't mine.'", "\"Well\", she said, \"it isn't mine\"."),
    ("Zum Löwen serves German food; children are welcome.",
     "Families are welcome at Zum Löwen, which serves German food.",
     "Zum Löwen: German, family friendly."),
    ("Crêpes à la crème brûlée", "Crème brûlée and crêpes"),
    ("東京 は 日本 の 首都 です 。", "日本 の 首都 は 東京 です 。"),
    ("Ελλάδα και Κύπρος, 2004", "Η Ελλάδα και η Κύπρος, 2004"),
    ("the the the the the the the", "the cat is on the mat",
     "there is a cat on the mat"),
    ("a", "a"),
    ("no word in common here", "entirely different text"),
    ("It is a guide to action which ensures that the military always obeys "
     "the commands of the party.",
     "It is a guide to action that ensures that the military will forever "
     "heed Party commands.",
     "It is the guiding principle which guarantees the military forces always "
     "being under the command of the Party.",
     "It is the practical guide for the army always to heed the directions "
     "of the party."),
    ("&quot;Fish &amp; chips&quot; &lt; 5 €", "\"Fish & chips\" < 5 €"),
    ("well-known mother-in-law 's half-\nbaked plan",
     "a well-known mother-in-law's half-baked plan"),
    ("e.g. U.S. Route 66 vs. I-40, etc.", "U.S. Route 66 versus I-40, and so on."),
    ("A.B.C 1.2.3 x=y+z {k: [v]} ~user@host/path #1 100%",
     "A.B.C. 1.2.3 x = y + z {k: [v]} ~user@host/path no. 1 100 %"),
    ("  spaces   and\ttabs  ", "spaces and tabs"),
    ("HE SHOUTED LOUDLY.", "He shouted loudly."),
    ("one two three four five six seven eight nine ten eleven twelve",
     "one two three", "one two three four five six", "ten eleven twelve", "twelve"),
    ("The Blue Boat is a cheap fish restaurant near the harbour with a rating "
     "of 3 out of 5.",
     "Near the harbour, The Blue Boat offers cheap fish and is rated 3 out of 5.",
     "The Blue Boat, rated 3 out of 5, is a cheap place for fish at the harbour."),
    ("naïve café 😀 ok", "naive cafe 😀 ok", "naïve café ok 😀"),
    ("don’t “quote” – or… do", "don't \"quote\" - or ... do"),
]

# Name, indices of the lines, references per line at most.
CORPORA = [
    ("all, first reference", range(len(LINES)), 1),
    ("all, every reference", range(len(LINES)), None),
    ("one line", [3], 1),
    ("short output: brevity penalty", [1, 4, 8], 1),
    ("no 3-gram in common: smoothed", [12, 24], 1),
    ("nothing in common", [14], 1),
    ("an empty line alone", [2], 1),
    ("one token alone", [13], 1),
    ("several references, the closest length", [15, 22], None),
]


def streams(chosen, most):
    """sacrebleu's form: the i-th reference of every line, None if it has none."""
    refs = [LINES[i][1:][:most] for i in chosen]
    return [[r[k] if k < len(r) else None for r in refs]
            for k in range(max(map(len, refs)))]


def bleu(chosen, most):
    from sacrebleu.metrics import BLEU
    metric = BLEU(tokenize="13a")
    score = metric.corpus_score([LINES[i][0] for i in chosen], streams(chosen, most))
    return {"score": score.score, "counts": score.counts, "totals": score.totals,
            "precisions": score.precisions, "bp": score.bp, "sys_len": score.sys_len,
            "ref_len": score.ref_len}, str(metric.get_signature())


def rouge():
    from rouge_score.rouge_scorer import RougeScorer
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    rows = []
    for hypothesis, *refs in LINES:
        first = scorer.score(refs[0], hypothesis)["rougeL"]
        best = scorer.score_multi(refs, hypothesis)["rougeL"]
        rows.append({"first": list(first), "best": list(best)})
    return rows


def main():
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    corpora, signatures = [], set()
    for name, chosen, most in CORPORA:
        value, signature = bleu(list(chosen), most)
        corpora.append({"name": name, "lines": list(chosen), "references": most or 0,
                        **value})
        signatures.add(signature)
        print(f"{value['score']:8.4f}  {name}")
    table, tokens = rouge(), Tokenizer13a()
    for key in ("first", "best"):
        mean = sum(row[key][2] for row in table) / len(table)
        print(f"{mean:8.6f}  mean ROUGE-L F, {key} reference")
    text = json.dumps({
        "about": "made by bench/ref/text_metrics.py: lines of our own; bleu: corpus "
                 "BLEU (0 to 100) over `lines`, at most `references` of each line "
                 "(0: all); rouge_l: precision, recall, F against the first "
                 "reference, and against the one with the best F; tokens: 13a's "
                 "of every hypothesis. Counts and tokens are equal or wrong; the "
                 "others are sums of a few doubles: 1e-9 relative.",
        "versions": {p: version(p) for p in ("sacrebleu", "rouge-score")},
        "signatures": sorted(signatures),
        "lines": [{"hypothesis": h, "references": refs, "tokens": tokens(h)}
                  for h, *refs in LINES],
        "bleu": corpora, "rouge_l": table}, ensure_ascii=False, indent=0)
    path = REPO / "tests" / "golden" / "text_metrics.json"
    path.write_text(text + "\n", encoding="utf-8")
    print(f"{path.relative_to(REPO)}: {len(LINES)} lines, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
