"""Which population a dataset's rows stand for: themselves, or the rows that they were sampled from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sluice.artifacts.bundles import Bundle
from sluice.core.errors import BadInput


@dataclass(frozen=True)
class Population:
    """What rows stand for.

    Attributes:
        dataset: The id of the dataset that was sampled; without a sample, of the dataset itself.
        rows: Its rows. The weights of a sample add up to them: exactly after one draw, on average after more.
        drawn: How many of them were drawn; all of them without a sample.
        draws: How many samples were drawn, each from the one before; 0 without a sample.
    """

    dataset: str
    rows: int
    drawn: int
    draws: int = 0

    def words(self, *, weighted: bool) -> str:
        """Which rows a number speaks of, in a sentence.

        Args:
            weighted: Whether each row counted for the rows that it stands for.
        """
        named = f"the {self.rows:,} rows of dataset {self.dataset[:12]}"
        if not self.draws:
            return f"The numbers speak of {named}, none of them left out by a sample."
        chance = "each counts for the rows that it stands for" if weighted else "all had the same chance"
        return f"The numbers speak of {named}; {self.drawn:,} of them were drawn, {chance}."

    def details(self) -> dict[str, Any]:
        """The population as a manifest's details keep it; the steps after `sample` hand it on."""
        return {"sample": asdict(self)}


def population_of(bundle: Bundle) -> Population:
    """The population that a dataset's rows stand for.

    Raises:
        BadInput: It is a sample of an older Sluice, which wrote no weights.
    """
    body = bundle.manifest.details.get("sample")
    if isinstance(body, Mapping):
        return Population(str(body["dataset"]), int(body["rows"]), int(body["drawn"]), int(body["draws"]))
    if bundle.manifest.producer.step == "sample":
        raise BadInput(
            f"{bundle.uri} is a sample without its rows' weights, drawn by an older Sluice; run sample again"
        )
    return Population(bundle.id, bundle.rows, bundle.rows)
