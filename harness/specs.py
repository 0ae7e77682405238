"""What plugins hand over, and what those records make.

A record is cheap: importing the module that defines it must not import torch. Its `make` (or `open`, or `locate`) does the work, and
may import whatever it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from harness.frames import Frame, GridConvention, Size

if TYPE_CHECKING:
    import click
    import numpy as np
    import PIL.Image
    import torch

    from harness.cache import Cache

Scope = Literal["dataset", "category", "image", "pair"]
"""What an output depends on. A feature extractor's is `image`, `category` or `pair`; a prompt's may also be `dataset`: one for all."""

Threshold = Literal["box", "image", "points"]
"""What PCK's alpha multiplies, measured in the protocol's frame: the longer side of the target's box, the longer side of the target
image, or the larger extent of the target's valid points."""

Scalar = str | int | float | bool | None


# ---------------------------------------------------------------------------------------------------------------- datasets


class ImageSource(Protocol):
    """One picture of a dataset, not yet read."""

    @property
    def name(self) -> str:
        """The dataset's identifier, by class and name: `cat-2008_000591`. Two names may be one picture."""

    def identity(self) -> str:
        """Hash of the picture's content, plus a mark if it is mirrored: the key of caches and noise.

        Raises `DataError` where the file is missing.
        """

    def open(self) -> PIL.Image.Image:
        """The picture, decoded to RGB and mirrored where it should be. Raises `DataError` where it is broken."""


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Two images and the keypoints they share.

    Attributes:
        pair_id: unique in its split.
        source, target: the pictures.
        source_size, target_size: their sizes in original pixels.
        category: the dataset's own name of the object's kind.
        source_points, target_points: (N, 2) float64, (x, y) in original pixels; row i of both is one keypoint. A row that is not
            finite in either image is a point that is not there: it is neither predicted nor counted.
        keypoint_ids: N names of the keypoints, unique in the pair.
        source_box, target_box: (x1, y1, x2, y2) in original pixels, where the dataset has them.
        labels: the dataset's own difficulty labels, such as `viewpoint_variation: 2`.
    """

    pair_id: str
    source: ImageSource
    target: ImageSource
    source_size: Size
    target_size: Size
    category: str
    source_points: np.ndarray
    target_points: np.ndarray
    keypoint_ids: tuple[str, ...]
    source_box: tuple[float, float, float, float] | None = None
    target_box: tuple[float, float, float, float] | None = None
    labels: Mapping[str, Scalar] = field(default_factory=dict)


class PairDataset(Protocol):
    """One split of a dataset: a sequence of pairs, each read when it is asked for."""

    @property
    def pair_ids(self) -> Sequence[str]:
        """The pairs' identifiers in the dataset's own order, known without reading the pairs."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> ImagePair:
        """Pair number `index`. Raises `DataError` where its annotation is missing or damaged."""


@dataclass(frozen=True)
class RemoteFile:
    """A file on the network that belongs to a dataset or a weight source.

    Attributes:
        url: the official address.
        path: where it goes, relative to its owner's folder; for an archive, the folder to unpack it in ("." for the owner's own).
        unpack: whether it is an archive (.zip, .tar.gz).
        sha256: expected hash where one is known; otherwise the hash found is recorded beside the file.
        strip: number of leading folders of the archive's members to drop.
        provides: a path below the owner's folder that exists once this file has been fetched and unpacked.
    """

    url: str
    path: str
    unpack: bool = False
    sha256: str | None = None
    strip: int = 0
    provides: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """A dataset.

    Attributes:
        name: as on the command line.
        open: (folder, split) -> the pairs. Raises `UserError` with what to fetch where the folder lacks something.
        home: folder below `--data-root`; empty for a dataset that needs none.
        splits: names of its splits; the default one first.
        threshold: what PCK's alpha multiplies.
        prompt_names: category -> the word a prompt uses for it, where that differs from the category's own name.
        counts: split -> official numbers, of "pairs", "images" (different names) and "keypoints", as far as they are known.
        files: what `bench data fetch` downloads.
    """

    name: str
    open: Callable[[Path, str], PairDataset]
    home: str = ""
    splits: tuple[str, ...] = ("test",)
    threshold: Threshold = "box"
    prompt_names: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    files: tuple[RemoteFile, ...] = ()
    description: str = ""


