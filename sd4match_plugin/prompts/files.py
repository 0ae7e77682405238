"""Files of tuned prompts, read and written: our own (safetensors), and those of SD4Match's release, which are
read in `sd4match_plugin.prompts.release`.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from pathlib import Path
from typing import get_args

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harness.errors import UserError
from harness.files import parse_json, replacing
from harness.messages import first_line
from harness.training.file_names import BEST
from sd4match_plugin.file_names import RELEASE_MODULE, RELEASE_PROMPTS
from sd4match_plugin.prompts.cpm import CpmConfig
from sd4match_plugin.prompts.prompt_file import (
    EXPECTED,
    MESSAGE_LIMIT,
    Kind,
    PromptFile,
    check_prompt,
    copy_tensors,
)
from sd4match_plugin.prompts.release import read_release_file

SCHEMA = 1

_SCHEMA, _KIND, _CONFIG = _RESERVED = ("prompt_file", "kind", "cpm")
"""Entries of a file's header that say how to read it; the others are the caller's."""


def read(path: Path, config: CpmConfig | None = None) -> PromptFile:
    """Reads a prompt file of ours or of the release; nothing in it is executed.

    Args:
        path: a safetensors file of ours, `caption.pt` or `ckpt.pt` of the release under whatever name, or the
            release's folder of one. A folder's name such as `Single_spair_sd2-1_HiddenState` or
            `CPM_spair_sd2-1_Pair-DINO-Feat-G25-C50` says what cannot be seen from tensors: prompts are taken
            for token embeddings unless it says `HiddenState`.
        config: of a `ckpt.pt` whose folder's name does not say it. Numbers of rows and widths follow from
            tensors, and the paper's module is recognised by itself; `Pair-DINO-Head`, `Img-DINO-Feat` and
            `Img-DINO-Head` cannot be distinguished (an error then), nor can the gate (the release's is
            taken), nor the number of patches that a module without g_n was trained on (256 is taken).

    Raises:
        UserError: the file is missing, damaged, not a prompt, or holds more than tensors; a tensor is
            missing, unknown, of a wrong shape or not finite; or `config` contradicts the header of a file of
            ours.
    """
    file = _find_file(path)
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    # A safetensors file begins with the length of its header, in eight bytes, and the header.
    is_safetensors = start[8:] == b"{"
    prompt = _read_safetensors(file, config) if is_safetensors else read_release_file(file, config)
    check_prompt(prompt, str(file))
    return prompt


def write(path: Path, prompt: PromptFile) -> None:
    """Writes a prompt as one safetensors file, whole or not at all; equal prompts give equal bytes.

    Raises:
        UserError: a tensor is not as its kind says, or not finite: a diverged training does not overwrite a
            good file.
        ValueError: metadata under a name that the file itself needs.
    """
    check_prompt(prompt, str(path))
    reserved = sorted(set(_RESERVED) & prompt.metadata.keys())
    if reserved:
        raise ValueError(f"metadata cannot be called {reserved}")
    header = {**prompt.metadata, _SCHEMA: str(SCHEMA), _KIND: prompt.kind}
    if prompt.config is not None:
        header[_CONFIG] = json.dumps(asdict(prompt.config), sort_keys=True)
    content = safetensors.torch.save(copy_tensors(prompt.tensors), header)
    with replacing(path) as file:
        file.write(_sort_header(content))


def _find_file(path: Path) -> Path:
    """Returns a file itself, or the one prompt in a folder."""
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; {EXPECTED}")
    if not path.is_dir():
        return path
    candidates: list[Path] = []
    for name in (RELEASE_PROMPTS, RELEASE_MODULE, BEST):
        # The folder itself, or the one that `export` makes inside.
        candidates += [path / name, *sorted(path.glob(f"*/{name}"))]
    files = [candidate for candidate in candidates if candidate.is_file()]
    if not files:
        raise UserError(
            f"{path}: neither {RELEASE_PROMPTS} nor {RELEASE_MODULE} nor {BEST} in it; name the file"
        )
    if len(files) > 1:
        raise UserError(
            f"{path}: {len(files)} of {RELEASE_PROMPTS}, {RELEASE_MODULE} and {BEST} in it; name the file"
        )
    return files[0]


def _read_safetensors(file: Path, config: CpmConfig | None) -> PromptFile:
    header, tensors = _load(file)
    schema = header.get(_SCHEMA)
    if schema is None:
        raise UserError(f"{file}: not a prompt (its header has no '{_SCHEMA}'); {EXPECTED}")
    if schema != str(SCHEMA):
        raise UserError(
            f"{file}: written with schema {schema}, this version reads {SCHEMA}; update correspondence-bench"
        )
    kind = _parse_kind(file, header.get(_KIND))
    metadata = {name: value for name, value in header.items() if name not in _RESERVED}
    if kind != "cpm":
        return PromptFile(kind, prompts=tensors, metadata=metadata, origin=file)
    file_config = _parse_config(file, header.get(_CONFIG, ""))
    if config not in (None, file_config):
        raise UserError(f"{file}: holds another conditional prompt than was asked for: {file_config}")
    return PromptFile(kind, config=file_config, state=tensors, metadata=metadata, origin=file)


def _load(file: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Header and tensors of a safetensors file."""
    try:
        with safe_open(file, "pt") as content:
            header = dict(content.metadata() or {})
            names = content.keys()
            return header, {name: content.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{file}: damaged ({first_line(error, MESSAGE_LIMIT)}); get the file again"
        ) from error


def _parse_kind(file: Path, text: str | None) -> Kind:
    kinds: tuple[Kind, ...] = get_args(Kind)
    for kind in kinds:
        if kind == text:
            return kind
    raise UserError(f"{file}: unknown kind of prompt {text!r}; known: {', '.join(kinds)}")


def _parse_config(file: Path, text: str) -> CpmConfig:
    try:
        # Files that do not say it were tuned on positions that had been interpolated without an offset.
        return CpmConfig(**{"position_offset": 0.0, **parse_json(text)})
    except (TypeError, ValueError, UserError) as error:
        reason = first_line(error, MESSAGE_LIMIT)
        raise UserError(f"{file}: '{_CONFIG}' in its header cannot be read ({reason})") from error


def _sort_header(content: bytes) -> bytes:
    """A safetensors file with its header sorted; the library leaves the order to chance."""
    (length,) = struct.unpack_from("<Q", content)
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    # The format aligns the tensors behind the header to eight bytes.
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]
