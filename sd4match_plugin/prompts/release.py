"""Prompt files of the authors' release, read and written."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from harness.errors import UserError
from harness.files import replacing
from harness.messages import first_line
from harness.networks.tensor_files import PICKLE_ERRORS, load_pickle
from sd4match_plugin.file_names import RELEASE_MODULE, RELEASE_PROMPTS
from sd4match_plugin.prompts.cpm import CpmConfig
from sd4match_plugin.prompts.learned import SINGLE
from sd4match_plugin.prompts.prompt_file import (
    EXPECTED,
    MESSAGE_LIMIT,
    Kind,
    PromptFile,
    check_prompt,
    copy_tensors,
)
from sd4match_plugin.prompts.tokens import LEARNED

_RELEASE_FOLDER = re.compile(
    r"(?:Single|Class|CPM)_([^_]+)_sd([^_]+)_(?:TokenEmbeds(\d+)|HiddenState|(?:Pair|Img)-)"
)

RELEASE_DATASETS = {"spair-71k": "spair", "pf-pascal": "pfpascal", "pf-willow": "pfwillow"}
"""Datasets -> their names in the release's folders."""

PUBLISHED_DATASETS = ["spair-71k", "pf-pascal"]
"""Datasets that the authors published prompts for."""

RELEASE_TIMESTEP = 261
"""Timestep at which the release tunes its prompts (paper, section 4.1)."""

_STABLE_DIFFUSION = {1024: "2-1", 768: "1-5"}
"""Text width -> version, for folder names of prompts that do not say it."""

_LAYERS = ("linear", "linear_C", "linear_N")

_CPM_NAMES = {"global_embeds", "positional_embedding", "alpha_cond"} | {
    f"{layer}.{part}" for layer in _LAYERS for part in ("weight", "bias")
}
"""Tensors that only a conditional prompting module has."""


def read_release_file(file: Path, config: CpmConfig | None) -> PromptFile:
    """Reads `caption.pt` or `ckpt.pt`; the tensors' shapes are not checked yet.

    Args:
        config: of a conditional prompting module whose folder's name does not say it.

    Raises:
        UserError: the file holds more than tensors or is damaged, or its configuration cannot be known.
    """
    tensors = _load(file)
    folder = file.absolute().parent.name
    metadata = _metadata(folder)
    if _CPM_NAMES & tensors.keys():
        state = {name: tensor for name, tensor in tensors.items() if not _is_text_encoder_buffer(name)}
        config = config or _infer_config(file, folder, state)
        return PromptFile("cpm", config=config, state=state, metadata=metadata, origin=file)
    prompts = {name: _without_batch(tensor) for name, tensor in tensors.items()}
    kind: Kind = "class"
    if "HiddenState" in folder:
        kind = "hidden-states"
    elif prompts.keys() == {SINGLE}:
        kind = "single"
    return PromptFile(kind, prompts=prompts, metadata=metadata, origin=file)


def export(folder: Path, prompt: PromptFile) -> Path:
    """Writes a prompt as the release does, for the release's own code: `caption.pt` or `ckpt.pt` in a folder
    whose name describes it.

    The name is made of the metadata `dataset` (here required), `stable_diffusion` (such as `2-1`; by default
    the version of that text width) and `tokens` (the number of learned rows, 75 by default).

    Returns:
        The folder it made inside `folder`, such as `CPM_spair_sd2-1_Pair-DINO-Feat-G25-C50`.

    Raises:
        UserError: the release has no such variant, the dataset is not known, or a tensor is not as its kind
            says.
    """
    subject = str(prompt.origin or "prompt")
    check_prompt(prompt, subject)
    release_folder = folder / _folder_name(prompt, subject)
    tensors = copy_tensors(prompt.tensors)
    name = RELEASE_MODULE
    if prompt.kind != "cpm":
        name = RELEASE_PROMPTS
        tensors = {key: tensor[None] for key, tensor in tensors.items()}
    # In memory: PyTorch's writer hides the error of a full disk.
    content = io.BytesIO()
    torch.save(tensors, content)
    with replacing(release_folder / name) as file:
        file.write(content.getvalue())
    return release_folder


