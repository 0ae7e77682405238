"""The validation split that chose a prompt, as its file says it."""

from __future__ import annotations

import json

import pytest
import torch

from harness.specs import NOT_STATED
from sd4match_plugin.methods import BUNDLED
from sd4match_plugin.prompts.files import write
from sd4match_plugin.prompts.find import find_prompt, inspect_prompt
from sd4match_plugin.prompts.prompt_file import PromptFile

SETTINGS = json.dumps({"validation_split": "val"})


def rows():
    return {"dataset": torch.zeros(77, 8)}


@pytest.mark.parametrize("kind", ["single", "class", "cpm"])
def test_the_bundled_ones_were_chosen_on_the_validation_pairs(kind):
    assert find_prompt(kind, BUNDLED, None).tuned_on == ("shapes/val",)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, (NOT_STATED,)),
        ({"dataset": "farm"}, (NOT_STATED,)),
        ({"validation_pck": "5.0", "settings": SETTINGS}, (NOT_STATED,)),
        ({"dataset": "farm", "settings": SETTINGS}, ()),
        ({"dataset": "farm", "settings": '{"validation_split": null}'}, ()),
        ({"dataset": "farm", "settings": SETTINGS, "validation_pck": "5.0"}, ("farm/val",)),
        ({"dataset": "farm", "settings": "{}", "validation_pck": "5.0"}, ("farm/?",)),
        ({"dataset": "farm", "settings": "[]", "validation_pck": "5.0"}, ("farm/?",)),
        ({"dataset": "farm", "settings": "{", "validation_pck": "5.0"}, ("farm/?",)),
    ],
)
def test_files_of_ours_say_it(metadata, expected, tmp_path):
    write(tmp_path / "own.safetensors", PromptFile("single", rows(), metadata=metadata))
    assert inspect_prompt("single", tmp_path / "own.safetensors").tuned_on == expected


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("Single_spair_sd2-1_TokenEmbeds75", ("spair-71k/val",)),
        ("Single_pfpascal_sd2-1_TokenEmbeds75", ("pf-pascal/val",)),
        # The release has no prompt of this dataset, so somebody else tuned it.
        ("Single_farm_sd2-1_TokenEmbeds75", (NOT_STATED,)),
        ("elsewhere", (NOT_STATED,)),
    ],
)
def test_the_release_was_chosen_on_its_dataset_s_validation_pairs(folder, expected, tmp_path):
    (tmp_path / folder).mkdir()
    torch.save({"dataset": torch.zeros(1, 77, 8)}, tmp_path / folder / "caption.pt")
    assert inspect_prompt("single", tmp_path / folder / "caption.pt").tuned_on == expected
