"""Writes Stable Diffusion 2-1's configuration, without weights: `python benchmarks/sd21.py FOLDER`.

Its numbers (channels, layers, heads, schedule) are those that `baselines.published` compares folders with.
What features do not depend on, the VAE's decoder, is its encoder's mirror, as in every published one. The
vocabulary of CLIP is not bundled: prompts are cut into the tokens of the bundled small one, whose ids CLIP's
text encoder has, too, and padded as Stable Diffusion 2-1 pads them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from baselines import published

TINY = Path(published.__file__).parent / "tiny" / "weights" / "stable-diffusion"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def configurations() -> dict[str, dict[str, Any]]:
    """File -> its content: the libraries' defaults, and in their place what the published files say."""
    configs = {}
    for file, defaults in published.DEFAULTS.items():
        configs[file] = {**defaults, **published.STABLE_DIFFUSION_2_1[file]}
    vae = configs["vae/config.json"]
    vae["up_block_types"] = ["UpDecoderBlock2D"] * len(vae["down_block_types"])
    configs["scheduler/scheduler_config.json"]["_class_name"] = "DDIMScheduler"
    return configs


def write_configs(folder: Path) -> Path:
    """Writes the files, some 50 kB, and returns the folder."""
    for file, config in configurations().items():
        _write(folder / file, config)
    for name in TOKENIZER:
        content = json.loads((TINY / "tokenizer" / name).read_text(encoding="utf-8"))
        if name == "tokenizer_config.json":
            content["pad_token"] = published.STABLE_DIFFUSION_2_1["tokenizer"]["pad_token"][0]
        _write(folder / "tokenizer" / name, content)
    _write(folder / "model_index.json", json.loads((TINY / "model_index.json").read_text(encoding="utf-8")))
    return folder


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def main(folder: Path) -> None:
    """Write the configuration to FOLDER."""
    click.echo(write_configs(folder))


if __name__ == "__main__":
    main()
