"""Networks loaded quietly, with damaged files reported in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from harness.errors import UserError
from harness.messages import first_line

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Values of `--precision`, and the number formats they stand for."""

MESSAGE_LIMIT = 200
"""Characters of a library's message that are repeated in ours."""


@contextmanager
def quiet() -> Iterator[None]:
    """Silences transformers: no progress bar and no report of the weights.

    Stderr belongs to the run; missing weights raise an error instead.
    """
    from logging import CRITICAL

    from transformers.utils import logging

    verbosity, has_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(CRITICAL)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bars:
            logging.enable_progress_bar()


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
        StrictDataclassError,
        SafetensorError,
    )


@contextmanager
def explain_loading_errors(folder: Path) -> Iterator[None]:
    """Loads quietly, and turns errors of the libraries into a `UserError` of one line.

    Args:
        folder: the Stable Diffusion that is loaded, for the message.
    """
    try:
        with quiet():
            yield
    except loading_error_types() as error:
        raise UserError(
            f"{folder}: not a Stable Diffusion that diffusers can read ({first_line(error, MESSAGE_LIMIT)}); "
            "fetch or copy it again"
        ) from error
