"""What `sluice monitor` does once its options are read: watch, write, tell, and say whether there is an alarm."""

import sys
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluice.core.errors import BadInput
from sluice.core.files import written
from sluice.monitoring.records import WatchSettings, WindowRecord
from sluice.running.terminal import console, plain, print_json

if TYPE_CHECKING:
    from sluice.running.monitoring import Watched, WatchOrder
    from sluice.running.version_watch import WatchedVersion

_MOST_TOLD = 6
PAGE = Path("monitor.html")


@dataclass(frozen=True)
class Told:
    """Where results go.

    Attributes:
        page: The page's file; None for the default.
        webhook: An address, or empty.
        metrics: A file for Prometheus' text, or None.
        as_json: Whether a program reads standard output.
    """

    page: Path | None
    webhook: str
    metrics: Path | None
    as_json: bool


def watch_files(order: "WatchOrder", publish: bool, told: Told) -> bool:
    """Watch files; whether the latest window has an alarm that somebody should look at now."""
    from sluice.monitoring.exposition import exposition
    from sluice.running.alarm_notices import send_alarms
    from sluice.running.monitoring import publish_windows, watch

    with _progress_apart(told):
        watched, page = watch(order), told.page or PAGE
    from sluice.reporting.monitoring_page import monitoring_page  # its figures take memory that the watch needs first

    _write(page, monitoring_page(watched.model, watched.reference, watched.windows, watched.settings))
    published = [bundle.id for bundle in publish_windows(watched)] if publish else []
    last = watched.windows[-1]
    if told.metrics:
        _write(told.metrics, exposition([(watched.model, last, watched.settings.metric)]))
    if told.webhook:
        send_alarms(told.webhook, watched.model, last)
    if told.as_json:
        print_json(_body(watched, page, published))
        return watched.page
    _print(
        [*_history(watched.windows), *_lines(last, watched.settings.metric)]
        + [f"published: {each}" for each in published]
        + [f"page: {page}"]
    )
    return watched.page


def watch_model(
    model: str, settings: WatchSettings, since: str | None, until: str | None, label_delay: str, told: Told
) -> bool:
    """Watch a model's log in the store; whether there is an alarm that somebody should look at now."""
    from datetime import UTC, datetime, timedelta
    from functools import partial

    from sluice.core.durations import parse_duration
    from sluice.predictions.labels import moment_in
    from sluice.running.alarm_notices import send_alarms
    from sluice.running.log_pages import keep_pages, metrics_of, page_of
    from sluice.running.log_watching import LogOrder, watch_log
    from sluice.storage.locations import default_store

    if Path(model).suffix.lower() in (".parquet", ".pq", ".csv") or Path(model).exists():
        raise BadInput(f"sluice monitor {model}: name the file of present rows after it, or a registered model alone")
    try:
        delay = timedelta(seconds=parse_duration(label_delay)) if label_delay else None
    except ValueError as error:
        raise BadInput(f"--label-delay: {error}") from None
    store, now = default_store(), moment_in(until) or datetime.now(UTC)
    order = LogOrder(model, settings, now, moment_in(since), delay)
    with _progress_apart(told):
        found = watch_log(order, store, partial(send_alarms, told.webhook) if told.webhook else None)
    judged, page = [each for each in found if each.windows], ""
    if judged:
        page = keep_pages(store, judged)
        if told.page:
            _write(told.page, page_of(judged))
        if told.metrics:
            _write(told.metrics, metrics_of(judged))
    alarm = any(each.page for each in judged)
    if told.as_json:
        print_json({"model": model, "page": page, "alarm": alarm, "versions": [_version_body(each) for each in found]})
    else:
        _print([*(line for each in found for line in _version_lines(each)), *([f"page: {page}"] if page else [])])
    for each in found:
        if each.fault:
            raise each.fault
    return alarm


def _progress_apart(told: Told) -> AbstractContextManager[object]:
    """Progress goes beside the results where a program reads these."""
    return redirect_stdout(sys.stderr if told.as_json else sys.stdout)


def _version_lines(found: "WatchedVersion") -> list[str]:
    if not found.windows:
        return [f"{found.version}: no whole window is over yet"]
    judged = [each for each in found.windows if each.name in (*found.new, *found.restated)]
    lines = [f"{found.version}: {_counted(len(found.new), 'new window')}"]
    if found.restated:
        lines[0] += f", {len(found.restated)} judged again for labels that came ({', '.join(found.restated[-3:])})"
    lines += [
        f"  {window.name}: ALARM ({each.severity}): {each.title}; {each.cause}"
        for window in judged
        for each in window.alarms
        if each.new and window is not found.windows[-1]
    ]
    last = found.windows[-1]
    lines += [
        f"  {last.name}: {line}" if n == 0 else f"  {line}"
        for n, line in enumerate(_lines(last, found.settings.metric))
    ]
    return lines + [f"  published: {each}" for each in found.published]


def _counted(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _version_body(found: "WatchedVersion") -> dict[str, Any]:
    wanted = {*found.new, *found.restated}
    return {
        "version": found.version,
        "digest": found.digest,
        "reference": found.reference,
        "settings": found.settings.model_dump(mode="json"),
        "alarm": found.page,
        "new": list(found.new),
        "restated": list(found.restated),
        "published": list(found.published),
        "windows": [each.model_dump(mode="json", by_alias=True) for each in found.windows if each.name in wanted],
    }


def _history(windows: list[WindowRecord]) -> list[str]:
    if len(windows) < 2:
        return []
    alarmed = [(window.name, each) for window in windows for each in window.alarms if each.new]
    lines = [f"{name}: would have alarmed ({a.severity}): {a.title}; {a.cause}" for name, a in alarmed]
    return [*lines, f"{len(windows)} windows, {len(alarmed)} alarms; the latest, {windows[-1].name}:"]


def _lines(window: WindowRecord, metric: str) -> list[str]:
    """A window in the terminal: how good the model is first."""
    from sluice.reporting.monitoring_page import verdict

    lines = [verdict(window, metric)[0]]
    for alarm in window.alarms:
        lines += [f"ALARM ({alarm.severity}): {alarm.title}: {alarm.cause}"]
        lines += [f"  {alarm.clause}"] if alarm.clause else []
        lines += [f"  {each}" for each in alarm.found]
        lines += [f"  worst group: {s.column}: {s.group} ({s.rows:,} rows)" for s in alarm.slices[:1]]
        lines.append(f"  next: {alarm.command}")
    moved = [each for each in (*window.outputs, *window.inputs) if each.distance > each.margin][:_MOST_TOLD]
    lines += [f"moved: {each.column}, distance {each.distance:.3f}, importance {each.importance:.0%}" for each in moved]
    return lines + [f"note: {each}" for each in window.notes]


def _print(lines: list[str]) -> None:
    terminal = console()
    for line in lines:
        terminal.print(plain(line), highlight=False, soft_wrap=True)


def _write(path: Path, text: str) -> None:
    with written(path) as stream:
        stream.write(text.encode())


def _body(watched: "Watched", page: Path, published: list[str]) -> dict[str, Any]:
    return {
        "model": watched.model,
        "reference": watched.reference,
        "settings": watched.settings.model_dump(mode="json"),
        "page": str(page),
        "alarm": watched.page,
        "published": published,
        "windows": [window.model_dump(mode="json", by_alias=True) for window in watched.windows],
    }
