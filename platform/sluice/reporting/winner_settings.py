"""The winner's settings in the report, and the way to change them."""

import json

from markupsafe import Markup

from sluice.evaluation.candidates import JudgedModel
from sluice.parameters.candidate_settings import SETTINGS
from sluice.project.yaml_text import flow
from sluice.reporting.pages import Cell, code_html, heading_html, table_html, text_html


def winner_settings(winner: JudgedModel) -> Markup:
    """A table of what can be set of the winner, with what held here, and the lines that change it."""
    model = SETTINGS.get(winner.called)
    parts = [heading_html(f"Settings of {winner.name}")]
    if model and model.model_fields:
        rows: list[list[Cell]] = [
            [code_html(name), _value(winner, name, field.default), field.description or ""]
            for name, field in model.model_fields.items()
        ]
        parts.append(table_html(["Setting", "Here", "What it is"], rows, "lll"))
    elif winner.settings:
        rows = [[code_html(name), json.dumps(value, ensure_ascii=False)] for name, value in winner.settings.items()]
        parts.append(table_html(["Setting", "Here"], rows, "ll"))
    return Markup("").join([*parts, _way(winner, list(model.model_fields) if model else [])])


def _value(winner: JudgedModel, name: str, default: object) -> str:
    """What held: what was learned with, which may be the candidate's own choice, else what was set."""
    return json.dumps(winner.parameters.get(name, winner.settings.get(name, default)))


def _way(winner: JudgedModel, known: list[str]) -> Markup:
    if known:
        example = winner.settings or {known[0]: winner.parameters.get(known[0], 0)}
    elif winner.settings:
        example = winner.settings
    else:
        return text_html(f"{winner.called} was made without arguments; what its class takes as arguments can be set.")
    entry = {winner.called: example}
    project = code_html(f"train: {flow({'candidates': [entry]})}")
    command = code_html(f"-p 'candidates={json.dumps([entry], ensure_ascii=False)}'")
    way = Markup("<p>To change them: {} in the project's file, or {} on the command line; {}.</p>")
    return way.format(project, command, "other candidates stand beside it in the list")
