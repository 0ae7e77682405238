"""A repository that never got safetensors, from the hub to features."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet
import torch
from safetensors.torch import load_file
from support.hub_server import Hub

from baselines.weights import BUNDLED

CLIP = "clip-vit-large-patch14-336"


def test_features_need_no_safetensors(bench, photos, tmp_path, monkeypatch):
    """The image encoder of the captioner is fetched as a pickle; predictions are those of safetensors."""
    pickled = io.BytesIO()
    torch.save(load_file(BUNDLED / "dino" / "model.safetensors"), pickled)
    files = {
        "config.json": (BUNDLED / "dino" / "config.json").read_bytes(),
        "pytorch_model.bin": pickled.getvalue(),
    }
    with Hub(repositories={"openai/clip-vit-large-patch14-336": files}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "weights"))
        assert bench("weights", "fetch", CLIP).status == 0
    assert "(2 as fetched)" in bench("weights", "verify", CLIP).out
    predictions = []
    for out, weights in (
        ("pickle", [f"--weights={CLIP}={tmp_path / 'weights' / CLIP}"]),
        ("safetensors", []),
    ):
        options = ("--methods", "sd-dino-star", "--datasets", f"folder={photos}", "--limit", 1)
        outcome = bench("run", *options, "--out", tmp_path / out, *weights)
        assert outcome.status == 0, outcome.err
        file = next(Path(tmp_path / out).glob("*/predictions.parquet"))
        predictions.append(pyarrow.parquet.read_table(file).replace_schema_metadata().to_pylist())
    assert predictions[0] == predictions[1]
