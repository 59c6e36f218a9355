"""Varied lines of text for comparing tokenizers.

made_lines() invents lines: sentences in many scripts, emoji, code, control
characters, white space, digits of many scripts, contractions, text that
looks like special tokens, long words, random code points.  corpus_lines()
takes lines from the data folder beside the checkout.  Both depend on the
seed alone.

    python bench/ref/token_lines.py OUT.jsonl [--count 10000] [--seed 1]
"""

import argparse
import json
import os
import random
import unicodedata
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("NNR_DATA", REPO.parent / "shared" / "data"))

SENTENCES = """
The quick brown fox jumps over the lazy dog.
Voilà, c’est l’été où l’on mange des crêpes à Noël.
Größe, Füße und Straße: übermäßig schöne Äpfel.
El pingüino comió ñandú en la mañana; ¿qué pasó?
Příliš žluťoučký kůň úpěl ďábelské ódy.
Zażółć gęślą jaźń, łódź i źdźbło.
Íslenskur texti með þorni og æðarfugli, Þórður.
Pijamalı hasta yağız şoföre çabucak güvendi, İstanbul'da.
Árvíztűrő tükörfúrógép.
Съешь же ещё этих мягких французских булок, да выпей чаю.
Ґанок, їжак і єнот живуть у Києві з 1482 року.
Ξεσκεπάζω την ψυχοφθόρα βδελυγμία, στις 25 Μαρτίου.
Ὦ ξεῖν’, ἀγγέλλειν Λακεδαιμονίοις ὅτι τῇδε κείμεθα.
我能吞下玻璃而不伤身体。今天是二〇二四年三月五日。
臺灣的天氣很熱，我們去游泳吧！
いろはにほへと　ちりぬるを、東京タワーは３３３メートルです。
コンピューターとﾊﾝｶｸ文字、「かっこ」も〜。
다람쥐 헌 쳇바퀴에 타고파. 한국어 문장입니다 12개.
각각의 자모가 분리된 문장
نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر، رقم ١٢٣٤.
بِسْمِ ٱللَّهِ ٱلرَّحْمَٰنِ ٱلرَّحِيمِ
دو روز مانده به پایان جهان، تازه فهمید ۴۵۶ می‌خواهد.
דג סקרן שט בים מאוכזב ולפתע מצא חברה, 3 פעמים.
שָׁלוֹם עֲלֵיכֶם
ऋषियों को सताने वाले दुष्ट राक्षसों के राजा रावण का १२३ वर्ष।
আমি কাঁচ খেতে পারি, তাতে আমার কোনো ক্ষতি হয় না। ৪৫
நான் கண்ணாடி சாப்பிடுவேன், ௧௨௩ முறை.
నేను గాజు తినగలను మరియు అది నన్ను బాధించదు ౧౨.
ฉันกินกระจกได้ แต่มันไม่ทำให้ฉันเจ็บ ๑๒๓ ครั้ง
ខ្ញុំអាចញ៉ាំកញ្ចក់បាន ១២៣
ကျွန်တော် မှန်စားနိုင်တယ် ၁၂၃
მე ვჭამ მინას და არ მტკივა.
Կրնամ ապակի ուտել և ինծի անհանգիստ չըներ։
አማርኛ ጽሑፍ ፲፪ ነው።
ᠮᠣᠩᠭᠣᠯ ᠪᠢᠴᠢᠭ
Tôi có thể ăn thủy tinh mà không hại gì.
Ẹ káàsán, ṣé dáadáa ni? Ọjọ́ ọ̀la.
x = ∑ᵢ aᵢ·bᵢ ≤ ∫₀^∞ e⁻ˣ dx ≈ 1, ∀ε>0 ∃δ
½ + ¼ = ¾, Ⅻ ≠ ⅻ, ①②③ ㊿ ⒈ ²³¹
€100, £5, ¥1000, ₹99.99, 50% off — “really”? ‘yes’…
I'm you're he's she'd we've they'll it's 'tis don't CAN'T Y'ALL'VE
’s ’t ’re ’ve ’m ’ll ’d 'S 'T 'RE 's't're've'm'll'd
''s '''ll 'sam 'tree 'really 'very 'mum 'llama 'dog
<|im_start|>user\\nHi<|im_end|>
<|endoftext|><|im_start|><|im_end|><repo_name><file_sep>
before <|im_end|> after <|im_end|>x x<|im_end|>
<|im_start|><|im_start|ass|>< |im_end|><|im_end |>
<jupyter_code><empty_output><gh_stars>5<issue_start>
[INST] hello [/INST] </s><s> <unk> <pad>
https://example.org/a/b?c=d&e=%20f#g user@host.example
C:\\Windows\\System32\\drivers\\etc /usr/lib/x86_64-linux-gnu/
2024-02-29T23:59:59.999+01:00 1,234,567.89 0xDEADBEEF 1e-10 3.14159265358979
""".strip("\n").split("\n")

