"""The package as strangers get it: built, installed into an environment of its own, and run elsewhere.

Not among the tests of `make test`, since building and installing takes longer than most of them together:
`make test-wheel`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.paths import ROOT

PACKAGES = ("harness", "baselines", "matchers", "heads", "sd4match_plugin")

NEVER = ("tests", "results", "benchmarks", "docs", "examples", "tools")
"""Folders of the repository that no package holds."""


def run(*words: object, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a program without what this process's environment says of Python and of `bench`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "BENCH_"))}
    return subprocess.run(
        [str(word) for word in words],
        cwd=folder,
        env={**kept, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(*words: object, folder: Path) -> str:
    """Runs a program that must succeed. Returns what it prints."""
    done = run(*words, folder=folder)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def repository_files() -> list[str]:
    """Files of the repository, those that are not committed yet among them."""
    listed = succeed("git", "ls-files", "--cached", "--others", "--exclude-standard", folder=ROOT)
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


def build(source: Path, out: Path, kind: str) -> Path:
    """Builds the wheel or the sdist of a folder by the hook that every build program calls."""
    out.mkdir(exist_ok=True)
    code = f"import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
    printed = succeed(sys.executable, "-c", code, out, folder=source)
    return out / printed.splitlines()[-1]


def wheel_files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """A copy of the repository, since building writes beside the source."""
    folder = tmp_path_factory.mktemp("source") / "repository"
    for name in repository_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def sdist(source, tmp_path_factory) -> Path:
    return build(source, tmp_path_factory.mktemp("sdist"), "sdist")


@pytest.fixture(scope="session")
def wheel(source, tmp_path_factory) -> Path:
    return build(source, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="session")
def place(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel and, by a path, the packages that this one needs."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    succeed(sys.executable, "-m", "venv", "--without-pip", folder, folder=folder.parent)
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install")
    succeed(*pip, "--quiet", "--no-deps", "--no-index", wheel, folder=folder.parent)
    (site,) = (folder / "lib").glob("python*/site-packages")
    # A path alone: the .pth files in there, such as that of the clone, are not read.
    (site / "present.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("elsewhere")


def test_the_wheel_holds_every_file_of_the_packages_and_no_other(wheel):
    expected = {name for name in repository_files() if name.split("/")[0] in PACKAGES}
    found = {name for name in wheel_files(wheel) if ".dist-info/" not in name}
    assert found == expected
    for name in (
        "harness/py.typed",
        "harness/report/page.html.j2",
        "harness/tables/reported_numbers/index.json",
        "baselines/tiny/weights/stable-diffusion/unet/diffusion_pytorch_model.safetensors",
    ):
        assert name in found


def test_the_wheel_says_what_it_is(wheel):
    (metadata,) = (text for name, text in wheel_files(wheel).items() if name.endswith(".dist-info/METADATA"))
    text = metadata.decode()
    assert "\nLicense-Expression: Apache-2.0\n" in text
    assert "\nDescription-Content-Type: text/markdown\n" in text
    assert any(name.endswith("licenses/LICENSE") for name in wheel_files(wheel))


def test_the_sdist_has_the_source_alone(sdist):
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CITATION.cff", "constraints.txt"} <= names
    assert not {name for name in names if name.split("/")[0] in NEVER}
    assert {name for name in repository_files() if name.split("/")[0] in PACKAGES} <= names


def test_the_sdist_builds_the_same_wheel(sdist, wheel, tmp_path):
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert wheel_files(build(folder, tmp_path / "built", "wheel")) == wheel_files(wheel)


def test_it_runs_elsewhere(place, elsewhere):
    bench = place / "bin" / "bench"
    assert "sd4match-cpm" in succeed(bench, "list", "methods", folder=elsewhere)
    table = succeed(bench, "run", "--methods", "position", "--limit", "3", folder=elsewhere)
    assert "| position |" in table
    succeed(bench, "report", "results", "-o", "page.html", folder=elsewhere)
    page = (elsewhere / "page.html").read_text(encoding="utf-8")
    assert "<style" in page
    assert "position" in page
    reported = succeed(bench, "leaderboard", "results", "--reported", folder=elsewhere)
    assert "NCNet" in reported
    succeed(bench, "new-plugin", "mine", folder=elsewhere)
    assert (elsewhere / "bench-mine" / "pyproject.toml").is_file()


def test_bundled_weights_and_prompts_come_along(place, elsewhere):
    bench = place / "bin" / "bench"
    sections = json.loads(succeed(bench, "doctor", "--json", "--device", "cpu", folder=elsewhere))
    methods = {entry["name"]: entry["detail"] for entry in sections["methods"]}
    assert methods["sd4match-cpm"].startswith("--weights tiny runs; ")
    (own, *_) = sections["versions"]
    assert "installed in" in own["detail"]
    assert str(ROOT) not in json.dumps(sections["weights"])


def test_a_method_with_bundled_weights_runs(place, elsewhere):
    words = ("--methods", "sd4match-single", "--limit", "2", "--out", "tiny")
    assert "sd4match-single" in succeed(place / "bin" / "bench", "run", *words, folder=elsewhere)


def test_python_finds_the_installed_package(place, elsewhere):
    code = "import harness; [getattr(harness, name) for name in harness.__all__]; print(harness.__file__)"
    assert succeed(place / "bin" / "python", "-c", code, folder=elsewhere).startswith(str(place))


def test_type_checkers_see_its_types(place, elsewhere):
    words = ("-m", "mypy", "--follow-imports=skip", "--cache-dir", elsewhere / "mypy", "-c", "import harness")
    succeed(sys.executable, *words, "--python-executable", place / "bin" / "python", folder=elsewhere)
    # Without the mark a type checker does not look into the package.
    (mark,) = (place / "lib").glob("python*/site-packages/harness/py.typed")
    mark.rename(mark.with_name("no.typed"))
    try:
        blind = run(sys.executable, *words, "--python-executable", place / "bin" / "python", folder=elsewhere)
    finally:
        mark.with_name("no.typed").rename(mark)
    assert "import-untyped" in blind.stdout
