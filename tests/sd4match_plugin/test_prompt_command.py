"""`bench prompt show`: which rows a sheet has, what they are drawn from, and mistakes in one line."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import transformers
from support.paths import PIPELINE
from support.photos import draw

from baselines.stable_diffusion.backbone import StableDiffusion, draw_noise
from baselines.stable_diffusion.conditioning import Conditioning
from baselines.stable_diffusion.generate import generate
from baselines.stable_diffusion.text_encoder import TextEncoder
from harness.hookspecs import hookimpl
from harness.plugins.loading import load_plugins
from harness.specs import PairPrompt, PromptSpec
from sd4match_plugin.prompts import files
from sd4match_plugin.prompts.cpm import ConditionalPrompting, CpmConfig
from sd4match_plugin.prompts.prompt_file import PromptFile

FEW = ("--weights", f"stable-diffusion-2-1={PIPELINE}", "--number", 2, "--steps", 2, "--device", "cpu")

PROMPTS = ("--weights", "sd4match-prompts=prompts")

DINO = transformers.Dinov2Config(
    hidden_size=12, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
)


def of_images(images):
    """Standard normal states that follow from the images' contents, in their order, and from the first one's
    width.
    """
    return draw_noise((77, 8), *(image.identity for image in images), images[0].size.width)


class Plugin:
    """Prompts of other scopes and kinds than SD4Match's."""

    @hookimpl
    def bench_prompts(self):
        kind = "stable-diffusion"
        makers = {
            "image": lambda context: lambda category, images: Conditioning(of_images(images)),
            "pair": lambda context: lambda category, images: Conditioning(of_images(images)),
            "pairs": lambda context: (
                lambda category, images: PairPrompt(*(Conditioning(of_images([image])) for image in images))
            ),
            "dataset": lambda context: (
                lambda category, images: Conditioning(torch.zeros(77, 8), torch.zeros(4))
            ),
        }
        specs = [
            PromptSpec(name=f"toy-{name}", kind=kind, scope=name.rstrip("s"), make=make)
            for name, make in makers.items()
        ]
        return [*specs, PromptSpec(name="toy-vector", kind="vector", make=makers["image"])]


@pytest.fixture
def show(bench, tmp_path, monkeypatch):
    """`bench prompt show ...` in a folder with A.png, B.png and prompts; `show.rows` are those of the sheet,
    `show.title` its title.
    """
    import harness.drawing.contact_sheet as module

    write_prompts(tmp_path)
    draw(tmp_path / "A.png", 1)
    draw(tmp_path / "B.png", 2, (50, 70))
    host = load_plugins(points=[])
    host.load("toy", "toy", "1", Plugin)
    monkeypatch.setattr("harness.cli.load_plugins", lambda blocked: host)
    monkeypatch.chdir(tmp_path)
    make = module.draw_sheet

    def note_sheet(rows, **options):
        run.rows, run.title = (
            {label: [np.asarray(picture) for picture in pictures] for label, pictures in rows},
            options["title"],
        )
        return make(rows, **options)

    def run(*arguments):
        run.rows = {}
        return bench("prompt", "show", *arguments)

    monkeypatch.setattr(module, "draw_sheet", note_sheet)
    return run


def write_prompts(folder: Path) -> None:
    """Prompts per category that say what the plain texts say."""
    encoder = TextEncoder(PIPELINE)
    (folder / "prompts").mkdir()
    for name, categories in {
        "prompts/class-shapes": ("cat", "dog"),
        "prompts/class-spair-71k": ("cat",),
        "own": ("cow", "cat"),
    }.items():
        rows = {category: encoder.token_embeddings(f"a photo of a {category}") for category in categories}
        files.write(
            folder / f"{name}.safetensors",
            PromptFile("class", rows, metadata={"dataset": "farm"} if name == "own" else {}),
        )


def draw_pictures(states: str | torch.Tensor) -> list[np.ndarray]:
    """Two pictures of a text or of states."""
    states = StableDiffusion(PIPELINE).text_states(states) if isinstance(states, str) else states
    return [np.asarray(picture) for picture in generate(PIPELINE, [states], number=2, steps=2, names=[""])[0]]


def alike(pictures: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(pictures, expected, strict=True))


