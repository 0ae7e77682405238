"""`bench new-plugin`: each kind can be installed, keeps the contract and runs."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

from harness.scaffold import writing
from harness.scaffold.catalogue import KINDS

NAMES = {kind: f"own-{kind}" for kind in KINDS}


@pytest.fixture
def written(bench, tmp_path, monkeypatch):
    """Kind -> folder of a plugin that the command has written, relative to the current folder."""
    monkeypatch.chdir(tmp_path)

    def write(kind: str) -> Path:
        done = bench("new-plugin", NAMES[kind], "--kind", kind)
        assert (done.status, done.err) == (0, "")
        return Path(f"bench-{NAMES[kind]}")

    return write


def install(folder: Path, name: str) -> None:
    """What an editable install leaves, as far as plugins are found by it."""
    info = folder / f"bench_{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: bench-{name}\nVersion: 0.1.0\n")
    project = (folder / "pyproject.toml").read_text()
    entry = project.partition("[project.entry-points.bench]\n")[2].partition("\n\n")[0]
    (info / "entry_points.txt").write_text("[bench]\n" + entry.replace('"', "") + "\n")


def run_test(folder: Path) -> None:
    """Runs the test that was written beside the plugin."""
    (path,) = (folder / "tests").glob("test_*.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.test_contract()


def step(lines: str, command: str) -> list[str]:
    (line,) = [line.split() for line in lines.splitlines() if line.strip().startswith(command)]
    return line[1:]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_keeps_the_contract_and_runs(kind, written, bench_with, plugin_site, tmp_path, monkeypatch):
    folder = written(kind)
    name = NAMES[kind]
    install(folder, name)
    bench_with(plugin_site)
    bench = bench_with(folder.resolve())
    # Imported for this test alone.
    monkeypatch.setitem(sys.modules, writing.module_of(name), None)
    del sys.modules[writing.module_of(name)]
    run_test(folder)
    steps = "\n".join(writing.next_steps(kind, name, folder))
    doctor = bench(*step(steps, "bench doctor"))
    assert (doctor.status, doctor.warnings) == (0, [])
    assert "✗" not in doctor.out
    assert f" {name} " in doctor.out
    arguments = step(steps, "bench run")
    if "--limit" in arguments:
        arguments[arguments.index("--limit") + 1] = "1"
    if "dift" in arguments:
        # Quicker than a diffusion model, and conditioned on texts, too.
        arguments[arguments.index("dift")] = "toy-colours"
    run = bench(*arguments, "--out", tmp_path / "results")
    assert run.status == 0, run.err
    assert name in run.out


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_clean(kind, written):
    folder = written(kind)
    for arguments in (["check", "--select", "E,F,I,UP,B"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--isolated", "--no-cache", "."],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_to_do_next_is_printed(bench, tmp_path):
    folder = tmp_path / "my plugins"
    done = bench("new-plugin", "my-vit", "-o", folder)
    first, _, *steps = done.out.splitlines()
    assert first == f"{folder}: feature extractor 'my-vit' in bench_my_vit.py; next:"
    assert steps == [
        f"  python -m pip install --editable '{folder}' pytest",
        "  bench doctor my-vit",
        f"  python -m pytest '{folder}'",
        "  bench run --methods my-vit,position --limit 60",
    ]
    assert sorted(path.name for path in folder.rglob("*")) == [
        "README.md", "bench_my_vit.py", "pyproject.toml", "test_my_vit.py", "tests",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "command"),
    [
        ("extractor", "run --methods own-extractor"),
        ("extractor", "doctor own-extractor"),
        ("extractor", "show own-extractor"),
        ("matcher", "run --methods own-matcher"),
        ("localizer", "run --methods hog --localizers own-localizer"),
        ("prompt", "run --methods dift --prompts own-prompt"),
        ("dataset", "run --methods hog --datasets own-dataset"),
    ],
)
def test_who_forgets_to_install_it_is_told(kind, command, written, bench):
    folder = written(kind)
    done = bench(*command.split())
    assert (done.status, done.out) == (2, "")
    advice = f"; {folder} is here and not installed: python -m pip install --editable {folder}"
    assert done.complaint.endswith(advice)


def test_an_empty_folder_is_filled(bench, tmp_path):
    assert bench("new-plugin", "my-vit", "-o", tmp_path).status == 0
    assert (tmp_path / "bench_my_vit.py").is_file()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("My ViT", "is not of small letters and digits, beginning with a letter, with dashes between words"),
        ("My ViT", "; 'my-vit' would do"),
        ("1st", "; 'st' would do"),
        ("a_b", "; 'a-b' would do"),
        ("", "is not of small letters"),
        ("../up", "is not of small letters"),
        ("x" * 61, "at most 60 characters"),
        ("dift", "is that of the method 'dift' of plugin 'baselines' "),
        ("hog", "is that of the extractor 'hog' of plugin 'baselines' "),
        ("shapes", "is that of the dataset 'shapes' of plugin 'harness' "),
        ("sd4match", "is that of the protocol 'sd4match' of plugin 'harness' "),
        ("none", "means something else to bench"),
        ("new-plugin", "means something else to bench"),
        ("baselines", "is that of plugin 'baselines' "),
    ],
)
def test_a_bad_name_is_refused(bench, tmp_path, monkeypatch, name, problem):
    monkeypatch.chdir(tmp_path)
    done = bench("new-plugin", name)
    assert done.status == 2
    assert problem in done.complaint
    assert not list(tmp_path.iterdir())


def test_a_module_that_is_there_already_is_not_hidden(bench, tmp_path, monkeypatch):
    (tmp_path / "bench_mine.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    done = bench("new-plugin", "mine", "-o", tmp_path / "new")
    assert (done.status, "a module bench_mine is installed" in done.complaint) == (2, True)


def test_nothing_is_overwritten(bench, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("all of it")
    (tmp_path / "file").write_text("")
    for place, problem in {
        "mine": "is not empty; name another folder with --out",
        "file": "is a file; name another folder with --out",
        "not/there": "not is not a folder; make it first",
    }.items():
        done = bench("new-plugin", "mine", "-o", tmp_path / place)
        assert done.status == 2
        assert done.complaint.endswith(problem)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "mine", "thesis.tex"]


@pytest.mark.parametrize("is_there", [False, True])
def test_a_failure_leaves_nothing_behind(bench, tmp_path, monkeypatch, is_there):
    folder = tmp_path / "mine"
    if is_there:
        folder.mkdir()

    def interrupt(path, text, **options):
        if path.name.startswith("test_"):
            signal.raise_signal(signal.SIGINT)
        path.write_bytes(text.encode())

    monkeypatch.setattr(Path, "write_text", interrupt)
    assert bench("new-plugin", "mine", "-o", folder).status == 130
    assert list(tmp_path.rglob("*")) == ([folder] if is_there else [])


def test_a_folder_that_cannot_be_written_to_is_told(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    done = bench("new-plugin", "mine", "-o", tmp_path / "mine")
    assert (done.status, "cannot be written to" in done.complaint) == (2, True)


def test_templates_are_part_of_the_package():
    """A wheel has what `package-data` names."""
    import tomllib

    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {path for pattern in patterns["harness"] for path in (ROOT / "harness").glob(pattern)}
    templates = set((ROOT / "harness" / "scaffold" / "templates").iterdir())
    assert {f"{kind}.py.txt" for kind in KINDS} < {path.name for path in templates}
    assert templates <= packed
