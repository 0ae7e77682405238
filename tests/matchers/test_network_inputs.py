"""Pictures as networks are fed them."""

from __future__ import annotations

import pickle

import numpy as np
import PIL.Image
import pytest
import torch

from harness.frames import Size
from harness.specs import ImageRequest
from matchers.backbones.inputs import (
    network_batch,
    square_frame,
    stretch,
    stretch_area,
    stretch_bordered,
    stretch_corners,
    stretched_prepare,
)

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def picture(size):
    """Smooth colour noise."""
    coarse = np.random.default_rng(3).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return PIL.Image.fromarray(coarse).resize(size, PIL.Image.Resampling.BICUBIC)


def grey_levels(pixels):
    """(3, h, w), normalised -> (h, w, 3) from 0 to 255."""
    return (pixels.permute(1, 2, 0).double().numpy() * STD + MEAN) * 255


@pytest.mark.parametrize("resize", [stretch, stretch_corners, stretch_area])
def test_a_plain_picture_is_its_colour(resize):
    colour = (10, 100, 250)
    pixels = resize(PIL.Image.new("RGB", (37, 20), colour), side=16)
    assert (pixels.shape, pixels.dtype) == ((3, 16, 16), torch.float32)
    assert np.allclose(grey_levels(pixels), colour, atol=1e-3)


def test_each_filter_is_the_one_it_is_called():
    image = picture((48, 32))
    array = np.array(image, dtype=np.float64)
    by_pillow = np.array(image.resize((16, 16), PIL.Image.Resampling.BILINEAR), dtype=np.float64)
    assert np.allclose(grey_levels(stretch(image, 16)), by_pillow, atol=1e-3)
    # Corners stay as they are, and 3 x 2 pixels have one mean.
    corners = grey_levels(stretch_corners(image, 16))
    assert np.allclose(corners[::15, ::15], array[::31, ::47], atol=1e-3)
    means = array.reshape(16, 2, 16, 3, 3).mean(axis=(1, 3))
    assert np.allclose(grey_levels(stretch_area(image, 16)), means, atol=1e-3)


def test_a_border_is_black_before_normalisation():
    image = picture((48, 32))
    pixels = stretch_bordered(image, side=20, border=2)
    levels = grey_levels(pixels)
    assert np.allclose(levels[:2], 0, atol=1e-3)
    assert np.allclose(levels[:, -2:], 0, atol=1e-3)
    assert torch.equal(pixels[:, 2:-2, 2:-2], stretch(image, 16))
    assert torch.equal(stretched_prepare(20, 2)(image), pixels)
    assert torch.equal(stretched_prepare(20)(image), stretch(image, 20))


def test_a_frame_knows_its_border():
    frame = square_frame(Size(32, 64), side=20, border=2)
    points = np.array([[0.0, 0.0], [32.0, 64.0]])
    assert frame.from_original(points).tolist() == [[2, 2], [18, 18]]
    assert frame.size == (20, 20)


def test_inputs_made_ahead_are_the_same():
    image = picture((48, 32))
    # As it is sent to worker processes.
    prepare = pickle.loads(pickle.dumps(stretched_prepare(16)))
    requests = [ImageRequest(image, "a", "thing"), ImageRequest(image, "a", "thing", prepared=prepare(image))]
    batch = network_batch(requests, prepare)
    assert batch.shape == (2, 3, 16, 16)
    assert torch.equal(batch[0], batch[1])
