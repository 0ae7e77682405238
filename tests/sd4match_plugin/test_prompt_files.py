"""Files of tuned prompts: ours, the release's, and files that are neither."""

from __future__ import annotations

import json
import re
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from harness.errors import UserError
from sd4match_plugin.prompts.cpm import ConditionalPrompting, CpmConfig
from sd4match_plugin.prompts.files import read, write
from sd4match_plugin.prompts.prompt_file import PromptFile
from sd4match_plugin.prompts.release import export

CONFIG = CpmConfig(image_width=6, patches=7, text_width=5)

CPM = "CPM_spair_sd2-1_Pair-DINO-Feat-G25-C50"


def rows(seed: int, width: int = 1024) -> torch.Tensor:
    return torch.randn(1, 77, width, generator=torch.Generator().manual_seed(seed))


def state(config: CpmConfig) -> dict[str, torch.Tensor]:
    return dict(ConditionalPrompting(config, torch.Generator().manual_seed(0)).state_dict())


def save(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def equal(tensors: dict, expected: dict) -> bool:
    if tensors.keys() != expected.keys():
        return False
    return all(torch.equal(tensors[name], expected[name]) for name in tensors)


RELEASED = {
    "Single_spair_sd2-1_TokenEmbeds75": ("single", {"dataset": rows(0)}),
    "Class_pfpascal_sd2-1_TokenEmbeds75": ("class", {"cat": rows(0), "a.b/c d": rows(1)}),
    "Single_spair_sd2-1_HiddenState": ("hidden-states", {"dataset": rows(0)}),
    "Class_spair_sd1-5_HiddenState": ("hidden-states", {"cat": rows(0, 768), "dog": rows(1, 768)}),
    "Single_spair_sd-width-8_TokenEmbeds10": ("single", {"dataset": rows(0, 8)}),
    CPM: ("cpm", state(CONFIG)),
    **{
        f"CPM_pfpascal_sd2-1_{name}": ("cpm", state(CpmConfig.from_release_name(name, 6, 256, 5)))
        for name in (
            "Pair-DINO-Head-G25-C50",
            "Img-DINO-Feat-G20-C30",
            "Img-DINO-Head-G25-C50",
            "Pair-DINO-Feat-G0-C50",
        )
    },
}


@pytest.mark.parametrize("name", RELEASED)
def test_the_release_to_ours_and_back(name, tmp_path):
    kind, content = RELEASED[name]
    file = "ckpt.pt" if kind == "cpm" else "caption.pt"
    save(tmp_path / "theirs" / name / file, content)
    write(tmp_path / "ours.safetensors", read(tmp_path / "theirs" / name))
    prompt = read(tmp_path / "ours.safetensors")
    assert prompt.kind == kind
    assert prompt.metadata["dataset"] == ("spair-71k" if "_spair_" in name else "pf-pascal")
    home = export(tmp_path / "back", prompt)
    assert home == tmp_path / "back" / name
    assert [path.name for path in home.iterdir()] == [file]
    assert equal(torch.load(home / file, weights_only=True), content)


def test_the_file_is_read_as_the_folder_is(tmp_path):
    file = save(tmp_path / "Single_spair_sd2-1_HiddenState" / "caption.pt", {"dataset": rows(0)})
    assert read(file).kind == read(file.parent).kind == "hidden-states"


def test_what_is_written_beside_the_tensors_is_read(tmp_path):
    file = tmp_path / "new" / "best.safetensors"
    metadata = {"method": "sd4match-cpm", "step": "300", "config": "mine", "gate": "é"}
    prompt = PromptFile("cpm", config=replace(CONFIG, gate="paper", mixing=False), metadata=metadata)
    write(file, replace(prompt, state=state(prompt.config)))
    prompt_read = read(file)
    assert (prompt_read.config, prompt_read.metadata, prompt_read.origin) == (prompt.config, metadata, file)
    ConditionalPrompting(prompt_read.config).load_state_dict(dict(prompt_read.state))


def test_equal_prompts_are_equal_bytes(tmp_path):
    prompt = PromptFile(
        "class",
        prompts={name: rows(0, 4)[0] for name in "abcdef"},
        metadata={name: name for name in "uvwxyz"},
    )
    reordered = replace(
        prompt,
        prompts=dict(reversed(prompt.prompts.items())),
        metadata=dict(reversed(prompt.metadata.items())),
    )
    for number in range(4):
        write(tmp_path / f"{number}", (prompt, reordered)[number % 2])
    assert len({(tmp_path / f"{number}").read_bytes() for number in range(4)}) == 1


def test_views_and_parameters_are_written_as_they_are(tmp_path):
    base = torch.nn.Parameter(rows(3, 8)[0].T.contiguous())
    write(tmp_path / "file", PromptFile("class", prompts={"a": base.T, "b": base.T}))
    assert torch.equal(read(tmp_path / "file").prompts["b"], base.T.detach())


def test_a_diverged_prompt_does_not_replace_a_good_one(tmp_path):
    file, good = tmp_path / "best.safetensors", PromptFile("single", prompts={"dataset": rows(0, 4)[0]})
    write(file, good)
    before = file.read_bytes()
    with pytest.raises(
        UserError, match=r"best\.safetensors: tensor 'dataset' holds numbers that are not finite"
    ):
        write(file, replace(good, prompts={"dataset": torch.full((77, 4), torch.nan)}))
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "config", [CONFIG, replace(CONFIG, global_tokens=0), replace(CONFIG, conditional_tokens=10)]
)
def test_the_papers_module_is_known_by_its_tensors(config, tmp_path):
    assert read(save(tmp_path / "mine.pt", state(config))).config == config


