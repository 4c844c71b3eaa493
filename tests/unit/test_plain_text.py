"""Text that another program interprets: nothing hidden reaches a line, and Markdown shows the very text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.core.addresses import show_defect
from sluice.core.errors import BadInput
from sluice.core.plain_text import lines, markdown, markdown_code, one_line
from sluice.core.progress import progress

ANY = st.text(alphabet=st.characters(codec=None, exclude_categories=()))
NASTY = st.text(
    alphabet=st.sampled_from(
        "\x00\x07\t\n\r\x1b[2J\x7f\x85\x9b\xad\u061c\u200b\u200e\u202e\u2028\u2066\ufeff\ud800ab\\`"
    )
)


def _hidden(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or character in "\u202a\u202b\u202d\u202e\u2066\u2069"
    )


@given(ANY | NASTY)
def test_one_line_shows_everything_and_is_stable(text: str) -> None:
    shown = one_line(text)
    assert not any(map(_hidden, shown))
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    assert one_line(shown) == shown
    assert not any(map(_hidden, lines(text).replace("\n", "").replace("\t", "")))


def test_letters_of_every_script_and_joined_emoji_stay() -> None:
    text = "Zürich 日本 नमस्ते می‌خواهم 👩‍🔬 $x$ <b> café"
    assert one_line(text) == text


def test_hidden_characters_are_written_as_python_writes_them() -> None:
    assert one_line("a\x1b[2J\n\r\t\u202e\ud800\U000e0041") == r"a\x1b[2J\n\r\t\u202e\ud800\U000e0041"


@given(NASTY)
def test_an_error_and_a_line_of_progress_are_one_line_without_escapes(text: str) -> None:
    assert not any(map(_hidden, str(BadInput(text))))


def test_progress_cannot_be_forged(capsys: pytest.CaptureFixture[str]) -> None:
    progress("read a\n[sluice] error: all is lost\x1b[2J")
    assert capsys.readouterr().out == "[sluice] read a [sluice] error: all is lost\\x1b[2J\n"


def test_markdown_shows_the_text_itself() -> None:
    assert markdown("a|b <img src=x> *x* [a](b) `c` &amp; \\ # ~~s~~\n| --- |") == (
        r"a\|b &lt;img src=x&gt; \*x\* \[a\](b) \`c\` &amp;amp; \\ \# \~\~s\~\~\\n\| --- \|"
    )
    assert markdown(markdown("a|b")) == markdown("a|b")


def test_code_spans_hold_backticks_and_pipes() -> None:
    assert markdown_code("plain") == "`plain`"
    assert markdown_code("a`b``c") == "``` a`b``c ```"
    assert markdown_code("a|b\n") == "`a\\|b\\n`"


def test_a_defects_traceback_shows_the_text_of_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    show_defect(ValueError, ValueError("no column a\x1b[2J\u202e"), None)
    assert capsys.readouterr().err == "ValueError: no column a\\x1b[2J\\u202e\n"