def _load(file: Path) -> dict[str, Tensor]:
    """The dictionary of tensors in a PyTorch file."""
    try:
        content = load_pickle(file)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{file}: not a prompt: it holds more than tensors, or is damaged; "
            f"nothing in it was run; {EXPECTED}"
        ) from error
    except (*PICKLE_ERRORS, SafetensorError) as error:
        reason = ""
        # The messages of the others are about pickle's opcodes, such as "101".
        if isinstance(error, OSError | RuntimeError | zipfile.BadZipFile):
            reason = f" ({first_line(error, MESSAGE_LIMIT)})"
        raise UserError(
            f"{file}: not a prompt, or damaged{reason}; nothing in it was run; {EXPECTED}"
        ) from error
    if not isinstance(content, Mapping) or not content:
        raise UserError(f"{file}: not a prompt: it holds no dictionary of tensors")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout != torch.strided:
            raise UserError(f"{file}: not a prompt: '{name}' is not a tensor with a name; {EXPECTED}")
    return {name: value.detach() for name, value in content.items()}


def _is_text_encoder_buffer(name: str) -> bool:
    """Returns True for a buffer of the text encoder, which some versions of the release save."""
    return name.startswith("text_model_embeddings.") or "position_ids" in name


def _without_batch(tensor: Tensor) -> Tensor:
    return tensor[0] if tensor.ndim == 3 and len(tensor) == 1 else tensor


def _metadata(folder: str) -> dict[str, str]:
    """The facts in a folder's name."""
    match = _RELEASE_FOLDER.search(folder)
    if match is None:
        return {}
    dataset, version, tokens = match.groups()
    names = {release_name: name for name, release_name in RELEASE_DATASETS.items()}
    metadata = {"dataset": names.get(dataset, dataset), "stable_diffusion": version}
    if tokens:
        metadata["tokens"] = tokens
    return {**metadata, "timestep": str(RELEASE_TIMESTEP)}


def _infer_config(file: Path, folder: str, state: Mapping[str, Tensor]) -> CpmConfig:
    """The configuration that follows from the folder's name and from some of the tensors."""
    layer = "linear_C" if "linear_C.weight" in state else "linear"
    mixing = "linear_N.weight" in state
    _, conditional_tokens, text_width = _shape(file, state, "positional_embedding", 3)
    features = _shape(file, state, f"{layer}.weight", 2)[1]
    patches = _shape(file, state, "linear_N.weight", 2)[0] if mixing else CpmConfig.patches
    try:
        if CpmConfig.is_release_name(folder):
            inputs = CpmConfig.from_release_name(folder).inputs
            width = features // 2 if inputs == "pair" else features
            return CpmConfig.from_release_name(folder, width, patches, text_width)
        if layer == "linear" and not mixing:
            raise UserError(
                "its tensors are the same for Pair-DINO-Head, Img-DINO-Feat and Img-DINO-Head; "
                "keep the release's folder name"
            )
        global_tokens = 0
        if "global_embeds" in state:
            global_tokens = _shape(file, state, "global_embeds", 3)[1]
        is_pair = layer == "linear_C"
        return CpmConfig(
            inputs="pair" if is_pair else "image",
            global_tokens=global_tokens,
            conditional_tokens=conditional_tokens,
            mixing=mixing,
            image_width=features // 2 if is_pair else features,
            patches=patches,
            text_width=text_width,
        )
    except UserError as error:
        raise UserError(f"{file}: {error}") from error


def _shape(file: Path, state: Mapping[str, Tensor], name: str, dimensions: int) -> torch.Size:
    """The shape of a tensor. Raises `UserError` where it is missing or has another number of dimensions."""
    if name not in state:
        raise UserError(f"{file}: tensor '{name}' is missing")
    shape = state[name].shape
    if len(shape) != dimensions:
        raise UserError(f"{file}: tensor '{name}' has the shape {tuple(shape)}, not {dimensions} dimensions")
    return shape


def _folder_name(prompt: PromptFile, subject: str) -> str:
    metadata = prompt.metadata
    if not metadata.get("dataset"):
        raise UserError(
            f"{subject}: does not say what it was trained on (metadata 'dataset'), "
            "which the release's folder is named after"
        )
    # The release cuts the name at underscores.
    dataset = re.sub(r"[^\w.-]|_", "-", RELEASE_DATASETS.get(metadata["dataset"], metadata["dataset"]))
    default_version = _STABLE_DIFFUSION.get(prompt.text_width, f"-width-{prompt.text_width}")
    version = metadata.get("stable_diffusion") or default_version
    if prompt.config is not None:
        try:
            return f"CPM_{dataset}_sd{version}_{prompt.config.release_name}"
        except UserError as error:
            raise UserError(f"{subject}: {error}") from error
    family = "Single" if prompt.prompts.keys() == {SINGLE} else "Class"
    rows = f"TokenEmbeds{metadata.get('tokens') or LEARNED}"
    if prompt.kind == "hidden-states":
        rows = "HiddenState"
    return f"{family}_{dataset}_sd{version}_{rows}"
