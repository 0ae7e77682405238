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
from harness.errors import BenchError, UserError
from harness.files import with_home
from harness.frames import Size
from harness.matching.pair_resources import PairResources, pair_as_split
from harness.matching.request import MatchRequest, cell_of_request
from harness.messages import one_line
from harness.notices import warn
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.running.resolve import ResolvedCell, resolve_cell
from harness.specs import FeatureMap, Matches, Scalar
from harness.weights.choice import warn_of_strange_pictures

if TYPE_CHECKING:
    import PIL.Image
    import torch
    from numpy.typing import ArrayLike


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

    @property
    def inside(self) -> np.ndarray:
        """(N) bool: points that lie in B. A method that pads B to a square may find one in the margin."""
        is_within = (self.found >= 0) & (self.found <= np.array(self.b_size))
        return np.asarray(is_within.all(axis=1))


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
        prompt, localizer: names of `bench list`; None for the method's own. A prompt that reads a file is
            `NAME=FILE`.
        timestep, ensemble: diffusion timestep and number of noise draws; None for the method's own.
        params: any parameters of the feature extractor, by name; the method's own for those that are left
            out.
        prompt_file: a learned prompt of your own.
        trained_on: of the learned prompts there are, the one trained on this dataset.
        weights: values of `--weights`: `tiny` (the default), `paper` or `NAME=PATH`.
        weights_root: folder of fetched weights; None for the usual one.
        seed: of the noise that the method draws, if it does.
        device: a torch device; `auto` takes a GPU if there is one.
        precision: `fp32`, `bf16` or `fp16`.

    Weights that are of no use for photos, as the bundled ones are, are told in a
    `harness.errors.BenchWarning`.

    Raises:
        BenchError: an image, a point or a name is wrong, weights are missing, or the method failed; in one
            line.
    """
    # One value without a list: as a sequence, a text would be its letters.
    if isinstance(weights, str):
        weights = (weights,)
    choice = MatchRequest(
        method=method,
        category=category,
        prompt=prompt,
        localizer=localizer,
        params=_merge_params(params or {}, timestep, ensemble),
        prompt_file=Path(prompt_file) if prompt_file else None,
        trained_on=trained_on,
        weights=tuple(weights),
        weights_root=Path(weights_root) if weights_root else None,
        seed=seed,
        device=device,
        precision=precision,
    )
    photo_pair = PhotoPair(load_plugins(), Path(a), Path(b), choice)
    if photo_pair.warning:
        warn(photo_pair.warning)
    return photo_pair.locate(points)


def _merge_params(
    params: Mapping[str, Scalar], timestep: int | None, ensemble: int | None
) -> dict[str, Scalar]:
    merged = dict(params)
    # 0 is a timestep, None is the method's own.
    if timestep is not None:
        merged["timestep"] = timestep
    if ensemble is not None:
        merged["ensemble"] = ensemble
    return merged


class PhotoPair:
    """One pair of images under one method. Features are computed for the first point, and kept for the next.

    Attributes:
        images: A and B, RGB.
        sizes: their sizes in pixels.
        warning: the reason why the weights are of no use for photos, and what should be known of the prompt's
            file; empty where there is neither.
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
        self._cell = cell_of_request(host, choice)
        self._localizer = host.localizers[self._cell.localizers[0]]
        self._resolved = self._resolve(host, choice)
        self._maps: tuple[FeatureMap, FeatureMap] | None = None
        self._pair_matches: Matches | None = None

    def _resolve(self, host: Host, choice: MatchRequest) -> ResolvedCell:
        index = pair_as_split(self._files, self.sizes, choice.category, self._cell.split)
        resources = PairResources(host, choice, index)
        resources.require_weights([self._cell])
        used = resources.weights_of(self._cell).values()
        resolved = resolve_cell(resources, self._cell)
        self.warning = "; ".join(
            filter(None, [warn_of_strange_pictures(used, dataset=""), *resolved.notes, *resolved.remarks])
        )
        return resolved

    def locate(self, points: ArrayLike) -> Match:
        """Finds points (N, 2) of A in B.

        Raises:
            BenchError: a point lies outside A, or the method fails.
        """
        import torch

        from harness.running.locate import MatchesTask, Task, locate_points

        queries = self.check_points(points)
        query_tensor = torch.from_numpy(queries)
        task: Task = (*self._features(), query_tensor)
        if matches := self._matches():
            task = MatchesTask(matches, query_tensor)
        name = self._cell.localizers[0]
        with _in_one_line(f"localizer {name}"), torch.inference_mode():
            localizer = self._resolved.localizers[name].make()
            predicted, score = locate_points(localizer, task)
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

    def _matches(self) -> Matches | None:
        """The pair's matches; None for a method without a matcher."""
        if self._resolved.matcher and self._pair_matches is None:
            from harness.running.predict import make_pair_matcher

            with _in_one_line(self._cell.method):
                matcher = make_pair_matcher(self._resolved)
                (pair_id,) = self._resolved.index.pairs
                if matcher:
                    self._pair_matches = matcher(pair_id, *self._features())
        return self._pair_matches

    def _features(self) -> tuple[FeatureMap, FeatureMap]:
        if self._maps is None:
            from harness.running.predict import make_pair_features

            with _in_one_line(self._cell.method):
                features = make_pair_features(self._resolved)
                (pair,) = self._resolved.index.pairs.values()
                self._maps = features(pair)
        return self._maps


def _centres(counts: Size, image: Size) -> np.ndarray:
    """Centres (N, 2) of a grid of so many squares across and down an image, row by row, in its pixels."""
    x = (np.arange(counts.width) + 0.5) * image.width / counts.width
    y = (np.arange(counts.height) + 0.5) * image.height / counts.height
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def _image(path: Path) -> ImageFile:
    path = with_home(path)
    if not path.is_file():
        raise UserError(f"image {path}: no such file")
    return ImageFile(path.name, path)


@contextmanager
def _in_one_line(subject: str) -> Iterator[None]:
    """Turns any exception of a plugin's code into a `BenchError` of one line."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:
        raise BenchError(f"{subject}: {one_line(error)}") from error
