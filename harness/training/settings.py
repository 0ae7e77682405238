"""Settings of a training as data, and the refusal to go on under others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from harness.errors import UserError


class ResumableSettings(pydantic.BaseModel):
    """Everything besides the content of weights and data that the result of a training depends on.

    A training goes on from a checkpoint under equal settings only.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    def may_take_more_steps(self) -> bool:
        """Says whether the first steps are the same whatever the number of all steps."""
        return False

    def values(self) -> Mapping[str, Any]:
        """Setting -> value, as messages name them."""
        return self.model_dump()


def refuse_changed_settings(path: str, earlier: ResumableSettings, now: ResumableSettings) -> None:
    """Raises `UserError` that names the first setting in which a training differs from its checkpoint.

    More steps are allowed where the rates do not depend on their number.
    """
    checkpoint = earlier.values()
    for name, value in now.values().items():
        before = checkpoint.get(name)
        is_longer = name == "steps" and now.may_take_more_steps() and before is not None and value >= before
        if value != before and not is_longer:
            option = name.replace("_", "-")
            raise UserError(
                f"{path} was made with {option} {_format(before)}, this training has {option} "
                f"{_format(value)}; choose another --out, or the same settings to go on"
            )


def _format(value: object) -> str:
    return "none" if value is None or value == "" else str(value)
