"""Requests to an extractor: images with their prompts, made as the prompt's scope says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import BenchError, ExtractionError
from harness.features.items import Item
from harness.features.pictures import Pictures
from harness.frames import Size
from harness.isolation.origin import remember_origin
from harness.isolation.time_limit import NO_LIMIT, CallLimit
from harness.messages import one_line
from harness.specs import ImageRequest, ImageSource, PairPrompt, Prompt, Scope


@dataclass(frozen=True)
class PromptUse:
    """A prompt and its scope, which says what it is made from."""

    make: Prompt
    scope: Scope

    def value(self, category: str, requests: Sequence[ImageRequest]) -> Any:
        """Calls the prompt with no more than its scope names.

        Args:
            requests: one image for scope `image`, source and target for `pair`; ignored for the other scopes.
        """
        if self.scope == "dataset":
            return self.make("", ())
        if self.scope == "category":
            return self.make(category, ())
        return self.make(category, tuple(requests))

    def values(self, category: str, requests: Sequence[ImageRequest]) -> tuple[Any, ...]:
        """The prompt's value for each of the images that belong together: one image, or source and target."""
        if self.scope == "image":
            return tuple(self.value(category, [request]) for request in requests)
        value = self.value(category, requests)
        if isinstance(value, PairPrompt):
            return tuple(value)
        return (value,) * len(requests)

    def add_to(self, category: str, requests: Sequence[ImageRequest]) -> tuple[ImageRequest, ...]:
        """Returns the requests with the prompt's values in them."""
        return _with_prompts(requests, self.values(category, requests))


class RequestMaker:
    """Makes the requests of items.

    Args:
        prompt: None for an extractor without prompts.
        seed: the cell's seed.
        limit: the time that one call of the prompt may take.
    """

    def __init__(
        self, pictures: Pictures, prompt: PromptUse | None, seed: int, limit: CallLimit = NO_LIMIT
    ) -> None:
        self._pictures, self._prompt, self._seed, self._limit = pictures, prompt, seed, limit
        self._shared: dict[str, tuple[Any, ...]] = {}

    def requests(self, item: Item) -> tuple[ImageRequest, ...]:
        """Makes one request for each image of an item.

        Raises:
            BenchError: from a picture or the prompt; any other error of theirs becomes an `ExtractionError`.
        """
        try:
            return self._make(item)
        except BenchError:
            raise
        except Exception as error:
            remember_origin(error)
            raise ExtractionError(f"prompt failed: {one_line(error)}") from error

    def _make(self, item: Item) -> tuple[ImageRequest, ...]:
        requests = []
        for image, size in zip(item.images, item.sizes, strict=True):
            requests.append(self._request(image, size, item.category))
        if self._prompt is None:
            return tuple(requests)
        values = self._values(self._prompt, item.category, requests)
        return _with_prompts(requests, values)

    def _request(self, image: ImageSource, size: Size, category: str) -> ImageRequest:
        picture, prepared = self._pictures.get(image, size)
        return ImageRequest(picture, image.identity(), category, seed=self._seed, prepared=prepared)

    def _values(self, prompt: PromptUse, category: str, requests: Sequence[ImageRequest]) -> tuple[Any, ...]:
        """Values of a prompt; one that looks at no image is made once for the dataset or the category."""
        if prompt.scope in ("image", "pair"):
            with self._limit.call():
                return prompt.values(category, requests)
        key = ""
        if prompt.scope == "category":
            key = category
        if key not in self._shared:
            with self._limit.call():
                self._shared[key] = prompt.values(category, requests)
        return self._shared[key]


def _with_prompts(requests: Sequence[ImageRequest], values: Sequence[Any]) -> tuple[ImageRequest, ...]:
    requests_with_prompts = []
    for request, value in zip(requests, values, strict=True):
        requests_with_prompts.append(replace(request, prompt=value))
    return tuple(requests_with_prompts)
