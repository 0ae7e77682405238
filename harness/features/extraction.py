"""One batch through an extractor: its maps checked, its failures kept to the images they belong to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.errors import ExtractionError
from harness.frames import Size
from harness.specs import FeatureMap, ImageRequest


def check_feature_map(result: object, original: Size) -> None:
    """Raises `ExtractionError` unless `result` is a finite (C, h, w) `FeatureMap` of an image of size `original`."""
    import torch

    if not isinstance(result, FeatureMap):
        raise ExtractionError(f"the extractor returned a {type(result).__name__}, expected a FeatureMap")
    data: object = result.data
    if (
        not isinstance(data, torch.Tensor)
        or data.ndim != 3
        or not data.is_floating_point()
        or not data.numel()
    ):
        shape = (
            f"{data.dtype} of shape {tuple(data.shape)}"
            if isinstance(data, torch.Tensor)
            else type(data).__name__
        )
        raise ExtractionError(
            f"a feature map is a floating-point tensor of shape (channels, height, width); the extractor returned {shape}"
        )
    if result.frame.original != original:
        raise ExtractionError(
            f"the feature map's frame is of an image of {tuple(result.frame.original)} pixels, the image has {tuple(original)}"
        )
    # NaN and infinity survive a sum, which takes a tenth of the time; so does an overflow, hence the second look.
    if not torch.isfinite(data.sum()) and not torch.isfinite(data).all():
        raise ExtractionError(
            "the feature map has NaN or infinite values; with half precision, try --precision fp32"
        )


def _checked_count(
    extract: Callable[[Sequence[ImageRequest]], Sequence[FeatureMap]], requests: list[ImageRequest]
) -> Sequence[FeatureMap]:
    maps = extract(requests)
    if len(maps) != len(requests):
        raise ExtractionError(f"the extractor returned {len(maps)} feature maps for {len(requests)} images")
    return maps


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is for want of memory, of a GPU or of the machine."""
    import torch

    while error is not None:
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _release_memory() -> None:
    """Gives back what PyTorch's allocator holds without using it: pieces too small for the next try."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _alone(one: FeatureMap) -> FeatureMap:
    """The map without the rest of its batch: a slice would keep the whole batch in memory."""
    shared = one.data.untyped_storage().nbytes() > one.data.nbytes
    return replace(one, data=one.data.clone()) if shared else one
