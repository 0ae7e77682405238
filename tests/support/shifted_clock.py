"""A clock of the computer that somebody, or a time server, puts back or ahead."""

from __future__ import annotations

import datetime as module
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def jumping(monkeypatch, seconds: float) -> Iterator[None]:
    """Shifts `time.time` and `datetime.now` from their third question on; clocks that only tick go on."""
    real_time, real = time.time, module.datetime
    asked = 0

    def shift() -> float:
        nonlocal asked
        asked += 1
        return seconds if asked > 2 else 0.0

    class Shifted(real):
        @classmethod
        def now(cls, tz=None):
            return real.now(tz) + module.timedelta(seconds=shift())

    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: real_time() + shift())
        for name, loaded in list(sys.modules.items()):
            is_ours = name.startswith(("harness", "baselines", "sd4match_plugin", "test_clocks"))
            if is_ours and getattr(loaded, "datetime", None) is real:
                patch.setattr(loaded, "datetime", Shifted)
        yield
