"""`bench prompt`: pictures that Stable Diffusion draws from a learned prompt (SD4Match, Figs. 4 and 5), and learned prompts' files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from baselines.methods.dift import PROMPT_KINDS
from baselines.sources import STABLE_DIFFUSION_2_1
from harness.cli.options import weights
from harness.cli.progress import ProgressBar
from harness.datasets.images import ImageFile
from harness.errors import UserError, unknown_name
from harness.plugins.host import Host
from harness.specs import ImageRequest, LearnedFile, MakeContext, PairPrompt, Prompt, PromptSpec, Scope

if TYPE_CHECKING:
    import PIL.Image
    import torch

    from baselines.stable_diffusion.backbone import StableDiffusion
    from harness.weights.choice import Weights

_IMAGES: Mapping[Scope, str] = {
    "dataset": "no images",
    "category": "no images",
    "image": "one image or more",
    "pair": "two images",
}


def prompt_command() -> click.Group:
    """The group `bench prompt`."""
    return prompt


@click.group("prompt")
def prompt() -> None:
    """Look at prompts, and pass them on."""


@prompt.command("export", short_help="A learned prompt as another file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("place", type=click.Path(path_type=Path))
@click.option("--half", is_flag=True, help="In half precision, half as large.")
def export(file: Path, place: Path, half: bool) -> None:
    """Write the learned prompt FILE to PLACE: a file if it ends in .safetensors, else a folder like those of SD4Match's release.

    FILE is what 'bench train' wrote, or a file or folder of the release.
    """
    from sd4match_plugin.prompts import files
    from sd4match_plugin.prompts.release import export as write_release

    found = files.read(file.expanduser())
    if half:
        found = found.half()
    try:
        if place.suffix == ".safetensors":
            files.write(place.expanduser(), found)
            click.echo(str(place))
        else:
            click.echo(str(write_release(place.expanduser(), found)))
    except OSError as error:
        raise UserError(
            f"{place}: {error.strerror}; give a file that ends in .safetensors, or a folder"
        ) from error


@prompt.command("show", short_help="Pictures drawn from a prompt, on one sheet.")
@click.argument("name")
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--category",
    "categories",
    multiple=True,
    help="Category; all that the prompt was tuned for otherwise. Repeatable.",
)
@click.option("--prompt-file", type=click.Path(path_type=Path), help="A learned prompt of your own.")
@click.option(
    "--trained-on", metavar="DATASET", help="Of the learned prompts there are, the one tuned on this dataset."
)
@weights
@click.option(
    "--number", type=click.IntRange(min=1), default=4, show_default=True, help="Pictures for each prompt."
)
@click.option(
    "--steps", type=click.IntRange(min=1), default=50, show_default=True, help="Denoising steps (DDIM)."
)
@click.option(
    "--guidance", type=float, default=7.5, show_default=True, help="Classifier-free guidance; 1 is none."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one."
)
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Sheet to write: .png, .jpg or .webp.  [default: NAME.png]",
)
@click.pass_obj
def show(host: Host, /, **options: Any) -> None:
    """Draw pictures from the prompt NAME, and beside them from "a photo of a {category}" and from the empty text.

    A prompt that is made from images takes them: bench prompt show sd4match-cpm A.jpg B.jpg. Pictures of one column start from the same
    noise.
    """
    from harness.drawing.contact_sheet import check_sheet_path, draw_sheet, write_sheet

    out = (options["out"] or Path(f"{options['name']}.png")).expanduser()
    check_sheet_path(out)
    shown = _Shown.of(host, options)
    lines = shown.lines()
    drawn = shown.draw([line.states for line in lines])
    made = [(line.label, pictures) for line, pictures in zip(lines, drawn, strict=True)]
    write_sheet(draw_sheet([*shown.inputs(), *made], title=shown.title), out)
    click.echo(str(out))


@dataclass(frozen=True, eq=False)
class _Line:
    """A row of the sheet, and what it is drawn from: a prompt's value, and its (77, D) states."""

    label: str
    value: Any
    states: torch.Tensor


