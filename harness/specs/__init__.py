"""Records that plugins hand over, one file per hook, behind one door.

`from harness.specs import ExtractorSpec` and so on. A spec is cheap: importing the module that defines it
must not import torch. Its `make` (or `open`, or `locate`) does the work, and may import whatever it needs.
"""

from harness.specs.commands import CommandSpec
from harness.specs.common import AVERAGINGS, NO_PROMPT, Averaging, Files, RemoteFile, Scalar, Scope, Threshold
from harness.specs.datasets import (
    DatasetSpec,
    FactualDataset,
    ImagePair,
    ImageSource,
    LabelledDataset,
    MaskedDataset,
    NotedDataset,
    PairDataset,
    ThresholdDataset,
    is_factual_dataset,
    is_labelled_dataset,
    is_masked_dataset,
    is_noted_dataset,
    is_threshold_dataset,
    valid_points,
)
from harness.specs.extractors import (
    ExtractorSpec,
    FeatureMap,
    ImageExtractor,
    ImageRequest,
    ImageSize,
    LazyImage,
    MakeContext,
    PairExtractor,
    PictureNames,
    Prepare,
    PreparingExtractor,
    is_preparing_extractor,
)
from harness.specs.lifecycle import CellSummary
from harness.specs.localizers import (
    AnnotatedLocalizer,
    BatchLocalizer,
    Localizer,
    LocalizerSpec,
    Located,
    PairAnnotations,
    Reading,
    is_annotated_localizer,
    is_batch_localizer,
)
from harness.specs.matchers import (
    NO_MATCHER,
    Lattice,
    Matcher,
    MatcherSpec,
    Matches,
    MatchesKind,
    MatchesReader,
    is_matches_reader,
)
from harness.specs.methods import MethodSpec
from harness.specs.prompts import LearnedFile, LearnedSpec, PairPrompt, Prompt, PromptSpec
from harness.specs.protocols import ProtocolSpec, TargetInFrame, read_alpha
from harness.specs.reported import ReportedSpec
from harness.specs.shared import SharedObjects
from harness.specs.trainers import TrainerSpec
from harness.specs.tuning import NOT_STATED
from harness.specs.weights import NetworkTraining, Refusal, WeightSource

__all__ = [
    "AVERAGINGS",
    "NOT_STATED",
    "NO_MATCHER",
    "NO_PROMPT",
    "AnnotatedLocalizer",
    "Averaging",
    "BatchLocalizer",
    "CellSummary",
    "CommandSpec",
    "DatasetSpec",
    "ExtractorSpec",
    "FactualDataset",
    "FeatureMap",
    "Files",
    "ImageExtractor",
    "ImagePair",
    "ImageRequest",
    "ImageSize",
    "ImageSource",
    "LabelledDataset",
    "Lattice",
    "LazyImage",
    "LearnedFile",
    "LearnedSpec",
    "Localizer",
    "LocalizerSpec",
    "Located",
    "MakeContext",
    "MaskedDataset",
    "Matcher",
    "MatcherSpec",
    "Matches",
    "MatchesKind",
    "MatchesReader",
    "MethodSpec",
    "NetworkTraining",
    "NotedDataset",
    "PairAnnotations",
    "PairDataset",
    "PairExtractor",
    "PairPrompt",
    "PictureNames",
    "Prepare",
    "PreparingExtractor",
    "Prompt",
    "PromptSpec",
    "ProtocolSpec",
    "Reading",
    "Refusal",
    "RemoteFile",
    "ReportedSpec",
    "Scalar",
    "Scope",
    "SharedObjects",
    "TargetInFrame",
    "Threshold",
    "ThresholdDataset",
    "TrainerSpec",
    "Undecoded",
    "WeightSource",
    "is_annotated_localizer",
    "is_batch_localizer",
    "is_factual_dataset",
    "is_labelled_dataset",
    "is_masked_dataset",
    "is_matches_reader",
    "is_noted_dataset",
    "is_preparing_extractor",
    "is_threshold_dataset",
    "read_alpha",
    "valid_points",
]

Undecoded = LazyImage
"""Its earlier name, which plugins may have written."""
