"""A clock of the computer that somebody, or a time server, puts back or ahead."""

from __future__ import annotations

import datetime as module
import sys
import time

_OURS = ("harness", "baselines", "matchers", "heads", "sd4match_plugin")


def install(seconds: float) -> None:
    """Shifts `time.time` and `datetime.now` in this process for good, from their second question on.

    Clocks that only tick go on as they do when somebody sets the other.
    """
    real_time, real = time.time, module.datetime
    asked = 0

    def shift() -> float:
        nonlocal asked
        asked += 1
        return seconds if asked > 1 else 0.0

    class Shifted(real):
        @classmethod
        def now(cls, tz=None):
            return real.now(tz) + module.timedelta(seconds=shift())

    time.time = lambda: real_time() + shift()
    module.datetime = Shifted
    for name, loaded in list(sys.modules.items()):
        if name.startswith(_OURS) and getattr(loaded, "datetime", None) is real:
            loaded.datetime = Shifted