CODE = [
    "int main(int argc, char **argv) { return argc > 1 ? atoi(argv[1]) : 0; }",
    "for (size_t i = 0; i < n; i++)\n\t\ty[i] += a * x[i];",
    "def f(x):\n    if x is None:\n        return {'a': [1, 2]}\n\n    yield x",
    "SELECT a.id, COUNT(*) FROM t AS a WHERE a.x >= 10 GROUP BY 1;",
    "#include <stdio.h>\r\n#define MAX(a,b) ((a)>(b)?(a):(b))\r\n",
    "fn main() { let v: Vec<u8> = vec![0u8; 32]; println!(\"{:?}\", v); }",
    "<div class=\"a b\"><p>Hi&nbsp;&amp;bye</p><!-- x --></div>",
    "{\"key\": [1, -2.5e+3, null, true], \"u\": \"\\u00e9\"}",
    "sed -e 's/[^a-z]//g' file.txt | sort -u > out 2>&1",
    "const f = async (x) => (await x)?.y ?? `t${x}`;",
    "\\begin{equation}\\frac{\\partial f}{\\partial x_{ij}}\\end{equation}",
    "    leading four\n        eight\n\tone tab\n \t mixed",
    "a+=b-c*d/e%f^g&h|i~j!k==l!=m<=n>=o<<p>>q&&r||s->t::u",
    "____init____ CamelCaseIdentifier snake_case_name SCREAMING_CASE kebab-case",
]

EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇯🇵", "❤️", "1️⃣", "🧑🏿‍🚀", "⚡", "🤷‍♀️",
         "🫠", "☃️", "©️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "✂︎"]

SPACES = [" ", "  ", "   ", "    ", "        ", "\t", "\t\t", "\n", "\n\n",
          "\n\n\n", "\r\n", "\r", " \n", "\n ", "\t ", " \t", "\u00a0",
          "\u2003", "\u3000", "\u2028", "\u2029", "\u0085", "\u200b", "\ufeff",
          "\u202f", "\u1680", "\v", "\f", "\u180e", "\u2060"]

CONTROLS = [chr(c) for c in range(0x20)] + [chr(c) for c in range(0x7f, 0xa0)]

DIGITS = ["0123456789", "٠١٢٣٤٥٦٧٨٩", "۰۱۲۳۴۵۶۷۸۹", "०१२३४५६७८९", "০১২৩৪৫৬৭৮৯",
          "๐๑๒๓๔๕๖๗๘๙", "０１２３４５６７８９", "²³¹⁰⁴₀₁₂", "½⅓¼¾⅛", "ⅠⅡⅣⅫⅻ",
          "①②⑩⑳", "𝟎𝟏𝟗𝟘𝟡", "〇〡〢㊀", "፩፪፼", "௧௨௩௰", "𐒠𐒡𐄇"]

# First and last code point of blocks that random words are drawn from.
BLOCKS = [(0x41, 0x7a), (0xc0, 0x24f), (0x370, 0x3ff), (0x400, 0x52f),
          (0x531, 0x58a), (0x5d0, 0x5ea), (0x620, 0x6ff), (0x904, 0x97f),
          (0x985, 0x9f1), (0xe01, 0xe5b), (0x10a0, 0x10ff), (0x1200, 0x137c),
          (0x1e00, 0x1fff), (0x3041, 0x30ff), (0x4e00, 0x9fa5),
          (0xac00, 0xd7a3), (0xff01, 0xff9f), (0x1d400, 0x1d7ff),
          (0x1f300, 0x1f64f), (0x20000, 0x20100), (0x2000, 0x22ff),
          (0x300, 0x36f), (0x2e80, 0x2fd5), (0xa000, 0xa48c)]

LETTERS = "etaoinshrdlucmfwypvbgkjqxz"


def assigned(code):
    return unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co")


def random_word(rng, longest):
    low, high = rng.choice(BLOCKS)
    word = ""
    for _ in range(rng.randint(1, longest)):
        code = rng.randint(low, high)
        if assigned(code):
            word += chr(code)
    return word


