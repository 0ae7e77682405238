"""Learned prompts as the harness asks for them: found, inspected, and made for a backbone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from baselines.networks.stored_tensors import load_or_compute
from baselines.sources import DINOV2, STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.conditioning import Conditioning, TokenEmbeddings
from baselines.stable_diffusion.text_encoder import TextEncoder
from harness.caching.array_store import Store
from harness.caching.lru import ByteLRU, Tensors, tensor_bytes
from harness.errors import NotApplicable, UserError
from harness.specs import ImageRequest, LearnedFile, MakeContext, PairPrompt, Prompt
from sd4match_plugin.prompts import files, release
from sd4match_plugin.prompts.cpm import ConditionalPrompting
from sd4match_plugin.prompts.descriptors import Describer
from sd4match_plugin.prompts.learned import SINGLE
from sd4match_plugin.prompts.prompt_file import PromptFile
from sd4match_plugin.prompts.tokens import Boundaries, assemble

_FOLDERS = {"single": "Single", "class": "Class", "cpm": "CPM"}


def find(kind: str, folder: Path, trained_on: str | None) -> LearnedFile:
    """A prompt among those of a source: our `KIND-DATASET.safetensors`, or a folder of the release, `Single_spair_sd2-1_TokenEmbeds75`.

    Args:
        trained_on: None for the first there is: SPair-71k's of the release.

    Raises:
        UserError: names the datasets that there are prompts for.
    """
    found = {**_ours(kind, folder), **_released(kind, folder)}
    if not found:
        raise UserError(
            f"{folder}: holds no prompt for sd4match-{kind}; fetch it again, or give --prompt-file sd4match-{kind}=PATH"
        )
    if trained_on is not None and trained_on not in found:
        raise UserError(
            f"--trained-on {trained_on}: {folder} has sd4match-{kind} for {', '.join(found)}; "
            f"'bench train sd4match-{kind} --dataset {trained_on}' makes one, --prompt-file uses it; "
            f"'bench weights fetch sd4match-prompts' gets the authors' for {' and '.join(release.RELEASED)}, --weights paper uses them"
        )
    return inspect(kind, found[trained_on] if trained_on else next(iter(found.values())))._replace(
        trained_on=trained_on or next(iter(found))
    )


def _ours(kind: str, folder: Path) -> dict[str, Path]:
    return {path.stem.removeprefix(f"{kind}-"): path for path in sorted(folder.glob(f"{kind}-*.safetensors"))}


def _released(kind: str, folder: Path) -> dict[str, Path]:
    """Dataset -> folder, in the order of `release.RELEASE_DATASETS`; the archive may hold a folder of folders."""
    found = {}
    for dataset, name in release.RELEASE_DATASETS.items():
        matching = sorted(path for path in folder.rglob(f"{_FOLDERS[kind]}_{name}_*") if path.is_dir())
        if matching:
            found[dataset] = matching[0]
    return found


def inspect(kind: str, path: Path) -> LearnedFile:
    """What a file says of itself. Raises `UserError` where it is no prompt, or another kind's."""
    file = _read(kind, path)
    told = file.metadata.get("timestep", "")
    # The release's files tell nothing of themselves; all were tuned alike.
    timestep = release.RELEASE_TIMESTEP if not file.metadata else int(told) if told.isdigit() else None
    return LearnedFile(path, file.metadata.get("dataset", ""), timestep)


def _read(kind: str, path: Path) -> PromptFile:
    file = files.read(path)
    found = "single" if file.kind == "hidden-states" and set(file.prompts) == {SINGLE} else file.kind
    found = "class" if found == "hidden-states" else found
    if found != kind:
        raise UserError(
            f"{path}: is a prompt of sd4match-{found}, not of sd4match-{kind}; use it with sd4match-{found}"
        )
    return file


def make(kind: str, context: MakeContext) -> Prompt:
    """The prompt of a context's file, for its backbone.

    Raises:
        NotApplicable: it was tuned for text states of another width, for another DINO, or has no prompt for a category.
    """
    if context.prompt_file is None:
        raise UserError(f"sd4match-{kind}: no prompt file; give --prompt-file sd4match-{kind}=PATH")
    file = _read(kind, context.prompt_file)
    width = Card.of(context.weights[STABLE_DIFFUSION_2_1]).text_width
    if kind == "cpm":
        return _make_conditional(context, file, width)
    return _make_learned(kind, context, file, width)


