"""The ids that a tokenizer makes of a few texts: what its files amount to, whatever keys they say it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from baselines.tokens import Tokens, read_tokens
from harness.errors import UserError

SHORT = "a photo of a cat"
CAPITALS = "A Photo of a CAT"
LONG = f"{SHORT}{' cat' * 90}"
TEXTS = ("", SHORT, CAPITALS, "naïve café, 12 × 3 cats", LONG)
"""Texts that settings of a tokenizer change, each in its own way."""


def load_tokenizer(folder: Path) -> Any:
    """Loads CLIP's tokenizer from its folder.

    Raises:
        UserError: a file is missing or damaged, or `check_ids` refuses the ids that it makes.
    """
    from transformers import CLIPTokenizer

    from baselines.networks.loading import explain_loading_errors

    with explain_loading_errors(folder, "CLIP's tokenizer"):
        tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        ids = _ids_of(tokenizer)
    check_ids(folder, read_tokens(folder), ids)
    return tokenizer


def read_ids(folder: Path) -> Mapping[str, Sequence[int]]:
    """Text of `TEXTS` -> ids, padded or cut, of a tokenizer in a folder. Raises as `load_tokenizer` does."""
    return _ids_of(load_tokenizer(folder))


def _ids_of(tokenizer: Any) -> dict[str, list[int]]:
    length = tokenizer.model_max_length
    rows = tokenizer(list(TEXTS), padding="max_length", max_length=length, truncation=True).input_ids
    return {text: list(map(int, row)) for text, row in zip(TEXTS, rows, strict=True)}


def check_ids(folder: Path, tokens: Tokens, ids: Mapping[str, Sequence[int]]) -> None:
    """Checks that a tokenizer makes prompts such as every CLIP's text encoder was trained with.

    They begin with the begin token and the text's first words, end with the end token, and are padded
    behind it; capitals count as small letters.

    Args:
        folder: the tokenizer's, for the message.
        ids: text of `TEXTS` -> ids.

    Raises:
        UserError: it does not, with the ids that it makes.
    """
    begin, end, padding = (tokens.special[name][1] for name in ("bos_token", "eos_token", "pad_token"))
    empty = [begin, end, *[padding] * (tokens.length - 2)][: tokens.length]
    short, long = ids[SHORT], ids[LONG]
    # Words of the text that fit into a short prompt.
    words = min(4, tokens.length - 2)
    complaints = (
        (list(ids[""]) == empty, "", "the begin token, the end token and padding behind them"),
        (
            short[0] == begin and short[-1] in (padding, end),
            SHORT,
            "the begin token, the words, the end token and padding behind them",
        ),
        (
            long[0] == begin and long[-1] == end and long[1 : 1 + words] == short[1 : 1 + words],
            LONG,
            "the begin token, its first words and the end token",
        ),
        (ids[CAPITALS] == short, CAPITALS, "what the same text has in small letters"),
    )
    for is_right, text, wanted in complaints:
        if not is_right:
            raise UserError(
                f"{folder}: its files make {shortened(ids[text])} of the text '{text[:24]}', "
                f"and not {wanted}, as text encoders of CLIP were trained; copy or fetch the tokenizer again"
            )


def shortened(ids: Sequence[int]) -> str:
    """Ids in a message: the first and the last ones."""
    parts = list(map(str, ids))
    return ", ".join(parts if len(parts) <= 10 else [*parts[:7], "...", *parts[-2:]])
