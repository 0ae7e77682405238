"""The tokens that a Stable Diffusion's tokenizer makes, as its files say; read without loading it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.messages import listed
from harness.networks.json_files import read_object

SPECIAL = ("bos_token", "eos_token", "unk_token", "pad_token")
"""Tokens with a part of their own, as configurations name them: begin, end, unknown, padding."""

DEFAULTS = {
    "bos_token": "<|startoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
}
"""Those of transformers' CLIPTokenizer, where the files name none."""

_PADDING = {1024: ("2", 0), 768: ("1", 49407)}
"""Width of a text encoder with CLIP's whole vocabulary -> Stable Diffusion, id of its padding."""

_VOCABULARY = 49408
"""Tokens of CLIP's vocabulary."""


@dataclass(frozen=True)
class Tokens:
    """What decides the tokens of a text.

    Attributes:
        special: name of `SPECIAL` -> text and id.
        length: tokens of every prompt, padded or cut.
        size: number of ids.
        left_out: names of `SPECIAL` that the files do not state.
        ids, merges: token -> id, and the pairs that are joined, in whatever files they stand.
    """

    special: Mapping[str, tuple[str, int]]
    length: int
    size: int
    ids: Mapping[str, int]
    merges: Sequence[Sequence[str]]
    left_out: Sequence[str] = ()

    def digest(self) -> str:
        """A hash of vocabulary and merges."""
        return hashlib.sha256(json.dumps([sorted(self.ids.items()), self.merges]).encode()).hexdigest()


def read_tokens(folder: Path) -> Tokens:
    """Reads a tokenizer's folder.

    Raises:
        UserError: a file is missing or damaged, no length is stated, or a special token is not in the
            vocabulary.
    """
    path = folder / "tokenizer_config.json"
    config = read_object(path)
    length = config.get("model_max_length")
    if not isinstance(length, int) or not 1 <= length <= 10_000:
        raise UserError(f"{path}: model_max_length is {length!r:.40}, not a number of tokens; copy it again")
    ids, merges = _read_vocabulary(folder)
    special = {}
    texts, left_out = _special_texts(folder, config)
    for name, text in texts.items():
        if text not in ids:
            raise UserError(
                f"{path}: {name} is {text!r:.40}, which is not in the vocabulary; copy both again"
            )
        special[name] = (text, ids[text])
    return Tokens(special, length, 1 + max(ids.values()), ids, merges, left_out)


def check_tokens(folder: Path) -> None:
    """Checks that a pipeline's tokenizer belongs to its text encoder.

    Raises:
        UserError: it makes ids or lengths that the text encoder does not read, or pads otherwise than the
            published Stable Diffusion with such a text encoder.
    """
    tokens = read_tokens(folder / "tokenizer")
    encoder = read_object(folder / "text_encoder" / "config.json")
    size = encoder.get("vocab_size", _VOCABULARY)
    positions = encoder.get("max_position_embeddings", 77)
    if tokens.size > size:
        raise UserError(
            f"{folder}: its tokenizer has {tokens.size:,} tokens, its text encoder {size:,}; "
            "copy both from one Stable Diffusion"
        )
    if tokens.length > positions:
        raise UserError(
            f"{folder}: its tokenizer makes {tokens.length:,} tokens of a prompt, "
            f"its text encoder reads {positions:,}; copy both from one Stable Diffusion"
        )
    is_known = size == _VOCABULARY and encoder.get("hidden_size") in _PADDING
    if tokens.left_out and not is_known:
        raise UserError(
            f"{folder / 'tokenizer'}: lacks {listed(tokens.left_out)}, which the libraries would choose by "
            "themselves; copy special_tokens_map.json and tokenizer_config.json again"
        )
    if is_known:
        generation, wanted = _PADDING[encoder["hidden_size"]]
        text, number = tokens.special["pad_token"]
        if number != wanted:
            raise UserError(
                f"{folder}: its tokenizer pads prompts with {text!r} (id {number}), "
                f"Stable Diffusion {generation} with id {wanted}; "
                "copy tokenizer/special_tokens_map.json and tokenizer/tokenizer_config.json from there"
            )


def _special_texts(folder: Path, config: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """Name -> text, and the names that no file states.

    The older file comes before the configuration, unless that lists its tokens itself.
    """
    path = folder / "special_tokens_map.json"
    older = read_object(path) if path.exists() and "added_tokens_decoder" not in config else {}
    texts = {}
    for name in SPECIAL:
        value = older.get(name, config.get(name, DEFAULTS[name]))
        if isinstance(value, Mapping):
            value = value.get("content")
        if not isinstance(value, str):
            raise UserError(f"{folder}: {name} is not a text; copy the tokenizer again")
        texts[name] = value
    return texts, [name for name in SPECIAL if name not in older and name not in config]


def _read_vocabulary(folder: Path) -> tuple[dict[str, int], list[list[str]]]:
    """Token -> id, and the merges."""
    names = ("tokenizer.json", "vocab.json", "merges.txt", "added_tokens.json")
    present = [folder / name for name in names if (folder / name).is_file()]
    state = []
    for path in present:
        status = path.stat()
        state.append((path, status.st_mtime_ns, status.st_size))
    return _parse_vocabulary(folder, tuple(state))


@lru_cache(maxsize=4)
def _parse_vocabulary(folder: Path, state: tuple[Any, ...]) -> tuple[dict[str, int], list[list[str]]]:
    """`_read_vocabulary` of files in a certain state: they are megabytes, and asked for several times."""
    present = {path.name for path, *_ in state}
    try:
        if "tokenizer.json" in present:
            content = read_object(folder / "tokenizer.json")
            ids = dict(content["model"]["vocab"])
            # Older files have a merge as one text, newer ones as two.
            merges = [
                " ".join([*merge]) if isinstance(merge, list) else merge
                for merge in content["model"]["merges"]
            ]
            ids.update({token["content"]: token["id"] for token in content.get("added_tokens") or ()})
        else:
            ids = read_object(folder / "vocab.json")
            lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
            merges = [line for line in lines if line.strip() and not line.startswith("#version")]
            if "added_tokens.json" in present:
                ids.update(read_object(folder / "added_tokens.json"))
        if not ids or not all(type(number) is int and number >= 0 for number in ids.values()):
            raise ValueError("an id is not a whole number")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or repr(error)
        raise UserError(f"{folder}: not CLIP's tokenizer ({reason:.120}); copy or fetch it again") from error
    return ids, [merge.split(" ") for merge in merges]
