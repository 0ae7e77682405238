"""The price of the guard around plugins' code: seconds of a call with it, and of its parts."""

from __future__ import annotations

import time
import timeit

import numpy as np
import PIL.Image
import torch

from harness.frames import Frame, Size
from harness.isolation.copies import copied
from harness.isolation.guard import running_code_of
from harness.isolation.output import printing_to_stderr
from harness.isolation.owner import Owner
from harness.isolation.settings import read_values
from harness.specs import FeatureMap, ImageRequest

CALLS = 300


def seconds(action):
    """Median of five repetitions, per call, in seconds of the processor: the machine may be busy."""
    return sorted(timeit.repeat(action, timer=time.process_time, number=CALLS, repeat=5))[2] / CALLS


def enter(owner):
    with running_code_of(owner):
        pass


def redirect():
    with printing_to_stderr():
        pass


def main():
    plain, changed = Owner("plain"), Owner("changed")
    with running_code_of(changed):
        torch.set_default_dtype(torch.float64)
    size = Size(500, 375)
    picture = PIL.Image.fromarray(np.zeros((size.height, size.width, 3), dtype=np.uint8))
    request = ImageRequest(picture, "identity", "cat")
    feature_map = FeatureMap(torch.zeros(1280, 48, 48), Frame.stretched(size, Size(768, 768)))
    rows = {
        "a call": lambda: enter(plain),
        "a call of a plugin with settings of its own": lambda: enter(changed),
        "of this, reading all settings once": read_values,
        "of this, stdout to stderr and back": redirect,
        "copy of a picture of 500 x 375": lambda: copied(request).image,
        "copy of a map of 1280 x 48 x 48": lambda: copied(feature_map),
    }
    for name, action in rows.items():
        print(f"{name:<45} {seconds(action) * 1e3:8.3f} ms")


if __name__ == "__main__":
    main()
