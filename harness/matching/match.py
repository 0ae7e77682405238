"""Points of one image of the user's own in another.

The features and predictions are those of `bench run`, for one pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.datasets.images import ImageFile
from harness.datasets.splits import SplitIndex
from harness.environment import device_name
from harness.errors import BenchError, UserError
from harness.frames import Size
from harness.messages import one_line
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.running.plan import plan
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.specs import NO_PROMPT, FeatureMap, ImagePair, Scalar
from harness.sweep import Cell, DatasetChoice, Sweep
from harness.weights.choice import WeightChoice

if TYPE_CHECKING:
    import PIL.Image
    import torch
    from numpy.typing import ArrayLike


@dataclass(frozen=True, kw_only=True)
class MatchRequest:
    """The method that finds the points, and its options; `match` describes each of them."""

    method: str
    category: str = ""
    prompt: str | None = None
    localizer: str | None = None
    params: Mapping[str, Scalar] = field(default_factory=dict)
    prompt_file: Path | None = None
    trained_on: str | None = None
    weights: Sequence[str] = ()
    weights_root: Path | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "fp32"


@dataclass(frozen=True, eq=False)
class Match:
    """N points of image A, and where they are in image B.

    Attributes:
        a, b: the image files.
        a_size, b_size: their sizes in pixels.
        points: (N, 2) float64, (x, y) in original pixels of A.
        found: (N, 2) float64, (x, y) in original pixels of B.
        similarity: (N) float64, cosine of the features at `points` and `found`.
        score: (N) float64, the localizer's own score; the column of that name in `bench run`'s predictions.
        method: its name, with the parameters that were changed.
        prompt: name of its prompt type; `none` for a method without prompts.
        backbone: the weights, as tables call them; `none` for a method without weights.
        params: the feature extractor's parameters.
    """

    a: Path
    b: Path
    a_size: Size
    b_size: Size
    points: np.ndarray
    found: np.ndarray
    similarity: np.ndarray
    score: np.ndarray
    method: str
    prompt: str
    localizer: str
    backbone: str
    category: str = ""
    seed: int = 0
    params: dict[str, Scalar] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.points)


def match(
    a: str | Path,
    b: str | Path,
    points: ArrayLike,
    *,
    method: str,
    category: str = "",
    prompt: str | None = None,
    localizer: str | None = None,
    timestep: int | None = None,
    ensemble: int | None = None,
    params: Mapping[str, Scalar] | None = None,
    prompt_file: str | Path | None = None,
    trained_on: str | None = None,
    weights: str | Sequence[str] = (),
    weights_root: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "fp32",
) -> Match:
    """Finds points of image A in image B, as `bench run` would for that pair.

    Args:
        a, b: image files. Orientation tags are ignored, as with every dataset: pixels are those stored.
        points: (N, 2), (x, y) in original pixels of A, (0, 0) its top left corner.
        method: a name of `bench list methods`.
        category: the kind of object in both images, for a prompt that names it.
        prompt, localizer: names of `bench list`; None for the method's own.
        timestep, ensemble: diffusion timestep and number of noise draws; None for the method's own.
        params: any parameters of the feature extractor, by name; the method's own for those that are left
            out.
        prompt_file: a learned prompt of your own.
        trained_on: of the learned prompts there are, the one tuned on this dataset.
        weights: values of `--weights`: `tiny` (the default), `paper` or `NAME=PATH`.
        weights_root: folder of fetched weights; None for the usual one.
        device: a torch device; `auto` takes a GPU if there is one.
        precision: `fp32`, `bf16` or `fp16`.

    Raises:
        BenchError: an image, a point or a name is wrong, weights are missing, or the method failed; in one
            line.
    """
    all_params = dict(params or {})
    # 0 is a timestep, None is the method's own.
    if timestep is not None:
        all_params["timestep"] = timestep
    if ensemble is not None:
        all_params["ensemble"] = ensemble
    # One value without a list: as a sequence, a text would be its letters.
    if isinstance(weights, str):
        weights = (weights,)
    choice = MatchRequest(
        method=method,
        category=category,
        prompt=prompt,
        localizer=localizer,
        params=all_params,
        prompt_file=Path(prompt_file) if prompt_file else None,
        trained_on=trained_on,
        weights=tuple(weights),
        weights_root=Path(weights_root) if weights_root else None,
        seed=seed,
        device=device,
        precision=precision,
    )
    photo_pair = PhotoPair(load_plugins(), Path(a), Path(b), choice)
    return photo_pair.locate(points)


class PhotoPair:
    """One pair of images under one method. Features are computed for the first point, and kept for the next.

    Attributes:
        images: A and B, RGB.
        sizes: their sizes in pixels.
    """

    def __init__(self, host: Host, a: Path, b: Path, choice: MatchRequest) -> None:
        """Reads the images and finds the method's weights.

        Raises:
            BenchError: an image cannot be read, or the method, its data or weights are missing.
        """
        self._files = tuple(_image(path) for path in (a, b))
        self.images: tuple[PIL.Image.Image, ...] = tuple(file.open() for file in self._files)
        self.sizes = tuple(Size(*image.size) for image in self.images)
        self._choice = choice
        self._cell = _cell(host, choice)
        self._localizer = host.localizers[self._cell.localizers[0]]
        self._resolved = self._resolve(host, choice)
        self._maps: tuple[FeatureMap, FeatureMap] | None = None

    def _resolve(self, host: Host, choice: MatchRequest) -> ResolvedCell:
        index = _pair_as_split(self._files, self.sizes, choice.category, self._cell.split)
        resources = _PairResources(host, choice, index)
        resources.require_weights([self._cell])
        return resolve_cell(resources, self._cell)

    def locate(self, points: ArrayLike) -> Match:
        """Finds points (N, 2) of A in B.

        Raises:
            BenchError: a point lies outside A, or the method fails.
        """
        import torch

        from harness.running.locate import locate_points

        queries = self.check_points(points)
        query_tensor = torch.from_numpy(queries)
        source, target = self._features()
        name = self._cell.localizers[0]
        with _in_one_line(f"localizer {name}"), torch.inference_mode():
            localizer = self._resolved.localizers[name].make()
            predicted, score = locate_points(localizer, source, target, query_tensor)
        return Match(
            a=self._files[0].path,
            b=self._files[1].path,
            a_size=self.sizes[0],
            b_size=self.sizes[1],
            points=queries,
            found=predicted.numpy(),
            similarity=self._cosines(query_tensor, predicted),
            score=score.numpy(),
            method=self._cell.label,
            prompt=self._cell.prompt,
            localizer=name,
            backbone=self._resolved.weights.backbone,
            category=self._choice.category,
            seed=self._cell.seed,
            params=dict(self._cell.params),
        )

    def check_points(self, points: ArrayLike) -> np.ndarray:
        """Returns points as (N, 2) float64. Raises `UserError` unless they are that, finite and within A."""
        try:
            array = np.array(points, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise UserError("points must be (N, 2) numbers: x and y in pixels of A") from error
        if array.ndim != 2 or array.shape[1] != 2 or not len(array):
            raise UserError(
                "points must be (N, 2) numbers, x and y in pixels of A, and at least one; "
                f"got an array {array.shape}"
            )
        size = self.sizes[0]
        # NaN is in no interval.
        is_outside = ~((array >= 0) & (array <= size)).all(axis=1)
        if is_outside.any():
            x, y = array[is_outside][0]
            problem = "lies outside" if np.isfinite((x, y)).all() else "is not a position in"
            path = self._files[0].path
            raise UserError(
                f"point {x:g},{y:g} {problem} {path}, which has {size.width} x {size.height} pixels"
            )
        return array

    def grid(self, across: int) -> np.ndarray:
        """Centres (N, 2) of squares that cover A, row by row, in original pixels.

        Args:
            across: number of squares along the longer side.
        """
        width, height = self.sizes[0]
        step = max(width, height) / across
        columns, rows = (max(1, round(side / step)) for side in (width, height))
        return _centres(Size(columns, rows), self.sizes[0])

    def heat(self, point: tuple[float, float], size: Size) -> np.ndarray:
        """Cosines (height, width) of one point of A with the whole of B.

        Args:
            point: (x, y) in original pixels of A.
            size: width and height of the result: B is seen as an image of that size.
        """
        import torch

        query = torch.from_numpy(self.check_points([point]))
        positions = torch.from_numpy(_centres(size, self.sizes[1]))
        return self._cosines(query, positions).reshape(size.height, size.width)

    @property
    def cells(self) -> Size:
        """Number of positions across and down of B's feature map."""
        return self._features()[1].cells

    def _cosines(self, points: torch.Tensor, positions: torch.Tensor) -> np.ndarray:
        import torch

        from harness.localizers.cosines import cosines

        with torch.inference_mode():
            result: np.ndarray = cosines(*self._features(), points, positions, self._localizer).numpy()
        return result

    def _features(self) -> tuple[FeatureMap, FeatureMap]:
        if self._maps is None:
            from harness.running.predict import make_pair_features

            with _in_one_line(self._cell.method):
                features = make_pair_features(self._resolved)
                (pair,) = self._resolved.index.pairs.values()
                self._maps = features(pair)
        return self._maps


