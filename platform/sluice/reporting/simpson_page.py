"""The section on Simpson's paradox: in the data, and between the models."""

from markupsafe import Markup

from sluice.evaluation.evaluation import Evaluation
from sluice.evaluation.simpson import Reversal, Stratum
from sluice.evaluation.simpson_models import ModelReversal
from sluice.reporting.evaluation_words import estimate_cell
from sluice.reporting.pages import Cell, Section, badge_html, heading_html, note_html, table_html, text_html

_MOST = 8


def simpson_section(evaluation: Evaluation) -> Section:
    """Both checks, in words and tables."""
    parts = [
        text_html(
            "Simpson's paradox: an order that holds over all rows and turns round within the groups. "
            "Whoever compares groups by their overall rates would then draw the wrong conclusion."
        ),
        heading_html("In the data"),
        *_data(evaluation),
        heading_html("Between models"),
        *_models(evaluation),
    ]
    return Section("simpson", "Simpson's paradox", Markup("").join(parts))


def _data(evaluation: Evaluation) -> list[Markup]:
    found = evaluation.reversals
    if not found:
        return [note_html("No two groups change their order within the groups of another slice column.", "good")]
    positive = evaluation.task.classes[1]
    real = [reversal for reversal in found if reversal.beyond_noise]
    first = found[0]
    turned = sum(stratum.gap < 0 for stratum in first.strata)
    story = (
        f"Over all rows, {first.column} {first.groups[0]} is {positive!r} more often than {first.groups[1]} "
        f"({_rates(first.overall)}), yet within {first.by} it is so less often, by {-first.pooled:.1%} on average "
        f"(in {turned} of {len(first.strata)} groups)."
    )
    count = f"Pairs of groups that change their order: {len(found)}; beyond what chance explains: {len(real)}."
    rows: list[list[Cell]] = [_row(reversal) for reversal in found[:_MOST]]
    headers = ["Column", "Groups", "Overall", "Inside", "Pooled difference", "By group", "Beyond chance"]
    caption = f"The shares of {positive!r} rows in the first and the second group"
    if len(found) > _MOST:
        caption += f"; the first {_MOST} of {len(found)}"
    return [
        note_html(f"{count} {story}", "warn" if real else "plain"),
        table_html(headers, rows, "llllrll", caption=caption),
    ]


def _row(reversal: Reversal) -> list[Cell]:
    inside = "; ".join(f"{stratum.group}: {_rates(stratum)}" for stratum in reversal.strata)
    word = badge_html("yes", "warn") if reversal.beyond_noise else badge_html("no")
    told = Markup("{} p {:.2g}").format(word, reversal.p_value)
    groups = " / ".join(reversal.groups)
    return [reversal.column, groups, _rates(reversal.overall), reversal.by, f"{reversal.pooled:+.1%}", inside, told]


def _models(evaluation: Evaluation) -> list[Markup]:
    text = text_html(
        "The log loss is a mean over the same rows for both models, so it cannot turn round in every slice; "
        "the area under the ROC curve can. The table shows it: the winner's area less the rival's."
    )
    found = evaluation.model_reversals
    if not found:
        return [text, note_html("No slice has rows enough to compare models in.", "plain")]
    turned = [reversal for reversal in found if reversal.reversed]
    verdict = (
        note_html(f"The order of models turns round within the slices of {', '.join(r.column for r in turned)}.", "bad")
        if turned
        else note_html("The order of models does not turn round within the slices of any column.", "good")
    )
    headers = ["Slice column", "Rival", "Overall", "Within slices", "Slices with the other sign", "Turned round"]
    return [verdict, text, table_html(headers, [_model_row(reversal) for reversal in found], "llrrll")]


def _model_row(reversal: ModelReversal) -> list[Cell]:
    overall = reversal.overall.value or 0.0
    other = [f"{group} {value:+.3f}" for group, value in reversal.slices.items() if value * overall < 0]
    shown = f"{len(other)} of {len(reversal.slices)}" + (f": {', '.join(other[:6])}" if other else "")
    word = badge_html("yes", "bad") if reversal.reversed else badge_html("no")
    gaps = [estimate_cell(reversal.overall, signed=True), estimate_cell(reversal.pooled, signed=True)]
    return [reversal.column, reversal.rival, *gaps, shown, word]


def _rates(stratum: Stratum) -> str:
    return f"{stratum.rates[0]:.1%} against {stratum.rates[1]:.1%}"
