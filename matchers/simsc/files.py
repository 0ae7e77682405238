"""SimSC's file: a vision transformer under transformers' names, the temperature, and how both are made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

import torch
import transformers
from torch import Tensor

from baselines.networks.loading import DTYPES, explain_loading_errors, make_transformer
from baselines.vit.backbone import VisionTransformer
from baselines.vit.card import ARCHITECTURES, VitCard
from harness.errors import UserError
from harness.specs import Scalar
from matchers.backbones.checkpoints import Checkpoint, is_whole, load_tensors, read_checkpoint, read_settings
from matchers.simsc.names import Kind
from matchers.simsc.network import SimSc, Temperature

BACKBONE, TEMPERATURE = "backbone.", "temperature."
"""Beginnings of the names of tensors."""

UNREAD = ("*mask_token", "pooler.*")
"""Tensors of the backbone that features do not depend on."""

ADVICE = "bench train simsc makes such a file"


class BackboneTensors(dict[str, Tensor]):
    """Tensors of a vision transformer, and the configuration that they do not tell.

    Attributes:
        configuration: as in transformers' `config.json`.
    """

    def __init__(self, tensors: Mapping[str, Tensor], configuration: Mapping[str, Any]) -> None:
        super().__init__(tensors)
        self.configuration = dict(configuration)


def read_backbone(path: Path) -> BackboneTensors:
    """Reads the vision transformer that a training starts from, in either of its formats.

    Raises:
        UserError: the folder or file holds none.
    """
    network = VisionTransformer(path).model
    tensors = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if "mask_token" not in name and not name.startswith("pooler.")
    }
    # Through JSON, so that it is what a file will give back.
    return BackboneTensors(tensors, json.loads(network.config.to_json_string()))


def make_backbone(tensors: BackboneTensors, subject: str, dtype: torch.dtype = torch.float32) -> Any:
    """Makes the network of some tensors and fills it.

    Args:
        subject: their file, for messages.

    Raises:
        UserError: the configuration is not a vision transformer's, or they are not its tensors.
    """
    architecture = ARCHITECTURES.get(str(tensors.configuration.get("model_type")))
    if architecture is None:
        raise UserError(f"{subject}: its configuration is not that of a vision transformer; {ADVICE}")
    network_class: Any = getattr(transformers, architecture)
    # DINOv1's pooling layer was never trained.
    options = {"add_pooling_layer": False} if architecture == "ViTModel" else {}
    with explain_loading_errors(Path(subject), "a vision transformer"):
        config = network_class.config_class.from_dict(tensors.configuration)
        return make_transformer(network_class, config, tensors, subject, dtype, UNREAD, **options)


def make_card(configuration: Mapping[str, Any], subject: str) -> VitCard:
    """The sizes that a configuration states. Raises `UserError` where it does not."""
    try:
        return VitCard(
            architecture=ARCHITECTURES[configuration["model_type"]],
            native=int(configuration["image_size"]),
            patch=int(configuration["patch_size"]),
            layers=int(configuration["num_hidden_layers"]),
            width=int(configuration["hidden_size"]),
            prefix=1 + int(configuration.get("num_register_tokens") or 0),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{subject}: its configuration lacks a size ({error!r}); {ADVICE}") from error


def make_simsc(
    tensors: BackboneTensors,
    temperature: Temperature,
    subject: str = "SimSC",
    dtype: torch.dtype = torch.float32,
) -> SimSc:
    """Makes the network of a backbone's tensors. Raises `UserError` where they are not one's."""
    card = make_card(tensors.configuration, subject)
    return SimSc(make_backbone(tensors, subject, dtype), card, temperature)


def load_simsc(path: Path, precision: str = "fp32") -> SimSc:
    """Loads a file. Raises `UserError`: one line that says why it cannot be used."""
    checkpoint = read_checkpoint(path)
    configuration = _read_configuration(checkpoint)
    tensors = BackboneTensors(checkpoint.part(BACKBONE), configuration)
    network = make_simsc(tensors, make_temperature(checkpoint), str(path), DTYPES[precision])
    return network.eval().requires_grad_(False)


def load_temperature(path: Path) -> Temperature:
    """Loads the temperature alone. Raises `UserError` where the file has none."""
    return make_temperature(read_checkpoint(path)).eval().requires_grad_(False)


def make_temperature(checkpoint: Checkpoint) -> Temperature:
    """The temperature of a file. Raises `UserError` where its tensors are not those of its kind."""
    kind = checkpoint.settings.get("temperature")
    if kind not in get_args(Kind):
        raise UserError(
            f"{checkpoint.path}: its setting 'temperature' is {kind!r}, not one of "
            f"{', '.join(get_args(Kind))}; {ADVICE}"
        )
    with torch.random.fork_rng(devices=()):
        temperature = Temperature(cast("Kind", kind), 1.0)
    load_tensors(temperature, checkpoint.part(TEMPERATURE), checkpoint.path)
    return temperature.float()


LARGEST_SIDE = 4096
"""Of the network's square input, in pixels."""


def read_side(path: Path) -> int:
    """Side in pixels of the network's square input. Raises `UserError` where the file does not say it."""
    side = read_settings(path).get("image_size")
    if not is_whole(side) or not 1 <= side <= LARGEST_SIDE:
        raise UserError(
            f"{path}: its setting 'image_size' is {side!r}, not a number of pixels up to {LARGEST_SIDE}; "
            f"{ADVICE}"
        )
    return side


def _read_configuration(checkpoint: Checkpoint) -> dict[str, Any]:
    text = checkpoint.settings.get("configuration")
    try:
        configuration = json.loads(str(text))
    except ValueError:
        configuration = None
    if not isinstance(configuration, dict):
        raise UserError(f"{checkpoint.path}: says no configuration of its vision transformer; {ADVICE}")
    return configuration


def file_of(network: SimSc, image_size: int, is_half: bool) -> tuple[dict[str, Tensor], dict[str, Scalar]]:
    """The tensors and settings of a network's file.

    Args:
        is_half: whether the backbone is kept in half precision: half the bytes.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        is_shortened = is_half and name.startswith(BACKBONE) and tensor.is_floating_point()
        tensors[name] = tensor.half() if is_shortened else tensor
    settings: dict[str, Scalar] = {
        "image_size": image_size,
        "temperature": network.temperature.kind,
        "configuration": json.dumps(json.loads(network.backbone.config.to_json_string()), sort_keys=True),
    }
    return tensors, settings
