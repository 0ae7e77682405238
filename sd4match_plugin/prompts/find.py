"""Learned prompts found in a source's folder, and read as prompts of their kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.errors import UserError
from harness.files import parse_json, paths_below
from harness.messages import listed
from harness.specs import NOT_STATED, LearnedFile
from harness.specs.tuning import UNKNOWN_SPLIT
from sd4match_plugin.prompts import files
from sd4match_plugin.prompts.learned import SINGLE
from sd4match_plugin.prompts.prompt_file import PromptFile
from sd4match_plugin.prompts.release import PUBLISHED_DATASETS, RELEASE_DATASETS, RELEASE_TIMESTEP

_RELEASE_NAMES = {"single": "Single", "class": "Class", "cpm": "CPM"}
"""Kind -> first word of the release's folders."""


def find_prompt(kind: str, folder: Path, trained_on: str | None) -> LearnedFile:
    """Finds a prompt among those of a source: our `KIND-DATASET.safetensors`, or a folder of the release such
    as `Single_spair_sd2-1_TokenEmbeds75`.

    Args:
        trained_on: None for the first prompt there is: SPair-71k's of the release.

    Raises:
        UserError: there is none; the message names the datasets that there are prompts for.
    """
    paths = {**_own_files(kind, folder), **_release_folders(kind, folder)}
    if not paths:
        raise UserError(
            f"{folder}: holds no prompt for sd4match-{kind}; "
            f"fetch it again, or give --prompt-file sd4match-{kind}=PATH"
        )
    if trained_on is not None and trained_on not in paths:
        raise UserError(
            f"--trained-on {trained_on}: {folder} has sd4match-{kind} for {', '.join(paths)}; "
            f"'bench train sd4match-{kind} --dataset {trained_on}' makes one, --prompt-file uses it; "
            f"'bench weights fetch sd4match-prompts' gets the authors' for {listed(PUBLISHED_DATASETS)}, "
            "--weights paper uses them"
        )
    dataset = trained_on or next(iter(paths))
    # The name that the prompt was found by counts, also where its file states another.
    return inspect_prompt(kind, paths[dataset])._replace(trained_on=dataset)


def inspect_prompt(kind: str, path: Path) -> LearnedFile:
    """Reads the facts that a file states. Raises `UserError` where it is not a prompt of this kind."""
    metadata = read_prompt(kind, path).metadata
    timestep = None
    if not metadata:
        # A file of the release outside its folder states nothing; all of them were tuned alike.
        timestep = RELEASE_TIMESTEP
    elif metadata.get("timestep", "").isdigit():
        timestep = int(metadata["timestep"])
    return LearnedFile(path, metadata.get("dataset", ""), timestep, _tuned_on(metadata))


def _tuned_on(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The validation split whose PCK chose this prompt among those of its training.

    Empty for a prompt of ours that was not validated; `NOT_STATED` where the file does not say it.
    """
    dataset = metadata.get("dataset", "")
    if "stable_diffusion" in metadata and dataset in PUBLISHED_DATASETS:
        # The release's training keeps the prompt of the best argmax PCK@0.1 on the validation split.
        return (f"{dataset}/val",)
    if not dataset or "settings" not in metadata:
        return (NOT_STATED,)
    if "validation_pck" not in metadata:
        return ()
    return (f"{dataset}/{_validation_split(metadata['settings'])}",)


def _validation_split(settings: str) -> str:
    """The validation split in the settings of a training, JSON; `UNKNOWN_SPLIT` where they do not say it."""
    try:
        content = parse_json(settings)
    except ValueError:
        return UNKNOWN_SPLIT
    split = content.get("validation_split") if isinstance(content, dict) else None
    return split if isinstance(split, str) and split else UNKNOWN_SPLIT


def read_prompt(kind: str, path: Path) -> PromptFile:
    """Reads a prompt of kind `single`, `class` or `cpm`. Raises `UserError` for a file of another kind."""
    file = files.read(path)
    file_kind = str(file.kind)
    if file_kind == "hidden-states":
        file_kind = "single" if set(file.prompts) == {SINGLE} else "class"
    if file_kind != kind:
        raise UserError(
            f"{path}: is a prompt of sd4match-{file_kind}, not of sd4match-{kind}; "
            f"use it with sd4match-{file_kind}"
        )
    return file


def _own_files(kind: str, folder: Path) -> dict[str, Path]:
    """Dataset -> file of ours."""
    return {path.stem.removeprefix(f"{kind}-"): path for path in sorted(folder.glob(f"{kind}-*.safetensors"))}


def _release_folders(kind: str, folder: Path) -> dict[str, Path]:
    """Dataset -> folder of the release, ordered as `RELEASE_DATASETS`; folders may be nested."""
    folders = {}
    for dataset, name in RELEASE_DATASETS.items():
        pattern = f"{_RELEASE_NAMES[kind]}_{name}_*"
        matches = [path for path in paths_below(folder) if path.match(pattern) and path.is_dir()]
        if matches:
            folders[dataset] = matches[0]
    return folders
