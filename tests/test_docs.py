"""Pages agree with the code: commands parse, examples work, links lead somewhere."""

from __future__ import annotations

import dataclasses
import importlib
import io
import re
import shlex
import types
from collections.abc import Iterator
from pathlib import Path

import click
import PIL.Image
import pytest
import torch
from support.pages import PAGES, anchors, blocks, prose, saved_blocks
from support.paths import ROOT

import harness.cli
from harness.cli import bench as root_command
from harness.cli.anywhere import parse_anywhere
from harness.datasets.folder import Folder
from harness.frames import Frame, Size
from harness.hookspecs import hookimpl
from harness.plugins.loading import load_plugins
from harness.specs import AVERAGINGS, FeatureMap, ImageRequest, MakeContext


def commands() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for block in blocks(page, "") + blocks(page, "console"):
            for line in block.replace("\\\n", "").splitlines():
                words = line.removeprefix("$ ").split("#")[0].strip()
                if re.match(r"(\.venv/bin/)?bench ", words):
                    yield page, words.removeprefix(".venv/bin/")


def test_a_page_shows_the_example_plugin_as_it_is():
    example = (ROOT / "examples" / "bench-efficientnet" / "bench_efficientnet.py").read_text(encoding="utf-8")
    assert example in blocks(ROOT / "docs" / "guides" / "published-network.md", "python")


def test_the_readme_is_short_and_its_extractor_is_the_guides():
    readme = ROOT / "README.md"
    assert len(readme.read_bytes()) <= 8000
    (guide, *_) = blocks(ROOT / "docs" / "guides" / "extractor.md", "python")
    assert guide in blocks(readme, "python")
    assert len([line for line in guide.splitlines() if line.strip()]) <= 12


@pytest.mark.parametrize(("page", "line"), list(commands()), ids=lambda value: getattr(value, "stem", value))
def test_every_command_line_on_a_page_parses(page, line, tmp_path, monkeypatch):
    """Commands, options and choices exist; nothing is run."""
    monkeypatch.chdir(tmp_path)
    # A file of options is read with the command line.
    for name, content in saved_blocks(page):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    # Without what can stand anywhere, such as --quiet.
    words = list(parse_anywhere(shlex.split(line)[1:]).remaining)
    command: click.Command = root_command
    context = click.Context(command, obj=load_plugins())
    while isinstance(command, click.Group) and words[0] not in ("--help", "--version"):
        command = command.get_command(context, words[0])
        assert command is not None, f"{page}: there is no command '{line}'"
        context = click.Context(command, parent=context)
        words = words[1:]
    if not isinstance(command, click.Group):
        command.make_context(command.name, words, parent=context)


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^) ]+)\)", prose(page)):
            if re.match(r"https?:|mailto:", link):
                continue
            target, _, anchor = link.partition("#")
            path = page.parent / target if target else page
            assert path.exists(), f"{page.name}: {link}"
            if anchor and path.suffix == ".md":
                assert anchor in anchors(path), f"{page.name}: {link}"


def test_every_page_is_in_the_contents():
    docs = ROOT / "docs"
    listed = {docs / "index.md"}
    contents = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for page in docs.rglob("*.md"):
        for block in contents.findall(page.read_text(encoding="utf-8")):
            entries = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / f"{entry}.md").resolve() for entry in entries}
    assert listed == set(docs.rglob("*.md"))


@pytest.mark.parametrize("module", ["harness", "harness.specs", "harness.networks", "harness.testing"])
def test_every_public_name_has_its_place_in_the_reference(module):
    folder = ROOT / "docs" / "reference" / "api"
    page = (folder / f"{module.rpartition('.')[2]}.md").read_text(encoding="utf-8")
    for name in importlib.import_module(module).__all__:
        assert f":: {name}\n" in page or f"`{module}.{name}`" in page, name


@pytest.mark.parametrize("kind", ["json", "csv"])
def test_example_lists_of_own_photos_can_be_read(kind, tmp_path):
    page = ROOT / "docs" / "guides" / "own-data.md"
    (tmp_path / f"pairs.{kind}").write_text(blocks(page, kind)[0], encoding="utf-8")
    for name in ("robin_a.jpg", "robin_b.jpg"):
        PIL.Image.new("RGB", (320, 280)).save(tmp_path / name)
    pair = Folder(tmp_path, "test")[0]
    assert pair.category == "bird"
    assert pair.target_box == (40, 20, 250, 230)
    assert pair.keypoint_ids[:2] == ("eye", "beak")
    assert pair.source_points[1].tolist() == [200.5, 150]


def test_the_page_on_plugins_names_every_hook():
    from harness import hookspecs

    page = (ROOT / "docs" / "guides" / "plugin.md").read_text(encoding="utf-8")
    hooks = [name for name, value in vars(hookspecs).items() if callable(value) and name.startswith("bench_")]
    assert len(hooks) > 8
    for name in hooks:
        assert f"`{name}" in page, name