# -------------------------------------------------------------------------------------------------------------- extractors


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """Features of one image.

    Attributes:
        data: (C, h, w) floating-point tensor, finite, not normalised.
        frame: the image the extractor was fed.
        grid: how cells lie on the frame's pixels; None leaves it to the localizer (see each localizer's docstring).
    """

    data: torch.Tensor
    frame: Frame
    grid: GridConvention | None = None

    @property
    def cells(self) -> Size:
        """Number of cells across and down."""
        return Size(self.data.shape[-1], self.data.shape[-2])

    @cached_property
    def norms(self) -> torch.Tensor:
        """(h, w) L2 norms of the features, at least in single precision; computed once, since a map is a target many times."""
        import torch

        data = self.data.float() if self.data.dtype in (torch.float16, torch.bfloat16) else self.data
        norms: torch.Tensor = torch.linalg.vector_norm(data, dim=0)
        return norms


class Undecoded:
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
    """What an extractor gets for one image.

    Attributes:
        picture: what `image` is or is decoded from.
        identity: hash of its content; together with `seed` the only thing that noise may be drawn from.
        category: the name a prompt would use for the object.
        prompt: what the prompt made, of a kind the extractor declared; None for an extractor without prompts.
        seed: the cell's seed.
        prepared: what the extractor's `prepare` made of the picture in a worker process; None where that is the extractor's to do.
    """

    picture: PIL.Image.Image | Undecoded
    identity: str
    category: str
    prompt: Any = None
    seed: int = 0
    prepared: torch.Tensor | None = None

    @property
    def image(self) -> PIL.Image.Image:
        """RGB, original pixels. A picture that was seen before may be decoded only now: what is kept of it needs no second look."""
        return self.picture.image if isinstance(self.picture, Undecoded) else self.picture

    @property
    def size(self) -> Size:
        """Width and height in original pixels."""
        return Size(*self.picture.size)


Prepare = Callable[["PIL.Image.Image"], "torch.Tensor"]
"""RGB picture, original pixels -> what an extractor is fed of it, on the CPU, a tensor that follows from the picture alone."""


class ImageExtractor(Protocol):
    """An extractor of scope `image` or `category`.

    It may have an attribute `prepare`, a `Prepare` that worker processes run while the network is busy (`bench run --workers`): a function
    or a `functools.partial` of one, since it is pickled, and a bound method would take the network along. The extractor does the same
    itself where a request's `prepared` is None (`harness.preprocess.prepared_batch`).
    """

    def extract(self, requests: Sequence[ImageRequest]) -> Sequence[FeatureMap]:
        """One feature map per request, in their order. The map must not depend on the other requests but by rounding."""


class PairExtractor(Protocol):
    """An extractor of scope `pair`. It may have a `prepare`, as an `ImageExtractor` may."""

    def extract_pairs(self, requests: Sequence[tuple[ImageRequest, ImageRequest]]) -> Sequence[tuple[FeatureMap, FeatureMap]]:
        """Feature maps of source and target for every pair, in their order."""


@dataclass(frozen=True, kw_only=True)
class MakeContext:
    """What an extractor or a prompt is made with.

    Attributes:
        device: a torch device name.
        precision: `fp32`, `bf16` or `fp16`.
        compiled: whether networks are to be compiled (`torch.compile`), as far as the extractor can; results may differ by rounding.
        params: the method's parameters (timestep, ensemble, layer ...), with the user's values in place.
        weights: local path of each weight source the record names.
        prompt_file: the file, or folder of files, that a learned prompt is read from; None for one that is not learned.
        categories: the words that prompts use for the dataset's categories, sorted.
        prompt_scope: what the prompt depends on; with `pair`, features of an image are asked for again with every pair that it is in.
        cache_bytes: memory that it may use for what it keeps of pictures from one call to the next.
        cache: where it may keep that on disk; None without `--cache`.
    """

    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    params: Mapping[str, Scalar] = field(default_factory=dict)
    weights: Mapping[str, Path] = field(default_factory=dict)
    prompt_file: Path | None = None
    categories: tuple[str, ...] = ()
    prompt_scope: Scope = "image"
    cache_bytes: int = 1 << 30
    cache: Cache | None = None


