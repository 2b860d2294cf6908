"""Builds the training text: novels up to 1923, recall and copy exercises made from them, and short chat questions.

usage: make_corpus.py NOVEL_DIR OUT_DIR
NOVEL_DIR holds plain texts named Author_Title_YEAR.txt. Writes OUT_DIR/train.txt, documents separated by <|endoftext|>,
and OUT_DIR/heldout/NAME.txt for the books that are kept for evaluation.
"""

import argparse
import pathlib
import random
import re

SEED = 20261123
LAST_YEAR = 1923
HELD_OUT = {"Stevenson_Treasure_1883", "Doyle_Hound_1902", "Burnett_Garden_1911", "Woolf_Night_1919"}

SEPARATOR = "<|endoftext|>"
USER, ASSISTANT, END = "<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>\n"

NUM_RECALL, NUM_COPY, NUM_CHAT = 20_000, 9_000, 12_000

CAPITALS = """
France:Paris Germany:Berlin Spain:Madrid Italy:Rome Portugal:Lisbon England:London Scotland:Edinburgh Ireland:Dublin
Wales:Cardiff Norway:Oslo Sweden:Stockholm Denmark:Copenhagen Finland:Helsinki Poland:Warsaw Austria:Vienna
Hungary:Budapest Greece:Athens Turkey:Ankara Russia:Moscow China:Beijing Japan:Tokyo India:Delhi Egypt:Cairo
Kenya:Nairobi Nigeria:Abuja Canada:Ottawa Mexico:Mexico-City Brazil:Brasilia Argentina:Buenos-Aires Chile:Santiago
Peru:Lima Cuba:Havana Australia:Canberra Iran:Tehran Iraq:Baghdad Israel:Jerusalem Belgium:Brussels Switzerland:Bern
Ukraine:Kyiv Iceland:Reykjavik Vietnam:Hanoi Thailand:Bangkok Korea:Seoul
"""
COLOURS = {
    "the sky": "blue",
    "grass": "green",
    "snow": "white",
    "coal": "black",
    "blood": "red",
    "the sun": "yellow",
    "a rose": "red",
    "milk": "white",
}
OPPOSITES = """
hot:cold big:small up:down good:bad old:young rich:poor light:dark fast:slow hard:soft happy:sad tall:short early:late
full:empty wet:dry near:far love:hate war:peace day:night first:last true:false
"""
NUMBERS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty
"""
PLACES = """
library,harbour,garden gate,observatory,old mill,lighthouse,vault,museum,chapel,station,archive,greenhouse,tower,bakery,
theatre,bridge,castle,workshop,hospital,school,market,forge,stable,cellar,attic,embassy,laboratory,orchard,quarry,ferry
"""
PEOPLE = """
Alice Bernard Clara Dorian Edith Felix Grace Hugo Irene Jasper Kate Leopold Maud Nathan Olive Percy Ruth Silas Thea
Victor Winifred
"""


def pairs(text):
    return [tuple(side.replace("-", " ") for side in item.split(":")) for item in text.split()]


def clean(text):
    """Joins wrapped lines into paragraphs; a line under 50 characters ends one (dialogue, verse, headings)."""
    paragraphs, current = [], ""
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        line = line.rstrip()
        if line.strip():
            current = f"{current} {line.strip()}" if current else line.strip()
        if current and (not line.strip() or len(line) < 50):
            paragraphs.append(current)
            current = ""
    if current:
        paragraphs.append(current)
    text = re.sub(r" +", " ", "\n".join(paragraphs))
    return text.replace(" ,", ",").replace(" .", ".").replace("\ufffd", "")


def split_documents(text, rng):
    """Pieces of 6,000 to 16,000 characters that end with a paragraph."""
    start = 0
    while start < len(text):
        end = min(len(text), start + rng.randint(6000, 16000))
        newline = text.find("\n", end)
        end = len(text) if newline < 0 else newline + 1
        yield text[start:end]
        start = end


class Exercises:
    """Generated documents. Every method draws from one generator, so their order is part of the corpus."""

    def __init__(self, paragraphs, rng):
        self.rng = rng
        self.paragraphs = paragraphs
        self.subjects = ["the " + place.strip() for place in PLACES.replace("\n", "").split(",")] + PEOPLE.split()
        self.words = sorted(set(re.findall(r"[a-z]{4,9}", " ".join(paragraphs[::40]))))
        self.capitals = pairs(CAPITALS)
        self.opposites = pairs(OPPOSITES)
        self.numbers = NUMBERS.split()

    def code(self):
        return "".join(self.rng.choice("0123456789") for _ in range(5))

    def recall(self):
        """Facts hidden in prose, then questions. Lengths are log-uniform, so that short distances come often."""
        rng = self.rng
        budget = int(150 * (6500 / 150) ** rng.random())
        body, length = [], 0
        while length < budget:
            paragraph = rng.choice(self.paragraphs)
            if len(paragraph) > budget - length:
                paragraph = paragraph[: max(80, budget - length)]
            body.append(paragraph)
            length += len(paragraph)
        subjects = rng.sample(self.subjects, rng.randint(2, 6))
        facts = [(subject, self.code()) for subject in subjects]
        for subject, code in facts:
            body.insert(rng.randint(0, len(body)), f"The secret code of {subject} is {code}. Remember it.")
        prose = "\n".join(body) + "\n"
        rng.shuffle(facts)
        turns = []
        for i, (subject, code) in enumerate(facts):
            question = f"{'' if i else prose}What is the secret code of {subject}?"
            turns.append(f"{USER}{question}{END}{ASSISTANT}The secret code of {subject} is {code}.{END}")
        return "".join(turns)

    def copy(self):
        """A random list, said twice: teaches induction."""
        rng = self.rng
        items = []
        for _ in range(rng.randint(6, 60)):
            word = rng.choice(self.words)
            items.append(word + (" " + self.code() if rng.random() < 0.5 else ""))
        text = ", ".join(items)
        return f"{USER}Repeat this list: {text}.{END}{ASSISTANT}{text}.{END}"

    def chat(self):
        turns = (self.question_and_answer() for _ in range(self.rng.randint(1, 6)))
        return "".join(f"{USER}{question}{END}{ASSISTANT}{answer}{END}" for question, answer in turns)

    def question_and_answer(self):
        rng, numbers = self.rng, self.numbers
        kind = rng.randint(0, 5)
        if kind <= 1:
            country, capital = rng.choice(self.capitals)
            return rng.choice(
                [
                    (f"What is the capital of {country}?", f"The capital of {country} is {capital}."),
                    (f"Which country has {capital} as its capital?", f"{capital} is the capital of {country}."),
                    (f"Tell me the capital of {country}.", f"The capital of {country} is {capital}."),
                ]
            )
        if kind == 2:
            thing, colour = rng.choice(list(COLOURS.items()))
            return f"What colour is {thing}?", f"{thing[0].upper() + thing[1:]} is {colour}."
        if kind == 3:
            word, opposite = rng.choice(self.opposites)
            if rng.random() < 0.5:
                word, opposite = opposite, word
            return f"What is the opposite of {word}?", f"The opposite of {word} is {opposite}."
        if kind == 4:
            a, b = rng.randint(0, 10), rng.randint(0, 10)
            return f"What is {numbers[a]} plus {numbers[b]}?", f"{numbers[a].capitalize()} plus {numbers[b]} is {numbers[a + b]}."
        a = rng.randint(0, 19)
        return f"What number comes after {numbers[a]}?", f"The number after {numbers[a]} is {numbers[a + 1]}."


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("novels", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    args = parser.parse_args()
    (args.out / "heldout").mkdir(parents=True, exist_ok=True)

    rng = random.Random(SEED)
    documents, paragraphs = [], []
    for path in sorted(args.novels.glob("*.txt")):
        if int(path.stem.rsplit("_", 1)[1]) > LAST_YEAR:
            continue
        text = clean(path.read_text(encoding="utf-8-sig", errors="replace"))
        if path.stem in HELD_OUT:
            (args.out / "heldout" / path.name).write_text(text, encoding="utf-8")
            continue
        documents += split_documents(text, rng)
        paragraphs += [line for line in text.split("\n") if 80 < len(line) < 900]
    if not paragraphs:
        raise SystemExit(f"{args.novels}: expected novels named Author_Title_YEAR.txt up to {LAST_YEAR}, found none")

    make = Exercises(paragraphs, rng)
    exercises = [make.recall() for _ in range(NUM_RECALL)]
    exercises += [make.copy() for _ in range(NUM_COPY)]
    exercises += [make.chat() for _ in range(NUM_CHAT)]
    everything = documents + exercises
    rng.shuffle(everything)
    (args.out / "train.txt").write_text(SEPARATOR.join(everything), encoding="utf-8")
    print(f"{len(documents)} documents of {sum(map(len, documents))} characters from novels")
    print(f"{len(exercises)} exercises of {sum(map(len, exercises))} characters")


if __name__ == "__main__":
    main()
