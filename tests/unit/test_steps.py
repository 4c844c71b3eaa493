"""What surrounds a step: exit codes, the termination message, and the lake's address."""

import errno
from pathlib import Path

import pytest

from sluice.artifacts.producer import COMMIT, producer
from sluice.core.errors import BadInput, EnvironmentFault, SluiceError
from sluice.core.termination_message import TERMINATION_LOG, read_message
from sluice.steps.step import step
from sluice.storage.locations import STORE, open_lake


@pytest.mark.parametrize(
    ("error", "code"),
    [(BadInput("row 3\nis wrong"), 2), (EnvironmentFault("store is down"), 1), (OSError(errno.ENOSPC, "full"), 1)],
)
def test_a_failure_is_one_line_an_exit_code_and_a_termination_message(
    error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    message = tmp_path / "failure.json"
    monkeypatch.setenv(TERMINATION_LOG, str(message))
    with pytest.raises(SystemExit) as caught, step("sample"):
        raise error
    assert caught.value.code == code
    said = read_message(f"main: Error (exit code 1): {message.read_text()}")
    assert said
    assert said.exit_code == code
    assert str(said).startswith("step sample: ")
    assert capsys.readouterr().out == f"[sluice] error: {str(said).removeprefix('step sample: ')}\n"


def test_last_words_of_another_kind_say_nothing() -> None:
    assert read_message("main: OOMKilled (exit code 137)") is None


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), step("sample"):
        _ = 1 / 0


def test_messages_are_folded_to_one_line() -> None:
    assert str(SluiceError("a\n  b\tc")) == "a b c"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("lakes/flights", "{store}/lakes/flights"),
        ("./lake", "{cwd}/lake"),
        ("/data/lake", "/data/lake"),
    ],
)
def test_a_plain_address_is_a_key_of_the_store(
    address: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(STORE, str(tmp_path / "store"))
    wanted = expected.format(store=tmp_path / "store", cwd=tmp_path)
    assert open_lake(address).uri == wanted


def test_an_empty_address_is_refused() -> None:
    with pytest.raises(BadInput, match="empty"):
        open_lake("")


def test_the_producer_says_which_code_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COMMIT, raising=False)
    made = producer("sample", {"seed": 1})
    assert made.parameters == {"seed": 1}
    assert len(made.environment) == 64
    assert made.commit
