"""PWarpC-NCNet's matcher: NCNet's, and probabilities that count the bin."""

from __future__ import annotations

from torch import Tensor

from harness.specs import MakeContext
from matchers.backbones.checkpoints import read_checkpoint
from matchers.ncnet.matcher import ConsensusMatcher
from matchers.pwarpc.network import Bin, PWarpCNCNet, drop_bin


class BinMatcher(ConsensusMatcher):
    """Of a network with a bin, the probabilities of matches; of one without, the refined correlations."""

    def __init__(self, network: PWarpCNCNet, context: MakeContext) -> None:
        super().__init__(network.matching_model.NeighConsensus, context)
        self._bin: Bin | None = network.bin_model
        if self._bin is not None:
            self._bin = self._bin.requires_grad_(False).to(context.device)

    def scores(self, correlation: Tensor) -> Tensor:
        """See `ConsensusMatcher`."""
        if self._bin is None:
            return correlation
        return drop_bin(self._bin(correlation.flatten(3).flatten(1, 2)), correlation)


def make_matcher(context: MakeContext, source: str) -> BinMatcher:
    """Makes the matcher of a PWarpC-NCNet's checkpoint.

    Args:
        source: name of the weight source.

    Raises:
        UserError: the file is damaged, or another network's.
    """
    path = context.weights[source]
    return BinMatcher(PWarpCNCNet.load(read_checkpoint(path).tensors, path), context)
