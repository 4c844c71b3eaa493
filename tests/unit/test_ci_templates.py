"""What `sluice init --ci` writes: workflows that GitHub and GitLab read, with commands that there are."""

import re
from pathlib import Path

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from sluice.cli.main import app
from sluice.core.errors import BadInput
from sluice.project_tools.ci_templates import TEMPLATES, add_ci, ci_text


@pytest.mark.parametrize("where", TEMPLATES)
def test_every_command_in_it_is_one_of_ours_with_options_that_it_has(where: str) -> None:
    text = ci_text(where)[1]
    assert isinstance(yaml.safe_load(text), dict)
    assert "@" not in re.sub(r"@v\d", "", text)
    commands = get_command(app).commands  # type: ignore[attr-defined]
    named = re.findall(r"^.*?\bsluice (check|run|submit)\b([^|\n]*)", text, re.MULTILINE)
    assert {name for name, _ in named} == {"check", "run", "submit"}
    for name, words in named:
        known = {option for each in commands[name].params for option in each.opts}
        assert {word for word in words.split() if word.startswith("-")} <= known


def test_init_writes_it_into_the_project_and_nothing_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{number},{number % 7},{'yes' if number % 3 else 'no'}" for number in range(300))
    (tmp_path / "visits.csv").write_text(f"visit,size,paid\n{rows}\n")
    words = ["init", "visits", "visits.csv", "--predict", "paid", "--ci"]
    with pytest.raises(BadInput, match=r"--ci 'gitub' is unknown .did you mean"):
        CliRunner().invoke(app, [*words, "gitub"], catch_exceptions=False)
    assert not (tmp_path / "visits").exists()
    CliRunner().invoke(app, [*words, "github"], catch_exceptions=False)
    assert (tmp_path / "visits" / ".github" / "workflows" / "sluice.yaml").read_text() == ci_text("github")[1]
    with pytest.raises(BadInput, match="nothing is overwritten"):
        add_ci(tmp_path / "visits", "github")
