"""Tensors of a file by name, read without running any code that the file may hold."""

from __future__ import annotations

import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from harness.errors import UserError
from harness.messages import first_line
from harness.networks.json_files import is_lfs_pointer, lfs_message, read_object

if TYPE_CHECKING:
    import torch

_MESSAGE_LIMIT = 200
"""Characters of a library's message that are repeated in ours."""

_AGAIN = "copy or fetch it again"

_REFUSED = re.compile(r"GLOBAL ([\w.]+)")
"""The object in PyTorch's message about a pickle that holds more than tensors."""

PICKLE_ERRORS = (
    *(pickle.UnpicklingError, OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError),
    *(AttributeError, AssertionError, OverflowError, MemoryError, zipfile.BadZipFile, struct.error),
    RecursionError,
)
"""Everything that PyTorch raises for a damaged file, or one that holds more than tensors."""


def read_tensors(path: Path, allowed: Sequence[Any] = ()) -> dict[str, torch.Tensor]:
    """Reads the tensors of a file, mapped into memory where the format allows it.

    Args:
        path: safetensors, a file of PyTorch (a pickle, of which nothing but tensors is taken), or the index
            of a sharded file (`*.json`). Names of tensors in nested dictionaries are joined with dots.
        allowed: harmless classes and functions that a pickle may name besides those of tensors, as
            `torch.serialization.safe_globals` takes them. What they make is left out.

    Raises:
        UserError: one line: the file is missing, damaged, a pointer of Git LFS, or holds something other than
            tensors, or tensors that no network can be filled with.
    """
    if path.suffix == ".json":
        tensors = _read_shards(path)
    else:
        _check_content(path)
        tensors = _read_safetensors(path) if _is_safetensors(path) else _read_pickle(path, allowed)
    if not tensors:
        raise UserError(f"{path}: holds no tensor; {_AGAIN}")
    for name, tensor in tensors.items():
        check_tensor(str(path), name, tensor)
    return tensors


def _check_content(path: Path) -> None:
    """Raises `UserError` for a file that is missing, empty or a pointer of Git LFS."""
    try:
        is_empty = path.stat().st_size == 0
        is_pointer = is_lfs_pointer(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; {_AGAIN}") from error
    if is_empty:
        raise UserError(f"{path}: is empty; {_AGAIN}")
    if is_pointer:
        raise UserError(lfs_message(path))


def _is_safetensors(path: Path) -> bool:
    """True by the file's name, or by its content: a header's length in eight bytes, and the header."""
    if path.suffix == ".safetensors":
        return True
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        reason = first_line(error, _MESSAGE_LIMIT)
        raise UserError(f"{path}: not safetensors, or damaged ({reason}); {_AGAIN}") from error


def _read_pickle(path: Path, allowed: Sequence[Any]) -> dict[str, torch.Tensor]:
    try:
        # Older files of PyTorch are no archives, and cannot be mapped.
        content = load_pickle(path, mmap=zipfile.is_zipfile(path), allowed=allowed)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: holds more than tensors{_refused_object(error)}, or is damaged; nothing in it was run; "
            "save its state_dict as safetensors"
        ) from error
    except PICKLE_ERRORS as error:
        reason = ""
        # The messages of the others are about pickle's opcodes, such as "101".
        if isinstance(error, OSError | RuntimeError | zipfile.BadZipFile):
            reason = f" ({first_line(error, _MESSAGE_LIMIT)})"
        raise UserError(
            f"{path}: not a file of tensors, or damaged{reason}; nothing in it was run; {_AGAIN}"
        ) from error
    tensors: dict[str, torch.Tensor] = {}
    _collect_tensors(content, "", tensors)
    return tensors


def _refused_object(error: pickle.UnpicklingError) -> str:
    """Names, in brackets, the object that a pickle was refused for, where PyTorch says it."""
    match = _REFUSED.search(str(error))
    return f" ({match[1]})" if match else ""


def load_pickle(
    file: Path | BinaryIO, device: str = "cpu", mmap: bool = False, allowed: Sequence[Any] = ()
) -> Any:
    """Loads a file of PyTorch without running anything in it. Raises `PICKLE_ERRORS`.

    Args:
        allowed: see `read_tensors`.
    """
    import torch

    with warnings.catch_warnings(), torch.serialization.safe_globals(list(allowed)):
        # About the pickle protocol of files that are not PyTorch's.
        warnings.simplefilter("ignore")
        return torch.load(file, map_location=device, weights_only=True, mmap=mmap)


def _collect_tensors(node: Any, prefix: str, tensors: dict[str, torch.Tensor]) -> None:
    """Collects the tensors of nested dictionaries: weights lie under "model", "state_dict" or the like."""
    import torch

    if isinstance(node, torch.Tensor):
        tensors[prefix] = node.detach()
    elif isinstance(node, Mapping):
        for name, inner in node.items():
            dotted_name = f"{prefix}.{name}" if prefix else str(name)
            _collect_tensors(inner, dotted_name, tensors)


def _read_shards(index: Path) -> dict[str, torch.Tensor]:
    """Reads the shards that an index names. Raises `UserError` where one of them, or a tensor, is missing."""
    weight_map = read_object(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise UserError(f"{index}: has no 'weight_map' from tensors to files; {_AGAIN}")
    tensors: dict[str, torch.Tensor] = {}
    for name in sorted(set(weight_map.values())):
        # Shards lie beside their index; a path that leads elsewhere is nobody's shard.
        if Path(name).name != name or not _is_file(index.parent / name):
            raise UserError(f"{index}: names {json.dumps(name)}, which is not beside it; {_AGAIN}")
        tensors.update(read_tensors(index.parent / name))
    missing = sorted(weight_map.keys() - tensors.keys())
    if missing:
        raise UserError(
            f"{index}: {len(missing)} of its {len(weight_map)} tensors are in none of the files it names, "
            f"{missing[0]} among them; {_AGAIN}"
        )
    return tensors


def _is_file(path: Path) -> bool:
    """Says whether there is such a file, of a name that may be none that a file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def check_tensor(subject: str, name: str, tensor: torch.Tensor) -> None:
    """Raises `UserError` for a tensor without numbers, or with numbers that no network is filled with."""
    import torch

    problem = ""
    if tensor.is_meta:
        problem = "has no numbers (it was saved from the device 'meta')"
    elif tensor.layout != torch.strided or tensor.is_quantized:
        problem = "is sparse or quantized, which is not read"
    elif tensor.is_floating_point() and tensor.dtype.itemsize == 1:
        problem = f"has numbers of 8 bits ({_dtype_name(tensor)}), which is not read"
    if problem:
        raise UserError(
            f"{subject}: tensor {name} {problem}; save the weights in float32, bfloat16 or float16"
        )


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
