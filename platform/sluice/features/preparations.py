"""How the rows were prepared that a model learned from, as the manifests behind it say.

What `prepare` was told stands in the manifests, and every manifest is under an id that its children name; the project's
code is an archive under its own SHA-256. So nothing here comes from today's project folder.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice.artifacts.bundles import Bundle
from sluice.artifacts.provenance import project_code
from sluice.contract.reading import Column, Contract, contract_from_body
from sluice.problems.task import task_of
from sluice.project.declaration import TaskDeclaration
from sluice.project.task_parameter import checked_task

_STEP = "prepare"


@dataclass(frozen=True)
class Preparation:
    """How the rows were prepared that a model learned from.

    Attributes:
        declared: Rows, label and features, as the project declared them then.
        contract: Of the lake.
        dataset: The tables that were read.
        key: The columns that identify a row.
        sources: The columns of the rows' own table that each feature rests on.
        code: SHA-256 of the archive with the project's code, or empty.
        package: The installed package that brings the prepare function, with its version, or empty.
    """

    declared: TaskDeclaration
    contract: Contract
    dataset: Bundle
    key: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]]
    code: str
    package: str = ""

    @property
    def table(self) -> str:
        """The table whose rows the question is asked of."""
        return self.declared.rows.table

    @property
    def columns(self) -> Mapping[str, Column]:
        """That table's columns, as the contract has them."""
        return self.contract.tables[self.table].columns

    @property
    def known_later(self) -> frozenset[str]:
        """Those of them that are known only after the row's moment: a feature takes them from earlier rows alone."""
        known = {name: self.contract.availability(self.table, name) for name in self.columns}
        return frozenset(name for name, each in known.items() if each is not None and not each.with_its_row)


def preparation_of(lineage: Sequence[Bundle]) -> Preparation | None:
    """How the rows behind a model were prepared.

    Args:
        lineage: The folders behind it, sources first, as `ancestry` gives them.

    Returns:
        None where the step `prepare` had no part in it, as with images.

    Raises:
        BadInput: The manifest is one of another Sluice.
    """
    by_id = {bundle.id: bundle for bundle in lineage}
    for bundle in reversed(lineage):
        made = bundle.manifest.producer
        parents = [by_id[each] for each in bundle.manifest.parents if each in by_id]
        if made.step == _STEP and made.parameters.get("task") and parents:
            declared = checked_task("task", made.parameters["task"])
            stated = parents[0].manifest.details.get("contract") or {}
            contract = contract_from_body(stated, f"the contract of {parents[0].uri}")
            own = f"{declared.rows.table}."
            sources = {
                str(entry["name"]): tuple(
                    name.removeprefix(own) for name in entry.get("sources", ()) if name.startswith(own)
                )
                for entry in bundle.manifest.details.get("features", ())
            }
            key = task_of(bundle).key
            package = str(made.parameters.get("package", ""))
            return Preparation(declared, contract, parents[0], key, sources, project_code(made.parameters), package)
    return None
