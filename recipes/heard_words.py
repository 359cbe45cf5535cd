"""A sample of the dictionary of today, spoken by a voice and heard by Whisper, beside as many words of the older one.

    scripts/judges.sh && python recipes/heard_words.py [--voice VOICE] [--words 200] [--json FILE]

Each word is said in "The word is …". What Whisper writes is read again as text, and its phonemes (without stress) are
compared with those that were said: a name may be spelled in several ways, and Whisper has not met many of them. So the
words of the older dictionary, said by the same voice, show how much of what is missed the voice and Whisper miss.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path

import portavoz
from portavoz.evaluate.asr_wer import word_errors
from portavoz.evaluate.judges import Judges
from portavoz.flow import Wave
from portavoz.text.chunks import split_text
from portavoz.text.lexicon import dictionary, modern

NAMES = Path(__file__).parent.parent / "src" / "portavoz" / "text" / "data" / "names.txt"


def phonemes(text: str) -> list[str]:
    """What `text` sounds like, without stress and pauses."""
    symbols = [symbol for chunk in split_text(text) for symbol in chunk.symbols]
    return [symbol.rstrip("012") for symbol in symbols if symbol[:1].isalpha() and symbol.isupper()]


def sample(count: int) -> dict[str, list[str]]:
    """Words to say, by source: half of today's from names.txt, half from the rest of it; as many of CMUdict."""
    choose = random.Random(0)
    lines = [line for line in NAMES.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    names = sorted({word for line in lines if (word := line.split()[0]).isalpha()})
    others = sorted(word for word in modern() if word.isalpha() and len(word) > 3 and word not in set(names))
    older = sorted(word for word in dictionary() if word.isalpha() and len(word) > 3 and word not in modern())
    half = count // 2
    return {
        "names.txt": choose.sample(names, half),
        "misaki": choose.sample(others, count - half),
        "cmudict": choose.sample(older, count),
    }


def main() -> None:
    """Say, hear, compare, print a line a word and a line a source."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", help="by default the bundled one")
    parser.add_argument("--words", type=int, default=200)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    voice, rows = portavoz.load(args.voice) if args.voice else portavoz.load(), list[dict[str, object]]()
    with Judges(["asr"]) as judge:
        for source, words in sample(args.words).items():
            for word in words:
                text = f"The word is {word}."
                speech = voice.speak(text)
                heard = str(judge(Wave(speech.samples, speech.rate))["heard"])
                wrong = word_errors(phonemes(text), phonemes(heard))
                missed = wrong.substitutions + wrong.insertions + wrong.deletions
                rows.append({
                    "source": source, "word": word, "heard": heard, "missed": missed, "phonemes": wrong.words,
                    "spelled": bool(re.search(rf"\b{word}\b", heard.lower())),
                })  # fmt: skip
                print(f"{source:10} {word:20} {rows[-1]['missed']!s:>3}  {heard}", flush=True)
    for source in dict.fromkeys(str(row["source"]) for row in rows):
        of = [row for row in rows if row["source"] == source]
        near = sum(int(str(row["missed"])) <= 1 for row in of) / len(of)
        spelled = sum(bool(row["spelled"]) for row in of) / len(of)
        wrong = sum(int(str(row["missed"])) for row in of) / sum(int(str(row["phonemes"])) for row in of)
        print(f"{source}: {len(of)} words, {spelled:.0%} spelled so, {near:.0%} within one phoneme, {wrong:.1%} wrong")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