ImageSize = tuple[int, int] | Callable[[Mapping[str, Path]], tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class ExtractorSpec:
    """A feature extractor.

    Attributes:
        make: builds it; an `ImageExtractor`, or a `PairExtractor` for scope `pair`.
        scope: what its output depends on besides the prompt.
        prompt_kinds: kinds of prompt it takes (`PromptSpec.kind`); empty for one without prompts.
        image_size: width and height in pixels of the image it is fed: the frame of protocol `sd4match`. Where that follows from the
            backbone, a function of the local paths of its weight sources.
        params: its parameters and their defaults; part of a cell's identity.
        weights: names of the weight sources it reads.
    """

    name: str
    make: Callable[[MakeContext], ImageExtractor | PairExtractor]
    scope: Literal["image", "category", "pair"] = "image"
    prompt_kinds: frozenset[str] = frozenset()
    image_size: ImageSize = (768, 768)
    params: Mapping[str, Scalar] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    description: str = ""

    def fed(self, weights: Mapping[str, Path]) -> Size:
        """Size of the image it is fed, given the local paths of its weight sources. Raises `UserError` where they are damaged."""
        return Size(*(self.image_size(weights) if callable(self.image_size) else self.image_size))


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Weights that are easily taken for a source's and are others.

    Attributes:
        why: what they are instead, in a few words.
        names: repositories' names, without their owner.
        marks: JSON file -> key -> value. A folder in which all of them hold is refused, whatever it is called.
    """

    why: str
    names: tuple[str, ...] = ()
    marks: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WeightSource:
    """A file or folder of weights.

    A pattern is a path below the folder with `*` within its parts; of alternatives separated by `|` the first that is there counts.

    Attributes:
        locate: the local path, for weights that come with a package. Raises `UserError` that says what to get and where to put it. None
            for weights that `bench weights fetch` gets.
        mirrors: repositories of the Hugging Face hub that have them, in order of preference, as `owner/name` or `owner/name@revision`.
        downloads: plain addresses, for weights that are not on the hub.
        files: patterns that each must have a file. Only files of these patterns, and of `optional`, are fetched and hashed.
        optional: patterns that may have files.
        file: name of the one file they consist of; the path that extractors get is then that file's, and not its folder's.
        sha256: file -> expected hash, where known.
        refused: what must not be taken for them.
        stand_in: name of the bundled source that takes their place under `--weights tiny`.
        advice: what a user must do before they can be fetched, such as accepting a licence.
    """

    name: str
    locate: Callable[[], Path] | None = None
    mirrors: tuple[str, ...] = ()
    downloads: tuple[RemoteFile, ...] = ()
    files: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    file: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)
    refused: tuple[Refusal, ...] = ()
    stand_in: str | None = None
    advice: str = ""
    description: str = ""


# ----------------------------------------------------------------------------------------------------------------- prompts


class PairPrompt(NamedTuple):
    """What a prompt of scope `pair` returns where source and target are conditioned on different things."""

    source: Any
    target: Any


class Prompt(Protocol):
    """A prompt, made."""

    def __call__(self, category: str, images: tuple[ImageRequest, ...]) -> Any:
        """What the extractor is conditioned on.

        `images` is empty for scope `dataset` and `category`, one image for `image`, source and target for `pair`. A value holds for
        both images of a pair, unless it is a `PairPrompt`.
        """


class LearnedFile(NamedTuple):
    """Where a learned prompt lies, and what is known of it.

    Attributes:
        path: a file, or a folder of files that belong together.
        trained_on: the dataset it was tuned on; empty where nothing says so.
        timestep: the diffusion timestep it was tuned at; None where nothing says so.
    """

    path: Path
    trained_on: str = ""
    timestep: int | None = None


@dataclass(frozen=True, kw_only=True)
class LearnedSpec:
    """How a prompt that was learned is found.

    Attributes:
        source: name of the weight source that holds the prompts there are.
        find: (local path of that source, dataset the prompt was tuned on or None for the first) -> the file. Raises `UserError` that names
            what there is.
        inspect: what is known of a user's own file. Raises `UserError` where it is no such prompt.
    """

    source: str
    find: Callable[[Path, str | None], LearnedFile]
    inspect: Callable[[Path], LearnedFile]


@dataclass(frozen=True, kw_only=True)
class PromptSpec:
    """A prompt type.

    Attributes:
        kind: what it hands to an extractor: `text` (a string), or another kind that extractors name in `prompt_kinds`.
        scope: what it depends on.
        make: builds it. Raises `NotApplicable` where it does not fit the context.
        params: part of a cell's identity.
        weights: names of the weight sources it reads.
        learned: for a prompt that is read from a file: how the file is found where `--prompt-file` names none.
    """

    name: str
    kind: str
    make: Callable[[MakeContext], Prompt]
    scope: Scope = "dataset"
    params: Mapping[str, Scalar] = field(default_factory=dict)
    weights: tuple[str, ...] = ()
    learned: LearnedSpec | None = None
    description: str = ""


# -------------------------------------------------------------------------------------------------------------- localizers


class Located(NamedTuple):
    """Predictions for N points: (N, 2) original pixels of the target image, and N similarities."""

    points: torch.Tensor
    score: torch.Tensor


class Localizer(Protocol):
    """Source feature + target map -> point.

    One that can do many pairs at once may offer `many(tasks)` as well, with a list of (source, target, points) and a `Located` for each,
    whose bytes do not depend on what else is in the list; `bench run` then calls that.
    """

    def __call__(self, source: FeatureMap, target: FeatureMap, points: torch.Tensor) -> Located:
        """(N, 2) float64 original pixels of the source image -> predictions in original pixels of the target image."""


@dataclass(frozen=True, kw_only=True)
class LocalizerSpec:
    """A localizer.

    Attributes:
        make: keyword options -> the localizer.
        options: its options and their defaults, which a method's recipe may override.
    """

    name: str
    make: Callable[..., Localizer]
    options: Mapping[str, Scalar] = field(default_factory=dict)
    description: str = ""


# ----------------------------------------------------------------------------------------------------- methods, protocols


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """A named recipe.

    Attributes:
        extractor: name of its feature extractor.
        prompt: name of its prompt type; `none` for an extractor without prompts.
        localizer: name of its own localizer.
        params: values that differ from the extractor's defaults.
        localizer_options: localizer -> options that differ from that localizer's defaults.
        supervision: `Z` zero-shot, `I` image-level labels or pairs, `K` keypoints (the paper's Table 2).
        trained_on: dataset its prompt or network was tuned on.
        notes: where it follows the authors' code and where that and the paper differ.
    """

    name: str
    extractor: str
    prompt: str = "none"
    localizer: str = "argmax"
    params: Mapping[str, Scalar] = field(default_factory=dict)
    localizer_options: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    supervision: Literal["Z", "I", "K"] = "Z"
    trained_on: str | None = None
    description: str = ""
    notes: str = ""


@dataclass(frozen=True, kw_only=True)
class ProtocolSpec:
    """What "correct" means, as data.

    Attributes:
        frame: `stretched` (the square the extractor was fed), `original` pixels, or `padded` (aspect-preserving square).
        strict: whether a point at exactly the threshold is wrong (`<`) or right (`<=`).
        clamp: margin in pixels by which target points are kept inside the frame, None for no clamping.
        averaging: the one its authors print; both are always computed.
        side: side of the padded square in pixels.
        alphas: the thresholds its authors print.
    """

    name: str
    frame: Literal["stretched", "original", "padded"]
    strict: bool
    clamp: float | None = None
    averaging: Literal["image", "point"] = "image"
    side: int | None = None
    alphas: tuple[float, ...] = (0.05, 0.10, 0.15)
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class CommandSpec:
    """A command of `bench`, built when it is called for."""

    name: str
    make: Callable[[], click.Command]
    description: str = ""
