"""Names of files with tensors: one table for what is fetched, what is checked and what is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError

VARIANTS = ("fp16", "bf16")
"""Precisions that repositories offer beside the published one, and that some folders hold alone."""


def tensor_file_names(stem: str, pickle_stem: str = "") -> tuple[tuple[str, ...], ...]:
    """Ways in which a network's tensors may lie in a folder, the best first.

    Args:
        stem: `model` as transformers saves it, `diffusion_pytorch_model` as diffusers does.
        pickle_stem: the same for files of PyTorch, where it differs: `pytorch_model` of transformers.

    Returns:
        For each way the name of the file to open, and for sharded files a pattern of the shards.
    """
    pickle_stem = pickle_stem or stem
    ways: list[tuple[str, ...]] = [
        (f"{stem}.safetensors",),
        (f"{stem}.safetensors.index.json", f"{stem}-*-of-*.safetensors"),
        (f"{pickle_stem}.bin",),
        (f"{pickle_stem}.bin.index.json", f"{pickle_stem}-*-of-*.bin"),
    ]
    for variant in VARIANTS:
        shards = f"{stem}.{variant}-*-of-*.safetensors"
        ways += [
            (f"{stem}.{variant}.safetensors",),
            (f"{stem}.safetensors.index.{variant}.json", shards),
            (f"{stem}.{variant}.safetensors.index.json", shards),
        ]
    return tuple(ways)


def tensor_patterns(stem: str, pickle_stem: str = "", folder: str = "") -> str:
    """The same ways as a pattern of `WeightSource.files`: alternatives with `|`, their files with `&`.

    Args:
        folder: the network's folder with a slash at its end, such as `unet/`.
    """
    ways = []
    for names in tensor_file_names(stem, pickle_stem):
        ways.append("&".join(f"{folder}{name}" for name in names))
    return "|".join(ways)


def find_tensor_file(folder: Path, stem: str, pickle_stem: str = "") -> Path:
    """Finds the file of a network's tensors in its folder; of sharded ones, their index.

    Raises `UserError` that names what lies there instead.
    """
    for name, *_ in tensor_file_names(stem, pickle_stem):
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder}: has no {stem}.safetensors{_describe(similar_names(folder))}")


def similar_names(folder: Path) -> list[str]:
    """Names of files in a folder that hold tensors, in whatever format."""
    suffixes = {".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".msgpack", ".h5", ".onnx", ".gguf"}
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.suffix in suffixes)


def _describe(names: Sequence[str]) -> str:
    if not names:
        return "; copy or fetch it"
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"; there is {', '.join(names[:2])}{more}, which is not read"