@dataclass(frozen=True, eq=False)
class _Shown:
    """A prompt with everything that it is drawn with.

    Attributes:
        spec, prompt: the prompt, described and made.
        file: where a learned one lies.
        categories: those to be shown; may be empty but for a prompt of scope `category`.
        requests: the user's images.
    """

    host: Host
    spec: PromptSpec
    prompt: Prompt
    file: LearnedFile | None
    categories: tuple[str, ...]
    requests: tuple[ImageRequest, ...]
    backbone: StableDiffusion
    weights: Weights
    options: Mapping[str, Any]

    @classmethod
    def of(cls, host: Host, options: Mapping[str, Any]) -> _Shown:
        """Raises `UserError` for what cannot be shown; the cheap checks come first."""
        spec = host.prompts[options["name"]]
        if spec.kind not in PROMPT_KINDS:
            raise UserError(
                f"prompt '{spec.name}' is of kind '{spec.kind}'; pictures are drawn from {', '.join(sorted(PROMPT_KINDS))}"
            )
        given = tuple(dict.fromkeys(options["categories"]))
        _check_learned(spec, options)
        requests = _requests(spec, options["images"], given)

        from baselines.stable_diffusion.backbone import StableDiffusion
        from harness.environment import device_name

        device, found = device_name(options["device"]), _weights(host, spec, options)
        file = _learned_file(spec, found, options)
        context = MakeContext(
            device=device,
            precision=options["precision"],
            params=spec.params,
            weights={name: one.path for name, one in found.items()},
            prompt_file=file.path if file else None,
        )
        made = spec.make(context)
        categories = _categories(spec, made, given)
        backbone = StableDiffusion(found[STABLE_DIFFUSION_2_1].path, device, options["precision"])
        return cls(
            host, spec, made, file, categories, requests, backbone, found[STABLE_DIFFUSION_2_1], options
        )

    # ------------------------------------------------------------------------------------------------------------------ rows

    def lines(self) -> list[_Line]:
        """The prompt's own rows, each category's followed by its text, and the empty text."""
        import torch

        found: list[_Line] = []
        with torch.inference_mode():
            for label, category, value in self._values():
                self._add(found, label, value)
                self._add_text(found, "category", [category] if self.spec.scope == "category" else [])
            self._add_text(found, "category", self.categories)
            self._add_text(found, "empty", [""])
        return found

    def inputs(self) -> list[tuple[str, list[PIL.Image.Image]]]:
        """The row of the images that the prompt was made from."""
        names = " and ".join(path.name for path in self.options["images"])
        return [(f"made from {names}", [request.image for request in self.requests])] if self.requests else []

    @property
    def title(self) -> str:
        """What was drawn, and with what."""
        file = f" ({'/'.join(self.file.path.parts[-2:])}" if self.file else ""
        file += (
            f", tuned on {self.file.trained_on})"
            if self.file and self.file.trained_on
            else ")"
            if self.file
            else ""
        )
        set_as = f"{self.options['steps']} steps, guidance {self.options['guidance']:g}, seed {self.options['seed']}"
        return f"{self.spec.name}{file}: {self.weights.label({})}, {set_as}"

    def _values(self) -> Iterator[tuple[str, str, Any]]:
        """Label, category and value of each of the prompt's own rows."""
        from harness.features.requests import PromptUse

        use = PromptUse(self.prompt, self.spec.scope)
        name, first = self.spec.name, self.categories[0] if self.categories else ""
        if use.scope == "category":
            for category in self.categories:
                yield f"{name}: {category}", category, use.value(category, ())
        elif use.scope == "image":
            values = use.values(first, self.requests)
            for path, value in zip(self.options["images"], values, strict=True):
                yield f"{name}: {path.name}", first, value
        else:
            value = use.value(first, self.requests)
            if isinstance(value, PairPrompt):
                for path, image_value in zip(self.options["images"], value, strict=True):
                    yield f"{name}: {path.name}", first, image_value
            else:
                yield name, first, value

    def _add_text(self, lines: list[_Line], prompt: str, categories: Sequence[str]) -> None:
        """The rows of a plain text, for those categories that have none yet."""
        text = self.host.prompts[prompt].make(MakeContext())
        for category in categories:
            value = text(category, ())
            if value not in [line.value for line in lines if isinstance(line.value, str)]:
                self._add(lines, f'"{value}"' if value else "empty text", value)

    def _add(self, lines: list[_Line], label: str, value: Any) -> None:
        condition = self.backbone.condition(value)
        if condition.time is not None:
            raise UserError(
                f"prompt '{self.spec.name}' also shifts the embedding of the timestep, and text-to-image sampling cannot"
            )
        lines.append(_Line(label, value, condition.states))

    # --------------------------------------------------------------------------------------------------------------- pictures

    def draw(self, states: Sequence[torch.Tensor]) -> list[list[PIL.Image.Image]]:
        """The pictures of each row. One name for all: rows are compared, so their noise is the same."""
        from baselines.stable_diffusion.generate import Generator

        sampler = Generator(
            self.backbone, **{name: self.options[name] for name in ("steps", "guidance", "seed")}
        )
        with ProgressBar("step") as bar:
            return sampler.pictures(
                states,
                number=self.options["number"],
                names=[""] * len(states),
                progress=lambda done, total: bar.show(self.spec.name, done, total),
            )


