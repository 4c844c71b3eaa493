"""Pages and figures: escaped, self-contained, readable back, the same bytes every time."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from sluice.core.errors import BadInput
from sluice.core.plain_text import lines
from sluice.reporting import pages, plots
from sluice.reporting.pages import Section, render_page, sections_of, table_html

TEXT = st.text(st.characters(codec=None, exclude_categories=()), min_size=1, max_size=40)
VOID = {"meta", "br", "img", "hr", "link"}


class Checker(HTMLParser):
    """Every element that is opened is closed, in order; collects tags, ids and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def drawing() -> Markup:
    figure, axes = plots.new_figure()
    for place, colour in enumerate(plots.SERIES):
        axes.plot(np.arange(5), np.arange(5) * place, color=colour, label=f"<{place}>")
    axes.set(xlabel="a < b", title="t")
    plots.legend(axes)
    return plots.figure_svg(figure, 'what it "shows" & means')


@given(title=TEXT, subtitle=TEXT, names=st.lists(TEXT, min_size=1, max_size=4), cell=TEXT)
def test_whatever_the_texts_the_page_is_well_formed_and_reads_back(
    title: str, subtitle: str, names: list[str], cell: str
) -> None:
    body = str(table_html([cell, "b"], [[cell, 1.5], [None, 2]], caption=cell) + pages.note_html(cell, "bad"))
    sections = [Section(f"s{place}", name, body) for place, name in enumerate(names)]
    page = render_page(title, sections, subtitle)
    assert sections_of(page) == [Section(each.id, lines(each.title), lines(each.html)) for each in sections]
    checked = Checker(page)
    assert "script" not in checked.tags
    assert lines(cell) in checked.text
    assert checked.tags.count("table") == len(names)


def test_helpers_escape_what_they_are_given() -> None:
    evil = "<script>alert(1)</script>"
    parts = [
        pages.facts_html([(evil, evil)]),
        pages.text_html(evil),
        pages.heading_html(evil),
        pages.badge_html(evil),
        pages.code_html(evil),
        pages.figure_html(drawing(), evil),
        pages.details_html(evil, pages.text_html(evil)),
        table_html([evil], [[evil]], caption=evil),
        render_page(evil, [Section("a", evil, "")], evil),
    ]
    assert all("<script" not in part for part in parts)


def test_a_page_needs_no_network_and_adapts_to_light_dark_and_print() -> None:
    page = render_page("t", [Section("a", "A", str(drawing())), Section("b", "B", "<p>x</p>")])
    assert not re.search(r'(?:src|href)="(?!#)', page)
    assert not re.search(r"url\((?!#)", page)
    assert "@import" not in page
    for wanted in ("prefers-color-scheme: dark", 'name="color-scheme"', '<html lang="en">', "@media print", "viewport"):
        assert wanted in page


@pytest.mark.parametrize("ids", [["a", "a"], ["A b"], [""], ["1"]])
def test_section_ids_are_checked(ids: list[str]) -> None:
    with pytest.raises(BadInput, match="section id"):
        render_page("t", [Section(name, "x", "") for name in ids])


def test_text_that_is_no_page_has_no_sections() -> None:
    assert sections_of("<html><section id='a'>x</section></html>") == []


def test_cells_are_written_for_readers() -> None:
    html = table_html(["a", "b", "c", "d"], [["x", 1234567, 0.123456, None]])
    for shown in (">1,234,567<", ">0.1235<", ">&ndash;<"):
        assert shown in html


def test_a_figure_follows_the_pages_colours_and_font() -> None:
    svg = drawing()
    assert re.findall(r": #[0-9a-f]{6}", svg) == []
    for number in range(1, 7):
        assert f"var(--series-{number}" in svg
    assert "DejaVu" not in svg
    assert "<text" in svg
    assert 'aria-label="what it &#34;shows&#34; &amp; means"' in svg
    assert not re.search(r'<svg[^>]* (?:width|height)="', svg)


def test_the_same_figure_gives_the_same_bytes_and_two_figures_share_no_id() -> None:
    assert drawing() == drawing()
    figure, axes = plots.new_figure(2.0)
    axes.plot([1, 2], [2, 1], marker="o")
    other = plots.figure_svg(figure, "other")
    both = Checker(str(drawing() + other))
    assert len(both.ids) == len(set(both.ids)) > 2
    for svg in (drawing(), other):
        for used in re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', svg):
            assert f'id="{next(filter(None, used))}"' in svg


def test_series_colours_stand_out_from_the_paper_in_light_and_dark() -> None:
    css = (pages._templates().get_template("page.css")).render()  # type: ignore[attr-defined]
    for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        paper = luminance(colours["paper"])
        for name, colour in colours.items():
            if name.startswith("series-") or name in ("ink", "muted", "accent", "good", "bad", "warn"):
                light, dark = sorted((luminance(colour), paper), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= (3 if name.startswith("series-") else 4.5), (name, colour)


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    "name", ["$a$", "$\\bad{$", "$$", "a\x1b[2J$b$", "日本 $x^2$", "</text><script>alert(1)</script>"]
)
def test_a_name_in_a_figure_is_no_formula_and_no_markup(name: str) -> None:
    figure, axes = plots.new_figure()
    axes.plot([1, 2], [1, 2], label=name)
    axes.text(1, 1, name)
    axes.annotate(name, (1, 2))
    axes.set(xlabel=name, ylabel=name, title=name)
    axes.set_yticks([1, 2], [name, name])
    plots.legend(axes)
    drawn = str(plots.figure_svg(figure, name))
    root = ElementTree.fromstring(drawn.replace("<svg", '<svg xmlns:xlink="http://www.w3.org/1999/xlink"', 1))
    texts = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
    assert texts.count(lines(name)) >= 8
    assert root.get("aria-label") == lines(name)
