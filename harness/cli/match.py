"""`bench match`: points of one picture found in another, printed and drawn."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.api.overrides import merge_overrides
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import learned_prompt, parameter_settings, typed_arguments, weights
from harness.cli.progress import waiting
from harness.cli.terminal import print_warning
from harness.errors import UserError
from harness.files import with_home
from harness.messages import counted
from harness.plugins.host import Host
from harness.specs import NO_PROMPT, Scalar

if TYPE_CHECKING:
    from harness.matching.match import Match, PhotoPair
    from harness.matching.request import MatchRequest

    _PointType = click.ParamType[tuple[float, float]]
else:  # generic for type checkers only: older releases of click cannot subscript it
    _PointType = click.ParamType

_NUMBERS = re.compile(r"(?=.*(?:\d|nan|inf))(?:[-+.,;\d\s]|(?<=\d)e|nan|inf)+", re.IGNORECASE)
"""Words that go on with a list of points; names of pictures and options do not match."""


@dataclass(frozen=True, kw_only=True)
class MatchArguments:
    """The arguments and options of `bench match` after parsing. The help text of each says what it is for."""

    a: Path
    b: Path
    points: tuple[tuple[float, float], ...]
    method: str
    category: str
    prompt: str | None
    localizer: str | None
    timestep: int | None
    ensemble: int | None
    settings: dict[str, tuple[str, ...]]
    prompt_file: Path | None
    trained_on: str | None
    weights: tuple[str, ...]
    weights_root: Path | None
    seed: int
    device: str
    precision: str
    dense: bool
    grid: int
    heatmap: bool
    as_json: bool
    out: Path | None

    def check(self) -> None:
        """Raises `UserError` for options that do not go together."""
        count = len(self.points)
        if not count and not self.dense:
            raise UserError(
                "--points: give at least one point of A, such as --points 120,80, or --dense for a grid"
            )
        if self.heatmap and count != 1:
            raise UserError(f"--heatmap shows the similarity map of one point; --points has {count}")
        if self.heatmap and not self.out:
            raise UserError("--heatmap is drawn; give -o FILE")
        if self.dense and not (self.out or self.as_json):
            raise UserError("--dense is drawn, or printed with --json; give -o FILE")

    def request(self) -> MatchRequest:
        """The options that say how the points are found, without those of the output.

        Raises:
            UserError: a parameter is set twice, or has several values.
        """
        from harness.matching.request import MatchRequest

        # Tuples of one value each, as merge_overrides takes them; a timestep of 0 is a value, too.
        short: dict[str, tuple[int, ...]] = {}
        if self.timestep is not None:
            short["timestep"] = (self.timestep,)
        if self.ensemble is not None:
            short["ensemble"] = (self.ensemble,)
        params: dict[str, Scalar] = {}
        for name, values in merge_overrides(self.settings, short).items():
            if len(values) > 1:
                raise UserError(f"--set {name}: bench match takes one value; 'bench run' sweeps several")
            params[name] = values[0]
        return MatchRequest(
            method=self.method,
            category=self.category,
            prompt=self.prompt,
            localizer=self.localizer,
            params=params,
            prompt_file=self.prompt_file,
            trained_on=self.trained_on,
            weights=self.weights,
            weights_root=self.weights_root,
            seed=self.seed,
            device=self.device,
            precision=self.precision,
        )


class _Point(_PointType):
    """`120,80` -> (120.0, 80.0)"""

    name = "point"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        try:
            x, y = map(float, str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' is not a point; a point is X,Y in pixels of A, such as 120,80", param, ctx)
        return x, y


class _Command(click.Command):
    """A command that takes several values after one `--points`, which click itself does not."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, list(_repeat_option(args)))


