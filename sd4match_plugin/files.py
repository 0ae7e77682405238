"""Files of tuned prompts: our own (safetensors), and those of SD4Match's release (`caption.pt`, `ckpt.pt`)."""

# ruff: noqa: TID253 - imported when a prompt is read or written, never by `bench list`.

from __future__ import annotations

import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from harness.atomic import replacing
from harness.errors import UserError
from sd4match_plugin.cpm import CpmConfig
from sd4match_plugin.learned import SINGLE
from sd4match_plugin.tokens import LEARNED, LENGTH

Kind = Literal["single", "class", "cpm", "hidden-states"]

SCHEMA = 1
_SCHEMA, _KIND, _CONFIG = _RESERVED = ("prompt_file", "kind", "cpm")
"""Entries of a file's header that say how to read it; the others are the caller's."""

CAPTION, CHECKPOINT = "caption.pt", "ckpt.pt"
BEST = "best.safetensors"
"""What a training leaves in its folder."""

_WANTED = f"a prompt is {BEST} or another file that 'bench train' wrote, or a file or folder of SD4Match's release"
_RELEASE_FOLDER = re.compile(r"(?:Single|Class|CPM)_([^_]+)_sd([^_]+)_(?:TokenEmbeds(\d+)|HiddenState|(?:Pair|Img)-)")
RELEASE_DATASETS = {"spair-71k": "spair", "pf-pascal": "pfpascal", "pf-willow": "pfwillow"}
"""Datasets -> what the release calls them in the names of its folders."""

RELEASED = ("spair-71k", "pf-pascal")
"""Those that the authors published prompts for."""

RELEASE_TIMESTEP = 261
"""At which the release tunes its prompts (paper, section 4.1)."""
_STABLE_DIFFUSION = {1024: "2-1", 768: "1-5"}
"""Text width -> version, for folder names of prompts that do not say it."""

_CPM_NAMES = {"global_embeds", "positional_embedding", "alpha_cond"} | {
    f"{layer}.{part}" for layer in ("linear", "linear_C", "linear_N") for part in ("weight", "bias")
}


@dataclass(frozen=True, eq=False)
class PromptFile:
    """What a file of tuned prompts holds.

    Attributes:
        kind: `single`, `class` and `hidden-states` hold prompts, `cpm` the module that makes them. `hidden-states` are given to
            cross-attention as they are, the others are token embeddings and pass through the text encoder.
        prompts: `dataset` or a category -> (77, D), boundaries included.
        config, state: of the conditional prompting module, under the release's names.
        metadata: what else is known: of our files whatever was written; of the release's `dataset`, `stable_diffusion` and `tokens`, as
            far as the folder's name tells them, and then its `timestep`, which is the same for all of them.
        origin: the file it was read from, for messages.
    """

    kind: Kind
    prompts: Mapping[str, Tensor] = field(default_factory=dict)
    config: CpmConfig | None = None
    state: Mapping[str, Tensor] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    origin: Path | None = None

    @property
    def text_width(self) -> int:
        """D."""
        return self.config.text_width if self.config is not None else next(iter(self.prompts.values())).shape[1]

    def half(self) -> PromptFile:
        """The same with its tensors rounded to half precision."""
        prompts, state = ({name: one.half() for name, one in tensors.items()} for tensors in (self.prompts, self.state))
        return replace(self, prompts=prompts, state=state)


# ----------------------------------------------------------------------------------------------------------------------- reading


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
        raise UserError(f"{path}: no such file or folder; {_WANTED}")
    if not path.is_dir():
        return path
    names = (CAPTION, CHECKPOINT, BEST)
    # The folder itself, or what `export` makes in one.
    found = [one for name in names for one in (path / name, *sorted(path.glob(f"*/{name}"))) if one.is_file()]
    if len(found) != 1:
        there = f"{len(found)} of {CAPTION}, {CHECKPOINT} and {BEST}" if found else f"neither {CAPTION} nor {CHECKPOINT} nor {BEST}"
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
        raise UserError(f"{file}: not a prompt (its header has no '{_SCHEMA}'); {_WANTED}")
    if schema != str(SCHEMA):
        raise UserError(f"{file}: written with schema {schema}, this version reads {SCHEMA}; update correspondence-bench")
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