def _check_learned(spec: PromptSpec, options: Mapping[str, Any]) -> None:
    file, trained_on = options["prompt_file"], options["trained_on"]
    for option, value in (("--prompt-file", file), ("--trained-on", trained_on)):
        if value and not spec.learned:
            raise UserError(f"{option} {value}: prompt '{spec.name}' is not a learned one")
    if file and trained_on:
        raise UserError(
            f"--trained-on {trained_on}: --prompt-file {file} already says which prompt; give one of them"
        )
    if file and not file.expanduser().exists():
        raise UserError(f"--prompt-file {file}: no such file or folder")


def _learned_file(
    spec: PromptSpec, found: Mapping[str, Weights], options: Mapping[str, Any]
) -> LearnedFile | None:
    if spec.learned is None:
        return None
    if options["prompt_file"]:
        return spec.learned.inspect(options["prompt_file"].expanduser())
    return spec.learned.find(found[spec.learned.source].path, options["trained_on"])


def _weights(host: Host, spec: PromptSpec, options: Mapping[str, Any]) -> dict[str, Weights]:
    from harness.weights.choice import WeightChoice, resolve_weights

    choice = WeightChoice.parse(host, options["weights"], options["weights_root"])
    learned = [spec.learned.source] if spec.learned and not options["prompt_file"] else []
    return resolve_weights(host, choice, [STABLE_DIFFUSION_2_1, *spec.weights, *learned])


def _requests(spec: PromptSpec, paths: Sequence[Path], categories: Sequence[str]) -> tuple[ImageRequest, ...]:
    """The images, read. Raises `UserError` where there are too few or too many, and `DataError` where one is missing or broken."""
    count = len(paths)
    right = {"image": count >= 1, "pair": count == 2}.get(spec.scope, count == 0)
    if not right:
        raise UserError(f"prompt '{spec.name}' takes {_IMAGES[spec.scope]}, not {count}")
    files = [ImageFile(path.name, path.expanduser()) for path in paths]
    for file in files:
        if not file.path.is_file():
            raise UserError(f"image {file.path}: no such file")
    return tuple(
        ImageRequest(file.open(), file.identity(), categories[0] if categories else "") for file in files
    )


def _categories(spec: PromptSpec, made: Prompt, given: tuple[str, ...]) -> tuple[str, ...]:
    """The categories to show: those given, or all that the prompt was tuned for. Raises `UserError` for one that it was not tuned for."""
    from sd4match_plugin.prompts.make import LearnedPrompt

    if spec.scope != "category":
        return given
    known = tuple(sorted(made.values)) if isinstance(made, LearnedPrompt) else ()
    if not (given or known):
        raise UserError(f"prompt '{spec.name}' needs a category: give --category NAME")
    for name in given:
        if known and name not in known:
            raise unknown_name("category", name, known)
    return given or known
