"""The schema of a record: all that a finished cell leaves behind besides its predictions.

A cell has a folder of its own, with `record.json`, `predictions.parquet` and, while it runs, `shards/`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic

from harness.errors import UserError
from harness.frames import Size
from harness.specs import Averaging, Scalar

SCHEMA = 1

Status = Literal["ok", "partial", "failed", "not-applicable"]


class _Model(pydantic.BaseModel):
    # An unknown field is refused, not dropped: the record may be damaged or of another version.
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class CellInfo(_Model):
    """Identity of the cell, and properties that its tables print."""

    id: str
    """The name of the cell's folder."""
    method: str
    """Name of the recipe, as `--methods` takes it."""
    label: str
    """The method, with the parameters the user set: what tables print."""
    extractor: str
    """Name of the feature extractor."""
    prompt: str
    """Prompt type; `none` where the extractor takes none."""
    matcher: str = "none"
    """The matcher between extractor and localizer; `none` for a method without one, and in records of before
    there were any."""
    dataset: str
    """Name of the dataset, as tables print it."""
    split: str
    """Split of the dataset; `test[cat,dog]` where `--categories` chose some."""
    seed: int
    """Seed of all noise."""
    params: dict[str, Scalar]
    """The parameters of extractor and matcher."""
    backbone: str
    """The weight sources used, and the first hex digits of a hash over their files:
    `tiny-stable-diffusion@1a2b3c4d`. The user's own files are marked with their file or folder,
    `stable-diffusion-2-1=my-folder@...`; `none` without weights."""
    features: str = ""
    """The same for the extractor's weights alone: equal in cells that differ in their prompt only."""
    supervision: str
    """What was tuned: `Z` nothing on labels, `I` with image-level labels or pairs, `K` with keypoints."""
    trained_on: str | None = None
    """Data that weights or prompt were fitted to; null where there were none."""
    tuned_on: tuple[str, ...] | None = None
    """Data on which free choices were made, each as `DATASET/SPLIT`, `not stated` or `user's choice`; empty
    where nothing was chosen on data. Null in records of before it was recorded."""
    fed: tuple[pydantic.PositiveInt, pydantic.PositiveInt] | None
    """Width and height in pixels of the image the extractor was fed: the frame of protocol `sd4match`. Null
    where method and prompt do not fit together: the size follows from the weights, and none were looked
    for."""
    notes: str = ""
    """Where the recipe follows its authors, and where it cannot."""

    @property
    def input_size(self) -> Size:
        """`fed` as a size. Raises `UserError` where it is None."""
        if self.fed is None:
            raise UserError(f"{self.id}: not applicable, so it has no predictions to score")
        return Size(*self.fed)


ShardName = Annotated[str, pydantic.Field(pattern="^[1-9][0-9]{0,8}/[1-9][0-9]{0,8}$")]
"""One of the parts into which the pairs asked for were cut: `3/8`."""


class LocalizerInfo(_Model):
    """Options of one localizer, and the number of pairs it has predicted."""

    options: dict[str, Scalar]
    """Option -> value."""
    pairs: pydantic.NonNegativeInt
    """Pairs with predictions."""
    keypoints: pydantic.NonNegativeInt
    """Keypoints of these pairs."""
    failed: pydantic.NonNegativeInt
    """Pairs that raised, so that there is no prediction."""
    shards: list[ShardName] = []
    """Shards of the pairs asked for that were run, as `3/8`; empty without `--shard`, and with all pairs."""
    reads_annotations: bool = False
    """Whether it was told which keypoints are visible in the target."""


class Score(_Model):
    """One number of a table."""

    localizer: str
    """The localizer whose points are counted."""
    protocol: str
    """The protocol: the frame of errors, and the length that alpha multiplies."""
    averaging: Averaging
    """What is averaged: shares of images or keypoints, of all pairs or within each category first."""
    alpha: Annotated[pydantic.FiniteFloat, pydantic.Field(gt=0)]
    """Share of that length up to which a point is correct."""
    slice: str
    """`all`, `category=cat`, `viewpoint=2` ..."""
    pck: pydantic.FiniteFloat
    """Percent."""
    low: pydantic.FiniteFloat | None
    """Lower end of the 95 % interval by bootstrap over images, in percent; null with fewer than ten images,
    and where all pairs have the same share."""
    high: pydantic.FiniteFloat | None
    """Its upper end, in percent."""
    pairs: pydantic.NonNegativeInt
    """Pairs of the slice that have a score."""
    images: pydantic.NonNegativeInt | None = None
    """Different images of the pairs, by content. Null in records of earlier versions, whose intervals take
    pairs as independent and are too narrow."""
    keypoints: pydantic.NonNegativeInt
    """Keypoints of these pairs."""