def test_what_tensors_do_not_tell_has_to_be_given(tmp_path):
    config = replace(CONFIG, inputs="image", descriptor="head")
    file = save(tmp_path / "ckpt.pt", state(config))
    with pytest.raises(UserError, match=r"ckpt\.pt: its tensors are the same for"):
        read(file)
    assert read(file, config).config == config


def test_buffers_of_the_text_encoder_are_ignored(tmp_path):
    extra = {
        "text_model_embeddings.token_embedding.weight": torch.zeros(3, 5),
        "text_model.embeddings.position_ids": torch.arange(77),
    }
    save(tmp_path / CPM / "ckpt.pt", state(CONFIG) | extra)
    assert read(tmp_path / CPM).state.keys() == CONFIG.shapes.keys()


def test_exports_that_the_release_could_not_use(tmp_path):
    prompt = PromptFile(
        "cpm", config=replace(CONFIG, gate="paper"), state=state(CONFIG), metadata={"dataset": "shapes"}
    )
    with pytest.raises(UserError, match="the release has no variant with the paper's gate"):
        export(tmp_path, prompt)
    with pytest.raises(UserError, match="does not say what it was trained on"):
        export(tmp_path, replace(prompt, config=CONFIG, metadata={}))
    assert export(
        tmp_path, replace(prompt, config=CONFIG, metadata={"dataset": "my_own/photos"})
    ).name.startswith("CPM_my-own-photos_sd")
    assert len(list(tmp_path.iterdir())) == 1


