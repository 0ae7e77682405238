"""What tests share: the command line in this process and in others, real plugins, small photo collections."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import settings

from harness.cli import status

# A busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line told on stderr."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture(autouse=True)
def nothing_kept():
    """No test sees a backbone, or features, of another one."""
    yield
    if "baselines.kept" in sys.modules:
        sys.modules["baselines.kept"].forget()


@pytest.fixture
def bench(capsys):
    """`bench ...` in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        code = status([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def plugin_site(tmp_path_factory) -> Path:
    """A folder into which pip has installed the test plugins, the broken one too."""
    site = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    packages = []
    for name in ("bench-toy", "bench-broken"):
        # From a copy: building writes beside the source.
        packages.append(str(source / name))
        subprocess.run(["cp", "-r", str(ROOT / "tests" / "packages" / name), str(source)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-index", "--target", str(site), *packages], check=True, stderr=subprocess.DEVNULL)
    return site


@pytest.fixture
def shell_bench(plugin_site):
    """`bench ...` in a process of its own, with the test plugins installed."""

    def run(*arguments: object, **environment: str) -> Outcome:
        done = subprocess.run(
            command(*arguments), env=plugin_environment(plugin_site, **environment), capture_output=True, text=True, check=False
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "harness.cli", *map(str, arguments)]


def plugin_environment(site: Path, **more: str) -> dict[str, str]:
    path = os.pathsep.join([str(site), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path, "BENCH_BLOCK": "", **more}


def draw(path: Path, seed: int, size: tuple[int, int] = (60, 48)) -> None:
    """A picture of smooth colour noise."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC).save(path)


def photo_list(images: int = 4) -> dict:
    """All ordered pairs of a few pictures, five points each."""
    points = np.array([[10, 10], [50, 10], [30, 24], [10, 40], [50, 40]], dtype=float)
    names = [f"photo{i}.png" for i in range(images)]
    pairs = [
        {
            "source": a,
            "target": b,
            "category": "blob",
            "source_points": points.tolist(),
            "target_points": (points + (i % 3, i % 2)).tolist(),
            "target_box": [5, 5, 55, 45],
            "labels": {"viewpoint_variation": i % 3},
        }
        for i, (a, b) in enumerate((a, b) for a in names for b in names if a != b)
    ]
    return {"name": "photos", "pairs": pairs}


@pytest.fixture
def photos(tmp_path) -> Path:
    """A `folder` dataset of four pictures and twelve pairs."""
    return make_photos(tmp_path / "photos")


def make_photos(folder: Path, images: int = 4) -> Path:
    for number in range(images):
        draw(folder / f"photo{number}.png", number)
    write_list(folder, photo_list(images))
    return folder


def write_list(folder: Path, content: object) -> None:
    (folder / "pairs.json").write_text(json.dumps(content))


def read_list(folder: Path) -> dict:
    return json.loads((folder / "pairs.json").read_text())


def predictions(results: Path) -> dict[str, bytes]:
    """Cell id -> bytes of its predictions."""
    return {path.parent.name: path.read_bytes() for path in sorted(results.glob("*/predictions.parquet"))}


def the_record(results: Path) -> dict:
    """The only record of a results folder."""
    (path,) = results.glob("*/record.json")
    return json.loads(path.read_text())
