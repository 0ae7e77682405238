"""Sources of the small weights that come with the package, in the authors' tensor names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.citations import HARNESS
from harness.errors import UserError
from harness.specs import NetworkTraining, WeightSource

BUNDLED = Path(__file__).parent / "tiny"
"""Folder of the small weights."""


def locate_bundled(name: str, folder: Path = BUNDLED) -> Callable[[], Path]:
    """Makes a function that finds a file of a folder of small weights.

    The function raises `UserError` in an installation without it.
    """

    def locate() -> Path:
        file = folder / f"{name}.safetensors"
        if not file.is_file():
            raise UserError(
                f"weights tiny-{name}: {file} is missing from this installation; "
                "install correspondence-bench anew, "
                f"or give --weights tiny-{name}=PATH or --weights paper"
            )
        return file

    return locate


def bundled_source(
    name: str,
    description: str,
    folder: Path = BUNDLED,
    training: Callable[[Path], NetworkTraining] | None = None,
) -> WeightSource:
    """The source `tiny-NAME`: `NAME.safetensors` of a folder, a network that was trained on `shapes`.

    Args:
        training: reads what the file says of its training.
    """
    return WeightSource(
        name=f"tiny-{name}",
        trained_on="shapes",
        training=training,
        locate=locate_bundled(name, folder),
        file=f"{name}.safetensors",
        citation=HARNESS,
        description=f"{description}; comes with the package",
    )


_NETWORKS = {
    "ncnet": "a small NCNet, trained on pairs of one category and of two",
    "pwarpc-ncnet": "a small PWarpC-NCNet, trained on pairs and warps of their pictures",
    "sfnet": "a small SFNet's adaptations of tiny-resnet, trained on masks and views of single pictures",
    "pmd": "a small PMD's adaptations of tiny-resnet, trained on views and on a teacher's answers for pairs",
    "cats": "a small CATs, trained on keypoints",
    "dhpf": "a small DHPF's layers on tiny-resnet, trained on keypoints",
    "chm": "a small CHM, trained on keypoints",
    "transformatcher": "a small TransforMatcher, trained on keypoints",
    "scorrsan": "a small SCorrSAN, trained on keypoints",
    "semimatch": "a small SemiMatch, trained on keypoints and on its own answers",
    "simsc": "a small vision transformer with a learned temperature, trained on keypoints",
}
"""Method -> what its small weights are."""

WEIGHTS = (
    bundled_source("resnet", "a small ResNet, trained to name the categories of shapes"),
    *(bundled_source(name, description) for name, description in _NETWORKS.items()),
)
