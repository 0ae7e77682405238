"""Shares of seconds by kind of operation. Nothing is timed."""

from __future__ import annotations

import pytest
import torch
from operators import KINDS, REST, kind_of, shares_of, tabulate_shares
from support.markdown import cells_of_markdown


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::mkldnn_convolution", "convolutions"),
        ("aten::convolution_backward", "convolutions"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("aten::addmm", "matrix products"),
        ("aten::native_group_norm_backward", "norms"),
        ("aten::copy_", REST),
        ("aten::gelu", REST),
        ("autograd::engine::evaluate_function: DivBackward0", REST),
    ],
)
def test_operations_have_a_kind(operation, kind):
    assert kind_of(operation) == kind


def test_shares_are_of_the_whole():
    matrix = torch.rand(400, 400)
    shares = shares_of(lambda: matrix @ matrix, "cpu")
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["matrix products"] > 0 and shares["convolutions"] == shares["norms"] == 0
    header, _, row = cells_of_markdown(tabulate_shares({"a product": shares}))
    assert header == ["of the seconds", *KINDS, REST]
    assert row[0] == "a product" and row[1] == "0 %"
