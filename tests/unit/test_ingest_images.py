"""A lake of images is read back as it was laid out, or the first wrong file and line are named."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sluice.components.ingest_images.run import Images, run
from sluice.core.digests import sha256_bytes
from sluice.core.errors import BadInput
from sluice.engine.datasets import read_dataset
from sluice.features.pixels import decode_png
from sluice.problems.task import task_of
from sluice.sources.image_metadata import METADATA, parse_metadata
from sluice.storage.locations import STORE
from sluice.storage.stores import Store
from tests.examples import DIGITS, module, task
from tests.unit.png_oracle import check_png


def _png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(STORE, str(tmp_path / "store"))
    folder = tmp_path / "lake"
    folder.mkdir()
    lines = []
    for number in (2, 0, 1):
        data = _png(number * 50)
        (folder / f"{number}.png").write_bytes(data)
        lines.append({"id": f"i{number}", "file": f"{number}.png", "label": number, "sha256": sha256_bytes(data)})
    (folder / METADATA).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder


def _read(lake: Path) -> Images:
    return run(str(lake), task(DIGITS), lake.parent / "page.html")


def _change(lake: Path, number: int, **fields: Any) -> None:
    lines = [json.loads(line) for line in (lake / METADATA).read_text().splitlines()]
    lines[number] |= fields
    (lake / METADATA).write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def test_images_come_back_in_the_order_of_their_ids(lake: Path) -> None:
    bundle = _read(lake).bundle
    assert task_of(bundle).image == "image"
    with read_dataset(bundle.uri) as (_, tables):
        rows = tables["rows"].to_pyarrow().to_pylist()
    assert [(row["id"], row["label"], row["width"]) for row in rows] == [("i0", 0, 4), ("i1", 1, 4), ("i2", 2, 4)]
    assert decode_png(rows[1]["image"], "here")[0, 0, 0] == 50
    assert (lake.parent / "page.html").read_text().count("data:image/png;base64") == 3


def test_the_same_lake_is_the_same_dataset(lake: Path) -> None:
    assert _read(lake).bundle.id == _read(lake).bundle.id


def test_a_lake_in_any_store_is_the_same_dataset(lake: Path, store: Store) -> None:
    for path in lake.iterdir():
        store.put_file(f"lake/{path.name}", path)
    assert run(f"{store.uri}/lake", task(DIGITS), lake.parent / "page.html").bundle.id == _read(lake).bundle.id


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda lake: (lake / METADATA).unlink(), METADATA),
        (lambda lake: (lake / METADATA).write_text(""), "is empty"),
        (lambda lake: (lake / METADATA).write_bytes(b"\xff\xfe"), "UTF-8"),
        (lambda lake: (lake / METADATA).write_text("{\n"), "line 1 is not JSON"),
        (lambda lake: (lake / METADATA).write_text("[]\n"), "line 1 is no JSON object"),
        (lambda lake: (lake / "1.png").unlink(), "1.png is not there"),
        (lambda lake: (lake / "1.png").write_bytes(b"GIF89a"), "1.png is no PNG"),
        (lambda lake: (lake / "1.png").write_bytes(_png(50)[:45]), "1.png is a damaged PNG"),
        (lambda lake: (lake / "1.png").write_bytes(_png(51)), "1.png differs from its SHA-256"),
        (lambda lake: _change(lake, 1, label=1.5), "line 2: field 'label', the label, must be text, a whole number"),
        (lambda lake: _change(lake, 1, label="one"), "line 2: field 'label' is 'one', text, but on line 1 a whole"),
        (lambda lake: _change(lake, 1, label=True), "line 2: field 'label' is True, true or false, but on line 1"),
        (lambda lake: _change(lake, 1, id="i2"), "line 2: id 'i2' also stands on line 1"),
        (lambda lake: _change(lake, 1, file="../secret.png"), "line 2: file '../secret.png'"),
        (lambda lake: _change(lake, 1, id="a\ud800"), "line 2: field 'id' is 'a\\ud800', which holds half a character"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_written(lake: Path, spoil: Callable[[Path], object], named: str) -> None:
    spoil(lake)
    with pytest.raises(BadInput) as caught:
        _read(lake)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (lake.parent / "store").exists()


def test_images_of_another_shape_are_named(lake: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(stream, "PNG")
    (lake / "1.png").write_bytes(stream.getvalue())
    _change(lake, 2, sha256=sha256_bytes(stream.getvalue()))
    with pytest.raises(BadInput, match=r"1\.png is 5 x 4 grey, but 0\.png is 4 x 4 grey; give all one shape"):
        _read(lake)
    assert not (lake.parent / "store").exists()


def test_the_demonstration_lake_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STORE, str(tmp_path / "store"))
    module(DIGITS, "lake").lay_out_digits(tmp_path / "digits")
    read = run(str(tmp_path / "digits"), task(DIGITS), tmp_path / "page.html")
    assert read.rows == 1797
    assert task_of(read.bundle).classes == tuple("0123456789")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_as_no_image(data: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        decode_png(data, "here")
    assert str(caught.value) == "here is no PNG image; export it as PNG"


@given(st.integers(0, 60), st.binary(min_size=1, max_size=4))
def test_a_mutated_image_has_its_pixels_or_is_refused_for_what_is_wrong(place: int, change: bytes) -> None:
    data = bytearray(_png(7))
    data[place : place + len(change)] = change
    check_png(bytes(data))


_LINE = {"id": "i1", "file": "1.png", "label": 1, "sha256": "0" * 64}
_FIELD = st.tuples(
    st.sampled_from(sorted(_LINE)),
    st.none() | st.booleans() | st.integers(-2, 12) | st.sampled_from(["", "../x", "i2"]),
)


def _line_defect(line: str) -> str:
    try:
        body = json.loads(line)
    except (ValueError, RecursionError):
        return " is not JSON"
    if not isinstance(body, dict):
        return " is no JSON object"
    for name in ("id", "file", "sha256"):
        if type(body.get(name)) is not str:
            return f": field {name!r} must be text"
    if type(body.get("label")) not in (int, str, bool):
        return ": field 'label', the label, must be text, a whole number, true or false"
    return f": file {body['file']!r} must be a path inside the lake" if body["file"] in ("", "../x") else ""


def _defect(data: bytes) -> str:
    """What the refusal must say; empty where the bytes are right."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "here is not UTF-8 text"
    lines = {number: line for number, line in enumerate(text.split("\n"), 1) if line.strip()}
    for number, line in lines.items():
        if wrong := _line_defect(line):
            return f"here, line {number}{wrong}"
    found: dict[str, int] = {}
    labels = [type(json.loads(line)["label"]) for line in lines.values()]
    for place, (number, line) in enumerate(lines.items()):
        name = json.loads(line)["id"]
        if found.setdefault(name, number) != number:
            return f"here, line {number}: id {name!r} also stands on line {found[name]}"
        if labels[place] is not labels[0]:
            return f"here, line {number}: field 'label' is "
    return "" if found else "here is empty"


