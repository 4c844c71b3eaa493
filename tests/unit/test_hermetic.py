"""The builder of the hermetic images: its tables, content keys, Debian's mirror, steps, and one-line errors."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
HERMETIC = ROOT / "platform" / "hermetic"
sys.path[:0] = [str(HERMETIC), str(ROOT / "platform" / "kind")]

import build  # noqa: E402
import commands  # noqa: E402
import container_images  # noqa: E402
import debian  # noqa: E402
import first_look  # noqa: E402
import loading  # noqa: E402
import look  # noqa: E402
import machine  # noqa: E402
import schedule  # noqa: E402
from faults import BadUse, Fault  # noqa: E402
from keys import Keys, baked, finished  # noqa: E402
from programs import download, leave_out  # noqa: E402
from steps import Steps  # noqa: E402
from table import Module, Table, programs_of, read_table  # noqa: E402

CHART_VALUES = ROOT / "charts" / "sluice" / "values-hermetic.yaml"


@pytest.fixture(scope="module")
def table() -> Table:
    return read_table()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HERMETIC, tmp_path / "hermetic"))


def image_references(values: object) -> list[str]:
    """All images of a values file, whether written as one text or as repository and tag."""
    if isinstance(values, dict):
        repository, tag = values.get("repository"), values.get("tag")
        found = [f"{repository}:{tag}"] if repository and tag else []
        return found + [item for value in values.values() for item in image_references(value)]
    if isinstance(values, list):
        return [item for value in values for item in image_references(value)]
    return [values] if isinstance(values, str) and re.fullmatch(r"sluice\.local/[^ ]+:[^ ]+", values) else []


class TestTable:
    @pytest.mark.skipif(not CHART_VALUES.is_file(), reason="the chart has no values-hermetic.yaml")
    def test_builds_every_image_that_the_chart_runs_here(self, table: Table) -> None:
        wanted = image_references(yaml.safe_load(CHART_VALUES.read_text(encoding="utf-8")))
        built = {image.reference for image in table.images.values() if image.baked}
        assert wanted
        assert {name for name in wanted if name.startswith("sluice.local/")} <= built

    def test_names_each_image_once(self, table: Table) -> None:
        references = [image.reference for image in table.images.values()]
        assert len(set(references)) == len(references)

    def test_every_binary_of_an_image_is_built(self, table: Table) -> None:
        for image in table.images.values():
            for source in image.files.values():
                program, colon, binary = source.partition(":")
                if not colon:
                    assert (HERMETIC / source).is_file()
                    continue
                entry = table.programs[program]
                last_words = {package.rsplit("/", 1)[-1] for package in entry.packages if package != "."}
                module_word = re.sub(r"/v\d+$", "", entry.module).rsplit("/", 1)[-1]
                assert binary in last_words | {entry.binary, module_word}, f"{image.name}: {source}"

    def test_pins_every_module_by_go_s_checksum(self, table: Table) -> None:
        for program in table.programs.values():
            for module in (program, *program.modules):
                assert re.fullmatch(r"h1:[A-Za-z0-9+/]{43}=", module.sum), program.name

    def test_pins_every_python_package_by_hash(self) -> None:
        locks = list(HERMETIC.rglob("requirements.txt"))
        assert len(locks) == 2
        for lock in locks:
            for line in re.split(r"(?<!\\)\n", lock.read_text(encoding="utf-8").strip()):
                assert re.match(r"[\w.-]+==\S+ .*--hash=sha256:", line, re.DOTALL), f"{lock}: {line}"

    def test_nodes_run_what_kind_is_told(self, table: Table) -> None:
        config = yaml.safe_load((HERMETIC / "kind.yaml").read_text(encoding="utf-8"))
        assert {node["image"] for node in config["nodes"]} == {table.images["node"].reference}

    def test_the_pods_network_is_the_one_that_nodes_and_chart_know(self) -> None:
        subnet = yaml.safe_load((HERMETIC / "kind.yaml").read_text(encoding="utf-8"))["networking"]["podSubnet"]
        assert f"\npods={subnet}\n" in (HERMETIC / "node" / "entrypoint").read_text(encoding="utf-8")
        values = yaml.safe_load(CHART_VALUES.with_name("values-kind.yaml").read_text(encoding="utf-8"))
        assert [entry["ipBlock"]["except"] for entry in values["networkPolicy"]["entryPoints"]] == [[subnet]]

    def test_what_our_own_images_are_made_from_is_kept(self, table: Table) -> None:
        made_from = set(re.findall(r"sluice\.local/[\w.:/-]+", (ROOT / "Makefile").read_text(encoding="utf-8")))
        assert len(made_from) == 2
        assert made_from <= {table.images[name].reference for name in finished(table)}

    @pytest.mark.parametrize(
        ("entry", "message"),
        [
            ('[x]\nreference = "a:1"\nbse = "debian"\n', "image x: unknown field 'bse'"),
            ('[x]\nbase = "scratch"\n', "image x: .*reference"),
            ('[x]\nreference = "a:1"\nbase = "ubuntu"\n', "image x: its base 'ubuntu' is not in images.toml"),
            (
                '[x]\nreference = "a:1"\nfiles = { "/x" = "nothing:x" }\n',
                "image x: program 'nothing' is not in programs.toml",
            ),
            ("[x\n", "images.toml: "),
        ],
    )
    def test_refuses_what_it_cannot_build(self, copy: Path, entry: str, message: str) -> None:
        (copy / "images.toml").write_text(entry, encoding="utf-8")
        with pytest.raises(BadUse, match=message) as refused:
            read_table(copy)
        assert "\n" not in str(refused.value)


class TestKeys:
    def test_are_the_same_for_the_same_content(self, copy: Path) -> None:
        here, there = Keys(read_table()), Keys(read_table(copy), copy)
        assert all(here.image(name) == there.image(name) for name in here.table.images)
        assert here.bundle == there.bundle

    @pytest.mark.parametrize(
        ("path", "programs", "changed", "kept"),
        [
            ("images/mariadb/my.cnf", set(), {"mariadb", "node"}, {"postgresql", "debian"}),
            ("node/pod-network", set(), {"pod-network", "node"}, {"kube-proxy", "mariadb"}),
            ("node/entrypoint", set(), {"node"}, {"pod-network", "mariadb"}),
            ("images/python/Dockerfile", set(), {"python", "python-torch"}, {"node", "mariadb"}),
            ("images/static/Dockerfile", set(), {"static", "kfp-driver", "minio", "node"}, {"mariadb", "python"}),
            ("sums/etcd.sum", {"etcd"}, {"etcd", "node"}, {"kube-apiserver"}),
            ("mock-oidc/main.go", {"mock-oidc"}, {"mock-oidc"}, {"node", "oauth2-proxy"}),
            ("kfp/protobufs.py", {"kfp"}, {"kfp-driver", "kfp-api-server", "node"}, {"workflow-controller"}),
        ],
    )
    def test_change_with_a_file_for_all_that_stands_on_it(
        self, copy: Path, path: str, programs: set[str], changed: set[str], kept: set[str]
    ) -> None:
        before = Keys(read_table(copy), copy)
        old = {name: before.image(name) for name in before.table.images}
        with (copy / path).open("a", encoding="utf-8") as file:
            file.write("\n# a change\n")
        after = Keys(read_table(copy), copy)
        new = {name: after.image(name) for name in after.table.images}
        different = {name for name in old if old[name] != new[name]}
        assert changed <= different
        assert not kept & different
        assert {name for name in before.table.programs if before.program(name) != after.program(name)} == programs

    def test_change_with_a_version(self, table: Table) -> None:
        newer = dataclasses.replace(table.programs["argo"], version="v3.7.5")
        changed = Keys(Table({**table.programs, "argo": newer}, table.images))
        assert changed.image("argoexec") != Keys(table).image("argoexec")
        assert changed.image("minio") == Keys(table).image("minio")

    def test_change_with_the_versions_of_a_workspace(self, table: Table) -> None:
        newer = dataclasses.replace(table.programs["jobset"], version="v0.13.0")
        changed = Keys(Table({**table.programs, "jobset": newer}, table.images))
        different = {name for name in table.programs if changed.program(name) != Keys(table).program(name)}
        assert different == {"coredns", "local-path-provisioner", "trainer", "jobset"}

    def test_change_with_the_certificates_of_the_machine(self, table: Table) -> None:
        here, there = Keys(table, machine="a"), Keys(table, machine="b")
        assert here.image("debian") != there.image("debian")
        assert here.program("kubernetes") == there.program("kubernetes")

    def test_say_which_file_of_a_table_is_missing(self, copy: Path) -> None:
        (copy / "sums" / "etcd.sum").unlink()
        with pytest.raises(BadUse, match=r"sums/etcd\.sum: No such file"):
            Keys(read_table(copy), copy).image("etcd")


ONE_LINE = """\
# deb http://commented.example/debian trixie main
deb-src http://source.example/debian trixie main
deb [arch=amd64] https://other.example/apt cloud-sdk-bookworm main
deb [signed-by=/usr/share/keyrings/x.gpg arch=amd64] http://mirror.example/debian bookworm main contrib
deb http://mirror.example/security bookworm-security main
"""
DEB822 = """\
Types: deb deb-src
# Suites: sid
URIs: http://new.example/debian/ http://second.example/debian
Suites: trixie trixie-updates
Components: main

