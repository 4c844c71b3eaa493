"""Small tasks on a table and on images, and a fitted model of every family for them."""

import io
from functools import cache

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_digits

from sluice.modeling.catalogue import candidates_for
from sluice.modeling.model_files import Model
from sluice.modeling.parts import Part, Parts
from sluice.modeling.training_settings import TrainingSettings
from sluice.problems.task import Task

TABLE = Task(
    name="late",
    question="Will it arrive late?",
    label="late",
    classes=("on time", "late"),
    key=("row",),
    numeric=("wind", "empty", "constant"),
    categorical=("weather", "carrier"),
    heuristic="weather",
)
IMAGES = Task(
    name="digits",
    question="Which digit is in the image?",
    label="label",
    classes=tuple("0123456789"),
    key=("id",),
    image="image",
)
TABLE_NAMES = tuple(candidate.name for candidate in candidates_for(TABLE))
IMAGE_NAMES = tuple(candidate.name for candidate in candidates_for(IMAGES))


def table_rows(rows: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows whose label follows wind and weather, with nulls in every column that may have some."""
    generator = np.random.default_rng(seed)
    weather = generator.choice(["storm", "rain", "sun"], rows, p=[0.2, 0.3, 0.5])
    wind = generator.normal(size=rows)
    chance = pd.Series(weather).map({"storm": 0.8, "rain": 0.4, "sun": 0.1}).to_numpy() + 0.15 * np.tanh(wind)
    frame = pd.DataFrame(
        {
            "row": np.arange(rows),
            "wind": np.where(generator.random(rows) < 0.1, np.nan, wind),
            "empty": np.full(rows, np.nan),
            "constant": np.full(rows, 7),
            "weather": pd.Series(weather).where(generator.random(rows) < 0.95, None),
            "carrier": generator.choice([f"C{number}" for number in range(9)], rows),
        }
    )
    return frame, (generator.random(rows) < chance).astype(np.int64)


def png(pixels: np.ndarray) -> bytes:
    """Pixels (height, width), 0 to 255, as a grey PNG file."""
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def image_rows(first: int, last: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Some of scikit-learn's digits."""
    digits = load_digits()
    images = [png(pixels * 15) for pixels in digits.images[first:last]]
    return pd.DataFrame({"id": range(first, last), "image": images}), digits.target[first:last].astype(np.int64)


def table_parts(rows: int = 1500) -> Parts:
    """Training rows and validation rows of the table."""
    train, validation = Part(*table_rows(rows)), Part(*table_rows(500, seed=1))
    return Parts(TABLE, train, validation, train)


def image_parts() -> Parts:
    """Training rows and validation rows of the images."""
    train, validation = Part(*image_rows(0, 600)), Part(*image_rows(600, 800))
    return Parts(IMAGES, train, validation, train)


@cache
def fitted(task: str, name: str, rounds: int = 2, seed: int = 3) -> Model:
    """A candidate trained for a few rounds."""
    parts = table_parts() if task == TABLE.name else image_parts()
    candidate = next(entry for entry in candidates_for(parts.task) if entry.name == name)
    return candidate.fit(parts, TrainingSettings(max_rounds=rounds, seed=seed)).model
