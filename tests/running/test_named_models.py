"""Networks that a parameter names: a table of backbones, identities by content, and what is not there."""

from __future__ import annotations

import json
import shutil

import pytest
from support.any_vision_transformers import save_any

from harness.weights.models import short_name

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Two folders of one name, and a third."""
    root = tmp_path_factory.mktemp("networks")
    for name, kind in (("a/net", "clip"), ("b/net", "dinov2"), ("c/other", "mae")):
        save_any(root / name, kind)
    return root


def run(bench, photos, out, model, *more):
    few = ("--datasets", f"folder={photos}", "--limit", "2", "--out", out)
    return bench("run", "--methods", "vit", "--set", f"model={model}", *few, *more)


def records(out):
    """Label -> record."""
    contents = [json.loads(path.read_text()) for path in out.glob("*/record.json")]
    return {content["cell"]["label"]: content for content in contents}


def test_a_list_of_networks_is_a_table_of_backbones(bench, photos, networks, tmp_path):
    names = ("a/net", "b/net", "c/other")
    done = run(bench, photos, tmp_path, ",".join(str(networks / name) for name in names))
    assert done.status == 0
    found = records(tmp_path)
    assert sorted(found) == ["vit[model=a/net]", "vit[model=b/net]", "vit[model=other]"]
    backbones = {record["cell"]["backbone"].partition("@")[0] for record in found.values()}
    assert backbones == {"net", "other"}
    # Rows are the backbones, so that one column holds all of them.
    line = next(line for line in done.out.splitlines() if line.startswith("| model "))
    assert [part.strip() for part in line.strip("|").split("|")] == ["model", "vit", "note"]
    assert str(networks) not in json.dumps([record["cell"] for record in found.values()])


def test_a_network_is_its_content_wherever_it_lies(bench, photos, networks, tmp_path):
    out, copy = tmp_path / "r", tmp_path / "elsewhere" / "renamed"
    run(bench, photos, out, networks / "c/other")
    shutil.copytree(networks / "c/other", copy)
    assert "found" in run(bench, photos, out, copy).err
    assert len(list(out.glob("*/record.json"))) == 1
    (copy / "preprocessor_config.json").write_text(json.dumps({"image_mean": 0.5, "image_std": 0.5}))
    assert "found" not in run(bench, photos, out, copy).err
    assert len(list(out.glob("*/record.json"))) == 2


def test_a_repository_in_the_hubs_cache(bench, photos, networks, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "hub" / "models--somebody--net"
    shutil.copytree(networks / "a/net", folder / "snapshots" / COMMIT)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(COMMIT)
    out = tmp_path / "r"
    assert run(bench, photos, out, f"somebody/net,{folder / 'snapshots' / COMMIT}").status == 0
    (record,) = records(out).values()
    assert record["cell"]["label"] == "vit[model=net]"
    assert record["provenance"]["weight_origins"] == {"net": f"somebody/net@{COMMIT}"}
    missing = run(bench, photos, out, "somebody/other")
    assert missing.status == 2
    assert "'bench weights fetch somebody/other' gets it" in missing.complaint


def test_a_weight_source_by_name_has_no_stand_in(bench, photos, tmp_path):
    assert run(bench, photos, tmp_path, "tiny-dino").status == 0
    (record,) = records(tmp_path).values()
    assert record["cell"]["backbone"].startswith("tiny-dino@")
    missing = run(bench, photos, tmp_path, "dinov2-base", "--weights-root", tmp_path / "none")
    assert missing.status == 2
    assert "weights dinov2-base: not on this machine" in missing.complaint


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nowhere", "nowhere: no such folder; give a folder as transformers saves it"),
        ("./no/where", "./no/where: no such folder"),
        ("{networks}", "lacks config.json"),
        ("{networks}/a/net/model.safetensors", "is a single file; expected a folder with config.json"),
    ],
)
def test_a_network_that_is_not_there_is_told_before_the_run(bench, photos, networks, tmp_path, model, words):
    done = run(bench, photos, tmp_path / "r", model.format(networks=networks))
    assert done.status == 2
    assert words in done.complaint
    assert not (tmp_path / "r").exists()


def test_what_was_rounded_or_inferred_stands_in_the_record(bench, photos, networks, tmp_path):
    done = run(bench, photos, tmp_path, networks / "a/net", "--set", "size=45")
    remark = "45 pixels are not whole patches of 8: the image is fed at 48."
    assert remark in done.err
    (record,) = records(tmp_path).values()
    assert record["cell"]["notes"].endswith(remark)
    assert record["cell"]["fed"] == [48, 48]


def test_short_names():
    assert short_name("/models/dinov2-large/") == "dinov2-large"
    assert short_name("facebook/dinov2-large@main") == "dinov2-large@main"
    assert short_name("/hub/models--facebook--dinov2-large/snapshots/0123") == "dinov2-large"
    assert short_name("x/net", ["x/net", "y/net", "z"]) == "x/net"
    assert short_name("x/net", ["x/net", "x/net/", "z"]) == "net"


def test_what_the_networks_do_not_have_is_told_before_the_run(bench, photos, networks, tmp_path):
    """A line for each cell, also of methods whose backbone is not named."""
    done = run(bench, photos, tmp_path, f"{networks / 'a/net'},{networks / 'c/other'}", "--set", "layer=2,3")
    assert done.status == 2
    assert done.warnings == [
        "bench: vit[layer=3,model=net]: layer 3 of a backbone that has layers 0 to 2",
        "bench: vit[layer=3,model=other]: layer 3 of a backbone that has layers 0 to 2",
    ]
    save_any(tmp_path / "beit", "beit")
    save_any(tmp_path / "sam", "sam")
    clip, beit, sam = (
        f"model={folder}" for folder in (networks / "a/net", tmp_path / "beit", tmp_path / "sam")
    )
    wrong = [
        ("vit", (clip, "layer=-4"), "layer -4 of a backbone that has layers 0 to 2"),
        ("vit", (clip, "stride=0.3"), "which does not divide the patch"),
        ("vit", (sam, "facet=key"), "SamVisionModel does not project key by itself"),
        ("vit", (sam, "stride=0.5"), "SamVisionModel takes no overlapping patches"),
        ("vit", (beit, "facet=token-norm"), "BeitModel has no norm after its last block"),
        ("dinov2", ("layer=99",), "layer 99 of a backbone that has layers 0 to 5"),
        ("dinov3", ("layer=-2",), "facet 'token-norm' is the last layer's, 5, not that of layer -2"),
        ("dinov1", ("stride=2",), "which does not divide the patch"),
        ("ibot", ("position_offset=1",), "a position offset of 1.0 cells"),
        ("dift", ("level=up-block 9",), "level 'up-block 9': the backbone has up-block 0"),
        ("cleandift", ("timestep=1000",), "--timestep 1000: the backbone has timesteps 0 to 999"),
        ("sd-dino", ("position_offset=-1",), "a position offset of -1.0 cells"),
        ("geoaware-sc", ("timestep=1000",), "--timestep 1000: the backbone has timesteps 0 to 999"),
        ("diy-sc", ("position_offset=2",), "a position offset of 2.0 cells"),
    ]
    few = ("--datasets", f"folder={photos}", "--out", tmp_path / "r")
    for method, values, words in wrong:
        options = [text for value in values for text in ("--set", value)]
        done = bench("run", "--methods", method, *few, *options)
        assert (done.status, words in done.complaint) == (2, True), (method, values, done.err)
    assert not (tmp_path / "r").exists()
