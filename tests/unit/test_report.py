"""The report over a really registered model: verdict first, the steps' sections, the lineage as a graph."""

import json
import re
from pathlib import Path

import pytest

from sluice.artifacts.provenance import Origin, Source
from sluice.components.report.run import run, unique
from sluice.core.errors import BadInput
from sluice.reporting.lineage_graph import lineage_svg
from sluice.reporting.pages import Section, render_page, sections_of
from tests.unit import small_world
from tests.unit.test_pages import Checker
from tests.unit.test_register import Pipeline


@pytest.fixture
def finished(tracked_home: Path, tmp_path: Path) -> Path:
    """The folder of a run whose winner was registered."""
    Pipeline(small_world.splits(), tmp_path / "work", draws=True)(small_world.GOOD)
    folder = tmp_path / "work" / "1"
    for name in ("quality", "curves"):
        (folder / f"{name}.html").write_text(render_page(name, [Section(name, name.title(), f"<p>of {name}</p>")]))
    return folder


def pages(folder: Path) -> list[Path]:
    return [folder / "quality.html", folder / "curves.html", folder / "e.html"]


def test_the_report_tells_the_whole_story_in_order(finished: Path) -> None:
    run(pages(finished), finished / "result.json", finished / "report.html")
    text = (finished / "report.html").read_text()
    sections = sections_of(text)
    ids = [section.id for section in sections]
    assert ids[:4] == ["verdict", "quality", "curves", "gate"]
    assert ids[-2:] == ["lineage", "parameters"]
    by_id = {section.id: section.html for section in sections}
    assert "Promoted to champion" in by_id["verdict"]
    assert "<p>of curves</p>" in by_id["curves"]
    for word in ("operations.db#flights", "3,000 rows", "stratified", "late version 1", "sluice lineage late/1"):
        assert word in by_id["lineage"], word
    assert "<td" in by_id["parameters"]
    checked = Checker(text)
    assert len(checked.ids) == len(set(checked.ids))
    assert not re.search(r'(?:src|href)="(?!#)', text)


@pytest.mark.parametrize("harm", ["page", "result", "field"])
def test_what_no_step_wrote_is_refused(finished: Path, harm: str) -> None:
    result = finished / "result.json"
    if harm == "page":
        (finished / "curves.html").write_text("<html></html>")
    elif harm == "result":
        result.write_text("{")
    else:
        body = json.loads(result.read_text())
        result.write_text(json.dumps({name: value for name, value in body.items() if name != "winner"}))
    named = "curves.html" if harm == "page" else "result.json"
    with pytest.raises(BadInput, match=re.escape(named)):
        run(pages(finished), result, finished / "report.html")
    assert not (finished / "report.html").exists()


def test_equal_section_ids_of_two_pages_are_told_apart() -> None:
    sections = unique([Section("data", "A", ""), Section("data", "B", ""), Section("data", "C", "")])
    assert [section.id for section in sections] == ["data", "data-2", "data-3"]


def test_the_graph_draws_every_parent_and_escapes_names() -> None:
    def made(step: str, parents: tuple[str, ...], sources: tuple[Source, ...] = ()) -> Origin:
        return Origin(step, "dataset", step, parents, {"rows": 5}, {}, {}, sources, "", "", "", "", "", "")

    source = Source("<flights>", "a/very/long/path/to/some/file/that/does/not/fit/in/one/line.csv", "ab", 1, 5)
    origins = [made("ingest", (), (source,)), made("other", ("ingest",)), made("join", ("ingest", "other"))]
    svg = lineage_svg(origins, "model & co", "abc", ["fact"])
    assert svg.count("marker-end") == 5
    assert "&lt;flights&gt;" in svg
    assert "<flights>" not in svg
    assert "model &amp; co" in svg
    Checker(str(svg))
