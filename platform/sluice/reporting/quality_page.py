"""The quality page: what was found, how complete the tables are, and what their values look like."""

from collections.abc import Mapping, Sequence
from datetime import date

import ibis
from markupsafe import Markup

from sluice.contract.reading import Availability, Contract
from sluice.core.durations import duration_text, duration_words
from sluice.quality.distributions import spreads
from sluice.quality.findings import DataFinding
from sluice.quality.profiles import Profile
from sluice.reporting.pages import (
    Section,
    badge_html,
    details_html,
    facts_html,
    figure_html,
    figures_html,
    heading_html,
    note_html,
    render_page,
    table_html,
)
from sluice.reporting.quality_figures import MOST_COLUMNS, missing_by_month, rows_by_day

_HEADERS = ("column", "type", "known", "missing", "spread", "least", "greatest", "outside", "unit", "meaning")


def quality_page(
    tables: Mapping[str, ibis.Table],
    contract: Contract,
    profiles: Mapping[str, Profile],
    findings: Sequence[DataFinding],
    as_of: date | None,
) -> str:
    """One page with one section, `quality`."""
    errors = sum(finding.severity == "error" for finding in findings)
    facts = facts_html(
        [
            ("lake", contract.name),
            ("tables", len(profiles)),
            ("rows", sum(counted.rows for counted in profiles.values())),
            ("errors", errors),
            ("warnings", len(findings) - errors),
            ("freshness", f"as of {as_of}" if as_of else "not checked"),
        ]
    )
    parts = [facts, _findings(findings), _pictures(tables, contract, profiles), heading_html("Tables")]
    parts += [
        _table(tables[name], name, contract, counted, as_of) for name, counted in profiles.items() if counted.columns
    ]
    section = Section("quality", "Data quality", Markup("").join(parts))
    return render_page(f"Data quality of {contract.name}", [section])


def _findings(findings: Sequence[DataFinding]) -> Markup:
    if not findings:
        return note_html("Every check of the contract passed.", "good")
    shown = [
        [
            badge_html(finding.severity, "bad" if finding.severity == "error" else "warn"),
            f"{finding.table}: {finding.check}",
            finding.message,
            finding.example or None,
        ]
        for finding in findings
    ]
    return table_html(("", "where", "what", "first row"), shown, "llll")


def _pictures(tables: Mapping[str, ibis.Table], contract: Contract, profiles: Mapping[str, Profile]) -> Markup:
    figures = []
    timed = {
        name: stated.freshness_column
        for name, stated in contract.tables.items()
        if name in profiles and stated.freshness_column in profiles[name].columns
    }
    if timed:
        days = rows_by_day({name: tables[name][column] for name, column in timed.items()})
        figures.append(figure_html(days, "Rows by day: a gap or a jump would show here."))
    for name, column in timed.items():
        gaps = {each: counted.nulls for each, counted in profiles[name].columns.items() if counted.nulls}
        most = sorted(gaps.keys() - {column}, key=lambda each: (-gaps[each], each))[:MOST_COLUMNS]
        drawn = missing_by_month(tables[name], column, most)
        if drawn:
            figures.append(figure_html(drawn, f"Missing values of {name} by month, in percent of its rows."))
    return figures_html(figures)


def _table(table: ibis.Table, name: str, contract: Contract, counted: Profile, as_of: date | None) -> Markup:
    stated = contract.tables[name]
    rows, cells_of = [], spreads(table, stated, counted)
    for column, found in counted.columns.items():
        said = stated.columns[column]
        broken = f"{found.broken:,}" if said.range or said.values or found.broken else None
        known = _known(contract.availability(name, column))
        missing = f"{found.nulls / counted.rows:.1%}" if found.nulls else None
        ends = [_shown(found.least), _shown(found.greatest)]
        cells = [column, said.type, known, missing, cells_of.get(column), *ends, broken]
        rows.append([*cells, said.unit or None, said.description])
    newest = counted.newest(stated)
    age = f", newest {newest:%Y-%m-%d %H:%M}" if newest and as_of else ""
    title = f"{name}: {counted.rows:,} rows, {len(rows)} columns{age}"
    return details_html(title, table_html(_HEADERS, rows, "lllrlrrrll"))


def _known(known: Availability | None) -> str | None:
    """When a column is known: a moment with its lag, a lag, or nothing."""
    if known is None or known.lag is None or known.always or known.name == duration_text(known.lag):
        return known.name if known else None
    return f"{known.name}, {duration_words(known.lag)} after"


def _shown(value: object) -> str | None:
    if value is None:
        return None
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
