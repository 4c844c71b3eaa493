"""What the command does follows no locale: neither the encoding of its files nor which letter is a large one."""

import json
import os
import subprocess
import sys

import pytest

from tests.turkish import ENCODINGS, MISSING, SOURCE, make_locales

PROGRAM = """
import json, sqlite3, subprocess, sys
{start}
database = sqlite3.connect(":memory:")
database.execute("CREATE TABLE t (a)")
database.execute("INSERT INTO t VALUES (1)")
child = {child!r}
others = json.loads(subprocess.check_output([sys.executable, "-c", child])) if child else []
print(json.dumps([database.in_transaction, open("/dev/null").encoding.lower(), *others]))
"""


@pytest.fixture(scope="module")
def turkish(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """By encoding, the variables that choose the locale."""
    if not SOURCE.is_file():
        pytest.skip(MISSING)
    folder = tmp_path_factory.mktemp("locales")
    return {encoding: {"LOCPATH": str(folder), "name": name} for encoding, name in make_locales(folder).items()}


def told(turkish: dict[str, str], variable: str, start: str) -> list[object]:
    """What a process and one that it starts say: whether INSERT began a transaction, and how a file is read."""
    program = PROGRAM.format(start=start, child=PROGRAM.format(start="", child=""))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    environment |= {"LOCPATH": turkish["LOCPATH"], variable: turkish["name"]}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    answer: list[object] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("variable", ["LC_ALL", "LC_CTYPE", "LANG"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_insert_begins_a_transaction_and_files_are_utf8(
    turkish: dict[str, dict[str, str]], encoding: str, variable: str
) -> None:
    start = "from sluice.running.text_encoding import use_utf8; use_utf8()"
    assert told(turkish[encoding], variable, start) == [True, "utf-8"] * 2


def test_a_turkish_process_of_pythons_own_begins_none(turkish: dict[str, dict[str, str]]) -> None:
    """If Python mends this, the mend of ours may go."""
    assert told(turkish["UTF-8"], "LC_ALL", "") == [False, "utf-8"] * 2


def test_a_system_without_c_utf8_gets_c(monkeypatch: pytest.MonkeyPatch) -> None:
    import locale

    from sluice.running import text_encoding

    chosen: list[str] = []

    def setlocale(_: int, name: str) -> str:
        if name != "C":
            raise locale.Error
        chosen.append(name)
        return name

    monkeypatch.setattr(locale, "setlocale", setlocale)
    monkeypatch.setattr(locale, "getencoding", lambda: "UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.setenv("LC_CTYPE", "tr_TR.UTF-8")
    text_encoding.use_utf8()
    assert (chosen, os.environ["LC_CTYPE"]) == (["C"], "C")
