"""Learned prompts as an axis of a sweep: one cell for each file, known by its content."""

from __future__ import annotations

import types
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from harness.errors import NotApplicable, UserError
from harness.hookspecs import hookimpl
from harness.plugins.host import Host
from harness.plugins.loading import load_plugins
from harness.running.plan import plan
from harness.running.resolve import resolve_cell
from harness.running.resources import Resources, RunOptions
from harness.running.run_cell import run_cell
from harness.specs import (
    NOT_STATED,
    ExtractorSpec,
    LearnedFile,
    LearnedSpec,
    MethodSpec,
    PairPrompt,
    PromptSpec,
    WeightSource,
)
from harness.sweep import DatasetChoice, Sweep


@dataclass
class Shifted:
    """Mean colours of cells, to which the prompt, a number, is added."""

    seen: list

    def extract(self, requests):
        from harness.preprocess import stretched_batch, stretched_maps

        self.seen += [request.prompt for request in requests]
        pixels = stretched_batch(requests, (16, 16))
        shifts = torch.tensor([float(request.prompt) for request in requests])
        return stretched_maps(pixels + shifts[:, None, None, None], requests, (16, 16))


def find(folder: Path, trained_on: str | None) -> LearnedFile:
    name = trained_on or "shapes"
    if not (folder / f"{name}.txt").is_file():
        raise UserError(f"--trained-on {name}: there is none")
    return LearnedFile(folder / f"{name}.txt", name, 261)


def make_host(
    folder: Path, seen: list, scope: str = "dataset", tuned_on: tuple[str, ...] = (NOT_STATED,)
) -> Host:
    def make(context):
        value = float(context.prompt_file.read_text())
        if value < 0:
            raise NotApplicable("negative")
        return lambda category, images: PairPrompt(value, value + 1) if scope == "pair" else value

    module = types.ModuleType("made")
    learned = LearnedSpec(
        source="numbers",
        find=lambda *where: find(*where)._replace(tuned_on=tuned_on),
        inspect=lambda path: LearnedFile(path, "birds", None),
    )
    records = {
        "bench_extractors": [
            ExtractorSpec(
                name="shifted",
                make=lambda context: Shifted(seen),
                prompt_kinds=frozenset({"number"}),
                image_size=(16, 16),
                params={"timestep": 50},
            )
        ],
        "bench_methods": [MethodSpec(name="tuned", extractor="shifted", prompt="tuned")],
        "bench_prompts": [
            PromptSpec(name="tuned", kind="number", scope=scope, make=make, learned=learned),
            PromptSpec(name="fixed", kind="number", make=lambda context: lambda category, images: 0.0),
        ],
        "bench_weights": [WeightSource(name="numbers", locate=lambda: folder)],
    }
    for hook, specs in records.items():
        setattr(module, hook, hookimpl(returning(specs)))
    host = load_plugins()
    host.load("made", "made", "1", lambda: module)
    assert host.plugins[-1].status == "loaded", host.plugins[-1].reason
    return host


def returning(specs):
    """A hook implementation; pluggy would take a default argument for a hook's."""
    return lambda: specs


@pytest.fixture
def numbers(tmp_path):
    folder = tmp_path / "numbers"
    folder.mkdir()
    for name, value in (("shapes", "0.5"), ("birds", "0.25")):
        (folder / f"{name}.txt").write_text(value)
    return folder


def sweep(**more):
    return Sweep(methods=("tuned",), datasets=(DatasetChoice("shapes"),), **more)


def run(host: Host, out: Path, **more):
    bench = Resources(host, RunOptions(data_root=out, out=out, criteria=(), limit=1))
    (cell,) = plan(sweep(**more), host)
    return run_cell(bench, resolve_cell(bench, cell))


def test_every_file_is_a_cell(numbers):
    files = (numbers / "shapes.txt", numbers / "birds.txt")
    cells = plan(sweep(prompt_files={"tuned": files}), make_host(numbers, []))
    assert [cell.prompt_file for cell in cells] == list(files)
    assert [cell.label for cell in cells] == [
        "tuned[prompt-file=numbers/shapes.txt]",
        "tuned[prompt-file=numbers/birds.txt]",
    ]


def test_a_prompt_that_is_not_learned_takes_no_file(numbers):
    cells = plan(
        sweep(prompts=("tuned", "fixed"), prompt_files={"tuned": (numbers / "birds.txt",)}),
        make_host(numbers, []),
    )
    assert [(cell.prompt, cell.prompt_file) for cell in cells] == [
        ("tuned", numbers / "birds.txt"),
        ("fixed", None),
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"prompt_files": {"other": (Path("x"),)}},
            "--prompt-file other: expected a method of this run with a learned prompt; those are tuned",
        ),
        (
            {"prompts": ("fixed",), "prompt_files": {"tuned": (Path("x"),)}},
            "--prompt-file tuned: .*none of them has one",
        ),
        (
            {"prompts": ("fixed",), "trained_on": "shapes"},
            "--trained-on shapes: no method of this run has a learned prompt",
        ),
        ({"prompts": ("fixed",), "train_timestep": True}, "--train-timestep: no method"),
    ],
)
def test_mistakes_are_told(numbers, more, message):
    with pytest.raises(UserError, match=message):
        plan(sweep(**more), make_host(numbers, []))


