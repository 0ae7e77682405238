"""What `bench run --dry-run` prints."""

from __future__ import annotations

from harness.messages import bytes_text, counted
from harness.running.forecast import CellForecast, Estimate, Forecast


def forecast_text(forecast: Forecast) -> str:
    """A table of the cells, a list of what is missing, and a line on what all of it may take."""
    from tabulate import tabulate

    rows = [_row(cell) for cell in forecast.cells]
    header = ("cell", "pairs", "there", "time", "memory", "note")
    alignment = ("left", "right", "right", "left", "left", "left")
    # Texts as they are: tabulate would read some as numbers.
    parts = [tabulate(rows, header, tablefmt="plain", colalign=alignment, disable_numparse=True)]
    if forecast.missing:
        lines = ["missing:"]
        for each in forecast.missing:
            size = f" (about {bytes_text(each.download)})" if each.download else ""
            lines.append(f"  {each.name}{size}: {each.remedy}")
        parts.append("\n".join(lines))
    parts.append(_summary(forecast))
    return "\n\n".join(parts)


def _row(cell: CellForecast) -> tuple[str, ...]:
    pairs = "–" if cell.pairs is None else f"{cell.pairs:,}"
    if cell.lacks:
        word = "lacks " if cell.id is None else "not applicable: "
        return cell.id or cell.title, pairs, "–", "–", "–", f"{word}{', '.join(cell.lacks)}"
    if not cell.to_do:
        return cell.id or cell.title, pairs, f"{cell.there:,}", "–", "–", "is there: its numbers are printed"
    time, memory, note = "not known", "not known", ""
    if cell.estimate:
        time, memory = f"about {_duration(cell.estimate.seconds)}", _memory(cell.estimate)
        note = f"by {cell.estimate.basis}"
    return cell.id or cell.title, pairs, f"{cell.there:,}", time, memory, note


def _memory(estimate: Estimate) -> str:
    texts = [bytes_text(estimate.memory)]
    if estimate.gpu_memory:
        texts.append(f"{bytes_text(estimate.gpu_memory)} of the GPU")
    return ", ".join(texts)


def _duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"


def _summary(forecast: Forecast) -> str:
    """`2 cells, 1,160 pairs to predict, about 4 min; nothing was run or written`."""
    to_do = [cell for cell in forecast.cells if cell.to_do and not cell.lacks]
    pairs = sum(cell.to_do for cell in to_do)
    text = counted(len(forecast.cells), "cell")
    if pairs or not forecast.missing:
        text += f", {counted(pairs, 'pair')} to predict"
    estimates = [cell.estimate for cell in to_do if cell.estimate]
    if estimates:
        text += f", about {_duration(sum(each.seconds for each in estimates))}"
        if len(estimates) < len(to_do):
            text += f" for {len(estimates)} of {counted(len(to_do), 'cell')}"
    if forecast.missing:
        return f"{text}; nothing runs before all that is missing is there{_download(forecast)}"
    return f"{text}; nothing was run or written"


def _download(forecast: Forecast) -> str:
    """About how much there is to fetch, as far as it is known; empty where nothing is known."""
    sizes = [each.download for each in forecast.missing if each.download]
    if not sizes:
        return ""
    rest = len(forecast.missing) - len(sizes)
    more = f", and {counted(rest, 'thing')} of unknown size" if rest else ""
    return f" (about {bytes_text(sum(sizes))} to fetch{more})"
