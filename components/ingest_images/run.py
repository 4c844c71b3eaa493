"""The step itself: read and check every image, write one dataset, draw a page of what was read."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.producer import producer
from sluice.core.bounds import IMAGE_BYTES, IMAGES_BYTES, IMAGES_VALUES
from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.engine.datasets import write_dataset
from sluice.engine.duckdb_engine import duckdb_engine
from sluice.features.labels import LabelKind, label_kind
from sluice.features.pixels import ImageShape, decode_png, shape_of
from sluice.parameters.ingest_images import checked_task
from sluice.problems.registry import FORMS
from sluice.problems.task import Task
from sluice.project.declaration import Label, TaskDeclaration
from sluice.reporting.images_page import images_page
from sluice.sources.image_metadata import FIELDS, METADATA, ImageLine, parse_metadata
from sluice.storage.locations import default_store, open_lake
from sluice.storage.stores import Store

_READERS = 8  # a store answers several requests at once

_COLUMNS = {"id": pa.string(), "image": pa.binary(), "width": pa.int64(), "height": pa.int64()}


@dataclass(frozen=True)
class Images:
    """What was read.

    Attributes:
        bundle: The dataset, one table `rows`, ordered by id.
        rows: Its number of rows.
    """

    bundle: Bundle
    rows: int


def run(lake: str, task: Mapping[str, Any], page: Path) -> Images:
    """Read a lake of images.

    Args:
        lake: The lake's address, as `sluice.storage.locations.open_lake` reads it.
        task: What a project declares: name, question, and the label with its classes.
        page: Where the HTML page is written.

    Raises:
        BadInput: The metadata or an image is missing, broken, or does not match; the first one is named. Or
            the task is none for images.
        EnvironmentFault: The lake or the store failed.
    """
    declared = checked_task("task", task)
    label = declared.label.column
    if label in (*FIELDS, *_COLUMNS):
        raise BadInput(f"label.column: {label!r} is a field that every image has; give the label a field of its own")
    store = open_lake(lake)
    where = f"{store.uri}/{METADATA}"
    if not store.exists(METADATA):
        raise BadInput(f"{where} is not there; check `lake`")
    metadata = store.get_bytes(METADATA)
    lines = parse_metadata(metadata, where, label)
    progress(f"reading {len(lines):,} images")
    read = _read(store, lines, where)
    _check_shapes(lines, [shape for _, shape in read], store.uri)
    kind = _kind(lines, declared.label)
    codes = {value: code for code, value in enumerate(kind.values)}
    rows = [row | {label: codes[line.label]} for line, (row, _) in zip(lines, read, strict=True)]
    page.write_text(images_page(rows, label, kind.classes, store.uri), encoding="utf-8")
    schema = pa.schema([*_COLUMNS.items(), (label, pa.int64())])
    table = duckdb_engine().create_table("rows", pa.Table.from_pylist(rows, schema=schema)).order_by("id")
    details = {"sources": _sources(metadata, lines, rows), **_task(declared, kind).details()}
    made = producer("ingest_images", {"task": declared.model_dump(mode="json", exclude_defaults=True)})
    return Images(write_dataset(default_store(), {"rows": table}, made, details=details), len(rows))


def _kind(lines: list[ImageLine], label: Label) -> LabelKind:
    """The label's classes.

    Raises:
        BadInput: They are numbers to forecast, or no classes; see `label_kind`.
    """
    labels = pa.table({label.column: [line.label for line in lines]})
    kind = label_kind(duckdb_engine().create_table("labels", labels), label)
    if not kind.classes:
        raise BadInput(
            f"label {label.column!r} is a number with many values, and of images only classes can be learned; give "
            "few, or say label.kind: multiclass"
        )
    progress(kind.said)
    return kind


def _task(declared: TaskDeclaration, kind: LabelKind) -> Task:
    return Task(
        name=declared.name,
        question=declared.question or f"What is {declared.label.column!r}?",
        label=declared.label.column,
        classes=kind.classes,
        key=("id",),
        image="image",
        problem=kind.problem,
        problem_name=(declared.label.kind or "") if declared.label.kind not in FORMS else "",
    )


def _read(store: Store, lines: list[ImageLine], where: str) -> list[tuple[dict[str, Any], ImageShape]]:
    """Every image with its shape; few at a time, so that a bound is met before much more is read."""
    read: list[tuple[dict[str, Any], ImageShape]] = []
    size = values = 0
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(lines), _READERS):
            for row, shape in pool.map(lambda line: _row(store, line, where), lines[start : start + _READERS]):
                read.append((row, shape))
                size += len(row["image"])
                values += shape.width * shape.height * shape.channels
            IMAGES_BYTES.check(size, where, "give fewer or smaller images")
            IMAGES_VALUES.check(values, where, "give fewer or smaller images")
    return read


def _row(store: Store, line: ImageLine, where: str) -> tuple[dict[str, Any], ImageShape]:
    place = f"{store.uri}/{line.file}"
    if not store.exists(line.file):
        raise BadInput(f"{place} is not there, though {where}, line {line.number} names it; add it or drop the line")
    data = store.get_bytes(line.file, IMAGE_BYTES)
    pixels = decode_png(data, place)
    if sha256_bytes(data) != line.sha256:
        raise BadInput(f"{place} differs from its SHA-256 in {where}, line {line.number}; restore the file")
    shape = shape_of(pixels)
    row = {"id": line.id, "image": data, "width": shape.width, "height": shape.height}
    return row, shape


def _check_shapes(lines: list[ImageLine], shapes: list[ImageShape], lake: str) -> None:
    """Refuse images of several shapes: a model takes one."""
    for line, shape in zip(lines, shapes, strict=True):
        if shape != shapes[0]:
            raise BadInput(f"{lake}/{line.file} is {shape}, but {lines[0].file} is {shapes[0]}; give all one shape")


def _sources(metadata: bytes, lines: list[ImageLine], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The metadata's digest stands for the images too: it holds theirs, and each was checked against it."""
    total = sum(len(row["image"]) for row in rows)
    return [
        {
            "table": "rows",
            "path": METADATA,
            "sha256": sha256_bytes(metadata),
            "bytes": len(metadata) + total,
            "rows": len(lines),
        }
    ]