Types: deb
URIs: http://new.example/security
Suites: trixie-security
Components: main
"""


class TestMirror:
    @pytest.fixture
    def apt(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.delenv("SLUICE_DEBIAN_MIRROR", raising=False)
        (tmp_path / "sources.list.d").mkdir()
        return tmp_path

    def test_is_read_from_one_line_sources(self, apt: Path) -> None:
        (apt / "sources.list").write_text(ONE_LINE, encoding="utf-8")
        assert debian.mirror(apt) == "http://mirror.example/debian"
        assert debian.security(apt) == "http://mirror.example/security"

    def test_is_read_from_deb822_sources(self, apt: Path) -> None:
        (apt / "sources.list.d" / "debian.sources").write_text(DEB822, encoding="utf-8")
        assert debian.mirror(apt) == "http://new.example/debian"
        assert debian.security(apt) == "http://new.example/security"

    @pytest.mark.parametrize("text", [DEB822.replace("Types: deb deb-src", "Types: deb-src"), "Enabled: no\n" + DEB822])
    def test_is_not_taken_from_what_apt_does_not_use(self, apt: Path, text: str) -> None:
        (apt / "sources.list.d" / "debian.sources").write_text(text, encoding="utf-8")
        with pytest.raises(Fault, match=r"no Debian suite in .*SLUICE_DEBIAN_MIRROR"):
            debian.mirror(apt)

    def test_can_be_chosen(self, apt: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SLUICE_DEBIAN_MIRROR", "http://chosen.example/debian")
        assert debian.mirror(apt) == "http://chosen.example/debian"

    @pytest.mark.skipif(not list(debian.sources()), reason="this machine has no apt sources")
    def test_stands_in_no_file(self) -> None:
        hosts = {urlsplit(source.uri).hostname for source in debian.sources()} - {None}
        for path in HERMETIC.rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                text = path.read_text(encoding="utf-8")
                assert not [host for host in hosts if str(host) in text], path


class TestSteps:
    def steps(self, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: set[str]) -> Steps:
        keys = Keys(table)
        known = {table.images[name].reference: keys.image(name) for name in there if name in table.images}
        monkeypatch.setattr(container_images, "key_in_docker", known.get)
        cache = machine.Cache(tmp_path)
        for name in there & table.programs.keys():
            (cache.programs / f"{name}-{keys.program(name)}").mkdir(parents=True)
        return Steps(table, keys, cache)

    def test_take_all_that_is_missing_once(self, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        names = [step.name for step in self.steps(table, tmp_path, monkeypatch, set()).needed(finished(table))]
        assert len(set(names)) == len(names)
        assert set(baked(table)) <= set(names)
        used = [image for image in table.images.values() if image.baked or image.name in finished(table)]
        assert {f"go {name}" for image in used for name in programs_of(image)} <= set(names)

    def test_take_nothing_for_what_is_there(
        self, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps = self.steps(table, tmp_path, monkeypatch, set(finished(table)) | {"kind"})
        assert steps.needed(finished(table), ["kind"]) == []

    def test_take_only_what_stands_on_a_missing_image(
        self, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        there = (set(table.images) | set(table.programs)) - {"mariadb", "node"}
        steps = self.steps(table, tmp_path, monkeypatch, there).needed(finished(table))
        assert [step.name for step in steps] == ["mariadb", "node"]
        assert "mariadb" in steps[-1].after

    def test_build_a_workspace_one_after_the_other(
        self, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps = {step.name: step for step in self.steps(table, tmp_path, monkeypatch, set()).needed(finished(table))}
        members = [f"go {name}" for name in ("coredns", "local-path-provisioner", "trainer", "jobset")]
        order = [name for name in steps if name in members]
        assert sorted(order) == sorted(members)
        for place, name in enumerate(order):
            assert set(steps[name].after) == set(order[:place])

    def test_run_in_order_and_stop_at_the_first_fault(self, capsys: pytest.CaptureFixture[str]) -> None:
        made: list[str] = []

        def fail() -> None:
            raise Fault("second: broken")

        plan = [
            schedule.Step("third", "", lambda: made.append("third"), ["second"]),
            schedule.Step("second", "", fail, ["first"]),
            schedule.Step("first", "1.0", lambda: made.append("first")),
        ]
        with pytest.raises(Fault, match="second: broken"):
            schedule.in_order(plan)
        assert made == ["first"]
        assert capsys.readouterr().out.startswith("[ 1/3] first 1.0 ... ")


class TestErrors:
    def test_name_the_program_the_command_and_the_last_lines(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        machine.run("x", ["sh", "-c", "echo earlier"], log)
        with pytest.raises(Fault) as failed:
            machine.run("x", ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo line $i; done; exit 3"], log)
        message = str(failed.value)
        assert message.startswith("x: `sh -c ")
        assert "failed (3): line 3 | line 4 | line 5 | line 6 | line 7 | line 8 " in message
        assert "earlier" not in message
        assert message.endswith(f"(all of it: {log})")
        assert "\n" not in message

    @pytest.mark.parametrize(
        ("tool", "option", "name"),
        [("go", "--programs", "etcd"), ("go", "--only", "protoc-gen-go"), ("docker", "--only", "etcd")],
    )
    def test_say_which_program_is_missing(
        self,
        tool: str,
        option: str,
        name: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert build.main([option, name]) == 1
        said = capsys.readouterr().err
        assert f"takes `{tool}`, and none is on the PATH" in said
        assert said.count("\n") == 1

    def test_say_that_no_engine_answers(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        docker = tmp_path / "docker"
        docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n", encoding="utf-8")
        docker.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        assert build.main(["--only", "debian"]) == 1
        assert "no Docker engine answers (Cannot connect to the Docker daemon): start it" in capsys.readouterr().err

    def test_refuse_unknown_names(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert build.main(["--only", "kubelett"]) == 2
        assert "--only kubelett: neither in programs.toml nor in images.toml" in capsys.readouterr().err
        assert build.main(["--programs", "mariadb"]) == 2
        assert "--programs mariadb: not in programs.toml" in capsys.readouterr().err

    def test_wait_for_another_build(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(machine, "LOCK_SECONDS", 0.2)
        cache = machine.Cache(tmp_path)
        with (
            machine.locked(cache),
            pytest.raises(Fault, match=r"waited 0\.2 s for another build"),
            machine.locked(cache),
        ):
            pass
        assert "Another build runs" in capsys.readouterr().out
        with machine.locked(cache):
            pass

    @pytest.mark.skipif(not shutil.which("go"), reason="Go is not on the PATH")
    def test_say_that_the_proxy_is_out_of_reach(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GOPROXY", "http://127.0.0.1:9")
        module = Module("example.test/nothing", "v1.0.0", "h1:x")
        with pytest.raises(Fault, match=r"example\.test/nothing@v1\.0\.0: .*is the module proxy within reach"):
            download(module, machine.Cache(tmp_path))

    def test_refuse_a_module_with_another_checksum(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        go = tmp_path / "go"
        go.write_text("""#!/bin/sh\necho '{"Dir": "/nowhere", "Sum": "h1:other"}'\n""", encoding="utf-8")
        go.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        with pytest.raises(BadUse, match=r"has the checksum h1:other, but programs.toml says h1:ours"):
            download(Module("example.test/x", "v1.0.0", "h1:ours"), machine.Cache(tmp_path))

    def test_name_a_line_that_is_not_there_to_be_left_out(self, tmp_path: Path, table: Table) -> None:
        (tmp_path / "plugin.cfg").write_text("errors:errors\nazure:azure\ncache:cache\n", encoding="utf-8")
        leave_out(table.programs["coredns"], tmp_path / "plugin.cfg", ["azure:azure"])
        assert (tmp_path / "plugin.cfg").read_text(encoding="utf-8") == "errors:errors\ncache:cache\n"
        with pytest.raises(BadUse, match=r"coredns: plugin\.cfg has no line 'azure:azure', which programs"):
            leave_out(table.programs["coredns"], tmp_path / "plugin.cfg", ["azure:azure"])


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