def complaint(path: Path, config: CpmConfig | None = None) -> str:
    with pytest.raises(UserError) as raised:
        read(path, config)
    message = str(raised.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_nothing_in_a_file_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    assert "nothing in it was run" in complaint(save(tmp_path / "caption.pt", {"dataset": Evil()}))
    assert not (tmp_path / "ran").exists()


def change_tensor(name: str, value: torch.Tensor | None) -> dict[str, torch.Tensor]:
    content = state(CONFIG) | {name: value}
    return {key: tensor for key, tensor in content.items() if tensor is not None}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (change_tensor("alpha_cond", None), "tensor 'alpha_cond' is missing"),
        (change_tensor("positional_embedding", None), "tensor 'positional_embedding' is missing"),
        (change_tensor("linear_N.bias", None), "tensor 'linear_N.bias' is missing"),
        (
            change_tensor("global_embeds", torch.zeros(1, 24, 5)),
            r"'global_embeds' has the shape (1, 24, 5), not (1, 25, 5)",
        ),
        (
            change_tensor("linear_C.weight", torch.zeros(5, 13)),
            r"'linear_C.weight' has the shape (5, 13), not (5, 12)",
        ),
        (
            change_tensor("linear_C.weight", torch.zeros(5)),
            r"'linear_C.weight' has the shape (5,), not 2 dimensions",
        ),
        (
            change_tensor("alpha_cond", torch.full((1, 50, 5), torch.inf)),
            "'alpha_cond' holds numbers that are not finite",
        ),
        (change_tensor("gamma", torch.zeros(1)), "unknown tensor 'gamma'"),
        ({"dataset": torch.zeros(1, 76, 8)}, r"'dataset' has the shape (76, 8), not (77, 8)"),
        (
            {"cat": torch.zeros(1, 77, 8), "dog": torch.zeros(1, 77, 9)},
            r"'dog' has the shape (77, 9), not (77, 8)",
        ),
        ({"cat": torch.zeros(1, 77, 8, dtype=torch.int64)}, "'cat' holds"),
        ({"cat": torch.tensor(1.0)}, "'cat' has the shape ()"),
        ({"cat": [1.0]}, "'cat' is not a tensor"),
        ({0: torch.zeros(1, 77, 8)}, "'0' is not a tensor with a name"),
        ({}, "no dictionary of tensors"),
        (torch.zeros(1, 77, 8), "no dictionary of tensors"),
    ],
)
def test_a_file_of_the_release_with_a_mistake(content, message, tmp_path):
    file = save(tmp_path / CPM / "ckpt.pt", content)
    assert message in complaint(file)


def test_a_folder_that_names_another_module(tmp_path):
    save(tmp_path / "CPM_spair_sd2-1_Pair-DINO-Feat-G20-C50" / "ckpt.pt", state(CONFIG))
    assert "'global_embeds' has the shape (1, 25, 5), not (1, 20, 5)" in complaint(
        tmp_path / "CPM_spair_sd2-1_Pair-DINO-Feat-G20-C50"
    )
    save(tmp_path / "CPM_spair_sd2-1_Pair-CLIP-Feat-G25-C50" / "ckpt.pt", state(CONFIG))
    assert "only DINO" in complaint(tmp_path / "CPM_spair_sd2-1_Pair-CLIP-Feat-G25-C50")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", b"PK\3\4 and then nothing", b"not a prompt at all\n", b"\x80\x02}q\x00.", b"\0" * 8 + b"{"],
)
def test_files_of_something_else(content, tmp_path):
    (tmp_path / "file.pt").write_bytes(content)
    complaint(tmp_path / "file.pt")


def test_paths_that_lead_nowhere(tmp_path):
    assert "no such file" in complaint(tmp_path / "missing.safetensors")
    assert "neither caption.pt nor ckpt.pt nor best.safetensors" in complaint(tmp_path)
    for name in ("caption.pt", "ckpt.pt"):
        save(tmp_path / name, {})
    assert "2 of caption.pt, ckpt.pt" in complaint(tmp_path)


def rewrite_header(file: Path, **header: str | None) -> Path:
    """A file of ours with other entries in its header; None takes one out."""
    content = file.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    whole = json.loads(content[8 : 8 + length])
    entries = whole["__metadata__"] | header
    whole["__metadata__"] = {name: value for name, value in entries.items() if value is not None}
    encoded = json.dumps(whole).encode()
    file.write_bytes(struct.pack("<Q", len(encoded)) + encoded + content[8 + length :])
    return file


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"prompt_file": "2"}, "written with schema 2, this version reads 1"),
        ({"prompt_file": None}, "not a prompt"),
        ({"kind": "poem"}, "unknown kind of prompt 'poem'"),
        ({"kind": "class"}, "has the shape"),
        ({"cpm": None}, "'cpm' in its header cannot be read"),
        ({"cpm": '{"gate": "open"}'}, "gate is 'open'"),
        ({"cpm": '{"size": 3}'}, "'cpm' in its header cannot be read"),
        ({"cpm": "[]"}, "'cpm' in its header cannot be read"),
    ],
)
def test_a_file_of_ours_with_a_mistake(header, message, tmp_path):
    write(tmp_path / "ours", PromptFile("cpm", config=CONFIG, state=state(CONFIG)))
    assert message in complaint(rewrite_header(tmp_path / "ours", **header))


