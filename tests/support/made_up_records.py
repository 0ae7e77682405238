"""Records of cells that never ran."""

from __future__ import annotations

from itertools import product

from harness.records.schema import CellInfo, Counts, Error, LocalizerInfo, Provenance, Record, Score


def a_record(
    method="mine",
    pck=50.0,
    *,
    dataset="birds",
    protocols=("sd4match",),
    localizers=("argmax",),
    alphas=(0.05, 0.1),
    stored=10,
    failed=0,
    pairs=10,
    prompt="none",
    identity="0123456789ab",
):
    """A finished cell. PCK per point is one more than per image, and grows by 10 with each alpha."""
    scores = [
        Score(
            localizer=localizer,
            protocol=protocol,
            averaging=averaging,
            alpha=alpha,
            slice=part,
            pck=min(100.0, pck + (averaging == "point") + 10 * number),
            low=None if pairs < 2 else max(0.0, pck - 4 + 10 * number),
            high=None if pairs < 2 else min(100.0, pck + 5 + 10 * number),
            pairs=stored,
            images=2 * stored,
            keypoints=5 * stored,
        )
        for localizer, protocol, averaging, (number, alpha), part in product(
            localizers, protocols, ("image", "point"), enumerate(alphas), ("all", "category=robin")
        )
    ]
    return Record(
        status="partial" if failed else "ok",
        cell=cell(method, dataset, prompt, identity),
        counts=Counts(pairs=pairs, excluded=0, absent_points=0, limit=None, categories=1),
        localizers={
            name: LocalizerInfo(options={}, pairs=stored, keypoints=5 * stored, failed=failed)
            for name in localizers
        },
        thresholds=dict.fromkeys(protocols, "box"),
        scores=scores,
    )


def cell(method, dataset="birds", prompt="none", identity="0123456789ab"):
    return CellInfo(
        id=f"{dataset}-test-{method}{'' if prompt == 'none' else f'-{prompt}'}.{identity}",
        method=method,
        label=method,
        extractor=method,
        prompt=prompt,
        dataset=dataset,
        split="test",
        seed=0,
        params={},
        backbone="none",
        supervision="Z",
        fed=(768, 768),
    )


def a_failed_record(method="broken"):
    return Record(
        status="failed",
        cell=cell(method),
        error=Error(type="OSError", message="no & <such> 5_% thing", traceback="..."),
    )


def a_timestep_record(method, step, pck, **options):
    """A finished cell of a method at another timestep."""
    record = a_record(method, pck, identity=f"{method}{step}".ljust(12, "0")[:12], **options)
    return _with_cell(record, label=f"{method}[timestep={step}]", params={"timestep": step})


def a_prompt_file_record(name, pck):
    """A finished cell of the method `tuned` with a prompt file in folder `name`."""
    record = a_record("tuned", pck, identity=name.ljust(12, "0")[:12])
    return _with_cell(record, label=f"tuned[prompt-file={name}/best.safetensors]")


def _with_cell(record, **values):
    return record.model_copy(update={"cell": record.cell.model_copy(update=values)})


def with_provenance(record, *, manifest="a" * 64, precision="fp32", started="2026-01-01T00:00:00", **plugins):
    """The record as made on these data at this time, by these versions of plugins (`extractor=...`)."""
    provenance = Provenance(
        versions={},
        commit=None,
        dirty=None,
        plugins={"extractor": "mine 1", **{name.replace("_", " "): value for name, value in plugins.items()}},
        weights={},
        manifest=manifest,
        hardware={},
        precision=precision,
        device="cpu",
        batch_size=8,
        started=started,
        computed_pairs=0,
        stages={},
        gpu_peak_memory_bytes=None,
    )
    return record.model_copy(update={"provenance": provenance})


def with_options(record, **options):
    """The record with these options of all of its localizers."""
    localizers = {
        name: info.model_copy(update={"options": options}) for name, info in record.localizers.items()
    }
    return record.model_copy(update={"localizers": localizers})
