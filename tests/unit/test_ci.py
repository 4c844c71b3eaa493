""".ci/run with programs of our own around it: what it runs, what its last lines say, and with which code it ends."""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = "\n".join(["....", "=========== 1900 passed, 2 skipped in 300.12s (0:05:00) ==========="])
GREEN = "============ 34 passed in 1200.00s (0:20:00) ============"
RED = """\
=========================== short test summary info ============================
FAILED tests/kind/test_runs.py::test_a_run[time - local] - AssertionError: no
ERROR tests/kind/test_release.py::test_up - subprocess.TimeoutExpired: make kind
FAILED tests/kind/test_runs.py::test_b - assert 1 == 2
======== 2 failed, 31 passed, 1 error in 1500.00s (0:25:00) ========"""
AGAIN = """\
FAILED tests/kind/test_runs.py::test_b - assert 1 == 2
=================== 1 failed, 2 passed, 31 deselected in 9.00s ==================="""
CACHED, BUILT = (f"{n} images and 0 programs built, everything is there after 5 s" for n in (0, 25))
STUB = """#!/bin/bash
name=$(basename "$0")_$(echo "$*" | tr -c 'a-z\\n' _ | tr -s _)
for file in $(ls -r {folder}/*); do
  case "$name" in $(basename "$file")*) echo "$name" >> {calls}; . "$file"; exit;; esac
done
echo "unexpected: $name" >> {calls}
"""