@dataclass(frozen=True)
class LearnedPrompt:
    """SD4Match-Single and SD4Match-Class (paper, section 3.2; eq. 2 and 6).

    Attributes:
        values: category -> what the U-Net is conditioned on; one under `learned.SINGLE` for all.
    """

    values: Mapping[str, TokenEmbeddings | Conditioning]

    def __call__(self, category: str, images: tuple[ImageRequest, ...]) -> TokenEmbeddings | Conditioning:
        """The category's prompt, or the one that there is. Raises `NotApplicable` for a category it has none for."""
        if SINGLE in self.values:
            return self.values[SINGLE]
        if category not in self.values:
            raise _unseen([category], self.values)
        return self.values[category]


def _make_learned(kind: str, context: MakeContext, file: PromptFile, width: int) -> LearnedPrompt:
    for rows in file.prompts.values():
        _check_width(rows.shape[-1], width)
    if kind == "class" and (unseen := [name for name in context.categories if name not in file.prompts]):
        raise _unseen(unseen, file.prompts)
    condition = Conditioning if file.kind == "hidden-states" else TokenEmbeddings
    return LearnedPrompt({name: condition(rows.to(context.device)) for name, rows in file.prompts.items()})


def _unseen(names: list[str], known: Mapping[str, object]) -> NotApplicable:
    return NotApplicable(
        f"sd4match-class was tuned on {', '.join(sorted(known))}; it has no prompt for {', '.join(names)}"
    )


def _check_width(own: int, width: int) -> None:
    if own != width:
        raise NotApplicable(
            f"the prompt was tuned for text states of width {own}, the backbone's have {width}"
        )


@dataclass
class ConditionalPrompt:
    """SD4Match-CPM (paper, section 3.3; eq. 7): one prompt for both images of a pair; for inputs `image`, one for each.

    Descriptors of images are kept: a picture is in some fifty pairs of SPair-71k.

    Attributes:
        store: where they are on disk; None without `--cache`.
    """

    module: ConditionalPrompting
    boundaries: Boundaries
    describe: Describer
    device: str
    kept: ByteLRU[Tensors]
    store: Store | None = None

    @torch.no_grad()
    def __call__(self, category: str, images: tuple[ImageRequest, ...]) -> TokenEmbeddings | PairPrompt:
        """Source and target -> their prompt."""
        source, target = (self._described(image)[None] for image in images)
        if self.module.config.inputs == "pair":
            return self._whole(self.module(source, target))
        return PairPrompt(self._whole(self.module(source)), self._whole(self.module(target)))

    def _whole(self, rows: torch.Tensor) -> TokenEmbeddings:
        return TokenEmbeddings(assemble(rows, self.boundaries)[0])

    def _described(self, image: ImageRequest) -> torch.Tensor:
        def describe() -> dict[str, torch.Tensor]:
            return {
                "tokens": load_or_compute(
                    self.store, image.identity, lambda: self.describe(image.image), "cpu"
                )
            }

        return self.kept.once(image.identity, describe)["tokens"].to(self.device)


def _make_conditional(context: MakeContext, file: PromptFile, width: int) -> ConditionalPrompt:
    config = file.config
    if config is None:
        raise UserError(f"{context.prompt_file}: holds no conditional prompting module")
    _check_width(config.text_width, width)
    describe = Describer(context.weights[DINOV2], config.descriptor, context.device, context.precision)
    wanted = {"image features of width": (config.image_width, describe.width)}
    if config.mixing:
        wanted["patches"] = (config.patches, describe.count)
    for what, (own, found) in wanted.items():
        if own != found:
            raise NotApplicable(
                f"the conditional prompting module was tuned for {what} {own}, {DINOV2}'s are {found}"
            )
    store = describe.store(context.cache) if context.cache else None
    if store is None:
        # With a cache there may be nothing to describe.
        describe.load()
    module = ConditionalPrompting(config)
    module.load_state_dict(dict(file.state))
    boundaries = Boundaries.of(TextEncoder(context.weights[STABLE_DIFFUSION_2_1], context.device))
    frozen = module.to(context.device).eval().requires_grad_(False)
    # Two stay whatever their size: those of the pair at work.
    kept = ByteLRU(context.cache_bytes, tensor_bytes, at_least=2)
    return ConditionalPrompt(frozen, boundaries, describe, context.device, kept, store)
