"""The ways to run `sd4match-cpm` that `cpm_options` measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.specs import Scalar

METHOD = "sd4match-cpm"


@dataclass(frozen=True, eq=False)
class Option:
    """A way to run the method.

    Attributes:
        params: values of `--set`; none for the method itself.
    """

    params: Mapping[str, Scalar] = field(default_factory=dict)
    precision: str = "fp32"

    @property
    def text(self) -> str:
        """As it stands on a command line."""
        parts = [f'--set {name}="{value}"' for name, value in self.params.items()]
        if self.precision != "fp32":
            parts.append(f"--precision {self.precision}")
        return f"`{' '.join(parts).replace(chr(34), chr(39))}`" if parts else "the method"

    @property
    def folder(self) -> str:
        """Name of a folder for its results."""
        values = [f"{name}-{value}".replace(" ", "-") for name, value in self.params.items()]
        return "-".join([*values, self.precision])


EARLY: Mapping[str, Scalar] = {"draws_averaged": "prompt"}

OPTIONS = (
    Option(),
    *(Option({"ensemble": draws}) for draws in (4, 2, 1)),
    Option(precision="bf16"),
    Option({"prompt_from": "mid-block"}),
    Option({"prompt_from": "up-block 1"}),
    Option(EARLY),
    Option({"prompt_from": "mid-block", **EARLY}),
    Option({"prompt_from": "up-block 1", **EARLY}),
)
