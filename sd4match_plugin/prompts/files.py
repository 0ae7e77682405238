"""Files of tuned prompts: our own (safetensors), and those of SD4Match's release (`caption.pt`, `ckpt.pt`)."""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import safetensors.torch
from safetensors import SafetensorError, safe_open

from harness.errors import UserError
from harness.files import replacing
from sd4match_plugin.prompts.cpm import CpmConfig
from sd4match_plugin.prompts.prompt_file import (
    BEST,
    CAPTION,
    CHECKPOINT,
    WANTED,
    Kind,
    PromptFile,
    _check,
    _content,
    _plain,
    _told,
)
from sd4match_plugin.prompts.release import _released

SCHEMA = 1

_SCHEMA, _KIND, _CONFIG = _RESERVED = ("prompt_file", "kind", "cpm")
"""Entries of a file's header that say how to read it; the others are the caller's."""


def read(path: Path, config: CpmConfig | None = None) -> PromptFile:
    """Reads a prompt file of ours or of the release; nothing in it is executed.

    Args:
        path: a safetensors file of ours, `caption.pt` or `ckpt.pt` of the release under whatever name, or the release's folder of one.
            A folder's name such as `Single_spair_sd2-1_HiddenState` or `CPM_spair_sd2-1_Pair-DINO-Feat-G25-C50` tells what tensors do not:
            prompts are taken for token embeddings unless it says `HiddenState`.
        config: of a `ckpt.pt` whose folder's name does not tell it. Tensors tell numbers of rows and widths, and the paper's module by
            itself; they do not tell `Pair-DINO-Head`, `Img-DINO-Feat` and `Img-DINO-Head` apart (an error then), nor the gate (the
            release's is taken), nor how many patches a module without g_n was trained on (256 is taken).

    Raises:
        UserError: the file is missing, damaged, no prompt's, or holds more than tensors; a tensor is missing, unknown, of a wrong shape
            or not finite; or `config` contradicts what a file of ours says.
    """
    file = _file(path)
    try:
        with file.open("rb") as opened:
            start = opened.read(9)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    # A safetensors file begins with the length of its header, in eight bytes, and the header.
    prompt = _own(file, config) if start[8:] == b"{" else _released(file, config)
    _check(prompt, str(file))
    return prompt


def _file(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; {WANTED}")
    if not path.is_dir():
        return path
    names = (CAPTION, CHECKPOINT, BEST)
    # The folder itself, or what `export` makes in one.
    found = [one for name in names for one in (path / name, *sorted(path.glob(f"*/{name}"))) if one.is_file()]
    if len(found) != 1:
        there = (
            f"{len(found)} of {CAPTION}, {CHECKPOINT} and {BEST}"
            if found
            else f"neither {CAPTION} nor {CHECKPOINT} nor {BEST}"
        )
        raise UserError(f"{path}: {there} in it; name the file")
    return found[0]


def _own(file: Path, config: CpmConfig | None) -> PromptFile:
    try:
        with safe_open(file, "pt") as opened:
            header = dict(opened.metadata() or {})
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{file}: damaged ({_told(error)}); get the file again") from error
    kinds: tuple[Kind, ...] = get_args(Kind)
    schema, kind = header.get(_SCHEMA), next((one for one in kinds if one == header.get(_KIND)), None)
    if schema is None:
        raise UserError(f"{file}: not a prompt (its header has no '{_SCHEMA}'); {WANTED}")
    if schema != str(SCHEMA):
        raise UserError(
            f"{file}: written with schema {schema}, this version reads {SCHEMA}; update correspondence-bench"
        )
    if kind is None:
        raise UserError(f"{file}: unknown kind of prompt {header.get(_KIND)!r}; known: {', '.join(kinds)}")
    metadata = {name: value for name, value in header.items() if name not in _RESERVED}
    if kind != "cpm":
        return PromptFile(kind, prompts=tensors, metadata=metadata, origin=file)
    own = _config(file, header.get(_CONFIG, ""))
    if config not in (None, own):
        raise UserError(f"{file}: holds another conditional prompt than was asked for: {own}")
    return PromptFile(kind, config=own, state=tensors, metadata=metadata, origin=file)


def _config(file: Path, text: str) -> CpmConfig:
    try:
        return CpmConfig(**json.loads(text))
    except (TypeError, ValueError, UserError) as error:
        raise UserError(f"{file}: '{_CONFIG}' in its header cannot be read ({_told(error)})") from error


def write(path: Path, prompt: PromptFile) -> None:
    """Writes a prompt as one safetensors file, whole or not at all; equal prompts give equal bytes.

    Raises:
        UserError: a tensor is not as its kind says, or not finite: a diverged training is not written over a good file.
        ValueError: metadata under a name that the file itself needs.
    """
    _check(prompt, str(path))
    taken = sorted(set(_RESERVED) & prompt.metadata.keys())
    if taken:
        raise ValueError(f"metadata cannot be called {taken}")
    header = {**prompt.metadata, _SCHEMA: str(SCHEMA), _KIND: prompt.kind}
    if prompt.config is not None:
        header[_CONFIG] = json.dumps(asdict(prompt.config), sort_keys=True)
    content = safetensors.torch.save(_plain(_content(prompt, str(path))[0]), header)
    with replacing(path) as file:
        file.write(_ordered(content))


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its header sorted, which the library leaves to chance."""
    (length,) = struct.unpack_from("<Q", content)
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]
