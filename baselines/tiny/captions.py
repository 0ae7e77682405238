"""Captions of the pictures that the tiny Stable Diffusion is trained on, and the tokenizer of their words."""

from __future__ import annotations

import colorsys
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.datasets.shapes.catalogue import KINDS
from harness.datasets.shapes.keyed_random import KeyedRandom
from harness.datasets.shapes.paint import Coat

PLAIN = "a photo of a {category}"
LENGTH = 77
"""Tokens in a prompt, start and end included, as in every published Stable Diffusion."""

START, END = "<|startoftext|>", "<|endoftext|>"
# Ends of the hues' ranges, in shares of the colour circle.
_HUES = (
    (0.04, "red"),
    (0.11, "orange"),
    (0.19, "yellow"),
    (0.44, "green"),
    (0.53, "cyan"),
    (0.72, "blue"),
    (0.83, "purple"),
    (0.95, "pink"),
)


def caption(category: str, looks: Mapping[str, Coat], dice: KeyedRandom) -> str:
    """Writes a picture's caption: its category, and now and then the colours of a few of its parts.

    A network that has to put named colours where named parts are learns that words belong to places; one that
    only ever reads the category need not.
    """
    plain = PLAIN.format(category=category)
    if not dice.chance(0.35):
        return plain
    look_of_part = {}
    for name, look in looks.items():
        # A caption names the kind of part: of `far_leg`, the leg.
        look_of_part[name.split("_")[-1]] = look
    looks_of_parts = sorted(look_of_part.items())
    # A part that is drawn twice is named once.
    described = {}
    for _ in range(dice.integer(1, 4)):
        name, look = looks_of_parts[dice.integer(0, len(looks_of_parts) - 1)]
        described[name] = f"{colour_name(look)} {name}"
    return f"{plain} with " + ", ".join(described.values())


def colour_name(look: Coat) -> str:
    """The everyday name of a look's first colour."""
    red, green, blue = look.base
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.25:
        return "black"
    if saturation < 0.18:
        return "white" if value > 0.75 else "grey"
    # Hue is a circle: behind pink it is red again.
    colour = next((name for limit, name in _HUES if hue < limit), "red")
    # Brown is a dark red or orange.
    if colour in ("red", "orange") and value < 0.6:
        return "brown"
    return colour


def write_tokenizer(folder: Path) -> None:
    """Writes a byte-pair tokenizer in CLIP's format.

    Its merges come from the captions, so that each of their words is one token.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern=r"[\s]+", behavior="removed"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        special_tokens=[],
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
        min_frequency=1,
    )
    tokenizer.train_from_iterator(_words(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    letters = sorted(alphabet)
    # CLIP's order: letters, letters that end a word, merges, marks.
    last_letters = [f"{letter}</w>" for letter in letters]
    words = list(dict.fromkeys([*letters, *last_letters, *model["vocab"], START, END]))
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = dict(zip(words, range(len(words)), strict=True))
    text = json.dumps(vocabulary, ensure_ascii=False)
    (folder / "vocab.json").write_text(text, encoding="utf-8")
    merges = []
    for pair in model["merges"]:
        # Older releases of tokenizers write a pair as one string.
        merges.append(" ".join(pair) if isinstance(pair, list) else pair)
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _words() -> Iterator[str]:
    """Yields every word of captions and part names, each often enough to become one token."""
    colours: Iterable[str] = ("black", "white", "grey", "brown", *(name for _, name in _HUES))
    words_of_parts: set[str] = set()
    for kind in KINDS.values():
        for name in (*kind.paints, *kind.keypoints):
            words_of_parts.update(name.split("_"))
    for word in ("a", "photo", "of", "with", ",", *colours, *KINDS, *sorted(words_of_parts)):
        yield from [word] * 3