def test_a_file_of_ours_that_was_cut_off(tmp_path):
    write(tmp_path / "ours", PromptFile("cpm", config=CONFIG, state=state(CONFIG)))
    assert "holds another conditional prompt" in complaint(tmp_path / "ours", replace(CONFIG, gate="paper"))
    (tmp_path / "ours").write_bytes((tmp_path / "ours").read_bytes()[:-1])
    assert "damaged" in complaint(tmp_path / "ours")


def test_safetensors_of_another_program(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    assert "not a prompt" in complaint(tmp_path / "model.safetensors")


@pytest.mark.parametrize("content", [b"e is text\n", b"(dp0\n", b"\x80\x05e", b"", b"# A README\n"])
@pytest.mark.parametrize("name", ["README.md", "junk.safetensors"])
def test_what_is_no_prompt_is_told_without_the_library_s_codes(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    message = complaint(tmp_path / name)
    assert "not a prompt" in message and "nothing in it was run" in message
    assert not re.search(r"\(\d+\)", message)


def test_half_precision_rounds_and_no_more(tmp_path):
    whole = PromptFile("cpm", config=CONFIG, state=state(CONFIG), metadata={"dataset": "shapes"})
    write(tmp_path / "half.safetensors", whole.half())
    prompt_read = read(tmp_path / "half.safetensors")
    assert (prompt_read.config, prompt_read.metadata) == (whole.config, whole.metadata)
    for name, tensor in whole.state.items():
        assert torch.equal(prompt_read.state[name], tensor.half())


def test_a_folder_stands_for_the_one_prompt_in_it(tmp_path):
    prompt = PromptFile("cpm", config=CONFIG, state=state(CONFIG), metadata={"dataset": "shapes"})
    write(tmp_path / "training" / "best.safetensors", prompt)
    assert read(tmp_path / "training").config == CONFIG
    inner = export(tmp_path / "release", prompt)
    assert read(tmp_path / "release").state.keys() == read(inner).state.keys() == prompt.state.keys()
    export(tmp_path / "release", replace(prompt, metadata={"dataset": "pf-pascal"}))
    assert "2 of" in complaint(tmp_path / "release") and "name the file" in complaint(tmp_path / "release")


def test_a_file_that_states_no_position_offset_was_tuned_without_one(tmp_path):
    prompt = PromptFile("cpm", config=replace(CONFIG, position_offset=0.1), state=state(CONFIG))
    write(tmp_path / "new.safetensors", prompt)
    assert read(tmp_path / "new.safetensors").config.position_offset == 0.1
    content = json.loads(json.dumps(vars(CONFIG)))
    del content["position_offset"]
    header = {"prompt_file": "1", "kind": "cpm", "cpm": json.dumps(content)}
    save_file(state(CONFIG), tmp_path / "old.safetensors", header)
    old = read(tmp_path / "old.safetensors")
    assert old.config.position_offset == 0.0
    with pytest.raises(UserError, match="where the release"):
        export(tmp_path / "release", replace(old, metadata={"dataset": "shapes"}))
    export(tmp_path / "release", replace(prompt, metadata={"dataset": "shapes"}))


@pytest.mark.parametrize("offset", [-0.1, 1, "0.1", True, float("nan")])
def test_a_position_offset_is_part_of_a_cell(offset):
    with pytest.raises(UserError, match="position_offset"):
        CpmConfig(position_offset=offset)


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.zeros(1, 77, 8).to(torch.float8_e4m3fn), "has numbers of 8 bits"),
        (torch.zeros(1, 77, 8, device="meta"), "has no numbers"),
    ],
)
def test_numbers_that_no_prompt_is_made_of_are_told(tmp_path, tensor, told):
    torch.save({"dataset": tensor}, tmp_path / "caption.pt")
    with pytest.raises(UserError, match=f"tensor dataset {told}"):
        read(tmp_path / "caption.pt")
