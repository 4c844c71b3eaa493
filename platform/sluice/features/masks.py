"""Setting to null the values that break the contract's ranges and lists, in the number that validate tolerated."""

from collections.abc import Mapping

import ibis

from sluice.contract.reading import Column, Contract
from sluice.core.column_names import named


def mask(tables: Mapping[str, ibis.Table], contract: Contract) -> tuple[dict[str, ibis.Table], dict[str, int]]:
    """Apply the contract to tables.

    Args:
        tables: By name; one that the contract does not name stays as it is.
        contract: What values may be.

    Returns:
        The tables with unlawful values set to null, and how many values that were, by `table.column`, zeros left out.
    """
    masked: dict[str, ibis.Table] = {}
    counts: dict[str, int] = {}
    for name, table in tables.items():
        masked[name] = table
        rules = contract.tables[name].columns if name in contract.tables else {}
        unlawful = {
            column: table[column].notnull() & ~_is_lawful(table[column], rule)
            for column, rule in rules.items()
            if column in table.columns and (rule.range or rule.values)
        }
        if unlawful:
            lawful = {column: ibis.ifelse(wrong, ibis.null(), table[column]) for column, wrong in unlawful.items()}
            masked[name] = table.mutate(named(lawful))
            found = table.agg([wrong.sum().name(f"n{place}") for place, wrong in enumerate(unlawful.values())])
            numbers = found.to_pyarrow().to_pylist()[0].values()
            counts |= {f"{name}.{column}": n for column, n in zip(unlawful, numbers, strict=True) if n}
    return masked, counts


def _is_lawful(column: ibis.Column, rule: Column) -> ibis.Column:
    lawful = ibis.literal(True)
    if rule.range:
        lawful = lawful & column.between(*rule.range)
    if rule.values:
        lawful = lawful & column.cast("string").isin(rule.values)
    return lawful
