"""Lays out the data: Fisher's 150 iris flowers. Run it: `python lake.py [FOLDER]`.

The data come with scikit-learn (BSD 3-Clause), which took them from the UCI Machine Learning Repository, where they are
offered under CC BY 4.0 (R. A. Fisher, *The use of multiple measurements in taxonomic problems*, Annals of Eugenics 7,
1936). What the table holds is said in the contract contract.yaml beside this file.
"""

import sys
from pathlib import Path

from sklearn.datasets import load_iris

from sluice.contract.reading import CONTRACT
from sluice.core.files import written

TABLE = "flowers.csv"


def lay_out_flowers(folder: Path) -> None:
    """Write the table, then the contract, which marks the lake whole.

    Args:
        folder: Where to; made if it is missing.
    """
    found = load_iris(as_frame=True)
    names = {name: name.removesuffix(" (cm)").replace(" ", "_") for name in found.feature_names}
    table = found.data.rename(columns=names)
    table["species"] = found.target_names[found.target]
    table.insert(0, "id", range(1, len(table) + 1))
    folder.mkdir(parents=True, exist_ok=True)
    with written(folder / TABLE) as stream:
        stream.write(table.to_csv(index=False, lineterminator="\n").encode())
    with written(folder / CONTRACT) as stream:
        stream.write((Path(__file__).parent / CONTRACT).read_bytes())


if __name__ == "__main__":
    lay_out_flowers(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
