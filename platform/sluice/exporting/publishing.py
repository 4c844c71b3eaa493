"""A served model in the store: made once, under its content address, with the folder of models as its parent."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sluice.artifacts.bundles import Bundle, publish, workspace
from sluice.artifacts.producer import producer
from sluice.core.errors import BadInput, EnvironmentFault
from sluice.exporting.refusals import NotExportable
from sluice.exporting.served_files import ServedModel, Source
from sluice.features.model_inputs import read_inputs
from sluice.features.preparations import preparation_of
from sluice.modeling.model_files import load_model, read_task, read_threshold
from sluice.storage.stores import Store

STEP = "serve"
NEEDED = ("onnx", "onnxruntime")
_SHOWN, _LONGEST = 200, 400


@dataclass(frozen=True)
class JudgedModel:
    """A version's files and what is behind them.

    Attributes:
        model: The registered model's name.
        digest: Of the files.
        files: The folder that holds them.
        splits: What was learned from.
        lineage: The folders behind the models, sources first.
        source: Where the files are in the store; None where nobody knows.
    """

    model: str
    digest: str
    files: Path
    splits: Bundle
    lineage: Sequence[Bundle]
    source: Source | None


def write_served(store: Store, judged: JudgedModel, folder: Path) -> ServedModel:
    """Write a version's served model into a folder that is there, and empty.

    Raises:
        NotExportable: No form says what the model says, or what makes graphs is not installed; the text says why.
        BadInput: Files behind the model are gone or were changed.
        EnvironmentFault: The store failed.
    """
    if lacking := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise NotExportable(f"{' and '.join(lacking)} is not installed here; install the extra `serve`")
    from sluice.exporting.export import Exported, export_model
    from sluice.exporting.judged_rows import judged_rows

    files = judged.files
    task, preparation = read_task(files), preparation_of(judged.lineage)
    exported = Exported(
        judged.model,
        judged.digest,
        load_model(files),
        task,
        read_threshold(files),
        read_inputs(files),
        preparation,
        judged.source,
        store,
    )
    return export_model(folder, exported, partial(judged_rows, judged.splits, preparation, task))


def publish_served(store: Store, judged: JudgedModel) -> tuple[Bundle, ServedModel]:
    """The same, published; the same model gives the same address.

    Raises:
        NotExportable: As above.
        BadInput: As above.
        EnvironmentFault: As above.
    """
    if judged.source is None:
        raise BadInput(f"{judged.model}: no folder of models is named, so a served folder has no parent")
    with workspace(store) as folder:
        served = write_served(store, judged, folder)
        made = producer(STEP, {"candidate": judged.source.candidate})
        details = {"model": judged.model, "model_digest": judged.digest}
        parents = (judged.source.models,)
        return publish(store, folder, "model", made, parents=parents, details=details, move=True), served


@dataclass(frozen=True)
class Offer:
    """What a registration found: a served folder, or why there is none.

    Attributes:
        id: Of the folder in the store, or empty.
        words: How it is served and how near it is to the model; or why it is not.
    """

    id: str
    words: str


def offer(store: Store, judged: JudgedModel) -> Offer:
    """Publish a served folder where that is possible; a registration never fails for want of one.

    Raises:
        EnvironmentFault: The store is down.
    """
    try:
        bundle, served = publish_served(store, judged)
    except (NotExportable, BadInput) as error:
        return Offer("", str(error)[:_LONGEST])
    except EnvironmentFault:
        raise
    except Exception as error:  # noqa: BLE001 - a library's failure must not cost a model that was trained and judged
        return Offer("", f"{type(error).__name__}: {str(error).partition(chr(10))[0][:_SHOWN]}")
    return Offer(bundle.id, told(served))


def told(served: ServedModel) -> str:
    """What a person should know of how a model is served, in one line."""
    makers = {
        "graph": "one ONNX graph from raw rows on",
        "query": "its own query in DuckDB makes the features",
        "code": "the project's code makes the features",
        "given": "rows hold the features",
    }
    forecasts = {"graph": ", a graph forecasts", "code": ", its own code forecasts"}[served.forecast]
    how = makers[served.features] + ("" if served.features == "graph" else forecasts)
    if any(field.shape for field in served.fields):
        how = f"the decoder of the training{forecasts}"
    parity = served.parity
    more = f" and {parity.on_thresholds:,} on thresholds" if parity.on_thresholds else ""
    near = f"within {parity.largest_difference:.1e} of the model on {parity.rows:,} test rows{more}"
    return f"{how}; {near}"
