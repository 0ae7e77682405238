"""Learned prompts made for a backbone: they give extractors the prompt of a category or of an image pair."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from baselines.networks.stored_tensors import load_or_compute
from baselines.sources import DINOV2, STABLE_DIFFUSION_2_1
from baselines.stable_diffusion.card import Card
from baselines.stable_diffusion.conditioning import Conditioning, PairEmbeddings, TokenEmbeddings
from baselines.stable_diffusion.text_encoder import TextEncoder
from harness.caching.array_store import Store
from harness.caching.lru import ByteLRU, Tensors, tensor_bytes
from harness.errors import NotApplicable, UserError
from harness.specs import ImageRequest, MakeContext, PairPrompt, Prompt
from sd4match_plugin.prompts.cpm import ConditionalPrompting, CpmConfig
from sd4match_plugin.prompts.descriptors import Describer
from sd4match_plugin.prompts.find import read_prompt
from sd4match_plugin.prompts.learned import SINGLE
from sd4match_plugin.prompts.prompt_file import PromptFile
from sd4match_plugin.prompts.tokens import Boundaries, assemble


def make_prompt(kind: str, context: MakeContext) -> Prompt:
    """Makes the prompt of a context's file, for its backbone.

    Raises:
        UserError: the file is missing, damaged, or holds another kind of prompt.
        NotApplicable: it was tuned for text states of another width, for another DINO, or has no prompt for a
            category.
    """
    if context.prompt_file is None:
        raise UserError(f"sd4match-{kind}: no prompt file; give --prompt-file sd4match-{kind}=PATH")
    file = read_prompt(kind, context.prompt_file)
    width = Card.of(context.weights[STABLE_DIFFUSION_2_1]).text_width
    if kind == "cpm":
        return _make_conditional(context, file, width)
    return _make_learned(kind, context, file, width)


@dataclass(frozen=True)
class LearnedPrompt:
    """SD4Match-Single and SD4Match-Class (paper, section 3.2; eq. 2 and 6).

    Attributes:
        values: category -> input of the text encoder or of cross-attention; one under `learned.SINGLE` for
            all.
    """

    values: Mapping[str, TokenEmbeddings | Conditioning]

    def __call__(self, category: str, images: tuple[ImageRequest, ...]) -> TokenEmbeddings | Conditioning:
        """Returns the category's prompt, or the only one. Raises `NotApplicable` for an unknown category."""
        if SINGLE in self.values:
            return self.values[SINGLE]
        if category not in self.values:
            raise _missing_categories([category], self.values)
        return self.values[category]


@dataclass
class ConditionalPrompt:
    """SD4Match-CPM (paper, section 3.3; eq. 7): one prompt for both images of a pair; for inputs `image`, one
    for each.

    Descriptors of images are kept in memory: a picture is in some fifty pairs of SPair-71k.

    Attributes:
        descriptors: those in memory, by the image's identity.
        store: those on disk; None without `--cache`.
    """

    module: ConditionalPrompting
    boundaries: Boundaries
    describe: Describer
    device: str
    descriptors: ByteLRU[Tensors]
    store: Store | None = None

    @torch.no_grad()
    def __call__(self, category: str, images: tuple[ImageRequest, ...]) -> PairEmbeddings | PairPrompt:
        """Returns the prompt of source and target."""
        source, target = images
        if self.module.config.inputs == "pair":
            return PairEmbeddings(self._rows(source, target), self.alone)
        return PairPrompt(*(PairEmbeddings(self._rows(image), self.alone) for image in images))

    @torch.no_grad()
    def alone(self, image: ImageRequest) -> TokenEmbeddings:
        """Returns the prompt of a picture that is paired with itself; for inputs `image`, its own."""
        images = (image, image) if self.module.config.inputs == "pair" else (image,)
        return TokenEmbeddings(self._rows(*images))

    def _rows(self, *images: ImageRequest) -> torch.Tensor:
        """(77, D) token embeddings."""
        rows = self.module(*(self._descriptor(image)[None] for image in images))
        return assemble(rows, self.boundaries)[0]

    def _descriptor(self, image: ImageRequest) -> torch.Tensor:
        def describe() -> torch.Tensor:
            return self.describe(image.image)

        def load() -> dict[str, torch.Tensor]:
            return {"tokens": load_or_compute(self.store, image.identity, describe, "cpu")}

        return self.descriptors.once(image.identity, load)["tokens"].to(self.device)


def _make_learned(kind: str, context: MakeContext, file: PromptFile, width: int) -> LearnedPrompt:
    for rows in file.prompts.values():
        _check_width(rows.shape[-1], width)
    missing = [name for name in context.categories if name not in file.prompts]
    if kind == "class" and missing:
        raise _missing_categories(missing, file.prompts)
    condition = Conditioning if file.kind == "hidden-states" else TokenEmbeddings
    return LearnedPrompt({name: condition(rows.to(context.device)) for name, rows in file.prompts.items()})


def _missing_categories(names: list[str], prompts: Mapping[str, object]) -> NotApplicable:
    return NotApplicable(
        f"sd4match-class was tuned on {', '.join(sorted(prompts))}; it has no prompt for {', '.join(names)}"
    )


def _check_width(prompt_width: int, backbone_width: int) -> None:
    if prompt_width != backbone_width:
        raise NotApplicable(
            f"the prompt was tuned for text states of width {prompt_width}, "
            f"the backbone's have {backbone_width}"
        )


def _make_conditional(context: MakeContext, file: PromptFile, width: int) -> ConditionalPrompt:
    config = file.config
    if config is None:
        raise UserError(f"{context.prompt_file}: holds no conditional prompting module")
    _check_width(config.text_width, width)
    describe = Describer(
        context.weights[DINOV2], config.descriptor, context.device, context.precision, config.position_offset
    )
    _check_descriptors(config, describe)
    store = describe.store(context.cache) if context.cache else None
    if store is None:
        # With a cache, all images may be described already.
        describe.load()
    module = ConditionalPrompting(config)
    module.load_state_dict(dict(file.state))
    return ConditionalPrompt(
        module=module.to(context.device).eval().requires_grad_(False),
        boundaries=Boundaries.of(TextEncoder(context.weights[STABLE_DIFFUSION_2_1], context.device)),
        describe=describe,
        device=context.device,
        # Two stay whatever their size: those of the pair at work.
        descriptors=ByteLRU(context.cache_bytes, tensor_bytes, at_least=2),
        store=store,
    )


def _check_descriptors(config: CpmConfig, describe: Describer) -> None:
    """Raises `NotApplicable` unless the image encoder has the sizes that a module was tuned for."""
    sizes = {"image features of width": (config.image_width, describe.width)}
    if config.mixing:
        sizes["patches"] = (config.patches, describe.count)
    for quantity, (tuned_for, encoder_size) in sizes.items():
        if tuned_for != encoder_size:
            raise NotApplicable(
                f"the conditional prompting module was tuned for {quantity} {tuned_for}, "
                f"{DINOV2}'s are {encoder_size}"
            )
