"""A registered version has its served folder in the store; `sluice export` hands it out, or says why it cannot."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sluice.artifacts.provenance import ancestry, find_bundle
from sluice.cli.main import app
from sluice.core.errors import BadInput
from sluice.exporting import publishing
from sluice.exporting.publishing import JudgedModel, offer
from sluice.exporting.served_files import Source, read_served_model
from sluice.exporting.web_runtime import web_runtime
from sluice.registry.served import SERVED, SERVED_HOW
from sluice.registry.versions import Version, version_by_alias, version_files
from sluice.running.model_export import published
from sluice.serving.judges import open_judge
from sluice.storage.locations import default_store
from tests.unit.predict_world import Registered


def export(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["export", *words])
    if isinstance(done.exception, BadInput):
        return 2, str(done.exception)
    assert done.exception is None, done.exception
    return done.exit_code, done.stdout


def champion(model: str) -> Version:
    found = version_by_alias(model, "champion")
    assert found
    return found


def test_a_registration_publishes_the_served_folder_with_its_lineage(projects: Registered) -> None:
    del projects
    version, store = champion("visits"), default_store()
    bundle = find_bundle(store, version.tags[SERVED])
    assert bundle.manifest.parents == (version.tags["sluice.models"],)
    assert bundle.manifest.details["model_digest"] == version.digest
    assert "the project's code makes the features, a graph forecasts; within" in version.tags[SERVED_HOW]
    with published(version) as folder:
        served = read_served_model(folder)
        judge = open_judge(folder)
    assert served.parity.rows == find_bundle(store, version.tags["sluice.splits"]).manifest.tables["test"].rows
    assert served.parity.largest_difference <= 1e-6
    row = {"visit": 9_999, "day": "2024-03-01T00:00:00Z", "customer": 1, "amount": 5.0}
    assert judge.predict([row]).values.sum() == pytest.approx(1)
    judge.close()
    own = champion("houses")
    assert "its own query in DuckDB makes the features, its own code forecasts" in own.tags[SERVED_HOW]


def test_the_exported_folder_is_the_published_one_and_its_example_runs(
    projects: Registered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del projects
    out = tmp_path / "out"
    code, said = export("visits", "-o", str(out))
    assert code == 0
    assert "note: no faster form: the features spent, plan rest on more than a row of its table" in said
    with published(champion("visits")) as folder:
        for name in ("serving.json", "model.onnx"):
            assert (out / name).read_bytes() == (folder / name).read_bytes()
    readme = (out / "README.md").read_text()
    example = readme.split("```python\n")[1].split("```")[0]
    assert len(example.splitlines()) <= 12
    monkeypatch.chdir(out)
    capsys.readouterr()
    exec(compile(example, "README.md", "exec"), {})
    assert "large" in capsys.readouterr().out
    assert export("visits", "-o", str(out)) == (
        2,
        f"{out} is there already; name another folder, or replace it by --overwrite",
    )
    assert json.loads(export("visits", "-o", str(out), "--overwrite", "--json")[1])["features"] == "code"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("houses",), "a model of the family 'own' has no graph"),
        (("visits", "--web"), "it is no graph from raw rows on, for the features spent, plan rest"),
        (("visits", "--web", "--onnx"), "write one, then the other"),
        (("visits", "--runtime", "x"), "give it with --web"),
        (("visit",), "no model 'visit'"),
    ],
)
def test_what_cannot_be_exported_is_told_in_one_line(
    projects: Registered, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    del projects
    code, told = export(*words, "-o", str(tmp_path / "out"))
    assert (code, said in told, list(tmp_path.iterdir())) == (2, True, []), told


def test_a_published_folder_that_was_changed_is_refused(projects: Registered, tmp_path: Path) -> None:
    version = champion("visits")
    graph = projects.home / "store" / "models" / version.tags[SERVED] / "model.onnx"
    data = graph.read_bytes()
    try:
        graph.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        code, said = export("visits", "-o", str(tmp_path / "out"))
        assert (code, "model.onnx differs from its SHA-256" in said) == (2, True), said
    finally:
        graph.write_bytes(data)


def test_a_registration_goes_on_without_onnx_and_says_so(projects: Registered, monkeypatch: pytest.MonkeyPatch) -> None:
    del projects
    version, store = champion("visits"), default_store()
    source = Source(models=version.tags["sluice.models"], candidate=version.tags["sluice.candidate"])
    with version_files(version) as files:
        splits = find_bundle(store, version.tags["sluice.splits"])
        judged = JudgedModel("visits", version.digest, files, splits, ancestry(store, source.models), source)
        assert offer(store, judged).id == version.tags[SERVED]
        monkeypatch.setattr(publishing, "NEEDED", ("onnx", "no_such_package"))
        found = offer(store, judged)
    assert (found.id, found.words) == ("", "no_such_package is not installed here; install the extra `serve`")


def test_only_the_known_package_runs_a_page(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not there"):
        web_runtime(tmp_path / "none.tgz")
    (tmp_path / "a.tgz").write_bytes(b"no archive")
    with pytest.raises(BadInput, match="is no package of npm's"):
        web_runtime(tmp_path / "a.tgz")
    for name in ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        (tmp_path / name).write_bytes(b"other")
    with pytest.raises(BadInput, match=r"ort.wasm.min.js is not that of onnxruntime-web"):
        web_runtime(tmp_path)
