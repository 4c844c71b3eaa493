"""The account of a sample in Markdown."""

from collections.abc import Mapping
from typing import Any

from sluice.artifacts.bundles import Bundle
from sluice.core.plain_text import markdown, markdown_code


def summarize(bundle: Bundle) -> str:
    """The design, stratum by stratum, and which population the rows stand for."""
    design = bundle.manifest.design
    if "by" in design:
        return _by_probability(design, bundle.id[:12])
    lines = [f"# {design['sampled']:,} of {design['rows']:,} rows", ""]
    lines += [f"{design['strategy'].capitalize()} random sample, seed {design['seed']}, dataset `{bundle.id[:12]}`."]
    lines += [_population(design), ""]
    if design["strata"]:
        lines += [f"Allocation {design['allocation']}; every stratum keeps at least one row.{_single(design)}", ""]
        lines += [f"| {' | '.join(map(markdown, design['strata']))} | rows | drawn | probability |"]
        lines += ["| --- " * len(design["strata"]) + "| ---: | ---: | ---: |"]
        for group in design["groups"]:
            values = " | ".join("missing" if value is None else markdown(value) for value in group["values"])
            lines += [f"| {values} | {group['rows']:,} | {group['sampled']:,} | {group['probability']:.4f} |"]
    return "\n".join(lines) + "\n"


def _by_probability(design: Mapping[str, Any], dataset: str) -> str:
    return (
        f"# {design['sampled']:,} of {design['rows']:,} rows\n\n"
        f"Drawn by {markdown_code(design['by'])}, seed {design['seed']}, dataset `{dataset}`. {_population(design)}\n\n"
        f"Inclusion probabilities go from {design['least']:.4g} to {design['greatest']:.4g}.\n"
    )


def _population(design: Mapping[str, Any]) -> str:
    population = design["population"]
    whole = f"the {population['rows']:,} rows of dataset `{population['dataset'][:12]}`"
    if design["weight"] is None:
        return f"Its rows weigh the same; each stands for {population['rows'] / design['sampled']:.4g} of {whole}."
    words = f"Column {markdown_code(design['weight'])} holds how many of {whole} each row stands for"
    if design["draw"] > 1:
        return f"{words}: one over the product of its {design['draw']} inclusion probabilities."
    if "groups" not in design:
        return f"{words}: one over its inclusion probability."
    squares = sum(group["rows"] ** 2 / group["sampled"] for group in design["groups"])
    # L. Kish, Survey Sampling, 1965: the square of the weights' sum over the sum of their squares.
    return (
        f"{words}: one over its inclusion probability. For a share of the whole, the sample tells as much as about "
        f"{design['rows'] ** 2 / squares:,.0f} rows drawn with equal probabilities."
    )


def _single(design: Mapping[str, Any]) -> str:
    alone = sum(1 for group in design["groups"] if group["sampled"] == 1 < group["rows"])
    return f" {alone} of {len(design['groups'])} strata stand on a single row." if alone else ""