@dataclass
class Machine:
    """A checkout whose programs do what a test says."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)

    def does(self, call: str, output: str = "", code: int = 0, more: str = "") -> None:
        """What a program does whose name and words, joined by `_`, start with `call`."""
        text = self.root / f"{call}.out"
        text.write_text(output + "\n" if output else "")
        (self.root / "does" / call).write_text(f"cat '{text}'\n{more}\nexit {code}\n")

    def run(self) -> tuple[int, list[str]]:
        """The exit code, and the lines."""
        environment = {"PATH": f"{self.root}/bin:/usr/bin:/bin", "HOME": str(self.root), **self.variables}
        command = ["bash", ".ci/run"]
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=120)
        return done.returncode, (done.stdout + done.stderr).splitlines()

    @property
    def calls(self) -> list[str]:
        path = self.root / "calls"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    for folder in (".ci", "bin", "does", ".venv/bin", "platform/hermetic"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    stub = STUB.format(folder=tmp_path / "does", calls=tmp_path / "calls")
    installed = ("make", "go", "java", "chromium", "nginx", "curl", "git", "python3", "df", "docker")
    for program in (*(f"bin/{name}" for name in installed), ".venv/bin/python", ".venv/bin/uv"):
        (tmp_path / program).write_text(stub)
        (tmp_path / program).chmod(0o755)
    (tmp_path / "platform/hermetic/engine.sh").write_text(f"echo engine >> {tmp_path}/calls")
    found = Machine(tmp_path)
    found.does("go", "go1.26.1")
    found.does("java")
    found.does("git")
    found.does("df", "Avail\n100G")
    found.does("make_test", TESTS)
    found.does("make_kind_")
    found.does("make_test_kind_", GREEN)
    for freeing in ("uv_cache_prune", "make_kind_down", "docker"):
        found.does(freeing)
    found.does("python3")
    found.does("python_platform_hermetic_build_py_trim", CACHED)
    return found


def test_a_green_run_has_run_everything_and_says_so(machine: Machine) -> None:
    code, lines = machine.run()
    assert code == 0, lines
    assert lines[-2] == (
        "ci: ran make test: 1900 passed, 2 skipped; make test-kind: 34 passed, 0 flaky; images: from the cache"
    )
    assert lines[-1].startswith("ci: exit code 0 after ")
    assert TESTS.splitlines()[-1] in lines
    assert GREEN in lines
    phases = [line for line in lines[lines.index("ci: ---- what ran ----") :] if line.endswith(" min")]
    assert phases[:5] == [
        "ci: make test: done, 0 min",
        "ci: starting Docker's engine: done, 0 min",
        "ci: building the hermetic images: done, 0 min",
        "ci: make kind HERMETIC=1: done, 0 min",
        "ci: make test-kind HERMETIC=1: done, 0 min",
    ]
    assert [call for call in machine.calls if call.startswith(("make", "engine", "python_"))] == [
        "make_test",
        "engine",
        "python_platform_hermetic_build_py_trim",
        "make_kind_",
        "make_test_kind_keep_cluster",
    ]
    assert not [call for call in machine.calls if call == "unexpected:"]


def images_of_an_earlier_run(machine: Machine) -> None:
    archive = machine.root / ".cache/sluice/hermetic/images/finished-a.tar.zst"
    archive.parent.mkdir(parents=True)
    archive.touch()
    machine.does("make_lint_tools")
    machine.does("python_platform_hermetic_build_py_programs")


@pytest.fixture
def with_images(machine: Machine) -> Machine:
    """The same, where an earlier run left the images."""
    images_of_an_earlier_run(machine)
    return machine


def test_tests_run_beside_the_cluster_where_the_images_are_there(with_images: Machine) -> None:
    begun = with_images.root / "begun"
    with_images.does("make_kind_", more=f"until [ -e {begun} ]; do sleep 0.05; done")
    with_images.does(
        "make_test", TESTS, more=f"touch {begun}; until grep -q test_kind {with_images.root}/calls; do sleep 0.05; done"
    )
    code, lines = with_images.run()
    assert code == 0, lines
    assert "ran make test: 1900 passed, 2 skipped; make test-kind: 34 passed, 0 flaky" in lines[-2]
    assert lines.index(GREEN) < lines.index(TESTS.splitlines()[-1]), "what runs beside is shown in one piece"
    phases = [
        line.partition(": done")[0] for line in lines[lines.index("ci: ---- what ran ----") :] if ": done" in line
    ]
    assert (phases[0], phases[-1]) == ("ci: make lint tools", "ci: make test")
    assert len(phases) == 7


@pytest.mark.parametrize(("tests", "kind", "code"), [(3, 0, 3), (0, 4, 4), (3, 4, 3)])
def test_of_what_runs_at_once_each_fails_the_run(with_images: Machine, tests: int, kind: int, code: int) -> None:
    with_images.does("make_test", TESTS, code=tests)
    with_images.does("make_test_last_failed", TESTS, code=tests)
    with_images.does("make_kind_", code=kind)
    ended, lines = with_images.run()
    assert ended == code, lines
    assert "ran make test: 1900 passed" in lines[-2]
    assert ("make test-kind: NOT RUN" in lines[-2]) == bool(kind)


def test_time_that_is_up_beside_the_cluster_fails(with_images: Machine) -> None:
    with_images.does("make_test", more="sleep 60")
    with_images.variables["SLUICE_CI_SECONDS"] = "4"
    code, lines = with_images.run()
    assert code != 0
    assert "make test: no closing line; make test-kind: 34 passed" in lines[-2]


@pytest.mark.parametrize(
    ("images", "code", "told"),
    [(CACHED, 1, "images: from the cache"), (BUILT, 0, "images: built in this run (25)")],
)
def test_time_that_is_up_is_forgiven_only_where_the_images_were_built(
    machine: Machine, images: str, code: int, told: str
) -> None:
    machine.does("python_platform_hermetic_build_py_trim", images)
    machine.does("make_test_kind_", "tests/kind ..", more="sleep 60")
    machine.variables["SLUICE_CI_SECONDS"] = "8"
    ended, lines = machine.run()
    assert ended == code, lines
    assert lines[-2].endswith(f"make test-kind: NOT RUN to the end, the time was up, 0 flaky; {told}")
    assert any(line.startswith("ci: make test-kind HERMETIC=1: NOT ENDED when the time of this run") for line in lines)


@pytest.mark.parametrize(
    ("output", "code", "told"),
    [
        ("[ 1/ 2] go etcd v3 ... 56 s", 0, "built in this run, not to the end"),
        ("[ 1/1] archive finished-a.tar.zst into Docker ... 30 s", 1, "from the cache"),
    ],
)
def test_a_build_that_the_time_cuts_off_goes_on_in_the_next_run(
    machine: Machine, output: str, code: int, told: str
) -> None:
    machine.does("python_platform_hermetic_build_py_trim", output, more="sleep 60")
    machine.variables["SLUICE_CI_SECONDS"] = "6"
    ended, lines = machine.run()
    assert (ended, lines[-2].rpartition("images: ")[2]) == (code, told)
    assert "NOT RUN" in lines[-2]


def test_time_that_is_up_in_make_test_fails(machine: Machine) -> None:
    machine.does("make_test", more="sleep 60")
    machine.variables["SLUICE_CI_SECONDS"] = "2"
    code, lines = machine.run()
    assert code != 0
    assert "make test: no closing line; make test-kind: NOT RUN" in lines[-2]


@pytest.mark.parametrize(("call", "phase"), [("make_kind_", "make kind HERMETIC=1"), ("python_platform", "building")])
def test_what_fails_before_the_tests_on_kind_fails_the_run(machine: Machine, call: str, phase: str) -> None:
    (machine.root / "does/python_platform_hermetic_build_py_trim").unlink()
    machine.does("python_platform", BUILT)
    machine.does(call, "boom", code=7)
    code, lines = machine.run()
    assert code == 7
    assert "boom" in lines
    assert any(phase in line and "FAILED with exit code 7" in line for line in lines[-10:])
    assert "make test-kind: NOT RUN" in lines[-2]


def test_failing_tests_fail_the_run_before_any_cluster(machine: Machine) -> None:
    machine.does("make_test", TESTS.replace("1900 passed", "3 failed, 1897 passed"), code=2)
    machine.does("make_test_last_failed", "== 1 failed, 2 passed in 9.00s ==", code=2)
    code, lines = machine.run()
    assert code == 2
    told = "3 failed, 1897 passed, 2 skipped; once more: 1 failed, 2 passed; make test-kind: NOT RUN"
    assert f"ran make test: {told}" in lines[-2]
    assert "engine" not in machine.calls


@pytest.mark.parametrize("cached", [False, True])
def test_a_test_that_passes_at_the_second_time_is_named_as_flaky(machine: Machine, cached: bool) -> None:
    if cached:
        images_of_an_earlier_run(machine)
    failed = "FAILED tests/unit/test_feedback.py::test_the_commands - sluice.core.errors.BadInput: no\n"
    machine.does("make_test", failed + TESTS.replace("1900 passed", "1 failed, 1899 passed"), code=2)
    machine.does("make_test_last_failed", "== 1 passed in 9.00s ==")
    code, lines = machine.run()
    assert code == 0, lines
    assert [line for line in lines if "FLAKY" in line] == [
        "ci: FLAKY, failed once, then passed: tests/unit/test_feedback.py::test_the_commands"
    ]
    assert "1 failed, 1899 passed, 2 skipped; once more: 1 passed; make test-kind: 34 passed, 1 flaky" in lines[-2]


def test_what_passes_at_the_second_time_is_named_as_flaky(machine: Machine) -> None:
    first, second = machine.root / "first", machine.root / "second"
    first.write_text(RED)
    second.write_text("======= 3 passed, 31 deselected in 9.00s =======")
    turn = f"if [ -e {machine.root}/turn ]; then cat {second}; exit 0; fi; touch {machine.root}/turn; cat {first}"
    machine.does("make_test_kind_", more=turn, code=2)
    code, lines = machine.run()
    assert code == 0, lines
    assert [line for line in lines if "FLAKY" in line] == [
        "ci: FLAKY, failed once, then passed: tests/kind/test_release.py::test_up",
        "ci: FLAKY, failed once, then passed: tests/kind/test_runs.py::test_a_run[time - local]",
        "ci: FLAKY, failed once, then passed: tests/kind/test_runs.py::test_b",
    ]
    told = "make test-kind: 2 failed, 31 passed, 1 error; once more: 3 passed, 31 deselected, 3 flaky"
    assert told in lines[-2]


def test_what_fails_twice_fails_the_run(machine: Machine) -> None:
    first, second = machine.root / "first", machine.root / "second"
    first.write_text(RED)
    second.write_text(AGAIN)
    turn = f"if [ -e {machine.root}/turn ]; then cat {second}; exit 2; fi; touch {machine.root}/turn; cat {first}"
    machine.does("make_test_kind_", more=turn, code=2)
    code, lines = machine.run()
    assert code == 2
    assert not [line for line in lines if "FLAKY" in line and line.endswith("test_b")]
    assert "2 flaky" in lines[-2]


def test_a_disk_that_is_too_full_is_told_and_fails(machine: Machine) -> None:
    machine.does("df", "Avail\n12G")
    code, lines = machine.run()
    assert code == 1
    assert any(line.endswith("the tests on kind take 40 GB of disk, and 12 are free") for line in lines)
    assert "make_kind_down" in machine.calls
    assert not [call for call in machine.calls if call.startswith("make_kind_hermetic")]


def test_what_earlier_runs_left_makes_room_where_the_disk_is_short(machine: Machine) -> None:
    freed = machine.root / "freed"
    machine.does("df", more=f"[[ -e '{freed}' ]] && echo 50G || echo 12G")
    machine.does("docker_builder", more=f"touch '{freed}'")
    code, lines = machine.run()
    assert code == 0, lines
    freeing = [call for call in machine.calls if call.startswith(("uv_", "docker_")) or call == "make_kind_down"]
    assert freeing[:3] == ["uv_cache_prune_quiet", "make_kind_down", "docker_builder_prune_all_force"]


def test_a_run_that_is_ended_from_outside_says_what_it_had_run(machine: Machine) -> None:
    machine.does("make_test_kind_", more="sleep 60")
    environment = {"PATH": f"{machine.root}/bin:/usr/bin:/bin", "HOME": str(machine.root)}
    with subprocess.Popen(
        ["bash", ".ci/run"], cwd=machine.root, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for line in process.stdout:
            if "make kind HERMETIC=1: done" in line:
                break
        os.kill(process.pid, signal.SIGTERM)
        rest = process.stdout.read().splitlines()
    assert process.returncode == 143
    assert "make test-kind: NOT RUN" in rest[-2]
