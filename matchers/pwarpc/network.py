"""PWarpC-NCNet's network: NCNet, and in the weakly supervised one a bin for what has no match."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from matchers.backbones.checkpoints import load_tensors
from matchers.ncnet.network import NCNet

NETWORK = "matching_model."
"""Prefix of NCNet's tensors."""

_BIN = "bin_model.bin_score"


class Bin(nn.Module):
    """One more source cell, of the same score for every target cell: that of no match.

    Attributes:
        bin_score: a learned scalar.
    """

    def __init__(self, score: float = 1.0) -> None:
        super().__init__()
        self.bin_score = nn.Parameter(torch.tensor(score))

    def forward(self, correlation: Tensor) -> Tensor:
        """Correlations (B, S, T) -> probabilities (B, S + 1, T) of the source cells and, last, of none."""
        batch, _, targets = correlation.shape
        no_match = self.bin_score.to(correlation).expand(batch, 1, targets)
        return torch.cat([correlation, no_match], dim=1).softmax(dim=1)


class PWarpCNCNet(nn.Module):
    """The whole network; its tensors have the names of the authors' checkpoints.

    Attributes:
        matching_model: the NCNet.
        bin_model: None in the strongly supervised network.
    """

    def __init__(self, matching_model: NCNet, bin_model: Bin | None) -> None:
        super().__init__()
        self.matching_model = matching_model
        self.bin_model = bin_model

    @classmethod
    def load(cls, tensors: Mapping[str, Tensor], path: Path) -> Self:
        """Makes the network that tensors of an authors' file belong to, and fills it.

        Raises:
            UserError: one line: they are another network's.
        """
        if not any(name.startswith(NETWORK) for name in tensors):
            # As plain NCNets are saved; what is missing is then named as in those.
            return cls(NCNet.load(tensors, path), None)
        below = {
            name.removeprefix(NETWORK): tensor for name, tensor in tensors.items() if name.startswith(NETWORK)
        }
        network = cls(NCNet.like(below, str(path)), Bin() if _BIN in tensors else None)
        load_tensors(network, tensors, path)
        return network


def drop_bin(probability: Tensor, like: Tensor) -> Tensor:
    """Probabilities (B, S + 1, T) of source cells, without the bin's, in the shape of a correlation."""
    return probability[:, :-1].reshape(like.shape)