def _repeat_option(args: Sequence[str]) -> Iterator[str]:
    """`--points 1,2 3,4` -> `--points 1,2 --points 3,4`."""
    words = iter(args)
    is_list = False
    for word in words:
        if word == "--":
            yield word
            yield from words
        elif word == "--points":
            yield word
            yield from itertools.islice(words, 1)
            is_list = True
        elif is_list and _NUMBERS.fullmatch(word):
            yield from ("--points", word)
        else:
            yield word
            is_list = word.startswith("--points=")


def _expand_user(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    return with_home(path) if path else None


@click.command(
    "match",
    cls=_Command,
    short_help="Find points of one picture in another.",
    epilog=examples(
        "bench match a.jpg b.jpg --points 120,80 200,95 --method dift -o matches.png",
        "bench match a.jpg b.jpg --dense --method dinov2 --weights paper -o dense.png",
    ),
)
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@option(
    "--points",
    type=_Point(),
    multiple=True,
    metavar="X,Y ...",
    help="Points of A in its pixels; several, and repeatable.",
)
@option("--method", required=True, help="Method ('bench list methods').")
@option("--category", default="", help="What both pictures show, for a prompt that names it.")
@option("--prompt", help="Prompt type, or NAME=FILE for one that reads a file; the method's own otherwise.")
@option("--localizer", help="Localizer; the method's own otherwise.")
@option("--timestep", type=click.IntRange(min=0), help="Diffusion timestep; the method's own otherwise.")
@option(
    "--ensemble", type=click.IntRange(min=1), help="Draws of noise to average; the method's own otherwise."
)
@parameter_settings
@learned_prompt
@weights
@option("--seed", type=int, default=0, show_default=True)
@option("--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one.")
@option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@option("--dense", is_flag=True, help="Paint the correspondence of a grid of points in both pictures.")
@option(
    "--grid",
    type=click.IntRange(2, 100),
    default=16,
    show_default=True,
    help="Points of --dense along the longer side of A.",
)
@option("--heatmap", is_flag=True, help="Draw how similar B is to the one point given.")
@option("--json", "as_json", is_flag=True, help="Print JSON.")
@option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    callback=_expand_user,
    help="Picture to write: .png, .jpg or .webp.",
)
@typed_arguments(MatchArguments)
def match(host: Host, arguments: MatchArguments) -> None:
    """Find points of picture A in picture B, with the features and the localizer that 'bench run' uses.

    x and y are pixels of the pictures as they are stored; (0, 0) is the top left corner.
    """
    arguments.check()
    if arguments.out:
        # A picture that cannot be written is reported before the models load, which may take minutes.
        from harness.drawing.contact_sheet import check_sheet_path

        check_sheet_path(arguments.out)

    from harness.matching.match import PhotoPair

    photo_pair = PhotoPair(host, arguments.a, arguments.b, arguments.request())
    if arguments.points:
        photo_pair.check_points(arguments.points)  # before the models load
    _warn_of_orientation([arguments.a, arguments.b])
    if photo_pair.warning:
        print_warning(photo_pair.warning)
    points = dense = None
    with waiting(f"{arguments.method}: loading weights and encoding both pictures"):
        if arguments.points:
            points = photo_pair.locate(arguments.points)
        if arguments.dense:
            dense = photo_pair.locate(photo_pair.grid(arguments.grid))
    if arguments.out:
        heat_point = arguments.points[0] if arguments.heatmap else None
        _draw(photo_pair, points, dense, heat_point, arguments.out)
    if arguments.as_json:
        click.echo(_json(points, dense, arguments.out))
    else:
        click.echo(_text(points, dense, arguments.out))


def _draw(
    photo_pair: PhotoPair,
    points: Match | None,
    dense: Match | None,
    heat_point: tuple[float, float] | None,
    out: Path,
) -> None:
    from harness.drawing.contact_sheet import write_sheet
    from harness.matching.picture import Heat, panel_size, picture

    heat = None
    if heat_point:
        # At the size at which B is drawn: each pixel of the picture has a similarity of its own.
        values = photo_pair.heat(heat_point, panel_size(photo_pair.sizes[1]))
        heat = Heat(values, photo_pair.cells)
    write_sheet(picture(photo_pair.images, points, dense=dense, heat=heat), out)


