"""Networks of transformers and diffusers, filled through the harness's door for weights and quietly."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from baselines.networks.file_table import DIFFUSERS, TRANSFORMERS
from harness.errors import BenchError, UserError
from harness.messages import first_line
from harness.networks.comparing import report_differences, strip_prefixes
from harness.networks.configuration import check_size, read_configuration
from harness.networks.file_names import find_tensor_file
from harness.networks.filling import check_finite, check_floating, fill_network
from harness.networks.tensor_files import read_tensors

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Values of `--precision`, and the number formats they stand for."""

MESSAGE_LIMIT = 200
"""Characters of a library's message that are repeated in ours."""

_LIBRARIES = ("transformers", "diffusers", "huggingface_hub")


@contextmanager
def quiet() -> Iterator[None]:
    """Silences the libraries: no progress bar, and no report of the weights, which has every tensor's name.

    Stderr belongs to the run; missing weights raise an error instead.
    """
    from transformers.utils import logging as bars

    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    levels = [logger.level for logger in loggers]
    has_bars = bars.is_progress_bar_enabled()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    bars.disable_progress_bar()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if has_bars:
            bars.enable_progress_bar()


def loading_error_types() -> tuple[type[Exception], ...]:
    """Classes of the errors that transformers and diffusers raise about a missing or damaged file."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    # A damaged configuration raises the built-in ones, according to the value that is wrong.
    return (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RuntimeError,
        RecursionError,
        ZeroDivisionError,
        IndexError,
        AssertionError,
        StrictDataclassError,
        SafetensorError,
    )


@contextmanager
def explain_loading_errors(
    folder: Path, kind: str = "a Stable Diffusion that diffusers can read"
) -> Iterator[None]:
    """Loads quietly, and turns errors of the libraries into a `UserError` of one line.

    Args:
        folder: the folder that is loaded, for the message.
        kind: what it is not, where that fails.
    """
    try:
        # Nobody's stream of random numbers depends on what was loaded.
        with quiet(), torch.random.fork_rng(devices=()):
            yield
    except BenchError:  # says by itself what is wrong
        raise
    except loading_error_types() as error:
        reason = first_line(error, MESSAGE_LIMIT)
        raise UserError(f"{folder}: not {kind} ({reason}); fetch or copy it again") from error


def load_transformer(
    network_class: Any,
    folder: Path,
    dtype: torch.dtype,
    harmless: Collection[str] = (),
    **options: Any,
) -> Any:
    """Loads a network of transformers from a folder; every one of its tensors comes from there.

    Args:
        network_class: such as `transformers.Dinov2Model`.
        folder: with `config.json` and the tensors, in any way of `baselines.networks.file_table`.
        harmless: patterns of tensors that the file may lack or have in addition, see `fill_network`; in the
            file's names or in the network's.
        options: of the class's constructor.

    Returns:
        The network, on the CPU, ready for evaluation.

    Raises:
        UserError: one line that names the file or its configuration, and a tensor or a key.
    """
    file = find_tensor_file(folder, *TRANSFORMERS)
    read_configuration(folder / "config.json")
    tensors = read_tensors(file)
    with explain_loading_errors(folder, "a network that transformers can read"):
        with torch.device("meta"), _WithoutChance():
            config = network_class.config_class.from_pretrained(folder, local_files_only=True)
            empty = network_class(config, **options)
        check_size(str(folder / "config.json"), _shapes(empty.state_dict()), tensors)
    with explain_loading_errors(folder, "a network that transformers can read"):
        return make_transformer(network_class, config, tensors, str(file), dtype, harmless, **options)


def make_transformer(
    network_class: Any,
    config: Any,
    tensors: Mapping[str, torch.Tensor],
    subject: str,
    dtype: torch.dtype,
    harmless: Collection[str] = (),
    **options: Any,
) -> Any:
    """Makes a network of transformers and fills it; every one of its tensors comes from those given.

    Args:
        network_class, harmless, options: as of `load_transformer`.
        config: an object of the class's configuration.
        subject: the tensors' file, for messages.

    Raises:
        UserError: one line that names the file and a tensor.
    """
    for name, tensor in tensors.items():
        check_floating(subject, name, tensor, torch.float32 if _is_learned(name) else tensor.dtype)
    network, info = _fill_transformer(network_class, config, tensors, dtype, options)
    if info["missing_keys"]:
        # In the same file under other names: a wrapper's prefix comes off, if that explains everything.
        for stripped in strip_prefixes(tensors, harmless):
            candidate, candidate_info = _fill_transformer(network_class, config, stripped, dtype, options)
            if not any(candidate_info.values()):
                network, info = candidate, candidate_info
                break
    misshapen = {name: (actual, wanted) for name, actual, wanted in info["mismatched_keys"]}
    report_differences(
        subject,
        total=len(network.state_dict()),
        missing=info["missing_keys"],
        unexpected=info["unexpected_keys"],
        misshapen=misshapen,
        harmless=harmless,
    )
    check_finite(network, subject)
    return network.eval()


def _fill_transformer(
    network_class: Any,
    config: Any,
    tensors: Mapping[str, torch.Tensor],
    dtype: torch.dtype,
    options: Mapping[str, Any],
) -> tuple[Any, dict[str, Any]]:
    """The network, filled as far as the tensors go, and what was missing and left over.

    transformers renames the tensors of older files by itself. What it does not find it fills with random
    numbers.
    """
    network, info = network_class.from_pretrained(
        None,
        config=config,
        state_dict=dict(tensors),
        dtype=dtype,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **options,
    )
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
    return network, {kind: info[kind] for kind in kinds}


def load_diffuser(
    network_class: Any,
    folder: Path,
    dtype: torch.dtype,
    replace: Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]] | None = None,
    subject: str = "",
) -> Any:
    """Loads a network of diffusers from a folder; every one of its tensors comes from there.

    Args:
        network_class: such as `diffusers.AutoencoderKL`.
        folder: with `config.json` and the tensors, in any way of `baselines.networks.file_table`.
        replace: the folder's tensors -> those that the network gets in their place.
        subject: the file that these come from, for messages.

    Returns:
        The network, on the CPU, ready for evaluation.

    Raises:
        UserError: one line that names the file or its configuration, and a tensor or a key.
    """
    file = find_tensor_file(folder, *DIFFUSERS)
    read_configuration(folder / "config.json")
    tensors = read_tensors(file)
    if replace:
        tensors = dict(replace(tensors))
    with explain_loading_errors(folder, "a network that diffusers can read"):
        config = network_class.load_config(folder)
        with torch.device("meta"), _WithoutChance():
            empty = network_class.from_config(config)
        check_size(str(folder / "config.json"), _shapes(empty.state_dict()), tensors)
        with _default_dtype(dtype), _WithoutChance():
            network = network_class.from_config(config)
    # Older files have other names for the attention of the VAE.
    renamed = network._fix_state_dict_keys_on_load(dict(tensors))
    fill_network(network, renamed, subject or str(file))
    return network.eval()


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def _is_learned(name: str) -> bool:
    """False for tensors of positions and counts, which are whole numbers by right."""
    return not name.endswith(("position_ids", "num_batches_tracked"))


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Makes new tensors in another precision, during the `with` block."""
    previous = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(previous)


class _WithoutChance(TorchFunctionMode):
    """Skips the random numbers that new networks are filled with: they take seconds, and are overwritten."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.__name__.endswith(("uniform_", "normal_", "orthogonal_")):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))
