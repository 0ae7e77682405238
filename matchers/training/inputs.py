"""From pairs of a dataset to batches; everything follows from (seed, step) alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from harness.caching.lru import ByteLRU
from harness.errors import UserError
from harness.features.pictures import open_checked
from harness.frames import Frame, Size
from harness.specs import DatasetSpec, ImagePair, ImageSource, MaskedDataset, is_masked_dataset, valid_points
from harness.training.order import PairOrder
from matchers.training.colours import change_colours
from matchers.training.features import PictureFeatures
from matchers.training.objective import Batch, Objective, TrainingSettings

PICTURE_BYTES = 1 << 30
"""Memory for decoded pictures: those of a small dataset are decoded once."""

MASK_BYTES = 1 << 28
"""Memory for masks in the network's frame."""

_EDGE = 1e-3
"""Points at the picture's right or lower edge are moved inwards by this many pixels, into its last cell."""


def seeded(*words: object) -> torch.Generator:
    """A generator whose numbers follow from some words."""
    digest = hashlib.sha256(" ".join(map(str, words)).encode()).digest()
    # A seed is a signed number of 64 bits.
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of a split, found by the names of its pairs.

    Attributes:
        numbers: pair -> its number in the dataset.
    """

    dataset: MaskedDataset
    numbers: Mapping[str, int]

    @classmethod
    def of(cls, spec: DatasetSpec, folder: object, split: str) -> Masks:
        """Opens a split for its masks. Raises `UserError` for a dataset that has none."""
        dataset = spec.open(folder, split)  # type: ignore[arg-type]
        if not is_masked_dataset(dataset):
            raise UserError(
                f"dataset '{spec.name}' has no masks of its objects, which this method is trained on; "
                "train on one that has, such as shapes or spair-71k"
            )
        names = dataset.pair_ids  # type: ignore[attr-defined]
        return cls(dataset, {name: number for number, name in enumerate(names)})

    def of_pair(self, pair: ImagePair) -> tuple[np.ndarray, np.ndarray]:
        """(height, width) bool of source and target. Raises `DataError`."""
        return self.dataset.masks(self.numbers[pair.pair_id])


class BatchMaker:
    """Makes the batch of each step.

    Args:
        pairs: all pairs of the training.
        masks: None unless the loss looks at masks.
        device: where batches are put.
        features: makes what the network is fed; None for pixels.
    """

    def __init__(
        self,
        objective: Objective,
        settings: TrainingSettings,
        pairs: Sequence[ImagePair],
        masks: Masks | None,
        seed: int,
        steps: int,
        device: torch.device,
        features: PictureFeatures | None = None,
    ) -> None:
        self._objective, self._settings, self._pairs, self._masks = objective, settings, pairs, masks
        self._seed, self._steps, self._device, self._features = seed, steps, device, features
        self._prepare: Callable[[PIL.Image.Image], Tensor] | None = None
        if features is None:
            self._prepare = objective.prepare(settings)
        self._order = PairOrder(len(pairs), seed)
        self._pictures = ByteLRU[PIL.Image.Image](PICTURE_BYTES, _picture_bytes)
        self._prepared = ByteLRU[Tensor](PICTURE_BYTES, _tensor_bytes)
        self._shown = ByteLRU[tuple[Tensor, Tensor]](MASK_BYTES, lambda pair: sum(map(_tensor_bytes, pair)))

    def make(self, step: int) -> Batch:
        """The batch of a step, counted from 0.

        Raises:
            DataError: a picture or a mask is missing or damaged.
        """
        size = self._settings.batch
        pairs = [self._pairs[number] for number in self._order.numbers(step * size, size)]
        sources, targets = [], []
        for row, pair in enumerate(pairs):
            sources.append(self._input(pair, pair.source, pair.source_size, (step, row, "source")))
            targets.append(self._input(pair, pair.target, pair.target_size, (step, row, "target")))
        masks = [self._masks_of(pair) for pair in pairs] if self._masks else []
        return Batch(
            source=self._stack(sources),
            target=self._stack(targets),
            source_points=[self._points(pair, pair.source_points, pair.source_size) for pair in pairs],
            target_points=[self._points(pair, pair.target_points, pair.target_size) for pair in pairs],
            source_mask=self._stack([mask for mask, _ in masks]) if masks else None,
            target_mask=self._stack([mask for _, mask in masks]) if masks else None,
            categories=tuple(pair.category for pair in pairs),
            step=step,
            steps=self._steps,
            epoch=step * size // len(self._pairs),
        )

    def _stack(self, tensors: Sequence[Tensor]) -> Tensor:
        return torch.stack(list(tensors)).to(self._device)

    def _input(self, pair: ImagePair, image: ImageSource, size: Size, place: tuple[int, int, str]) -> Tensor:
        """(3, s, s) of a picture, or its features (C, h, w).

        Args:
            place: step, row of the batch and side of the pair, on which its colours depend.
        """
        identity = image.identity()
        if self._settings.colours:
            generator = seeded("colours", self._seed, *place)
            picture = change_colours(self._picture(image, size), generator)
            return self._see(pair, picture, " ".join(map(str, (identity, *place))))
        key = (identity, self._features.word(pair) if self._features else "")
        prepared = self._prepared.get(key)
        if prepared is None:
            prepared = self._see(pair, open_checked(image, size), identity)
            self._prepared.put(key, prepared)
        return prepared

    def _see(self, pair: ImagePair, picture: PIL.Image.Image, identity: str) -> Tensor:
        if self._features:
            return self._features(pair, picture, identity)
        assert self._prepare is not None
        return self._prepare(picture)

    def _picture(self, image: ImageSource, size: Size) -> PIL.Image.Image:
        identity = image.identity()
        picture = self._pictures.get(identity)
        if picture is None:
            picture = open_checked(image, size)
            self._pictures.put(identity, picture)
        return picture

    def _frame(self, size: Size) -> Frame:
        return self._objective.frame(size, self._settings)

    def _points(self, pair: ImagePair, points: np.ndarray, size: Size) -> Tensor:
        """(N, 2) of the points that are there in both pictures, moved into the picture."""
        frame = self._frame(size)
        in_frame = frame.from_original(points[valid_points(pair)])
        content = np.multiply(size, frame.scale)
        inside = np.clip(in_frame, frame.offset, frame.offset + content - _EDGE)
        return torch.from_numpy(inside).float().to(self._device)

    def _masks_of(self, pair: ImagePair) -> tuple[Tensor, Tensor]:
        masks = self._shown.get(pair.pair_id)
        if masks is None:
            assert self._masks is not None
            source, target = self._masks.of_pair(pair)
            masks = self._in_frame(source, pair.source_size), self._in_frame(target, pair.target_size)
            self._shown.put(pair.pair_id, masks)
        return masks

    def _in_frame(self, mask: np.ndarray, size: Size) -> Tensor:
        """(1, s, s) of a mask in original pixels; a border shows no object."""
        frame = self._frame(size)
        width, height = (max(1, round(side * scale)) for side, scale in zip(size, frame.scale, strict=True))
        left, top = map(int, frame.offset)
        picture = PIL.Image.fromarray(mask.astype(np.uint8) * np.uint8(255))
        shown = np.asarray(picture.resize((width, height), PIL.Image.Resampling.BILINEAR)) >= 128
        whole = np.zeros((frame.size.height, frame.size.width), np.float32)
        whole[top : top + height, left : left + width] = shown
        return torch.from_numpy(whole)[None]


def _picture_bytes(image: PIL.Image.Image) -> int:
    return 3 * image.width * image.height


def _tensor_bytes(tensor: Tensor) -> int:
    return tensor.nbytes