def _released(file: Path, config: CpmConfig | None) -> PromptFile:
    tensors = _load(file)
    folder = file.absolute().parent.name
    metadata = _metadata(folder)
    if _CPM_NAMES & tensors.keys():
        # Buffers of the text encoder, which versions of the release and of transformers leave in.
        state = {name: one for name, one in tensors.items() if not name.startswith("text_model_embeddings.") and "position_ids" not in name}
        return PromptFile("cpm", config=config or _inferred(file, folder, state), state=state, metadata=metadata, origin=file)
    prompts = {name: one[0] if one.ndim == 3 and len(one) == 1 else one for name, one in tensors.items()}
    kind: Kind = "hidden-states" if "HiddenState" in folder else "single" if prompts.keys() == {SINGLE} else "class"
    return PromptFile(kind, prompts=prompts, metadata=metadata, origin=file)


def _load(file: Path) -> dict[str, Tensor]:
    """The dictionary of tensors in a PyTorch file."""
    try:
        with warnings.catch_warnings():
            # About the pickle protocol of what is no file of PyTorch's.
            warnings.simplefilter("ignore")
            content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{file}: not a prompt: it holds more than tensors, or is damaged; nothing in it was run; {_WANTED}") from error
    except (
        *(OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError),
        *(AssertionError, OverflowError, MemoryError, zipfile.BadZipFile, struct.error, SafetensorError),
    ) as error:
        # What the others say is about pickle's opcodes, such as "101".
        told = f" ({_told(error)})" if isinstance(error, OSError | RuntimeError | zipfile.BadZipFile) else ""
        raise UserError(f"{file}: not a prompt, or damaged{told}; nothing in it was run; {_WANTED}") from error
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{file}: not a prompt: it holds no dictionary of tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise UserError(f"{file}: not a prompt: '{name}' is no tensor with a name; {_WANTED}")
    return {name: value.detach() for name, value in content.items()}


def _metadata(folder: str) -> dict[str, str]:
    found = _RELEASE_FOLDER.search(folder)
    if found is None:
        return {}
    ours = {theirs: name for name, theirs in RELEASE_DATASETS.items()}
    values = {"dataset": ours.get(found[1], found[1]), "stable_diffusion": found[2], "tokens": found[3], "timestep": str(RELEASE_TIMESTEP)}
    return {name: value for name, value in values.items() if value}


def _inferred(file: Path, folder: str, state: Mapping[str, Tensor]) -> CpmConfig:
    """What the folder's name and the tensors tell. Whether all tensors fit is checked afterwards."""
    layer = "linear_C" if "linear_C.weight" in state else "linear"
    for name, dimensions in (("positional_embedding", 3), (f"{layer}.weight", 2)):
        _tensor(file, state, name, dimensions)
    conditional, text_width = state["positional_embedding"].shape[1:]
    features = state[f"{layer}.weight"].shape[1]
    mixing = "linear_N.weight" in state
    patches = len(_tensor(file, state, "linear_N.weight", 2)) if mixing else CpmConfig.patches
    try:
        if CpmConfig.is_release_name(folder):
            named = CpmConfig.from_release_name(folder)
            width = features // 2 if named.inputs == "pair" else features
            return CpmConfig.from_release_name(folder, width, patches, text_width)
        if layer == "linear" and not mixing:
            raise UserError("its tensors do not tell Pair-DINO-Head, Img-DINO-Feat and Img-DINO-Head apart; keep the release's folder name")
        rows = _tensor(file, state, "global_embeds", 3).shape[1] if "global_embeds" in state else 0
        return CpmConfig(
            inputs="pair" if layer == "linear_C" else "image",
            global_tokens=rows,
            conditional_tokens=conditional,
            mixing=mixing,
            image_width=features // 2 if layer == "linear_C" else features,
            patches=patches,
            text_width=text_width,
        )
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _tensor(file: Path, state: Mapping[str, Tensor], name: str, dimensions: int) -> Tensor:
    if name not in state:
        raise UserError(f"{file}: tensor '{name}' is missing")
    if state[name].ndim != dimensions:
        raise UserError(f"{file}: tensor '{name}' has the shape {tuple(state[name].shape)}, not {dimensions} dimensions")
    return state[name]


