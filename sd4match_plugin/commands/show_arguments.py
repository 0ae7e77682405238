"""The arguments of `bench prompt show`, and the checks of them that need no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from baselines.methods.dift import PROMPT_KINDS
from harness.datasets.images import ImageFile
from harness.errors import UserError
from harness.files import with_home
from harness.plugins.host import Host
from harness.specs import ImageRequest, PromptSpec, Scope

_IMAGES: Mapping[Scope, str] = {
    "dataset": "no images",
    "category": "no images",
    "image": "one image or more",
    "pair": "two images",
}
"""Scope of a prompt -> images that it takes, in words."""


@dataclass(frozen=True, kw_only=True)
class ShowArguments:
    """The options of `bench prompt show` after parsing. The help text of each says what it is for."""

    name: str
    images: tuple[Path, ...]
    categories: tuple[str, ...]
    prompt_file: Path | None
    trained_on: str | None
    weights: tuple[str, ...]
    weights_root: Path | None
    number: int
    steps: int
    guidance: float
    seed: int
    device: str
    precision: str
    out: Path | None

    @property
    def unique_categories(self) -> tuple[str, ...]:
        """The categories that the user names, each once."""
        return tuple(dict.fromkeys(self.categories))

    @property
    def own_file(self) -> Path | None:
        """The user's own learned prompt."""
        return with_home(self.prompt_file) if self.prompt_file else None

    @property
    def sheet(self) -> Path:
        """The file to write."""
        return with_home(self.out or f"{self.name}.png")

    def check(self, host: Host) -> PromptSpec:
        """Returns the description of the prompt.

        Raises:
            UserError: the prompt is unknown or not for Stable Diffusion, or the options that choose a learned
                prompt do not fit.
        """
        spec = host.prompts[self.name]
        if spec.kind not in PROMPT_KINDS:
            kinds = ", ".join(sorted(PROMPT_KINDS))
            raise UserError(f"prompt '{spec.name}' is of kind '{spec.kind}'; pictures are drawn from {kinds}")
        file, trained_on = self.prompt_file, self.trained_on
        for option, value in (("--prompt-file", file), ("--trained-on", trained_on)):
            reads_file = option == "--prompt-file" and spec.check_file
            if value and not (spec.learned or reads_file):
                raise UserError(f"{option} {value}: prompt '{spec.name}' is not a learned one")
        if file and trained_on:
            raise UserError(
                f"--trained-on {trained_on}: --prompt-file {file} already says which prompt; give one of them"
            )
        if self.own_file and not self.own_file.exists():
            raise UserError(f"--prompt-file {file}: no such file or folder")
        return spec

    def read_images(self, spec: PromptSpec) -> tuple[ImageRequest, ...]:
        """Reads the user's images.

        Raises:
            UserError: there are too few or too many, or one is missing.
            DataError: one is broken.
        """
        count = len(self.images)
        fits = {"image": count >= 1, "pair": count == 2}.get(spec.scope, count == 0)
        if not fits:
            raise UserError(f"prompt '{spec.name}' takes {_IMAGES[spec.scope]}, not {count}")
        files = [ImageFile(path.name, with_home(path)) for path in self.images]
        for file in files:
            if not file.path.is_file():
                raise UserError(f"image {file.path}: no such file")
        category = self.categories[0] if self.categories else ""
        return tuple(ImageRequest(file.open(), file.identity(), category) for file in files)
