"""Why a model is not served in some form."""


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
