"""`bench prompt`: pictures that Stable Diffusion draws from a prompt (SD4Match, Figs. 4 and 5), and copies of
learned prompts in other formats.
"""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.completion import names_of
from harness.cli.examples import examples
from harness.cli.option_names import option
from harness.cli.options import learned_prompt, typed_arguments, weights
from harness.cli.progress import waiting
from harness.errors import NotWritten, UserError
from harness.files import with_home
from harness.plugins.host import Host
from sd4match_plugin.commands.show_arguments import ShowArguments


def prompt_command() -> click.Group:
    """The group `bench prompt`."""
    return prompt


@click.group("prompt")
def prompt() -> None:
    """Look at prompts, and pass them on."""


@prompt.command(
    "export",
    short_help="A learned prompt as another file.",
    epilog=examples(
        "bench prompt export prompts/sd4match-cpm-shapes/best.safetensors release",
    ),
)
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@option("--half", is_flag=True, help="In half precision, half as large.")
def export(file: Path, target: Path, half: bool) -> None:
    """Write the learned prompt FILE to TARGET: a file if it ends in .safetensors, else a folder like those of
    SD4Match's release.

    FILE was written by 'bench train', or is a file or folder of the release.
    """
    from sd4match_plugin.prompts import files
    from sd4match_plugin.prompts.release import export as export_release

    learned = files.read(with_home(file))
    if half:
        learned = learned.half()
    target = with_home(target)
    try:
        if target.suffix == ".safetensors":
            files.write(target, learned)
            click.echo(str(target))
        else:
            click.echo(str(export_release(target, learned)))
    except NotWritten as error:
        # What the user named, and not the file in the folder that was to be made there.
        error.filename = str(target)
        raise UserError(str(error)) from error


@prompt.command(
    "show",
    short_help="Pictures drawn from a prompt, on one sheet.",
    epilog=examples(
        "bench prompt show sd4match-class --category cat --steps 20",
        "bench prompt show sd4match-cpm a.jpg b.jpg -o prompt.png",
    ),
)
@click.argument("name", shell_complete=names_of("prompts"))
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@option(
    "--category",
    "categories",
    multiple=True,
    help="Category; all that the prompt was tuned for otherwise. Repeatable.",
)
@learned_prompt
@weights
@option(
    "--number", type=click.IntRange(min=1), default=4, show_default=True, help="Pictures for each prompt."
)
@option("--steps", type=click.IntRange(min=1), default=50, show_default=True, help="Denoising steps (DDIM).")
@option("--guidance", type=float, default=7.5, show_default=True, help="Classifier-free guidance; 1 is none.")
@option("--seed", type=int, default=0, show_default=True)
@option("--device", default="auto", show_default=True, help="Torch device; auto takes a GPU if there is one.")
@option("--precision", type=click.Choice(["fp32", "bf16", "fp16"]), default="fp32", show_default=True)
@option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Sheet to write: .png, .jpg or .webp.  [default: NAME.png]",
)
@typed_arguments(ShowArguments)
def show(host: Host, arguments: ShowArguments) -> None:
    """Draw pictures from the prompt NAME, and beside them from "a photo of a {category}" and from the empty
    text.

    A prompt that is made from images takes them: bench prompt show sd4match-cpm A.jpg B.jpg. Pictures of one
    column start from the same noise.
    """
    from harness.drawing.contact_sheet import check_sheet_path, draw_sheet, write_sheet

    check_sheet_path(arguments.sheet)
    spec = arguments.check(host)
    requests = arguments.read_images(spec)
    # torch is imported from here on, when mistakes that are seen without it have been reported.
    from sd4match_plugin.commands.prompt_sheet import (
        draw_rows,
        input_rows,
        load_prompt,
        sheet_rows,
        sheet_title,
    )

    with waiting(f"{spec.name}: loading weights"):
        loaded = load_prompt(host, arguments, spec, requests)
        rows = sheet_rows(host, loaded)
    pictures = [*input_rows(loaded), *draw_rows(loaded, rows, arguments)]
    write_sheet(draw_sheet(pictures, title=sheet_title(loaded, arguments)), arguments.sheet)
    click.echo(str(arguments.sheet))
