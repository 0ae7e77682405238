"""The 4-D convolution equals the sum that defines it, whatever the slabs and the channels."""

import pytest
import torch
from torch import Tensor

from matchers import convolution4d
from matchers.convolution4d import Convolution4d, convolve4d, swap_sides


def sum_over_taps(volume: Tensor, weight: Tensor) -> Tensor:
    """The convolution by its definition, with one copy of the volume per tap."""
    kernel = (weight.shape[0], *weight.shape[3:])
    margins = [margin for length in reversed(kernel) for margin in (length // 2, length // 2)]
    around = torch.nn.functional.pad(volume, margins)
    for axis, length in enumerate(kernel, start=2):
        around = around.unfold(axis, length, 1)
    return torch.einsum("bihwpqklmn,koilmn->bohwpq", around, weight)


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 3), (3, 3), (3, 1)])
@pytest.mark.parametrize("slab", [convolution4d.SLAB_BYTES, 5000, 1])
def test_equals_the_sum_over_its_taps(inputs, outputs, slab, monkeypatch):
    monkeypatch.setattr(convolution4d, "SLAB_BYTES", slab)
    torch.manual_seed(inputs)
    volume = torch.randn(2, inputs, 5, 6, 4, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, outputs, inputs, 5, 1, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(outputs, dtype=torch.float64)
    expected = sum_over_taps(volume, weight) + bias[:, None, None, None, None]
    result = convolve4d(volume, weight, bias)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    towards = torch.randn_like(expected)
    gradients = torch.autograd.grad((result * towards).sum(), [volume, weight])
    expected_gradients = torch.autograd.grad((expected * towards).sum(), [volume, weight])
    torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=1e-11)


def test_a_kernel_without_a_middle_is_refused():
    with pytest.raises(ValueError, match=r"must be odd, not \(3, 2, 3, 3\)"):
        convolve4d(torch.zeros(1, 1, 3, 3, 3, 3), torch.zeros(3, 1, 1, 2, 3, 3))


def test_the_copies_of_a_slab_are_bounded(monkeypatch):
    """Thirty rows, whose copies have 648 bytes each, pass in two slabs."""
    rows = []
    convolve = torch.nn.functional.conv3d

    def watch(volume: Tensor, *arguments: Tensor, **options: object) -> Tensor:
        rows.append(volume.nbytes)
        return convolve(volume, *arguments, **options)

    monkeypatch.setattr(torch.nn.functional, "conv3d", watch)
    monkeypatch.setattr(convolution4d, "SLAB_BYTES", 10_000)
    Convolution4d(2, 2, 3)(torch.zeros(1, 2, 30, 3, 3, 3))
    assert max(rows) <= 10_000
    assert len(rows) == 2


def test_sides_are_swapped_back():
    volume = torch.randn(2, 3, 4, 5, 6, 7)
    assert swap_sides(volume).shape == (2, 3, 6, 7, 4, 5)
    assert torch.equal(swap_sides(swap_sides(volume)), volume)
    assert swap_sides(volume)[1, 2, 5, 6, 3, 4] == volume[1, 2, 3, 4, 5, 6]
