"""The step's account in Markdown."""

from sluice.artifacts.bundles import Bundle
from sluice.core.plain_text import markdown, markdown_code


def summarize(bundle: Bundle) -> str:
    """What was read from where, as a table."""
    details = bundle.manifest.details
    lines = [
        f"# {bundle.rows:,} rows from the lake {markdown(details['contract']['name'])}",
        "",
        f"Dataset `{bundle.id[:12]}`, read from {markdown_code(bundle.manifest.notes['lake'])}.",
        "",
        "| table | rows | columns | source | bytes | SHA-256 |",
        "| --- | ---: | ---: | --- | ---: | --- |",
    ]
    for name, table in bundle.manifest.tables.items():
        for source in (source for source in details["sources"] if source["table"] == name):
            size = f"{source['bytes']:,}" if source["bytes"] is not None else ""
            digest = f"`{source['sha256'][:12]}`" if source["sha256"] else ""
            place = markdown_code(source["path"])
            lines.append(f"| {name} | {source['rows']:,} | {len(table.columns)} | {place} | {size} | {digest} |")
    return "\n".join(lines) + "\n"
