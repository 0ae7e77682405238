"""Feature extractors: requests, feature maps and the spec that `bench_extractors` collects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeGuard, runtime_checkable

from harness.frames import Frame, GridConvention, Size
from harness.specs.bibtex import check_citation
from harness.specs.common import Files, Scalar, Scope
from harness.specs.lengths import lengths, widening
from harness.specs.shared import SharedObjects

if TYPE_CHECKING:
    import PIL.Image
    import torch

    from harness.caching.disk_cache import Cache


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Features of one image.

    Attributes:
        data: (C, h, w) floating-point tensor, finite, not normalised.
        frame: the image the extractor was fed.
        grid: how cells lie on the frame's pixels; None leaves it to the localizer (see each localizer's
            docstring).
        levels: further tensors that only a matcher reads: maps (C_i, h_i, w_i), vectors (C_i) or whatever
            extractor and matcher agree on; floating-point and finite.
    """

    data: torch.Tensor
    frame: Frame
    grid: GridConvention | None = None
    levels: tuple[torch.Tensor, ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        return self.data.nbytes + sum(level.nbytes for level in self.levels)

    @property
    def cells(self) -> Size:
        """Number of cells across and down."""
        return Size(self.data.shape[-1], self.data.shape[-2])

    @cached_property
    def norms(self) -> torch.Tensor:
        """(h, w) L2 norms of the features, at least in single precision.

        Computed once, since a map is the target of many queries.
        """
        import torch

        return lengths(
            self.data.float() if self.data.dtype in (torch.float16, torch.bfloat16) else self.data, 0
        )

    @cached_property
    def widening(self) -> tuple[torch.dtype, int]:
        """Kind of number and power of two in which products of its features can be computed.

        Single precision and 0 for a map of ordinary magnitude (`harness.specs.lengths`).
        """
        return widening(self.data)


def is_constant(data: torch.Tensor) -> bool:
    """Whether the features of a (C, h, w) map are the same in every cell."""
    first = data[:, :1, :1]
    # One cell tells nearly every map from a constant one.
    if bool((data[:, -1:, -1:] != first).any()):
        return False
    return bool((data == first).all())


class LazyImage:
    """A picture that is decoded when somebody first looks at it.

    Attributes:
        size: width and height in original pixels.
    """

    def __init__(self, size: Size, decode: Callable[[], PIL.Image.Image]) -> None:
        self.size, self._decode = size, decode

    @cached_property
    def image(self) -> PIL.Image.Image:
        """RGB, original pixels. Raises `DataError` where the picture has been damaged meanwhile."""
        return self._decode()


@dataclass(frozen=True, eq=False)
class ImageRequest:
    """Request for the features of one image.

    Attributes:
        picture: the image, or a `LazyImage` that decodes it.
        identity: hash of its content; noise may be drawn only from it and `seed`.
        category: the word that prompts use for the object.
        prompt: value of the prompt, of a kind that the extractor declared; None for an extractor without
            prompts.
        seed: the cell's seed.
        prepared: result of the extractor's `prepare` in a worker process; None where the extractor must
            call it itself.
    """

    picture: PIL.Image.Image | LazyImage
    identity: str
    category: str
    prompt: Any = None
    seed: int = 0
    prepared: torch.Tensor | None = None

    @property
    def image(self) -> PIL.Image.Image:
        """RGB, original pixels.

        A picture that was decoded before may be decoded again only now: results that are kept of it need no
        second look.
        """
        return self.picture.image if isinstance(self.picture, LazyImage) else self.picture

    @property
    def size(self) -> Size:
        """Width and height in original pixels."""
        return Size(*self.picture.size)


Prepare = Callable[["PIL.Image.Image"], "torch.Tensor"]
"""RGB picture, original pixels -> the extractor's input, a CPU tensor that follows from the picture alone."""


class ImageExtractor(Protocol):
    """An extractor of scope `image` or `category`. It may also be a `PreparingExtractor`."""

    def extract(self, requests: Sequence[ImageRequest]) -> Sequence[FeatureMap]:
        """Returns one feature map per request, in their order.

        A map must not depend on the other requests, except by rounding.
        """


class PairExtractor(Protocol):
    """An extractor of scope `pair`. It may also be a `PreparingExtractor`."""

    def extract_pairs(
        self, requests: Sequence[tuple[ImageRequest, ImageRequest]]
    ) -> Sequence[tuple[FeatureMap, FeatureMap]]:
        """Returns the feature maps of source and target for every pair, in their order."""


def is_preparing_extractor(extractor: object) -> TypeGuard[PreparingExtractor]:
    """Says whether worker processes can prepare pictures for an extractor, or for one that it wraps."""
    return hasattr(extractor, "prepare")


@runtime_checkable
class PreparingExtractor(Protocol):
    """An extractor whose work on a picture is partly done ahead, by worker processes (`bench run --workers`).

    Set `prepare` to a module's function or to a `functools.partial` of one: it is pickled, and a bound method
    would take the network along. Features must be the same, to the byte, whether a request brings `prepared`
    or not; the extractor calls `prepare` itself where `prepared` is None
    (`harness.preprocess.prepared_batch`).
    """

    def prepare(self, image: PIL.Image.Image, /) -> torch.Tensor:
        """RGB picture -> the extractor's input, as a `Prepare` does."""


class PictureNames(NamedTuple):
    """Names by which a user's file may call a picture.

    Attributes:
        names: those of the dataset, such as `cat-2008_000591`; two of them may be one picture.
        short: the same without the category, and the names of its file; they may be those of others, too.
    """

    names: tuple[str, ...]
    short: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MakeContext:
    """Everything that an extractor or a prompt is made with.

    Attributes:
        device: a torch device name.
        precision: `fp32`, `bf16` or `fp16`.
        compiled: whether networks are to be compiled (`torch.compile`), as far as the extractor can; results
            may differ by rounding.
        params: the method's parameters (timestep, ensemble, layer ...), with the user's values in place.
        weights: local path of each weight source the spec names.
        prompt_file: the file, or folder of files, of a learned prompt, or the user's own for a prompt with
            `check_file`; None for other prompts.
        pictures: identity -> names of the split's pictures, for a prompt with `check_file`.
        categories: the words that prompts use for the categories of the cell's pairs, sorted.
        all_categories: the same of the whole split, where `--categories` chose some; empty where it did not.
        prompt_scope: scope of the prompt; with `pair`, features of an image are requested again with each of
            its pairs.
        cache_bytes: memory that it may use for results that it keeps of pictures from one call to the next.
        cache: folder in which it may keep them on disk; None without `--cache`.
        shared: keeps objects that are worth keeping from one cell to the next, such as a loaded network.
    """

    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    params: Mapping[str, Scalar] = field(default_factory=dict)
    weights: Mapping[str, Path] = field(default_factory=dict)
    prompt_file: Path | None = None
    pictures: Mapping[str, PictureNames] = field(default_factory=dict)
    categories: tuple[str, ...] = ()
    all_categories: tuple[str, ...] = ()
    prompt_scope: Scope = "image"
    cache_bytes: int = 1 << 30
    cache: Cache | None = None
    shared: SharedObjects = field(default_factory=SharedObjects)


ImageSize = tuple[int, int] | Callable[[Mapping[str, Path]], tuple[int, int]]

FedSize = Callable[[Mapping[str, Path], Mapping[str, Scalar]], tuple[int, int]]
"""Local paths of weight sources, parameters -> width and height in pixels."""

Remarks = Callable[[Mapping[str, Path], Mapping[str, Scalar]], Iterable[str]]
"""Local paths of weight sources, parameters -> sentences."""


@dataclass(frozen=True, kw_only=True)
class ExtractorSpec:
    """A feature extractor.

    Attributes:
        make: builds it; an `ImageExtractor`, or a `PairExtractor` for scope `pair`.
        scope: all that its output depends on besides the prompt.
        prompt_kinds: kinds of prompt it takes (`PromptSpec.kind`); empty for one without prompts.
        image_size: width and height in pixels of the image it is fed: the frame of protocol `sd4match`. Where
            that follows from the backbone, a function of the local paths of its weight sources.
        fed_size: the same where it follows from the parameters, too: a function of paths and parameters,
            which is asked in the place of `image_size`; None where there is none.
        remarks: what is to be known of a cell before it runs, such as a size that was rounded: a function of
            paths and parameters that returns sentences. They are told once, and stand in the record's notes;
            None for an extractor that has nothing to say. It raises `UserError` where a parameter does not
            fit the networks, as may `fed_size`: the user learns of it before anything runs.
        params: its parameters and their defaults; part of a cell's identity.
        param_help: parameter -> its meaning and its values in one line, for users of `--set NAME=VALUE`.
        param_kinds: parameter -> kind of its values (int, float, str or bool), where the default's own type
            does not say it: a default of None, or a whole number where fractions are meant, too.
        param_choices: parameter -> all of its values, where there are a few. Others are refused before a run.
        weights: names of the weight sources it reads.
        weights_params: parameter -> the weight source whose place its value takes, for cells that set it: a
            folder, another source's name or a repository of the hub (`harness.weights.models`). Tables have
            the value's last part, a cell's identity the content of the files.
        files: files that it reads besides. Their content is part of a cell's identity, as that of weight
            sources is; one that is not there is told before the run.
        citation: BibTeX of its paper, for `bench cite`; empty where there is none.
    """

    name: str
    make: Callable[[MakeContext], ImageExtractor | PairExtractor]
    scope: Literal["image", "category", "pair"] = "image"
    prompt_kinds: frozenset[str] = frozenset()
    image_size: ImageSize = (768, 768)
    params: Mapping[str, Scalar] = field(default_factory=dict)
    param_help: Mapping[str, str] = field(default_factory=dict)
    param_kinds: Mapping[str, type] = field(default_factory=dict)
    param_choices: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    files: Files = ()
    description: str = ""
    citation: str = ""
    fed_size: FedSize | None = None
    remarks: Remarks | None = None
    weights_params: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises `UserError` where the citation is not BibTeX."""
        check_citation(f"extractor '{self.name}'", self.citation)

    def fed(self, weights: Mapping[str, Path], params: Mapping[str, Scalar] | None = None) -> Size:
        """Size of the image it is fed.

        Args:
            weights: local paths of its weight sources.
            params: all parameters; None for the defaults.

        Raises:
            UserError: the weights are damaged.
        """
        if self.fed_size:
            return Size(*self.fed_size(weights, self.params if params is None else params))
        return Size(*(self.image_size(weights) if callable(self.image_size) else self.image_size))
