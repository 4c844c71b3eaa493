"""A canary's true losses: from the prediction log and the labels that have come."""

from datetime import UTC, datetime, timedelta

import numpy as np

from sluice.predictions.forms import DIGEST, FORECAST, MOMENT, PROBABILITY, REQUEST, ROW
from sluice.predictions.joining import with_labels
from sluice.predictions.labels import LABEL_CLASS, LABEL_NUMBER
from sluice.predictions.reader import read_predictions
from sluice.serving.losses import LossRows
from sluice.storage.stores import Store

_EPSILON = float(np.finfo(np.float64).eps)
_EARLY = timedelta(seconds=1)  # of clocks
_NONE = LossRows((), (), (), (), np.zeros(0), np.zeros(0))


class LoggedLosses:
    """A `LossSource`: of rows whose labels are known by now, the log loss, or of numbers the squared error.

    Rows that the shadow judged stand in the log, too, so both versions are judged on the same rows. The log holds no
    subjects: rows of one request stand together.

    Args:
        store: Where log and labels are.
        model: The registered model.
    """

    def __init__(self, store: Store, model: str) -> None:
        self._store, self._model = store, model

    def since(self, moment: float) -> LossRows:
        """See `LossSource.since`.

        Raises:
            BadInput: A file of the log or of labels is broken.
            EnvironmentFault: The store failed.
        """
        begin = datetime.fromtimestamp(moment, UTC)
        rows = read_predictions(self._store, self._model, begin, max(datetime.now(UTC), begin) + _EARLY)
        if not rows.forms:
            return _NONE
        said = [PROBABILITY.format(place) for place in range(len(rows.classes))] or [FORECAST]
        label = LABEL_CLASS if rows.classes else LABEL_NUMBER
        with with_labels(rows, self._store, columns=[REQUEST, ROW, DIGEST, *said]) as table:
            known = table.filter(table[label].notnull())
            found = known.select(REQUEST, ROW, DIGEST, MOMENT, label, *said).to_pyarrow()
        values = np.column_stack([found[name].to_numpy().astype(np.float64) for name in said])
        labels = found[label].to_pylist()
        return LossRows(
            found[REQUEST].to_pylist(),
            found[ROW].to_pylist(),
            found[DIGEST].to_pylist(),
            [""] * len(labels),
            found[MOMENT].to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6,
            _losses(values, labels, rows.classes),
        )


def _losses(values: np.ndarray, labels: list[str] | list[float], classes: tuple[str, ...]) -> np.ndarray:
    """Each row's loss; NaN where the label is none of the classes."""
    if not classes:
        return np.asarray((values[:, 0] - np.array(labels, np.float64)) ** 2)
    places = {name: place for place, name in enumerate(classes)}
    chosen = np.array([places.get(str(label), -1) for label in labels], np.int64)
    given = values[np.arange(len(chosen)), np.maximum(chosen, 0)]
    return np.where(chosen >= 0, -np.log(np.clip(given, _EPSILON, 1.0)), np.nan)
