"""PMD's correlation of a pair, in the direction of the harness."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from harness.specs import FeatureMap, MakeContext, Matches
from matchers.backbones.checkpoints import Checkpoint, load_tensors, read_checkpoint
from matchers.pmd.network import ChannelAttention, attend
from matchers.sfnet.checkpoint import convolution_shape
from matchers.sfnet.matcher import to_matches, two_levels

ATTENTION = "chn4_dict"
"""Name of the attention in a checkpoint."""


def read_attention(checkpoint: Checkpoint) -> ChannelAttention:
    """Makes a checkpoint's attention. Raises `UserError` that names a tensor."""
    tensors = checkpoint.group(ATTENTION)
    channels = convolution_shape(checkpoint, ATTENTION, tensors, "mu_conv.0.weight")[0]
    module = ChannelAttention(channels)
    load_tensors(module, tensors, checkpoint.path)
    return module


class PmdMatcher:
    """SFNet's correlation after an attention over the fourth level's channels (a `Matcher`).

    The authors look up points of the target and scale their source first; the target's factors then follow
    from the scaled source. Their source is the target here.

    Raises:
        UserError: the file is not one of the network's.
    """

    def __init__(self, context: MakeContext) -> None:
        checkpoint = read_checkpoint(context.weights["pmd"])
        attention = read_attention(checkpoint)
        self._attention = attention.eval().requires_grad_(False).to(torch.device(context.device))

    def match(self, pairs: Sequence[tuple[FeatureMap, FeatureMap]]) -> list[Matches]:
        """Volumes (h, w, h', w') of the third level's cells."""
        return [self._match_pair(source, target) for source, target in pairs]

    def _match_pair(self, source: FeatureMap, target: FeatureMap) -> Matches:
        (third_source, deep_source), (third_target, deep_target) = two_levels(source), two_levels(target)
        with torch.no_grad():
            deep_target, deep_source = attend(self._attention, deep_target, deep_source)
        return to_matches(source, target, (third_source, deep_source), (third_target, deep_target))
