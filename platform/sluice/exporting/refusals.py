"""Why a model is not served in some form."""

from collections.abc import Sequence


class NotExportable(Exception):
    """Something that a form of serving cannot say; its text tells what."""


class Unanswerable(Exception):
    """Rows that the project's code gives no features for.

    Attributes:
        rows: Their places among the rows asked about, from 0.
        words: Why, in words that go on after the row.
    """

    def __init__(self, rows: tuple[int, ...], words: str) -> None:
        super().__init__(f"row {rows[0]} {words}" if rows else words)
        self.rows, self.words = rows, words


class WrongValues(Unanswerable):
    """Values that are only seen to be wrong when they are used, such as an image that is damaged.

    Attributes:
        problems: The row's place, the column, and what is wrong, in words that begin with the column.
    """

    def __init__(self, problems: Sequence[tuple[int, str, str]]) -> None:
        row, _, words = problems[0]
        super().__init__(tuple(each[0] for each in problems), words)
        self.args, self.problems = (f"row {row}: {words}",), tuple(problems)