DEAD = "echo 'Cannot connect to the Docker daemon' >&2; exit 1"


class TestLook:
    @pytest.fixture
    def programs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Docker without any image, Go, a C compiler and mmdebstrap; an empty cache."""
        folder = tmp_path / "programs"
        program(folder, "docker", 'case "$*" in version*) echo 29.0 ;; *) exit 1 ;; esac')
        program(folder, "go", "echo go1.26.1")
        for name in ("gcc", "mmdebstrap", "kubectl"):
            program(folder, name, "")
        monkeypatch.setenv("PATH", str(folder))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        for name in ("KIND", "HELM"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(look, "BUILD_GB", 0)
        return folder

    def test_says_what_would_be_built(self, programs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert build.main(["--look"]) == 0
        assert re.fullmatch(r"[3-9]\d images and programs are to be built\n", capsys.readouterr().out)

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            (
                "docker",
                DEAD,
                r"no Docker engine answers \(Cannot .*\): start it with .*sudo platform/hermetic/engine.sh",
            ),
            ("go", "echo go1.21.0", "Go 1.26 or newer, and .*/go is go1.21.0"),
            ("go", "", "Go 1.26 or newer, and .*/go is silent"),
        ],
    )
    def test_names_a_program_that_does_not_do(
        self, programs: Path, name: str, text: str, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        program(programs, name, text)
        assert build.main(["--look"]) == 1
        assert re.search(said, capsys.readouterr().err)

    @pytest.mark.parametrize("name", ["docker", "go", "gcc", "mmdebstrap"])
    def test_names_a_program_that_is_not_there(
        self, programs: Path, name: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (programs / name).unlink()
        assert build.main(["--look"]) == 1
        assert f"takes `{name}`, and none is on the PATH" in capsys.readouterr().err

    def test_names_a_disk_without_room(
        self, programs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(look, "BUILD_GB", 10**9)
        assert build.main(["--look"]) == 1
        assert re.search(r"\d+ GB are free, and 1000000000 are wanted: make room, or set X", capsys.readouterr().err)

    def test_asks_little_where_all_is_there(
        self, programs: Path, monkeypatch: pytest.MonkeyPatch, table: Table, tmp_path: Path
    ) -> None:
        keys = Keys(table)
        cache = machine.Cache(tmp_path / "cache/sluice")
        for name in table.programs:
            (cache.programs / f"{name}-{keys.program(name)}").mkdir(parents=True)
        there = {image.reference: keys.image(name) for name, image in table.images.items()}
        monkeypatch.setattr(container_images, "key_in_docker", there.get)
        for name in ("LOAD_GB", "BUILD_GB"):
            monkeypatch.setattr(look, name, 10**9)
        monkeypatch.setattr(look, "RUN_GB", 0)
        (programs / "go").unlink()
        done = look.look(Steps(table, keys, cache), finished(table), list(table.programs))
        assert done == "0 images and programs are to be built"

    @pytest.mark.parametrize(
        ("missing", "said"),
        [
            ("kubectl", "no `kubectl` on the PATH"),
            ("go", "no `kind` on the PATH"),
            ("docker", "no `docker` on the PATH"),
        ],
    )
    def test_of_a_cluster_from_upstream_s_images_takes_its_tools(
        self, programs: Path, missing: str, said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert first_look.main([]) == 0
        (programs / missing).unlink()
        assert first_look.main([]) == 1
        assert said in capsys.readouterr().err
        assert first_look.main(["--hermetic"]) == (1 if missing == "docker" else 0)

    @pytest.mark.skipif(not shutil.which("make"), reason="make is not on the PATH")
    def test_comes_before_make_kind_builds_anything(self, tmp_path: Path) -> None:
        programs, venv = tmp_path / "programs", tmp_path / "venv"
        program(programs, "docker", DEAD)
        program(programs, "go", f'echo "$*" >> {tmp_path}/calls; echo go1.26.1')
        stamp = subprocess.run("cat requirements/bootstrap.txt | cksum", shell=True, cwd=ROOT, capture_output=True)
        program(venv, "unused", "")
        (venv / f".bootstrap-{stamp.stdout.split()[0].decode()}").touch()
        program(venv / "bin", "python", f'exec {sys.executable} "$@"')
        command = ["make", "kind", "HERMETIC=1", f"VENV={venv}"]
        path = f"{programs}:/usr/local/bin:/usr/bin:/bin"
        environment = {"PATH": path, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.splitlines()[0].startswith("kind: no Docker engine answers (Cannot connect to the Docker")
        assert "sudo platform/hermetic/engine.sh" in done.stderr
        assert set((tmp_path / "calls").read_text().splitlines()) == {"env GOVERSION"}
        assert not (tmp_path / "cache").exists()


class TestScripts:
    @pytest.mark.parametrize("script", ["engine.sh", "node/entrypoint", "node/know-control-plane", "node/pod-network"])
    def test_are_valid_bash(self, script: str) -> None:
        assert subprocess.run(["bash", "-n", str(HERMETIC / script)], check=False).returncode == 0

    @pytest.mark.parametrize("image", ["mariadb", "postgresql"])
    def test_entrypoints_are_valid_bash(self, image: str) -> None:
        script = HERMETIC / "images" / image / "docker-entrypoint.sh"
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


LISTED = """\
REF TYPE DIGEST SIZE PLATFORMS LABELS
docker.io/sluice/here:1 application/x sha256:m1 1.0 MiB linux/amd64 -
sha256:i1 application/x sha256:m1 1.0 MiB linux/amd64 -
docker.io/sluice/changed:1 application/x sha256:m2 1.0 MiB linux/amd64 -
sha256:i3 application/x sha256:m3 1.0 MiB linux/amd64 -
"""


class TestLoading:
    @pytest.mark.parametrize(
        ("name", "full"),
        [
            ("python", "docker.io/library/python:latest"),
            ("sluice/platform:0.1.0", "docker.io/sluice/platform:0.1.0"),
            ("sluice.local/mariadb:11.8", "sluice.local/mariadb:11.8"),
            ("localhost:5000/x", "localhost:5000/x:latest"),
        ],
    )
    def test_names_images_as_containerd_does(self, name: str, full: str) -> None:
        assert loading.full_name(name) == full

    def test_takes_what_a_node_lacks_or_has_with_other_content(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        docker = tmp_path / "docker"
        (tmp_path / "list").write_text(LISTED, encoding="utf-8")
        docker.write_text(
            "#!/bin/sh\n"
            f'[ "$1" = exec ] && exec cat {tmp_path}/list\n'
            'case "$5" in *here*) echo sha256:i1 ;; *changed*) echo sha256:i3 ;;\n'
            "*new*) echo sha256:i4 ;; *) exit 1 ;; esac\n",
            encoding="utf-8",
        )
        docker.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        names = ["sluice/here:1", "sluice/changed:1", "sluice/new:1"]
        assert loading.missing_on("node", names) == ["sluice/changed:1", "sluice/new:1"]
        with pytest.raises(commands.Fault, match=r"Docker has no image sluice/absent:1: build it first"):
            loading.missing_on("node", ["sluice/here:1", "sluice/absent:1"])

    def test_writes_images_once_for_all_nodes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        docker = tmp_path / "docker"
        docker.write_text(
            "#!/bin/sh\n"
            f'if [ "$1" = save ]; then echo save >> {tmp_path}/calls; exec head -c 3000000 /dev/zero; fi\n'
            f'if [ "$3" = broken ]; then echo "no space left" >&2; exit 1; fi\n'
            f'if [ "$3" = slow ]; then exec sleep 60; fi\n'
            f"cat > {tmp_path}/$3\n",
            encoding="utf-8",
        )
        docker.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        loading.stream(["sluice/new:1"], ["one", "two"], 60)
        assert (tmp_path / "calls").read_text(encoding="utf-8") == "save\n"
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == bytes(3_000_000)
        with pytest.raises(commands.Fault, match=r"^sluice/new:1 could not be loaded into broken: no space left$"):
            loading.stream(["sluice/new:1"], ["one", "broken"], 60)
        with pytest.raises(commands.Fault, match=r"into one, slow within 1 s$"):
            loading.stream(["sluice/new:1"], ["one", "slow"], 1)