class Failure(_Model):
    """A pair that raised."""

    pair_id: str
    """Name of the pair."""
    localizer: str | None
    """The localizer that failed, null where there were no features to locate in."""
    error: str
    """The error, in one line."""
    localizers: list[str] = []
    """Where `localizer` is null: those that have no prediction of the pair for this reason, or, with a
    protocol, whose prediction cannot be scored. Empty in older records, where it is all of them."""
    protocol: str | None = None
    """The only protocol under which the pair has no score; null where it has no prediction at all."""

    def concerns(self, localizer: str, protocol: str = "") -> bool:
        """Says whether a localizer's numbers under a protocol lack the pair for this reason."""
        if self.protocol not in (None, protocol):
            return False
        names = [self.localizer] if self.localizer else self.localizers
        return not names or localizer in names


class Counts(_Model):
    """Pairs of the split."""

    pairs: pydantic.NonNegativeInt
    """All there are."""
    excluded: pydantic.NonNegativeInt
    """Without a single valid point."""
    absent_points: pydantic.NonNegativeInt
    """Points that are not finite in one of the images: neither predicted nor counted."""
    limit: pydantic.PositiveInt | None
    """The --limit of the last run, null where every pair was asked for."""
    shard: ShardName | None = None
    """The --shard of the last run, as `3/8`; null without, and where all shards are there."""
    official: int | None = None
    """Pairs of the split as it was published, null where nobody says it."""
    categories: int | None = None
    """Categories of all pairs; older records have no such field."""

    @property
    def is_whole(self) -> bool:
        """Says whether the split has as many pairs as the published one, as far as that is known."""
        return self.official is None or self.pairs == self.official


class Stage(_Model):
    """Cost of one stage of the last run."""

    seconds: Annotated[pydantic.FiniteFloat, pydantic.Field(ge=0)]
    """Time by the clock."""
    peak_memory_bytes: pydantic.NonNegativeInt
    """High-water mark of the process's memory when the stage ended."""


class CacheUse(_Model):
    """Use of one store of `--cache` in the last run."""

    found: pydantic.NonNegativeInt
    """Pictures whose arrays were read."""
    computed: pydantic.NonNegativeInt
    """Pictures whose arrays were not there."""


class EarlierRun(_Model):
    """Where and with what earlier runs of a cell computed some of its predictions."""

    started: str
    """Start of the last of them, UTC."""
    runs: pydantic.PositiveInt = 1
    """Number of runs in this environment."""
    computed_pairs: pydantic.NonNegativeInt
    """Pairs that they extracted features for."""
    versions: dict[str, str]
    """Package that numbers may depend on, or `python` -> its version."""
    commit: str | None
    """Commit of the package's source, where it is a git checkout."""
    dirty: bool | None
    """True where the package's source differs from that commit."""
    hardware: dict[str, str]
    """Processor, cores, threads, system and, where one was used, the GPU."""
    device: str
    """Torch device."""
    compiled: bool = False
    """True where `--compile` was given."""
    batch_size: pydantic.PositiveInt
    """Images, or pairs, computed at once."""


class Provenance(_Model):
    """Software, data, weights and machine that the numbers came from."""

    versions: dict[str, str]
    """Package that numbers may depend on, or `python` -> its version."""
    commit: str | None
    """Commit of the package's source, where it is a git checkout."""
    dirty: bool | None
    """True where the package's source differs from that commit."""
    plugins: dict[str, str]
    """Extractor, prompt and localizers -> plugin that brought it, with a hash of its code; `harness` -> our
    own version and code, which all predictions go through."""
    workers: pydantic.PositiveInt | None = None
    """Processes of a cluster that did the work of the last run; null where it was done without a cluster."""
    nodes: pydantic.PositiveInt | None = None
    """Machines of the cluster that they ran on."""
    weights: dict[str, dict[str, str]]
    """Weight source -> file -> sha256."""
    weight_origins: dict[str, str] = {}
    """Weight source -> repository and commit, or address, that its files came from, where that is known."""
    manifest: str
    """Hash of the dataset split: pairs, points, boxes and the pictures' content."""
    facts: dict[str, str] = {}
    """What the split says of itself, such as the hash of its list of pairs; older records have no such
    field."""
    hardware: dict[str, str]
    """Processor, cores, threads, system and, where one was used, the GPU."""
    precision: str
    """Of the networks: `fp32`, `bf16` or `fp16`."""
    compiled: bool = False
    """True where `--compile` was given; older records have no such field."""
    device: str
    """Torch device."""
    batch_size: pydantic.PositiveInt
    """Images, or pairs, computed at once."""
    started: str
    """UTC."""
    computed_pairs: pydantic.NonNegativeInt
    """Pairs that the last run extracted features for; `stages` speaks of those."""
    stages: dict[str, Stage]
    """Stage (`load`, `extract`, `locate`, `score`) -> its cost."""
    cache: dict[str, CacheUse] = {}
    """Folder below that of `--cache` -> its use."""
    gpu_peak_memory_bytes: pydantic.NonNegativeInt | None
    """High-water mark of PyTorch's memory on the GPU; null without one."""
    earlier_runs: list[EarlierRun] = []
    """Earlier runs that computed predictions, oldest first; those of one environment are one entry."""

    @property
    def is_mixed(self) -> bool:
        """Says whether earlier runs computed predictions in another environment than the last one."""
        here = environment_of(self)
        return any(environment_of(run) != here for run in self.earlier_runs)