def test_every_category_of_a_tuned_prompt_stands_beside_its_text(show, tmp_path):
    done = show("sd4match-class", *FEW, *PROMPTS)
    assert (done.status, done.out) == (0, "sd4match-class.png\n"), done.err
    assert list(show.rows) == [
        "sd4match-class: cat",
        '"a photo of a cat"',
        "sd4match-class: dog",
        '"a photo of a dog"',
        "empty text",
    ]
    cat, text, dog, _, empty = show.rows.values()
    assert alike(cat, draw_pictures("a photo of a cat"))
    assert alike(cat, text)
    assert alike(empty, draw_pictures(""))
    assert not alike(cat, dog)
    with PIL.Image.open(tmp_path / "sd4match-class.png") as sheet:
        assert sheet.format == "PNG"


def test_which_tuned_prompt(show):
    for option, rows, message in (
        ((), ["cat", "dog"], "(prompts/class-shapes.safetensors, trained on shapes)"),
        (
            ("--trained-on", "spair-71k"),
            ["cat"],
            "(prompts/class-spair-71k.safetensors, trained on spair-71k)",
        ),
        (
            ("--prompt-file", "own.safetensors", "--category", "cow"),
            ["cow"],
            "(own.safetensors, trained on farm)",
        ),
    ):
        assert show("sd4match-class", *option, *FEW, *PROMPTS).status == 0
        assert [label for label in show.rows if label.startswith("sd4")] == [
            f"sd4match-class: {name}" for name in rows
        ]
        assert (
            show.title
            == f"sd4match-class {message}: stable-diffusion-2-1=sd_pipeline, 2 steps, guidance 7.5, seed 0"
        )


def test_a_prompt_for_all_images_stands_beside_the_texts_asked_for(show, tmp_path):
    files.write(tmp_path / "single.safetensors", PromptFile("single", {"dataset": torch.randn(77, 8)}))
    done = show(
        "sd4match-single",
        "--prompt-file",
        "single.safetensors",
        "--category",
        "cat",
        "--category",
        "cow",
        *FEW,
    )
    assert done.status == 0, done.err
    assert list(show.rows) == ["sd4match-single", '"a photo of a cat"', '"a photo of a cow"', "empty text"]
    assert show.title.startswith("sd4match-single (single.safetensors): ")


def test_a_conditional_prompt_is_made_from_the_images(show, tmp_path):
    transformers.Dinov2Model(DINO).save_pretrained(tmp_path / "dino")
    config = CpmConfig(image_width=12, patches=4, text_width=8)
    files.write(
        tmp_path / "cpm.safetensors",
        PromptFile("cpm", config=config, state=ConditionalPrompting(config).state_dict()),
    )
    done = show(
        "sd4match-cpm",
        "A.png",
        "B.png",
        "--prompt-file",
        "cpm.safetensors",
        "--weights",
        "dinov2-base=dino",
        *FEW,
    )
    assert done.status == 0, done.err
    assert list(show.rows) == ["made from A.png and B.png", "sd4match-cpm", "empty text"]


def test_plain_texts_are_not_drawn_twice(show):
    assert (
        show("category", "--category", "cat", "--category", "cow", *FEW, "-o", "out.jpg").out == "out.jpg\n"
    )
    assert list(show.rows) == ["category: cat", "category: cow", "empty text"]
    assert alike(show.rows["category: cow"], draw_pictures("a photo of a cow"))
    assert show("empty", "--category", "cow", *FEW).status == 0
    assert list(show.rows) == ["empty", '"a photo of a cow"']


def test_a_prompt_of_a_pair_is_shown_under_its_images(show, tmp_path):
    assert show("toy-pair", "A.png", "B.png", "--category", "cat", *FEW).status == 0
    assert list(show.rows) == ["made from A.png and B.png", "toy-pair", '"a photo of a cat"', "empty text"]
    assert [picture.shape for picture in show.rows["made from A.png and B.png"]] == [(48, 60, 3), (70, 50, 3)]
    assert alike(
        show.rows["toy-pair"],
        draw_pictures(draw_noise((77, 8), sha256(tmp_path / "A.png"), sha256(tmp_path / "B.png"), 60)),
    )


@pytest.mark.parametrize("name", ["toy-image", "toy-pairs"])
def test_prompts_that_differ_between_images_have_a_row_for_each(show, tmp_path, name):
    assert show(name, "A.png", "B.png", *FEW).status == 0
    assert list(show.rows) == ["made from A.png and B.png", f"{name}: A.png", f"{name}: B.png", "empty text"]
    assert alike(
        show.rows[f"{name}: B.png"], draw_pictures(draw_noise((77, 8), sha256(tmp_path / "B.png"), 50))
    )


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_seed_changes_every_picture(show):
    show("empty", *FEW)
    before = show.rows["empty"]
    show("empty", *FEW, "--seed", 1)
    assert not any(
        alike([picture], [changed]) for picture, changed in zip(before, show.rows["empty"], strict=True)
    )


