"""The runs behind SD4Match's tables and figures: how often each part of the networks is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Units:
    """Operations of the parts that runs are made of.

    Attributes:
        encode_21: Stable Diffusion 2-1's encoder on a picture.
        features_21: its U-Net up to the level that is read, the mean over all draws of a picture.
        draw_21: the same for one draw.
        prefix_21: the part of `features_21` before the prompt.
        prompt_21: a prompt through its text encoder.
        pair_step_21: a pair of one draw each, there and back, with its prompt.
        encode_crops_15: Stable Diffusion 1-5's encoder on the crops of a picture.
        states_15: its U-Net up to the decoder state s3 on the crops of a picture.
        dinov2_840, dinov2_224: DINOv2 ViT-B/14 on a picture of so many pixels.
        dino_224: DINO ViT-S/8 with overlapping patches.
        captioner: CLIP ViT-L/14 at 336 pixels, for the implicit captioner.
    """

    encode_21: int
    features_21: int
    draw_21: int
    prefix_21: int
    prompt_21: int
    pair_step_21: int
    encode_crops_15: int
    states_15: int
    dinov2_840: int
    dinov2_224: int
    dino_224: int
    captioner: int

    def described(self) -> list[tuple[str, int]]:
        """In words, with their operations."""
        return [
            ("picture through the encoder of 2-1, 768 x 768", self.encode_21),
            ("picture through the U-Net of 2-1 up to up-block 1, mean of 8 draws", self.features_21),
            ("of these before the prompt, which is kept where there is room", self.prefix_21),
            ("picture through the U-Net of 2-1 up to up-block 1, one draw", self.draw_21),
            ("prompt through the text encoder of 2-1", self.prompt_21),
            ("pair of a training step, there and back", self.pair_step_21),
            ("picture through the encoder of 1-5, four crops of 512 x 512", self.encode_crops_15),
            ("picture through the U-Net of 1-5 up to s3, four crops", self.states_15),
            ("picture through DINOv2 ViT-B/14, 840 x 840", self.dinov2_840),
            ("picture through DINOv2 ViT-B/14, 224 x 224", self.dinov2_224),
            ("picture through DINO ViT-S/8, 224 x 224, stride 4", self.dino_224),
            ("picture through CLIP ViT-L/14, 336 x 336", self.captioner),
        ]


@dataclass(frozen=True)
class Split:
    """The extent of a dataset's split.

    Attributes:
        pictures: different ones; a mirrored one counts for itself where it is used.
    """

    name: str
    pictures: int
    pairs: int


def fewest_pictures(pairs: Sequence[int]) -> int:
    """The fewest pictures of which so many ordered pairs can be made in each category."""
    pictures = 0
    for number in pairs:
        # The least n with n (n - 1) >= number.
        pictures += math.ceil((1 + math.sqrt(1 + 4 * number)) / 2)
    return pictures


SPAIR_TEST_PAIRS = (
    *(690, 650, 702, 702, 870, 644, 564, 600, 646),
    *(640, 600, 600, 702, 650, 862, 664, 756, 692),
)
"""Published numbers of SPair-71k's test pairs, in the order of its categories' names."""

CATEGORIES = len(SPAIR_TEST_PAIRS)


def _fewest_of_alike(pairs: int) -> int:
    """The fewest pictures where categories are alike, which those of other splits nearly are."""
    return fewest_pictures([math.ceil(pairs / CATEGORIES)] * CATEGORIES)


SPAIR_TEST = Split("spair-71k", fewest_pictures(SPAIR_TEST_PAIRS), sum(SPAIR_TEST_PAIRS))
SPAIR_VALIDATION = Split("spair-71k/val", _fewest_of_alike(5_384), 5_384)
SPAIR_TRAINING = Split("spair-71k/trn", _fewest_of_alike(53_340), 53_340)
# Counted in the published lists; half of the training's pictures are mirror images.
PASCAL_TEST = Split("pf-pascal", 506, 299)
PASCAL_VALIDATION = Split("pf-pascal/val", 521, 308)
PASCAL_TRAINING = Split("pf-pascal/trn", 2_002, 2_940)
WILLOW = Split("pf-willow", 70, 900)

STEPS, BATCH = 30_000, 9
"""The paper's training."""

VALIDATED_EVERY = 500
"""Steps that lie between validations at least; a pass over the pairs where that is longer."""

Part = Callable[[Units, Split], float]
"""Operations of a run on a split."""


@dataclass(frozen=True)
class Run:
    """A run, or several that belong together.

    Attributes:
        item: the table or figure.
        what: method and dataset in words.
        pictures, pairs: that are evaluated, or trained on.
        parts: operations, summed.
    """

    item: str
    what: str
    pictures: int
    pairs: int
    parts: tuple[tuple[Part, Split], ...]


def total(run: Run, units: Units) -> float:
    """Operations of a run."""
    return sum(part(units, split) for part, split in run.parts)


def dift(units: Units, split: Split) -> float:
    """Features of each picture once, whatever the prompt: also Single and Class."""
    return split.pictures * (units.encode_21 + units.features_21)