def _check(prompt: PromptFile, where: str) -> None:
    """Raises `UserError` unless the tensors are what the kind says, whole and finite."""
    tensors, shapes = _content(prompt, where)
    for name, shape in shapes.items():
        if name not in tensors:
            raise UserError(f"{where}: tensor '{name}' is missing")
        if tuple(tensors[name].shape) != shape:
            raise UserError(f"{where}: tensor '{name}' has the shape {tuple(tensors[name].shape)}, not {shape}")
        if not tensors[name].is_floating_point() or not tensors[name].isfinite().all():
            raise UserError(f"{where}: tensor '{name}' holds numbers that are not finite, or no real numbers")
    unknown = sorted(tensors.keys() - shapes.keys())
    if unknown:
        raise UserError(f"{where}: unknown tensor '{unknown[0]}'; known: {', '.join(sorted(shapes))}")


def _content(prompt: PromptFile, where: str) -> tuple[Mapping[str, Tensor], Mapping[str, tuple[int, ...]]]:
    """Tensors by name, and the shapes that they should have."""
    if prompt.kind == "cpm":
        if prompt.config is None:
            raise UserError(f"{where}: a conditional prompt needs its configuration")
        return prompt.state, prompt.config.shapes
    first = next(iter(prompt.prompts.values()), None)
    if first is None:
        raise UserError(f"{where}: no prompt in it")
    names = [SINGLE] if prompt.kind == "single" else list(prompt.prompts)
    width = first.shape[-1] if first.ndim else 0
    return prompt.prompts, dict.fromkeys(names, (LENGTH, max(width, 1)))


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


# ----------------------------------------------------------------------------------------------------------------------- writing


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


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share no memory."""
    return {name: one.detach().cpu().clone(memory_format=torch.contiguous_format) for name, one in tensors.items()}


def _ordered(content: bytes) -> bytes:
    """A safetensors file with its header sorted, which the library leaves to chance."""
    (length,) = struct.unpack_from("<Q", content)
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def export(folder: Path, prompt: PromptFile) -> Path:
    """Writes a prompt as the release does, for the release's own code: `caption.pt` or `ckpt.pt` in a folder of a telling name.

    The name is made of the metadata `dataset` (here required), `stable_diffusion` (such as `2-1`; by default what the text width says)
    and `tokens` (the number of learned rows, 75 by default).

    Returns:
        The folder it made inside `folder`, such as `CPM_spair_sd2-1_Pair-DINO-Feat-G25-C50`.

    Raises:
        UserError: the release has no such variant, the data set is not known, or a tensor is not as its kind says.
    """
    where = str(prompt.origin or "prompt")
    _check(prompt, where)
    home = folder / _release_folder(prompt, where)
    tensors = _plain(_content(prompt, where)[0])
    if prompt.kind != "cpm":
        tensors = {name: one[None] for name, one in tensors.items()}
    with replacing(home / (CHECKPOINT if prompt.kind == "cpm" else CAPTION)) as file:
        torch.save(tensors, file)
    return home


def _release_folder(prompt: PromptFile, where: str) -> str:
    metadata = prompt.metadata
    if not metadata.get("dataset"):
        raise UserError(f"{where}: does not say what it was trained on (metadata 'dataset'), which the release's folder is named after")
    # The release cuts the name at underscores.
    dataset = re.sub(r"[^\w.-]|_", "-", RELEASE_DATASETS.get(metadata["dataset"], metadata["dataset"]))
    version = metadata.get("stable_diffusion") or _STABLE_DIFFUSION.get(prompt.text_width, f"-width-{prompt.text_width}")
    if prompt.config is not None:
        try:
            return f"CPM_{dataset}_sd{version}_{prompt.config.release_name}"
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    family = "Single" if prompt.prompts.keys() == {SINGLE} else "Class"
    rows = "HiddenState" if prompt.kind == "hidden-states" else f"TokenEmbeds{metadata.get('tokens') or LEARNED}"
    return f"{family}_{dataset}_sd{version}_{rows}"