@given(
    st.binary(max_size=200)
    | st.lists(_FIELD, max_size=4).map(
        lambda changes: b"\n".join(json.dumps(_LINE | {name: value}).encode() for name, value in changes)
    )
    | st.sampled_from([b"\n", b"[]", b"1\n\n{", b"\n\n{}", "\u00e9".encode("latin-1")])
)
def test_of_any_lines_the_images_or_the_refusal_are_right(data: bytes) -> None:
    wanted = _defect(data)
    try:
        lines = parse_metadata(data, "here", "label")
    except BadInput as error:
        said = str(error)
        assert wanted, said
        assert wanted in said
    else:
        assert not wanted
        bodies = [json.loads(line) for line in data.decode().split("\n") if line.strip()]
        assert [line.id for line in lines] == sorted(body["id"] for body in bodies)


@given(field=st.sampled_from(["id", "file", "label", "sha256", "note"]), place=st.integers(0, 2), nested=st.booleans())
def test_a_key_twice_on_a_line_is_refused(field: str, place: int, nested: bool) -> None:
    """Readers of JSON disagree on which one counts, so neither does."""
    lines = [json.dumps({"id": f"i{n}", "file": f"{n}.png", "label": n, "sha256": "ab"}) for n in range(3)]
    twice = f'{{"{field}": 1, "{field}": 1}}' if nested else f'{lines[place][:-1]}, "{field}": 1, "{field}": 1}}'
    lines[place] = f'{lines[place][:-1]}, "more": {twice}}}' if nested else twice
    with pytest.raises(
        BadInput, match=rf"^here, line {place + 1} is not JSON \(the key '{field}' stands twice in one ob"
    ):
        parse_metadata("\n".join(lines).encode(), "here", "label")
