"""Networks loaded quietly, with damaged files reported in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from harness.errors import UserError

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bar and no report of the weights on stderr, which is the run's own: what is missing is told as an error."""
    from logging import CRITICAL

    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def read_errors() -> tuple[type[Exception], ...]:
    """What transformers raises about a folder that lacks a file, or has a damaged one."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    return (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RuntimeError,
        StrictDataclassError,
        SafetensorError,
    )


@contextmanager
def _loading(folder: Path) -> Iterator[None]:
    """Turns what the libraries raise about a folder of weights into one line."""
    try:
        with quiet():
            yield
    except read_errors() as error:
        told = " ".join(str(error).split())
        raise UserError(
            f"{folder}: no Stable Diffusion that diffusers can read ({told[:200]}); fetch or copy it again"
        ) from error