def test_the_first_prompt_there_is_serves_by_default(numbers, tmp_path):
    seen: list = []
    record = run(make_host(numbers, seen), tmp_path / "out")
    assert record.status == "ok"
    assert set(seen) == {0.5}
    assert record.cell.trained_on == "shapes"
    assert list(record.provenance.weights["prompt file"]) == ["shapes.txt"]


def test_another_one_can_be_chosen(numbers, tmp_path):
    seen: list = []
    record = run(make_host(numbers, seen), tmp_path / "out", trained_on="birds")
    assert set(seen) == {0.25}
    assert (record.cell.label, record.cell.trained_on) == ("tuned[trained-on=birds]", "birds")


def test_the_split_that_chose_a_prompt_is_its_plugin_s_to_name(numbers, tmp_path):
    assert run(make_host(numbers, []), tmp_path / "out").cell.tuned_on == ("not stated",)
    host = make_host(numbers, [], tuned_on=("shapes/val",))
    assert run(host, tmp_path / "new").cell.tuned_on == ("not stated", "shapes/val")
    seen: list = []
    with pytest.raises(UserError, match=r"^prompt 'tuned', .*birds.txt: tuned_on 'birds' is not a dataset"):
        run(make_host(numbers, seen, tuned_on=("birds",)), tmp_path / "out", trained_on="birds")
    assert not seen


def test_a_dataset_without_a_prompt_is_told_before_the_work(numbers, tmp_path):
    with pytest.raises(UserError, match="--trained-on cars: there is none"):
        run(make_host(numbers, []), tmp_path / "out", trained_on="cars")


def test_a_cell_is_known_by_its_file_s_content(numbers, tmp_path):
    ids = []
    for content in ("0.1", "0.2", "0.1"):
        (numbers / "mine.txt").write_text(content)
        ids.append(
            run(
                make_host(numbers, []), tmp_path / "out", prompt_files={"tuned": (numbers / "mine.txt",)}
            ).cell.id
        )
    assert ids[0] == ids[2] != ids[1]


def test_other_prompts_of_the_source_do_not_count(numbers, tmp_path):
    before = run(make_host(numbers, []), tmp_path / "out").cell.id
    (numbers / "birds.txt").write_text("0.75")
    assert run(make_host(numbers, []), tmp_path / "out").cell.id == before


def test_the_timestep_of_training(numbers, tmp_path):
    record = run(make_host(numbers, []), tmp_path / "out", train_timestep=True)
    assert record.cell.params["timestep"] == 261
    assert record.cell.label == "tuned[timestep=261]"
    with pytest.raises(UserError, match="does not say at which timestep"):
        run(
            make_host(numbers, []),
            tmp_path / "out",
            train_timestep=True,
            prompt_files={"tuned": (numbers / "birds.txt",)},
        )


def test_a_missing_file_is_told_before_the_work(numbers, tmp_path):
    with pytest.raises(UserError, match=r"--prompt-file tuned=.*gone\.txt: no such file"):
        run(make_host(numbers, []), tmp_path / "out", prompt_files={"tuned": (numbers / "gone.txt",)})


def test_a_prompt_that_does_not_fit_is_not_applicable(numbers, tmp_path):
    (numbers / "mine.txt").write_text("-1")
    record = run(make_host(numbers, []), tmp_path / "out", prompt_files={"tuned": (numbers / "mine.txt",)})
    assert (record.status, record.reason) == ("not-applicable", "negative")


def test_source_and_target_may_get_prompts_of_their_own(numbers, tmp_path):
    seen: list = []
    run(make_host(numbers, seen, scope="pair"), tmp_path / "out")
    # A whole batch of pairs is computed, source and target in turn.
    assert set(seen[0::2]) == {0.5}
    assert set(seen[1::2]) == {1.5}


def test_the_wrong_category_is_another_one():
    from harness.specs import MakeContext

    host = load_plugins()
    spec = host.prompts["wrong-category"]
    prompt = spec.make(MakeContext(categories=("boat", "cat", "dog")))
    assert [prompt(name, ()) for name in ("boat", "cat", "dog")] == [
        f"a photo of a {name}" for name in ("cat", "dog", "boat")
    ]
    with pytest.raises(NotApplicable, match="one category"):
        spec.make(MakeContext(categories=("cat",)))


@pytest.mark.parametrize(
    ("value", "found"),
    [("50,261", (50, 261)), ("0..100", (0, 50, 100)), ("0..20:10,7", (0, 10, 20, 7))],
)
def test_ranges_of_timesteps(value, found):
    from harness.cli.options import NumberList
    from harness.running.parameters import SHORT_NAMES

    assert NumberList(SHORT_NAMES["timestep"]).convert(value, None, None) == found


@pytest.mark.parametrize("value", ["5..1", "a..b", "1..9:0", "1..2:x", "", "-5", "-5..5"])
def test_wrong_ranges_are_refused(value, bench):
    assert bench("run", "--methods", "dift", f"--timestep={value}").status == 2


@pytest.mark.parametrize("value", ["0", "8,0", "-1", "x"])
def test_an_ensemble_has_a_member(value, bench):
    done = bench("run", "--methods", "dift", f"--ensemble={value}")
    assert done.status == 2 and "number above 0" in done.complaint


@pytest.mark.parametrize("method", ["dift", "sd-dino-star"])
def test_a_timestep_that_the_backbone_lacks_is_refused_before_the_run(method, bench, tmp_path):
    done = bench("run", "--methods", method, "--timestep", 1000, "--limit", 2, "--out", tmp_path)
    assert done.status == 2
    assert "timesteps 0 to 999" in done.err and "pairs failed" not in done.err