def _text(points: Match | None, dense: Match | None, out: Path | None) -> str:
    shown = points or dense
    assert shown is not None
    recipe = shown.method
    if shown.prompt != NO_PROMPT:
        recipe += f", prompt {shown.prompt}"
    lines = [
        f"A: {shown.a}, {shown.a_size.width} x {shown.a_size.height} px",
        f"B: {shown.b}, {shown.b_size.width} x {shown.b_size.height} px",
        f"{recipe}, localizer {shown.localizer}, backbone {shown.backbone}",
    ]
    if points:
        size = counted(len(points), "point")
        note = f"n = {size}; similarity: cosine of the features at both places."
        lines += ["", _points_table(points), "", note]
    if dense:
        # A grid has too many points to be listed; --json and the picture have them all.
        size = counted(len(dense), "point")
        lines.append(f"grid: n = {size}; mean similarity {dense.similarity.mean():.3f}.")
    lines += _outside_notes(points, dense)
    if out:
        lines.append(str(out))
    return "\n".join(lines)


def _outside_notes(*matches: Match | None) -> list[str]:
    """A line about points that were found where B is padded to a square, as some methods feed it."""
    outside = total = 0
    for match in matches:
        if match is not None:
            outside += int((~match.inside).sum())
            total += len(match)
    if not outside:
        return []
    return [
        f"{outside} of {counted(total, 'point')} lie outside B, in the margin that the method adds to it."
    ]


def _points_table(match: Match) -> str:
    from tabulate import tabulate

    rows = []
    pairs_of_points = zip(match.points, match.found, match.similarity, strict=True)
    for number, (a, b, similarity) in enumerate(pairs_of_points, start=1):
        coordinates = [f"{value:.1f}" for value in (*a, *b)]
        rows.append((number, *coordinates, f"{similarity:.3f}"))
    header = ("point", "x in A (px)", "y in A (px)", "x in B (px)", "y in B (px)", "similarity")
    alignment = ("right",) * len(header)
    # tabulate would drop the zeros at the end of numbers that it reads as such.
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True, colalign=alignment)


def _json(points: Match | None, dense: Match | None, out: Path | None) -> str:
    shown = points or dense
    assert shown is not None
    content = {
        "a": {"path": str(shown.a), "width": shown.a_size.width, "height": shown.a_size.height},
        "b": {"path": str(shown.b), "width": shown.b_size.width, "height": shown.b_size.height},
        "method": shown.method,
        "backbone": shown.backbone,
        "prompt": shown.prompt,
        "category": shown.category,
        "localizer": shown.localizer,
        "seed": shown.seed,
        "params": shown.params,
        "points": _rows(points),
        "grid": _rows(dense),
        "picture": str(out) if out else None,
    }
    return json.dumps(content, indent=2)


def _rows(match: Match | None) -> list[dict[str, Any]]:
    """Points in pixels of A and of B, the cosine at both, and the localizer's own score."""
    if match is None:
        return []
    columns = (match.points, match.found, match.similarity, match.score)
    keys = ("a", "b", "similarity", "score")
    rows = []
    # tolist makes Python's numbers of numpy's, which JSON cannot hold.
    for values in zip(*(column.tolist() for column in columns), strict=True):
        rows.append(dict(zip(keys, values, strict=True)))
    return rows


def _warn_of_orientation(paths: Sequence[Path]) -> None:
    """Warns of pictures that viewers turn: a point that was read off there lies elsewhere in the file."""
    from harness.datasets.decoding import has_orientation_tag

    for path in dict.fromkeys(paths):
        if has_orientation_tag(with_home(path)):
            click.echo(
                f"bench match: {path}: its orientation tag is ignored; "
                "x and y are pixels as stored, and as -o draws them",
                err=True,
            )
