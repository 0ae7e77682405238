"""Hands an object of a Python session to the harness as a plugin would.

It imports little: predictions belong to the code of this module and of all that it imports.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.frames import Frame, GridConvention, Size
from harness.hookspecs import hookimpl
from harness.specs import ExtractorSpec, FeatureMap, ImageRequest, MethodSpec

if TYPE_CHECKING:
    import torch

    from harness.specs import MakeContext


class SessionPlugin:
    """The plugin of one object: an extractor, and the method that it is."""

    def __init__(self, extractor: ExtractorSpec, method: MethodSpec) -> None:
        self.extractor, self.method = extractor, method
        # In place of a module's: with that of this class, all of our files would count as the plugin's.
        self.__name__ = "python_session"

    @hookimpl
    def bench_extractors(self) -> list[ExtractorSpec]:
        """Returns the extractor."""
        return [self.extractor]

    @hookimpl
    def bench_methods(self) -> list[MethodSpec]:
        """Returns the method."""
        return [self.method]


class Maker:
    """What makes an extractor of the session.

    A plugin's version follows from the module of what makes its extractors. That of a notebook is no file:
    this class stands before it, and the version has a hash of the object itself.
    """

    def __init__(self, make: Callable[[MakeContext], Any]) -> None:
        self._make = make

    def __call__(self, context: MakeContext) -> Any:
        """Makes the extractor."""
        return self._make(context)


def hand_over(extractor: Any, context: MakeContext) -> Any:
    """Returns the user's object, or makes one of the user's class, with the context where it takes one."""
    if not isinstance(extractor, type):
        return extractor
    try:
        inspect.signature(extractor).bind()
    except TypeError:
        return extractor(context)
    return extractor()


class FunctionExtractor:
    """An extractor that a function of one picture is.

    Args:
        features: RGB picture (PIL) -> (C, h, w) floating-point tensor or array, perhaps with a batch of one
            before.
        size: width and height in pixels that pictures are stretched to before; None for as they are.
        grid: how cells lie on the picture's pixels; None leaves it to the localizer.
    """

    def __init__(
        self,
        features: Callable[[Any], Any],
        size: tuple[int, int] | None,
        grid: GridConvention | None,
    ) -> None:
        self._features, self._size, self._grid = features, size, grid

    def extract(self, requests: Sequence[ImageRequest]) -> list[FeatureMap]:
        """Calls the function with each picture."""
        return [self._extract(request) for request in requests]

    def _extract(self, request: ImageRequest) -> FeatureMap:
        import PIL.Image

        image, frame = request.image, Frame.unchanged(request.size)
        if self._size is not None:
            image = image.resize(self._size, PIL.Image.Resampling.BILINEAR)
            frame = Frame.stretched(request.size, Size(*self._size))
        return FeatureMap(_as_map(self._features(image)), frame, self._grid)


def _as_map(features: Any) -> torch.Tensor:
    """A function's result as a tensor; whatever else it is, the harness says what it should be."""
    import numpy as np
    import torch

    if isinstance(features, np.ndarray):
        features = torch.from_numpy(np.ascontiguousarray(features))
    if isinstance(features, torch.Tensor) and features.ndim == 4 and len(features) == 1:
        features = features[0]
    result: torch.Tensor = features
    return result