def test_a_prompt_goes_to_the_release_s_form_and_back(show, bench, tmp_path):
    own = files.read(tmp_path / "prompts" / "class-shapes.safetensors")
    files.write(tmp_path / "told.safetensors", replace(own, metadata={"dataset": "spair-71k"}))
    there = bench("prompt", "export", tmp_path / "told.safetensors", tmp_path / "release")
    folder = tmp_path / "release" / "Class_spair_sd-width-8_TokenEmbeds75"
    assert (there.status, there.out.strip()) == (0, str(folder))
    back = bench("prompt", "export", folder, tmp_path / "back.safetensors", "--half")
    assert back.status == 0
    half = files.read(tmp_path / "back.safetensors")
    assert half.metadata["dataset"] == "spair-71k"
    assert all(torch.equal(half.prompts[name], rows.half()) for name, rows in own.prompts.items())


def test_what_cannot_be_exported_is_one_line(show, bench, tmp_path):
    done = bench("prompt", "export", tmp_path / "A.png", tmp_path / "B.safetensors")
    assert done.status == 2 and "A.png: not a prompt" in done.complaint
    done = bench("prompt", "export", tmp_path / "own.safetensors", tmp_path / "A.png")
    assert done.status == 2 and "A.png: Not a directory" in done.complaint
    files.write(tmp_path / "mute.safetensors", replace(files.read(tmp_path / "own.safetensors"), metadata={}))
    done = bench("prompt", "export", tmp_path / "mute.safetensors", tmp_path / "release")
    assert done.status == 2 and "does not say what it was trained on" in done.complaint


WRONG = [
    ("sd4match-clas", "unknown prompt 'sd4match-clas'; did you mean sd4match-class"),
    ("toy-vector", "prompt 'toy-vector' is of kind 'vector'"),
    ("toy-dataset", "also shifts the embedding of the timestep"),
    ("sd4match-class --category catt", "unknown category 'catt'; did you mean cat?"),
    ("sd4match-class --trained-on pf-pascal", "--trained-on pf-pascal: "),
    ("sd4match-class --trained-on shapes --prompt-file own.safetensors", "give one of them"),
    ("sd4match-class --prompt-file none.pt", "--prompt-file none.pt: no such file or folder"),
    ("sd4match-class --prompt-file A.png", "A.png: not a prompt"),
    ("sd4match-single --prompt-file own.safetensors", "own.safetensors: is a prompt of sd4match-class"),
    ("sd4match-class A.png", "prompt 'sd4match-class' takes no images, not 1"),
    ("sd4match-cpm A.png", "prompt 'sd4match-cpm' takes two images, not 1"),
    ("sd4match-cpm A.png B.png A.png", "prompt 'sd4match-cpm' takes two images, not 3"),
    ("sd4match-cpm A.png none.png", "image none.png: no such file"),
    ("sd4match-cpm A.png prompts", "image prompts: no such file"),
    ("sd4match-cpm A.png broken.png", "broken.png: cannot be decoded"),
    ("toy-image", "prompt 'toy-image' takes one image or more, not 0"),
    ("category", "prompt 'category' needs a category: give --category NAME"),
    ("empty --prompt-file A.png", "--prompt-file A.png: prompt 'empty' is not a learned one"),
    ("empty --trained-on shapes", "--trained-on shapes: prompt 'empty' is not a learned one"),
    ("empty --number 0", "0 is not in the range x>=1"),
    ("empty --steps 0", "0 is not in the range x>=1"),
    ("empty --steps 2000", "2000 denoising steps: expected 1 to 1000"),
    ("empty --guidance nan", "guidance nan: expected"),
    ("empty --device gpu", "--device gpu: "),
    ("empty --weights stable-diffusion-2-1=none", "none does not exist"),
    ("empty -o none/sheet.png", "none is not a folder"),
    ("empty -o sheet.gif", "sheet.gif: a sheet is written as"),
    ("", "Missing argument 'NAME'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_mistakes_are_one_line(show, tmp_path, arguments, message):
    (tmp_path / "broken.png").write_bytes((tmp_path / "A.png").read_bytes()[:60])
    before = sorted(tmp_path.iterdir())
    done = show(*(() if "--weights" in arguments else (*FEW, *PROMPTS)), *arguments.split())
    assert done.status == 2
    assert message in done.complaint
    assert done.out == ""
    assert sorted(tmp_path.iterdir()) == before