def _pair_as_split(
    files: Sequence[ImageFile], sizes: Sequence[Size], category: str, split: str
) -> SplitIndex:
    """Two images as a split of one pair.

    It has one point, which nothing reads: a pair without any would be left out.
    """
    source, target = files
    source_size, target_size = sizes
    corner = np.zeros((1, 2))
    pair = ImagePair(
        pair_id=f"{source.name} {target.name}",
        source=source,
        target=target,
        source_size=source_size,
        target_size=target_size,
        category=category,
        source_points=corner,
        target_points=corner,
        keypoint_ids=("corner",),
    )
    return SplitIndex(
        label="match",
        split=split,
        pair_ids=(pair.pair_id,),
        pairs={pair.pair_id: pair},
        broken={},
        threshold="image",
    )


class _PairResources(Resources):
    """Resources whose only dataset is one pair."""

    def __init__(self, host: Host, choice: MatchRequest, index: SplitIndex) -> None:
        options = RunOptions(
            data_root=Path(),
            out=Path(),
            criteria=(),
            device=device_name(choice.device),
            precision=choice.precision,
            weights=WeightChoice.parse(host, choice.weights, choice.weights_root),
        )
        super().__init__(host, options)
        self._index = index

    def split(self, choice: DatasetChoice, split: str) -> SplitIndex:
        return self._index


