"""The step itself: the verdict first, then the pages of the steps before, then the lineage and the parameters."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from sluice.artifacts.code_state import short_commit
from sluice.artifacts.provenance import Origin, ancestry, origin
from sluice.artifacts.run_results import publish_results
from sluice.core.errors import BadInput
from sluice.core.json_documents import read_json
from sluice.core.progress import progress
from sluice.registry.tracked_results import log_report
from sluice.registry.tracking import finish_pipeline_run
from sluice.reporting.lineage_graph import lineage_svg
from sluice.reporting.pages import (
    Section,
    code_html,
    figure_html,
    figures_html,
    render_page,
    sections_of,
    table_html,
    text_html,
)
from sluice.reporting.verdict_section import verdict_section
from sluice.storage.locations import default_store


def run(pages: Sequence[Path], result: Path, report: Path) -> None:
    """Write the report, keep it with the result in the store under the run's id, and end the run's tracking.

    Args:
        pages: The HTML pages of the steps before, in the order of telling.
        result: The JSON result of register.
        report: Where to.

    Raises:
        BadInput: A page or the result is not what Sluice's steps write, or a manifest is missing or was changed.
        EnvironmentFault: The store or MLflow is down.
    """
    body = read_result(result)
    origins = [origin(bundle) for bundle in ancestry(default_store(), str(body["models"]))]
    told = [section for page in pages for section in read_sections(page)]
    sections = [verdict_section(body), *told, lineage_section(body, origins), parameters_section(origins)]
    subtitle = f"{body['question']} {body['task']}, version {body['version']}."
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(render_page(_title(body), unique(sections), subtitle), encoding="utf-8")
    publish_results(default_store(), report, result)
    log_report(report, result)
    finish_pipeline_run()
    progress(f"the report has {len(sections)} sections")


def read_result(path: Path) -> dict[str, Any]:
    """What register wrote.

    Raises:
        BadInput: It is something else.
    """
    wanted = {"task", "question", "candidates", "winner", "decision", "reason", "version", "models", "model_digest"}
    try:
        body = read_json(path)
        missing = wanted - set(body)
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{path} is no result of register ({error}); run register again") from None
    if missing:
        raise BadInput(f"{path} lacks {', '.join(sorted(missing))}; run register again")
    return dict(body)


def read_sections(path: Path) -> list[Section]:
    """The sections of a step's page.

    Raises:
        BadInput: It is no page of Sluice's.
    """
    try:
        found = sections_of(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}); run the step that made it again") from None
    if not found:
        raise BadInput(f"{path} is no page that a step of Sluice wrote; run the step that made it again")
    return found


def unique(sections: Sequence[Section]) -> list[Section]:
    """The sections with a number behind an id that was there before: pages of different steps may use the same."""
    seen: dict[str, int] = {}
    found = []
    for section in sections:
        seen[section.id] = seen.get(section.id, 0) + 1
        suffix = f"-{seen[section.id]}" if seen[section.id] > 1 else ""
        found.append(Section(section.id + suffix, section.title, section.html))
    return found


def lineage_section(body: dict[str, Any], origins: Sequence[Origin]) -> Section:
    """The graph, and the sources with their digests as a table."""
    facts = [f"{body['winner']}, {body['decision']}"]
    svg = lineage_svg(origins, f"{body['task']} version {body['version']}", body["model_digest"][:12], facts)
    sources = [(s.table, s.path, s.rows, code_html(s.sha256[:12])) for entry in origins for s in entry.sources]
    table = table_html(
        ["Table", "Read from", "Rows", "SHA-256"], sources, "llrl", caption="What was read from the lake"
    )
    shown = code_html(f"sluice lineage {body['task']}/{body['version']}")
    command = Markup("<p>In the terminal: {}</p>").format(shown)
    parts = [
        text_html("From the lake to the model. Ids are content addresses: the same data and steps give the same ids."),
        figures_html([figure_html(svg), Markup("<div>{}{}</div>").format(command, table)]),
    ]
    return Section("lineage", "Lineage", Markup("").join(parts))


def parameters_section(origins: Sequence[Origin]) -> Section:
    """Every step's parameters, and the code and packages that ran."""
    rows = [
        (entry.step, name, code_html(json.dumps(value, ensure_ascii=False)))
        for entry in origins
        for name, value in entry.parameters.items()
    ]
    made = [
        (
            e.step,
            code_html(e.id[:12]),
            code_html(short_commit(e.commit)),
            code_html(e.environment[:12]),
            e.run,
            e.created,
        )
        for e in origins
    ]
    headers = ["Step", "Id", "Commit", "Packages", "First made by run", "At"]
    caption = "A step whose inputs and parameters had not changed was not run again; its first run is named"
    parts = [
        table_html(["Step", "Parameter", "Value"], rows, "lll"),
        table_html(headers, made, "llllll", caption=caption),
    ]
    return Section("parameters", "Parameters and environment", Markup("").join(parts))


def _title(body: dict[str, Any]) -> str:
    words = {
        "waits": "waits for an approval",
        "refused": "not promoted",
        "undecided": "not promoted: too little evidence",
    }
    word = words.get(body["decision"], body["decision"])
    return f"{body['task']}: {body['winner']} {word}"
