"""Text that another program interprets, made plain: terminals and logs, XML, Markdown.

A column's name, a file's name, a class or an error's text comes from whoever may write to the lake. Manifests and
models keep it as it is; here it is made harmless for what reads it next. Each way out does so in one place: errors and
`core.progress` (logs), `running.terminal` (the terminal), `reporting.pages` and `reporting.plots` (HTML, SVG).
Summaries and cards in Markdown are written with `markdown` and `markdown_code`.
"""

import re

# Control characters (C0, DEL, C1), invisible and direction marks, line and paragraph separators, half characters and
# code points that XML does not have. Joiners (U+200C, U+200D) stay: scripts and emoji need them.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_HIDDEN_BUT_LINES = re.compile(_HIDDEN.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))
_HALF = re.compile("[\ud800-\udfff]")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKS = re.compile(r"[\\`*_\[\]|~#&<>]")


def one_line(text: str) -> str:
    r"""The text on one line: what a person cannot see stands there as Python writes it, such as `\x1b` or `\n`."""
    return _HIDDEN.sub(_written, text)


def lines(text: str) -> str:
    """The same, with line feeds and tabs as they are: for text that has several lines of its own."""
    return _HIDDEN_BUT_LINES.sub(_written, text)


def uncoloured(text: str) -> str:
    """The text without the colours that a program wrote for a terminal."""
    return _COLOUR.sub("", text)


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can write the text: names and arguments in another encoding have half characters in Python."""
    return not _HALF.search(text)


class Markdown(str):
    """Text that is Markdown already."""

    __slots__ = ()


def markdown(value: object) -> Markdown:
    """A value as Markdown that shows its very text, in a paragraph or a table's cell; `Markdown` stays as it is."""
    if isinstance(value, Markdown):
        return value
    return Markdown(_MARKS.sub(lambda match: _ENTITIES.get(match[0], f"\\{match[0]}"), one_line(str(value))))


def markdown_code(value: object) -> Markdown:
    """A value as a code span, also in a table's cell."""
    text = one_line(str(value)).replace("|", "\\|")
    if not text:
        return Markdown()
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    room = " " if "`" in text or text.startswith(" ") or text.endswith(" ") else ""
    return Markdown(f"{fence}{room}{text}{room}{fence}")


def _written(match: re.Match[str]) -> str:
    code = ord(match[0])
    short = {9: r"\t", 10: r"\n", 13: r"\r"}.get(code)
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