def _centres(counts: Size, image: Size) -> np.ndarray:
    """Centres (N, 2) of a grid of so many squares across and down an image, row by row, in its pixels."""
    x = (np.arange(counts.width) + 0.5) * image.width / counts.width
    y = (np.arange(counts.height) + 0.5) * image.height / counts.height
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _image(path: Path) -> ImageFile:
    path = path.expanduser()
    if not path.is_file():
        raise UserError(f"image {path}: no such file")
    return ImageFile(path.name, path)


def _cell(host: Host, choice: MatchRequest) -> Cell:
    """The method as a cell of a run. Raises `UserError` where its options do not fit together."""
    method = host.methods[choice.method]
    file = choice.prompt_file
    # `bench run` passes over a combination that does not fit; here it is the only one.
    if choice.prompt and not host.extractors[method.extractor].prompt_kinds:
        raise UserError(f"--prompt {choice.prompt}: method {method.name} takes no prompt")
    if file and choice.trained_on:
        raise UserError(
            f"--trained-on {choice.trained_on}: --prompt-file {file} already names the prompt; "
            "give one of them"
        )
    prompt_files = {}
    if file:
        prompt_files[method.name] = (file.expanduser(),)
    sweep = Sweep(
        methods=(method.name,),
        # One pair of the user's photos is a dataset of that kind.
        datasets=(DatasetChoice("folder"),),
        prompts=(choice.prompt,) if choice.prompt else None,
        localizers=(choice.localizer,) if choice.localizer else None,
        seeds=(choice.seed,),
        overrides={name: (value,) for name, value in choice.params.items()},
        prompt_files=prompt_files,
        trained_on=choice.trained_on,
    )
    cells = plan(sweep, host)
    # A value may be a range, such as `1..9:2`, of which the plan makes several cells.
    if len(cells) > 1:
        raise UserError("--set: bench match takes one value of each parameter; 'bench run' sweeps several")
    cell = cells[0]
    # The user's photos have no category unless it is given, and a prompt would name none in silence.
    if not choice.category:
        subject = _needs_category(host, cell)
        if subject:
            raise UserError(
                f"{subject} needs a category: give --category NAME, the kind of object in both images"
            )
    return cell


def _needs_category(host: Host, cell: Cell) -> str:
    """The prompt or method that depends on the category, for a message; empty where neither does."""
    if cell.prompt != NO_PROMPT and host.prompts[cell.prompt].scope == "category":
        return f"prompt '{cell.prompt}'"
    if host.extractors[cell.extractor].scope == "category":
        return f"method {cell.method}"
    return ""


@contextmanager
def _in_one_line(subject: str) -> Iterator[None]:
    """Turns any exception of a plugin's code into a `BenchError` of one line."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(f"{subject}: {one_line(error)}") from error