def environment_of(run: Provenance | EarlierRun) -> tuple[object, ...]:
    """Everything about a run that may change its numbers, if only by rounding."""
    return run.versions, run.commit, run.dirty, run.hardware, run.device, run.compiled, run.batch_size


class Error(_Model):
    """The error that made a cell fail as a whole."""

    type: str
    """The error's class."""
    message: str
    """Its message, in one line."""
    traceback: str
    """As Python prints it, cut where it is long."""


class Record(_Model):
    """All that a finished cell leaves behind besides its predictions."""

    schema_: int = pydantic.Field(default=SCHEMA, alias="schema")
    """Number of this schema; a record with a larger one is refused."""
    status: Status
    """`partial`: some pairs failed; `failed`: all did; `not-applicable`: method and prompt do not fit."""
    cell: CellInfo
    """What was run."""
    counts: Counts | None = None
    """Pairs of the split; null where the cell failed as a whole or is not applicable, but for a shard."""
    localizers: dict[str, LocalizerInfo] = {}
    """Localizer -> its options and counts."""
    thresholds: dict[str, str] = {}
    """Protocol -> what its alpha multiplies."""
    frames: dict[str, str] = {}
    """Protocol -> frame that its errors are measured in; records from before it have no such field."""
    averagings: dict[str, Averaging] = {}
    """Protocol -> the average that its authors print; records from before it have no such field."""
    measures: dict[str, str] = {}
    """Protocol -> hash of its definition and of its threshold's code; absent in older records."""
    scores: list[Score] = []
    """All numbers that tables show."""
    failures: list[Failure] = []
    """Pairs that failed, one entry for each cause."""
    tracebacks: dict[str, str] = {}
    """Kind and place of an error, `KeyError, file.py:12` -> traceback of one failure of that cause."""
    error: Error | None = None
    """Why the cell failed as a whole; null where it did not."""
    reason: str = ""
    """Reason why the cell is not applicable."""
    not_applicable: dict[str, str] = {}
    """Protocol that was asked for -> why this dataset has no such measure: no box, say."""
    predictions_sha256: str = ""
    """Of the file of predictions that the scores were made from; empty in older records."""
    sealed: str = ""
    """Hash of all the rest as it was written; empty in older records, and before a record is written."""
    provenance: Provenance | None = None
    """Where the numbers come from; null where there are none."""

    def failed_pairs(self, localizer: str, protocol: str = "") -> int:
        """Number of pairs without a prediction by a localizer, or without a score under a protocol."""
        info = self.localizers.get(localizer)
        unscored: set[str] = set()
        for failure in self.failures:
            if failure.protocol and failure.concerns(localizer, protocol):
                unscored.add(failure.pair_id)
        return (info.failed if info else 0) + len(unscored)

    def coverage(self, localizer: str, protocol: str = "") -> Literal["ok", "partial", "limited", "failed"]:
        """Coverage of the split by one localizer, under a protocol where one is given.

        Every pair (`ok`), all but failed ones (`partial`), some of them, or of a split that is not the
        published one (`limited`), or none (`failed`).
        """
        info = self.localizers.get(localizer)
        if info is None or self.counts is None or not info.pairs:
            return "failed"
        # Excluded pairs have nothing to predict, and do not make a run limited.
        if info.pairs + info.failed + self.counts.excluded < self.counts.pairs:
            return "limited"
        if not self.counts.is_whole:
            return "limited"
        if self.failed_pairs(localizer, protocol):
            return "partial"
        return "ok"


def seconds_per_pair(record: Record) -> float | None:
    """Seconds for features and points of a pair, loading left out, in the run that computed them; None where
    unknown.
    """
    provenance = record.provenance
    if provenance is None or not provenance.computed_pairs:
        return None
    seconds: float = 0
    for name in ("extract", "match", "locate"):
        stage = provenance.stages.get(name)
        if stage:
            seconds += stage.seconds
    return seconds / provenance.computed_pairs


def status_text(record: Record) -> str:
    """A record's status, with the reason where there is one: printed in the place of its numbers."""
    reason = record.error.message if record.error else record.reason
    return f"{record.status}: {reason}" if reason else record.status