def mixture(rng):
    """Pieces of everything, joined by anything."""
    pieces = []
    for _ in range(rng.randint(2, 10)):
        kind = rng.randrange(9)
        if kind == 0:
            pieces.append(rng.choice(SENTENCES)[:rng.randint(1, 30)])
        elif kind == 1:
            pieces.append(rng.choice(EMOJI) * rng.randint(1, 3))
        elif kind == 2:
            pieces.append(rng.choice(SPACES) * rng.randint(1, 5))
        elif kind == 3:
            pieces.append(number(rng))
        elif kind == 4:
            pieces.append(random_word(rng, 8))
        elif kind == 5:
            pieces.append(rng.choice(["'s", "'t", "'re", "'ve", "'m", "'ll",
                                      "'d", "'", "’s", "'S", "''"]))
        elif kind == 6:
            pieces.append(rng.choice(CONTROLS))
        elif kind == 7:
            pieces.append("".join(rng.choices("!\"#$%&()*+,-./:;<=>?@[]^_`{|}~",
                                              k=rng.randint(1, 6))))
        else:
            pieces.append(rng.choice(SPACES[:12]))
            pieces.append("".join(rng.choices(LETTERS, k=rng.randint(1, 12))))
    return "".join(pieces)


def number(rng):
    digits = rng.choice(DIGITS)
    return "".join(rng.choices(digits, k=rng.randint(1, 9)))


def made_line(rng):
    kind = rng.randrange(12)
    if kind == 0:
        return rng.choice(SENTENCES)
    if kind == 1:
        return rng.choice(CODE)
    if kind == 2:
        return " ".join(random_word(rng, 10) for _ in range(rng.randint(1, 6)))
    if kind == 3:
        return rng.choice([" ", "", ", "]).join(
            rng.choice(EMOJI) for _ in range(rng.randint(1, 5)))
    if kind == 4:
        return "".join(rng.choice(SPACES) + rng.choice(["", "a", "the", "9"])
                       for _ in range(rng.randint(1, 8)))
    if kind == 5:
        return " ".join(number(rng) for _ in range(rng.randint(1, 4)))
    if kind == 6:
        return "".join(rng.choices(LETTERS, k=rng.randint(1, 120)))
    if kind == 7:
        return "".join(rng.choice(CONTROLS) + rng.choice(["", "x", " "])
                       for _ in range(rng.randint(1, 6)))
    if kind == 8:
        line = rng.choice(SENTENCES)
        cut = rng.randint(0, len(line))
        return line[cut:] + rng.choice(SPACES) + line[:cut]
    if kind == 9:
        line = rng.choice(SENTENCES)
        return rng.choice([line.upper, line.lower, line.title, line.swapcase,
                           lambda: unicodedata.normalize("NFD", line),
                           lambda: unicodedata.normalize("NFKC", line)])()
    return mixture(rng)


def made_lines(count, seed):
    """Distinct lines; every fixed line comes first, as it is."""
    rng = random.Random(seed)
    fixed = SENTENCES + CODE + EMOJI + SPACES + DIGITS + CONTROLS + [
        "a" * 500, "ab" * 300, "é" * 200, "汉" * 200, "👍" * 60, "1" * 200,
        " " * 300, "\n" * 100, "!" * 150, "'" * 50, "\t \t " * 40,
        "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamten",
        "pneumonoultramicroscopicsilicovolcanoconiosis" * 4]
    seen = dict.fromkeys(fixed[:count])
    while len(seen) < count:
        line = made_line(rng)
        if line:
            seen[line] = None
    return list(seen)


def file_texts(path):
    """Texts of one data file: string values of JSON lines, cells of a TSV."""
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            line = line.rstrip("\n")
            if path.suffix == ".jsonl":
                record = json.loads(line)
                yield from (v for v in record.values() if isinstance(v, str))
            elif path.suffix == ".tsv":
                yield line.rsplit("\t", 1)[-1]
            else:
                yield line


FOLDERS = ["sst2", "trec", "ag_news", "subj", "gsm8k", "bbh", "reasoning",
           "lm_corpora", "prompt_injection", "table2text"]


def corpus_lines(count, seed):
    """The same number of distinct lines from each file, at random."""
    rng = random.Random(seed)
    paths = [p for folder in FOLDERS for p in sorted((DATA / folder).iterdir())
             if p.suffix in (".tsv", ".jsonl", ".txt")]
    lines = {}
    share = count // len(paths) + 1
    for path in paths:
        texts = sorted({t for t in file_texts(path) if 0 < len(t) <= 4000})
        lines.update(dict.fromkeys(rng.sample(texts, min(share, len(texts)))))
    spare = sorted({t for t in file_texts(DATA / "gsm8k" / "train.jsonl")})
    rng.shuffle(spare)
    lines.update(dict.fromkeys(spare[:count]))
    return list(lines)[:count]


def varied_lines(count=10000, seed=1):
    """Three lines of data to two made ones."""
    made = made_lines(count * 2 // 5, seed)
    known = set(made)
    data = [t for t in corpus_lines(count, seed) if t not in known]
    return data[:count - len(made)] + made


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    lines = varied_lines(args.count, args.seed)
    with open(args.out, "w", encoding="utf-8") as file:
        for text in lines:
            file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    print(f"{len(lines)} lines, {sum(map(len, lines))} characters")


if __name__ == "__main__":
    main()
