"""Prompt files of the authors' release, read and written."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from harness.errors import UserError
from harness.files import replacing
from sd4match_plugin.prompts.cpm import CpmConfig
from sd4match_plugin.prompts.learned import SINGLE
from sd4match_plugin.prompts.prompt_file import (
    CAPTION,
    CHECKPOINT,
    WANTED,
    Kind,
    PromptFile,
    _check,
    _content,
    _plain,
    _tensor,
    _told,
)
from sd4match_plugin.prompts.tokens import LEARNED

_RELEASE_FOLDER = re.compile(
    r"(?:Single|Class|CPM)_([^_]+)_sd([^_]+)_(?:TokenEmbeds(\d+)|HiddenState|(?:Pair|Img)-)"
)

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


def _released(file: Path, config: CpmConfig | None) -> PromptFile:
    tensors = _load(file)
    folder = file.absolute().parent.name
    metadata = _metadata(folder)
    if _CPM_NAMES & tensors.keys():
        # Buffers of the text encoder, which versions of the release and of transformers leave in.
        state = {
            name: one
            for name, one in tensors.items()
            if not name.startswith("text_model_embeddings.") and "position_ids" not in name
        }
        return PromptFile(
            "cpm",
            config=config or _inferred(file, folder, state),
            state=state,
            metadata=metadata,
            origin=file,
        )
    prompts = {name: one[0] if one.ndim == 3 and len(one) == 1 else one for name, one in tensors.items()}
    kind: Kind = (
        "hidden-states" if "HiddenState" in folder else "single" if prompts.keys() == {SINGLE} else "class"
    )
    return PromptFile(kind, prompts=prompts, metadata=metadata, origin=file)


def _load(file: Path) -> dict[str, Tensor]:
    """The dictionary of tensors in a PyTorch file."""
    try:
        with warnings.catch_warnings():
            # About the pickle protocol of what is no file of PyTorch's.
            warnings.simplefilter("ignore")
            content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file}: not a prompt: it holds more than tensors, or is damaged; nothing in it was run; {WANTED}"
        ) from error
    except (
        *(OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError),
        *(AssertionError, OverflowError, MemoryError, zipfile.BadZipFile, struct.error, SafetensorError),
    ) as error:
        # What the others say is about pickle's opcodes, such as "101".
        told = f" ({_told(error)})" if isinstance(error, OSError | RuntimeError | zipfile.BadZipFile) else ""
        raise UserError(f"{file}: not a prompt, or damaged{told}; nothing in it was run; {WANTED}") from error
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{file}: not a prompt: it holds no dictionary of tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise UserError(f"{file}: not a prompt: '{name}' is no tensor with a name; {WANTED}")
    return {name: value.detach() for name, value in content.items()}


def _metadata(folder: str) -> dict[str, str]:
    found = _RELEASE_FOLDER.search(folder)
    if found is None:
        return {}
    ours = {theirs: name for name, theirs in RELEASE_DATASETS.items()}
    values = {
        "dataset": ours.get(found[1], found[1]),
        "stable_diffusion": found[2],
        "tokens": found[3],
        "timestep": str(RELEASE_TIMESTEP),
    }
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
            raise UserError(
                "its tensors do not tell Pair-DINO-Head, Img-DINO-Feat and Img-DINO-Head apart; keep the release's folder name"
            )
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
        raise UserError(
            f"{where}: does not say what it was trained on (metadata 'dataset'), which the release's folder is named after"
        )
    # The release cuts the name at underscores.
    dataset = re.sub(r"[^\w.-]|_", "-", RELEASE_DATASETS.get(metadata["dataset"], metadata["dataset"]))
    version = metadata.get("stable_diffusion") or _STABLE_DIFFUSION.get(
        prompt.text_width, f"-width-{prompt.text_width}"
    )
    if prompt.config is not None:
        try:
            return f"CPM_{dataset}_sd{version}_{prompt.config.release_name}"
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
    family = "Single" if prompt.prompts.keys() == {SINGLE} else "Class"
    rows = (
        "HiddenState" if prompt.kind == "hidden-states" else f"TokenEmbeds{metadata.get('tokens') or LEARNED}"
    )
    return f"{family}_{dataset}_sd{version}_{rows}"