def test_example_extractor_works():
    namespace = {}
    example = blocks(ROOT / "docs" / "guides" / "extractor.md", "python")[0]
    exec(example, namespace)
    # As the page says.
    assert len([line for line in example.splitlines() if line]) <= 12
    (spec,) = namespace["bench_extractors"]()
    picture = PIL.Image.new("RGB", (90, 60), (255, 0, 51))
    picture.paste((0, 0, 0), (0, 0, 45, 60))
    (one,) = spec.make(MakeContext()).extract([ImageRequest(picture, "an image", "cat")])
    assert one.data.shape == (768, 16, 16)
    # Red, green and blue of each of the 256 pixels of a cell, left and right.
    assert one.data[:, 3, 4].tolist() == pytest.approx([-0.5] * 768)
    assert one.data[::256, 3, 12].tolist() == pytest.approx([0.5, -0.5, -0.3], abs=1e-5)
    assert one.frame.size == spec.fed({})


def test_example_localizer_works():
    namespace = {}
    exec(blocks(ROOT / "docs" / "guides" / "localizer.md", "python")[0], namespace)
    (spec,) = namespace["bench_localizers"]()
    source = FeatureMap(torch.eye(16).reshape(16, 4, 4), Frame.stretched(Size(200, 100), Size(64, 64)))
    target = FeatureMap(source.data.flip(2), Frame.stretched(Size(40, 80), Size(64, 64)))
    # In the first row's second cell, which is the third of the mirrored map; the centre of that cell.
    located = spec.make()(source, target, torch.tensor([[70.0, 10.0]], dtype=torch.float64))
    x, y = (2.5 * 16 - 0.5) * 40 / 64, (0.5 * 16 - 0.5) * 80 / 64
    assert located.points.tolist() == [pytest.approx([x, y])]
    assert located.score.tolist() == [pytest.approx(1)]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("extractor", "my-vit"),
        ("matcher", "mutual"),
        ("localizer", "nearest"),
        ("prompt", "close-up"),
        ("dataset", "houses"),
    ],
)
def test_pages_show_what_new_plugin_writes(kind, name, bench, tmp_path):
    page = ROOT / "docs" / "guides" / f"{kind}.md"
    assert f"bench new-plugin {name}" in page.read_text(encoding="utf-8")
    assert bench("new-plugin", name, "--kind", kind, "-o", tmp_path / "new").status == 0
    (module,) = (tmp_path / "new").glob("bench_*.py")
    assert module.read_text(encoding="utf-8") in blocks(page, "python")


def test_the_page_of_hooks_has_every_hook_and_field():
    from harness import hookspecs, specs

    page = (ROOT / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")
    hooks = [name for name in vars(hookspecs) if name.startswith("bench_")]
    assert [name for name in hooks if f"`{name}(" not in page] == []
    kinds = [kind for name, kind in vars(specs).items() if name.endswith("Spec") or name == "WeightSource"]
    assert len(kinds) > 8
    for kind in kinds:
        # A learned prompt's spec is a field of another one, and on the page of prompts.
        if kind is not specs.LearnedSpec:
            row = re.search(rf"^\| `{kind.__name__}` \|.*$", page, re.MULTILINE).group()
            names = {field.name for field in dataclasses.fields(kind)} - {"name", "description"}
            assert {name for name in names if not re.search(rf"`{name}\b", row)} == set(), kind.__name__


def test_the_example_reporter_reports(bench, tmp_path, monkeypatch):
    page = ROOT / "docs" / "guides" / "reporter.md"
    (example,) = [block for block in blocks(page, "python") if "bench_cell_started" in block]
    log = io.StringIO()
    module = types.ModuleType("reporter")
    # As on the page, with a file of its own in the place of stderr.
    exec(example, vars(module))
    vars(module)["LOG"] = log
    monkeypatch.setattr(harness.cli, "load_plugins", lambda blocked: _with_plugin(blocked, module))
    bench("run", "--methods", "position", "--limit", "1", "--out", tmp_path / "r")
    (folder,) = (path.parent for path in (tmp_path / "r").glob("*/record.json"))
    first, *scores = log.getvalue().splitlines()
    assert first == f"shapes position: 600 pairs, in {folder}"
    # Three thresholds by each of the averages.
    assert len(scores) == 3 * len(AVERAGINGS)
    assert all(line.startswith(f"{folder.name},bilinear,") for line in scores)


def _with_plugin(blocked, module):
    host = load_plugins(blocked, points=[])
    host.load("reporter", "bench-reporter", "1", lambda: module)
    return host


def test_a_reporter_that_raises_is_named(bench, tmp_path, monkeypatch):
    module = types.ModuleType("reporter")
    module.bench_cell_started = hookimpl(lambda cell: cell.nothing)
    monkeypatch.setattr(harness.cli, "load_plugins", lambda blocked: _with_plugin(blocked, module))
    done = bench("run", "--methods", "position", "--limit", "1", "--out", tmp_path / "r")
    assert done.status == 0
    problem = "plugin 'reporter' (bench-reporter 1): bench_cell_started raised AttributeError: "
    assert problem in done.err
