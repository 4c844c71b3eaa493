"""The step: profile the tables, judge them, draw the page, and close the gate when an error was found."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import ibis

from sluice.artifacts.bundles import Bundle
from sluice.contract.reading import CONTRACT, Contract, contract_from_body
from sluice.core.errors import BadInput
from sluice.core.progress import progress
from sluice.engine.datasets import read_dataset
from sluice.parameters.validate import parse_as_of
from sluice.quality.checks import check
from sluice.quality.findings import DataFinding
from sluice.quality.profiles import Profile, profile
from sluice.reporting.quality_page import quality_page


@dataclass(frozen=True)
class ContractVerdict:
    """What validation found.

    Attributes:
        bundle: The dataset that was validated.
        findings: Errors first.
        profiles: By table.
    """

    bundle: Bundle
    findings: list[DataFinding]
    profiles: dict[str, Profile]

    def count(self, severity: str) -> int:
        """How many findings of a severity there are."""
        return sum(finding.severity == severity for finding in self.findings)

    def metrics(self) -> dict[str, float]:
        """Scalars for a metrics artifact."""
        rows = {f"rows_{name}": float(counted.rows) for name, counted in self.profiles.items()}
        return {"errors": float(self.count("error")), "warnings": float(self.count("warning")), **rows}

    def open_gate(self) -> None:
        """Let the dataset through.

        Raises:
            BadInput: An error was found; the message is the first one's.
        """
        errors = self.count("error")
        if errors:
            first = self.findings[0]
            example = f" (first: {first.example})" if first.example else ""
            others = f", and {errors - 1} more error{'s' if errors > 2 else ''}" if errors > 1 else ""
            raise BadInput(
                f"table {first.table}: {first.message}{example}{others}; "
                "mend the data or its contract: the quality page shows all findings"
            )


def validate_tables(uri: str, as_of: str, page: Path, report: Path) -> ContractVerdict:
    """Hold a dataset of tables to the contract that it carries.

    Args:
        uri: The dataset's address.
        as_of: The day that counts as today for freshness, YYYY-MM-DD, or empty to skip it.
        page: Where the HTML page is written, also when the gate will close.
        report: Where the findings are written as JSON.

    Raises:
        BadInput: The dataset carries no contract, or `as_of` is no day.
    """
    day = parse_as_of("as_of", as_of)
    with read_dataset(uri) as (bundle, tables):
        contract = _contract(bundle)
        progress(f"checking {len(contract.tables)} tables, {bundle.rows:,} rows")
        verdict = _judge(bundle, tables, contract, day)
        page.write_text(quality_page(tables, contract, verdict.profiles, verdict.findings, day), encoding="utf-8")
    report.write_text(json.dumps([asdict(finding) for finding in verdict.findings], indent=1), encoding="utf-8")
    progress(f"{verdict.count('error')} errors, {verdict.count('warning')} warnings")
    return verdict


def _judge(bundle: Bundle, tables: Mapping[str, ibis.Table], contract: Contract, day: date | None) -> ContractVerdict:
    profiles = {name: profile(tables[name], stated) for name, stated in contract.tables.items() if name in tables}
    return ContractVerdict(bundle, check(tables, contract, profiles, day), profiles)


def _contract(bundle: Bundle) -> Contract:
    body = bundle.manifest.details.get("contract")
    if body is None:
        raise BadInput(f"{bundle.uri} carries no contract; validate a dataset that ingest made")
    return contract_from_body(body, f"{bundle.uri}, {CONTRACT}")
