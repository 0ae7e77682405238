"""Methods: the named recipes that `bench_methods` collects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.specs.bibtex import check_citation
from harness.specs.common import NO_PROMPT, Scalar
from harness.specs.matchers import NO_MATCHER
from harness.specs.tuning import NOT_STATED


@dataclass(frozen=True, kw_only=True)
class MethodSpec:
    """A named recipe.

    Attributes:
        extractor: name of its feature extractor.
        prompt: name of its prompt type; `none` for an extractor without prompts.
        matcher: name of its matcher; `none` where the localizer compares the extractor's maps itself.
        localizer: name of its own localizer.
        params: values that differ from the defaults of extractor and matcher.
        localizer_options: localizer -> options that differ from that localizer's defaults.
        supervision: `Z` zero-shot, `I` image-level labels or pairs, `K` keypoints (the paper's Table 2).
        trained_on: dataset its prompt or network was trained on.
        tuned_on: data on which its free choices were made (layer, timestep, temperature, facet, size, weights
            of a fusion), each as `DATASET/SPLIT`: `spair-71k/val`, `spair-71k/test`, `spair-71k/?` for an
            unknown split. Empty where nothing was chosen on data; `NOT_STATED` where its sources do not say.
        notes: the points in which it follows the authors' code, and those in which the code and the paper
            differ.
        citation: BibTeX of the paper it follows, for `bench cite`; empty where there is none.
    """

    name: str
    extractor: str
    prompt: str = NO_PROMPT
    matcher: str = NO_MATCHER
    localizer: str = "argmax"
    params: Mapping[str, Scalar] = field(default_factory=dict)
    localizer_options: Mapping[str, Mapping[str, Scalar]] = field(default_factory=dict)
    supervision: Literal["Z", "I", "K"] = "Z"
    trained_on: str | None = None
    tuned_on: tuple[str, ...] = (NOT_STATED,)
    description: str = ""
    citation: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        """Raises `UserError` where the citation is not BibTeX."""
        check_citation(f"method '{self.name}'", self.citation)
