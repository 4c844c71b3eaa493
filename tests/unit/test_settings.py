"""docs/settings.md names every environment variable that the code reads, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\b(?:SLUICE|MLFLOW|AWS)_[A-Z0-9_]*[A-Z0-9]\b")


def test_the_table_of_settings_is_complete() -> None:
    code = {
        name
        for folder in ("components", "pipelines", "platform/sluice")
        for path in (ROOT / folder).rglob("*.py")
        for name in VARIABLE.findall(path.read_text())
    }
    documented = set(VARIABLE.findall((ROOT / "docs" / "settings.md").read_text()))
    assert documented == code
