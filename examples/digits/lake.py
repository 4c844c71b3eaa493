"""Lays out the data: scikit-learn's handwritten digits as PNG files with metadata. Run it: `python lake.py [FOLDER]`.

1,797 digits of 8 by 8 pixels, from the test part of the UCI set Optical Recognition of Handwritten Digits
(Alpaydin and Kaynak 1998).
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from sluice.core.digests import sha256_file
from sluice.core.files import written

METADATA = "metadata.jsonl"
_LEVELS = 16  # the set has 17 shades of grey, 0 to 16


def lay_out_digits(folder: Path) -> None:
    """Write the images, then the metadata, which marks the lake whole.

    Args:
        folder: Where to; made if it is missing.
    """
    digits = load_digits()
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        name = f"images/{number:04d}.png"
        Image.fromarray(np.round(pixels * (255 / _LEVELS)).astype(np.uint8)).save(folder / name)
        lines.append({"id": f"{number:04d}", "file": name, "label": int(label), "sha256": sha256_file(folder / name)})
    with written(folder / METADATA) as stream:
        stream.write("".join(f"{json.dumps(line)}\n" for line in lines).encode())


if __name__ == "__main__":
    lay_out_digits(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