def cpm(units: Units, split: Split) -> float:
    """Pictures are encoded and described once; their features are of a pair. Nothing is kept before the
    prompt, which is the most that it can take.
    """
    once = split.pictures * (units.encode_21 + units.dinov2_224)
    return once + split.pairs * (2 * units.features_21 + units.prompt_21)


def decoder_states(units: Units, split: Split) -> float:
    """SD+DINO's states of each picture, without the components of pairs."""
    return split.pictures * (units.encode_crops_15 + units.states_15)


def captioned_states(units: Units, split: Split) -> float:
    """The same with the implicit captioner."""
    return decoder_states(units, split) + split.pictures * units.captioner


def sd_dino(units: Units, split: Split) -> float:
    """SD+DINO with its captioner and DINOv2."""
    return captioned_states(units, split) + dinov2(units, split)


def dinov2(units: Units, split: Split) -> float:
    """DINOv2's tokens of each picture."""
    return split.pictures * units.dinov2_840


def dinov1(units: Units, split: Split) -> float:
    """DINO's keys of each picture."""
    return split.pictures * units.dino_224


def training(units: Units, split: Split) -> float:
    """A training of 30,000 steps, each with a prompt for every pair, which is the most there are."""
    return split.pictures * units.encode_21 + STEPS * BATCH * units.pair_step_21


def _validations(split: Split) -> int:
    return STEPS // max(VALIDATED_EVERY, math.ceil(split.pairs / BATCH))


def _validation_part(trained: Split, by_pair: bool) -> Part:
    def validate(units: Units, split: Split) -> float:
        maps = 2 * split.pairs if by_pair else split.pictures
        return split.pictures * units.encode_21 + _validations(trained) * maps * units.draw_21

    return validate


def _evaluation(item: str, method: str, part: Part, split: Split, times: int = 1) -> Run:
    return Run(item, f"{method} on {split.name}", split.pictures, split.pairs, ((part, split),) * times)


def _training(item: str, method: str, trained: Split, validated: Split, times: int = 1) -> Run:
    validate = _validation_part(trained, by_pair=method == "sd4match-cpm")
    name = trained.name.partition("/")[0]
    parts = ((training, trained), (validate, validated)) * times
    count = "" if times == 1 else f"{times} times "
    return Run(item, f"training {count}{method} on {name}", trained.pictures, trained.pairs, parts)


def _generalisation() -> list[Run]:
    runs = []
    for split in (PASCAL_TEST, WILLOW):
        runs += [
            _evaluation("Table 3", "dinov1", dinov1, split),
            _evaluation("Table 3", "dinov2", dinov2, split),
            _evaluation("Table 3", "dift", dift, split),
            _evaluation("Table 3", "sd-dino", sd_dino, split),
        ]
    for split in (PASCAL_TEST, WILLOW, SPAIR_TEST):
        # SPair-71k's own prompts on SPair-71k are those of Table 2.
        prompts = 1 if split is SPAIR_TEST else 2
        times = "" if prompts == 1 else ", both prompts"
        runs.append(_evaluation("Table 3", f"sd4match-single{times}", dift, split, prompts))
        runs.append(_evaluation("Table 3", f"sd4match-cpm{times}", cpm, split, prompts))
    return runs


RUNS: tuple[Run, ...] = (
    _evaluation("Table 1", "dift, two prompts", dift, SPAIR_TEST, 2),
    Run(
        "Table 1",
        f"sd-dino-star, three prompts on {SPAIR_TEST.name}",
        SPAIR_TEST.pictures,
        SPAIR_TEST.pairs,
        ((decoder_states, SPAIR_TEST), (decoder_states, SPAIR_TEST), (captioned_states, SPAIR_TEST)),
    ),
    _evaluation("Table 2", "dinov1", dinov1, SPAIR_TEST),
    _evaluation("Table 2", "dinov2", dinov2, SPAIR_TEST),
    _evaluation("Table 2", "dift", dift, SPAIR_TEST),
    _evaluation("Table 2", "sd-dino", sd_dino, SPAIR_TEST),
    _evaluation("Table 2", "sd4match-single", dift, SPAIR_TEST),
    _evaluation("Table 2", "sd4match-class", dift, SPAIR_TEST),
    _evaluation("Table 2", "sd4match-cpm", cpm, SPAIR_TEST),
    *_generalisation(),
    _evaluation("Fig. 3(a)", "sd4match-cpm, six cases", cpm, SPAIR_TEST, 6),
    _training("Fig. 3(a)", "sd4match-cpm", SPAIR_TRAINING, SPAIR_VALIDATION, 6),
    _evaluation("Fig. 3(b)", "dift, Single and Class, 11 timesteps each", dift, SPAIR_TEST, 33),
    _evaluation("Fig. 3(b)", "sd4match-cpm, 11 timesteps", cpm, SPAIR_TEST, 11),
    _training("a prompt of one's own", "sd4match-single", SPAIR_TRAINING, SPAIR_VALIDATION),
    _training("a prompt of one's own", "sd4match-cpm", SPAIR_TRAINING, SPAIR_VALIDATION),
    _training("a prompt of one's own", "sd4match-cpm", PASCAL_TRAINING, PASCAL_VALIDATION),
)
