"""What the gateway of runs' pods decides: how a request is read, where a run may write, whose pod has an address."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.core.variable_groups.cluster import GatewayVariables
from sluice.run_gateway import __main__ as program
from sluice.run_gateway.pods import KNOWN_SECONDS, MOST_KNOWN, UNKNOWN_SECONDS, Away, Object, Pods
from sluice.run_gateway.requests import Asked, Refused, Request, wish_of
from sluice.run_gateway.rules import DELETED, ONCE, OWN, Buckets, Caller, allow, needs_caller
from sluice.run_gateway.serving import RequestGate, shown

BUCKETS = Buckets("mlpipeline", "sluice", "mlflow", ("own/",))
OURS = Caller("run-ours", "flow-ours", "sluice")
SIGNED = (
    "X-Amz-Algorithm=A&X-Amz-Credential=k%2F1&X-Amz-Date=1&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=0"
)


def verdict(method: str, uri: str, **headers: str) -> bool:
    """Whether our run may only make what is not there; raises Refused."""
    wish = wish_of(Request(method, uri, {name.replace("_", "-"): value for name, value in headers.items()}))
    return needs_caller(wish, BUCKETS) and allow(wish, OURS, BUCKETS)


OWN_PLACES = (
    "/mlpipeline/v2/artifacts/any/run-ours/step/1/page",
    "/mlpipeline/private-artifacts/sluice/flow-ours/2026/11/26/pod/main.log",
    *(f"/sluice/{name}/run-ours/x" for name in OWN),
    "/sluice/own/x",
)
OTHERS_PLACES = (
    "/mlpipeline/v2/artifacts/any/run-theirs/step/1/page",
    "/mlpipeline/v2/artifacts/run-ours/run-theirs/x",
    "/mlpipeline/v2/artifacts/any/run-ours",
    "/mlpipeline/v2/artifacts/run-ours/x",
    "/mlpipeline/private-artifacts/sluice/flow-theirs/x",
    "/mlpipeline/private-artifacts/other/flow-ours/x",
    "/mlpipeline/private-artifacts/sluice/flow-ours",
    "/mlpipeline/pipelines/1",
    "/mlpipeline/runs/run-ours/x",
    "/sluice/v2/artifacts/any/run-ours/x",
    *(f"/sluice/{name}/run-theirs/x" for name in OWN),
    *(f"/sluice/{name}/run-ours" for name in OWN),
    *(f"/sluice/{name}/run-ours-2/x" for name in OWN),
    "/sluice/lakes/flights/x",
    "/sluice/own",
    "/sluice/x",
    "/mlflow/runs/run-ours/x",
)
WRITES = (("PUT", ""), ("PUT", "?partNumber=1&uploadId=u"), ("POST", "?uploads"), ("POST", "?uploadId=u"))


@pytest.mark.parametrize("path", OWN_PLACES)
@pytest.mark.parametrize(("method", "query"), [*WRITES, ("POST", "?uploads="), ("PUT", "?x-id=PutObject")])
def test_a_run_writes_in_its_own_places_as_often_as_it_likes(path: str, method: str, query: str) -> None:
    assert verdict(method, path + query) is False


@pytest.mark.parametrize("path", OTHERS_PLACES)
@pytest.mark.parametrize(("method", "query"), [*WRITES, ("DELETE", ""), ("DELETE", "?uploadId=u")])
def test_it_writes_nowhere_else(path: str, method: str, query: str) -> None:
    with pytest.raises(Refused, match=r"run run-ours .* may write|only objects"):
        verdict(method, path + query)


@pytest.mark.parametrize("folder", [each for each in ONCE if each != "code"])
def test_what_is_kept_is_made_once(folder: str) -> None:
    place = f"/sluice/{folder}/1/x"
    for method, query in WRITES:
        assert verdict(method, place + query) is (query != "?partNumber=1&uploadId=u")
    assert verdict("DELETE", f"{place}?uploadId=u") is False, "what a client that failed leaves"
    with pytest.raises(Refused):
        verdict("DELETE", place)
    with pytest.raises(Refused):
        verdict("PUT", f"/sluice/{folder}")


DIGEST = "0123456789abcdef" * 4


def test_code_is_put_once_under_its_own_digest() -> None:
    for ending in ("zip", "patch"):
        place = f"/sluice/code/{DIGEST}.{ending}"
        assert verdict("PUT", place, x_amz_content_sha256=DIGEST) is True, "only where it is not there yet"
        with pytest.raises(Refused, match="must have the SHA-256 of its name"):
            verdict("PUT", place, x_amz_content_sha256="f" * 64)
        assert verdict("GET", place) is False
        for method, query in (*WRITES[1:], ("DELETE", ""), ("DELETE", "?uploadId=u")):
            with pytest.raises(Refused, match="may write"):
                verdict(method, place + query, x_amz_content_sha256=DIGEST)
    assert verdict("PUT", f"/sluice/code/{DIGEST}.patch", x_amz_content_sha256="UNSIGNED-PAYLOAD") is True
    with pytest.raises(Refused, match="must have the SHA-256 of its name"):
        verdict("PUT", f"/sluice/code/{DIGEST}.zip", x_amz_content_sha256="UNSIGNED-PAYLOAD")
    for name in (f"{DIGEST}.zip/x", f"x/{DIGEST}.zip", f"{DIGEST[1:]}.zip", f"{DIGEST.upper()}.zip", DIGEST, "1.patch"):
        with pytest.raises(Refused, match="code/ holds <sha256>"):
            verdict("PUT", f"/sluice/code/{name}", x_amz_content_sha256=DIGEST)


def test_a_site_keeps_projects_code_from_steps() -> None:
    closed = Buckets("mlpipeline", "sluice", "mlflow", ("own/",), project_code=False)
    for method in ("GET", "HEAD", "PUT"):
        for query in ("", "?versionId=1") if method != "PUT" else ("",):
            headers = {"x-amz-content-sha256": DIGEST}
            wish = wish_of(Request(method, f"/sluice/code/{DIGEST}.zip{query}", headers))
            with pytest.raises(Refused, match=r"steps.projectCode in the chart's values"):
                needs_caller(wish, closed)
    for uri in (f"/sluice/code/{DIGEST}.patch", "/sluice/datasets/1/code/x.zip", f"/mlflow/code/{DIGEST}.zip"):
        assert needs_caller(wish_of(Request("GET", uri, {})), closed) is False


def test_it_deletes_what_passes_and_nothing_else() -> None:
    for path in OWN_PLACES:
        if path.split("/")[2] in (*DELETED, "own"):
            assert verdict("DELETE", path) is False
        else:
            with pytest.raises(Refused):
                verdict("DELETE", path)


def test_mlflows_bucket_takes_what_its_server_signed() -> None:
    for query in (SIGNED, f"{SIGNED}&partNumber=1&uploadId=u", f"{SIGNED}&x-id=UploadPart&X-Amz-Security-Token=t"):
        assert verdict("PUT", f"/mlflow/1/x?{query}") is False
    for method, query in (("POST", f"uploads&{SIGNED}"), ("DELETE", SIGNED), ("PUT", SIGNED.partition("&")[2])):
        with pytest.raises(Refused):
            verdict(method, f"/mlflow/1/x?{query}")
    with pytest.raises(Refused, match="only MLflow's server signs addresses"):
        verdict("PUT", f"/sluice/runs/run-ours/x?{SIGNED}")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reads_need_no_run(method: str) -> None:
    for uri in (
        "/sluice",
        "/sluice/",
        "/sluice?list-type=2&prefix=runs%2F",
        "/mlpipeline/x?versionId=1",
        f"/mlflow/x?{SIGNED}",
    ):
        wish = wish_of(Request(method, uri, {}))
        assert wish.asked is Asked.READ
        assert not needs_caller(wish, BUCKETS)
    for uri in ("/", "/minio/admin/v3/info", "/other/x"):
        with pytest.raises(Refused, match="there is no bucket"):
            needs_caller(wish_of(Request(method, uri, {})), BUCKETS)
    with pytest.raises(Refused):
        wish_of(Request(method, "/sluice?uploads", {}))


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "put", "CONNECT", "COPY", ""])
def test_other_methods_are_refused(method: str) -> None:
    with pytest.raises(Refused):
        verdict(method, "/sluice/runs/run-ours/x")


HEADERS = {
    "x-amz-copy-source": "/sluice/x",
    "x-amz-copy-source-range": "bytes=0-1",
    "x-amz-meta-snowball-auto-extract": "true",
    "x-amz-meta-minio-snowball-prefix": "x",
    "x-amz-tagging": "a=b",
    "x-amz-acl": "public-read",
    "x-amz-object-lock-mode": "COMPLIANCE",
    "x-amz-bypass-governance-retention": "true",
    "x-amz-website-redirect-location": "/",
    "x-amz-server-side-encryption-customer-key": "k",
    "x-minio-extract": "true",
    "x-amz-content-sha256": "streaming-unsigned-payload-trailer",
    "content-type": "Multipart/Form-Data; boundary=x",
}


@pytest.mark.parametrize(("name", "value"), HEADERS.items())
def test_headers_that_make_another_request_of_it_are_refused(name: str, value: str) -> None:
    with pytest.raises(Refused):
        verdict("PUT", "/sluice/runs/run-ours/x", **{name: value})


def test_headers_of_honest_clients_pass() -> None:
    honest = {"x-amz-date": "1", "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "x-amz-meta-a": "b"}
    honest |= {"x-amz-checksum-crc32c": "x", "x-amz-sdk-checksum-algorithm": "CRC32C", "content-type": "text/html"}
    honest |= {"x-amz-decoded-content-length": "1", "x-amz-trailer": "x-amz-checksum-crc32", "range": "bytes=0-1"}
    assert verdict("PUT", "/sluice/runs/run-ours/x", **honest) is False


def spelled(path: str, choices: list[int]) -> str:
    """A path with some of its characters percent-encoded, in one of two ways."""
    ways = (lambda c: c, lambda c: f"%{ord(c):02X}", lambda c: f"%{ord(c):02x}", lambda c: f"%25{ord(c):02X}")
    return (
        "".join(ways[choice](character) for character, choice in zip(path, choices, strict=False))
        + path[len(choices) :]
    )


@given(st.sampled_from(OTHERS_PLACES), st.lists(st.integers(0, 3), max_size=60), st.sampled_from(WRITES))
def test_no_spelling_of_anothers_place_is_let_through(path: str, choices: list[int], write: tuple[str, str]) -> None:
    with pytest.raises(Refused):
        verdict(write[0], spelled(path, choices) + write[1])


@pytest.mark.parametrize(
    "path",
    [
        "/sluice/runs/run%2Dours/x",
        "/sluice/runs/run-ours%2Fx",
        "/sluice/%72uns/run-ours/x",
        "/%73luice/runs/run-ours/x",
        "/sluice/runs/run-ours/%c3%a4",
        "/sluice/runs/run-ours/\u00e4",
        "/sluice/runs/run-ours/a b",
        "/sluice/runs/run-ours/a+b",
        "/sluice/runs/run-ours/%",
        "/sluice/runs/run-ours/%zz",
        "/sluice/runs/run-ours/%FF",
        "/sluice/runs/run-ours/x/",
        "/sluice/runs/run-ours//x",
        "/sluice/runs/run-ours/./x",
        "/sluice/runs/run-ours/%00",
        "/sluice/runs/run-ours/a%5Cb",
        "sluice/runs/run-ours/x",
        f"/sluice/runs/run-ours/{'x' * 1024}",
    ],
)
def test_its_own_place_has_no_second_spelling(path: str) -> None:
    with pytest.raises(Refused):
        verdict("PUT", path)


NOISE = st.sampled_from(
    ["", "/", "//", "/.", "/..", "/./", "/../", "%2F", "%2e%2e", "..%2f", "\\", "%5C", "#", ";", "%00", "+"]
)


@given(
    st.lists(
        st.tuples(st.sampled_from(["sluice", "runs", "run-ours", "run-theirs", "datasets", "x"]), NOISE), max_size=7
    )
)
def test_what_is_let_through_lies_where_a_run_may_write(parts: list[tuple[str, str]]) -> None:
    """Whatever is made of a path: read as any server would, it leads nowhere else."""
    uri = "/" + "".join(f"{name}{noise or '/'}" for name, noise in parts).rstrip("/")
    try:
        only_new = verdict("PUT", uri)
    except Refused:
        return
    assert uri.startswith(("/sluice/runs/run-ours/", "/sluice/datasets/"))
    assert only_new is uri.startswith("/sluice/datasets/")
    segments = uri.split("/")[1:]
    assert not {"", ".", ".."} & set(segments)


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=40))
def test_every_name_has_one_spelling_and_that_one_passes(name: str) -> None:
    if name in (".", ".."):
        return
    uri = f"/sluice/runs/run-ours/{quote(name, safe='-._~')}"
    assert verdict("PUT", uri) is False
    assert wish_of(Request("PUT", uri, {})).key == f"runs/run-ours/{name}"


@given(st.text(max_size=60), st.text(max_size=60), st.sampled_from(["GET", "PUT", "POST", "DELETE"]))
def test_garbage_is_refused_or_read_and_never_a_fault(path: str, query: str, method: str) -> None:
    try:
        verdict(method, f"/sluice/{path}?{query}")
        said = ""
    except Refused as refused:
        said = str(refused)
    assert shown(said).isascii()


@pytest.mark.parametrize(
    "query",
    ["uploadId=a&uploadId=b&partNumber=1", "UploadId=a", "upload%49d=a", "tagging", "partNumber=1", "a;b", "delete"],
)
def test_queries_that_could_mean_something_else_are_refused(query: str) -> None:
    for method in ("PUT", "POST", "DELETE"):
        with pytest.raises(Refused):
            verdict(method, f"/sluice/runs/run-ours/x?{query}")


class Api:
    """A made-up Kubernetes API.

    Attributes:
        objects: By their paths.
        pods: What it lists.
        away: Whether it does not answer.
        asked: The paths that it was asked for.
    """

    def __init__(self, *pods: Object, **objects: Object) -> None:
        self.pods, self.objects, self.away = list(pods), dict(objects), False
        self.asked: list[str] = []

    def get(self, path: str, *, metadata: bool = False) -> Object | None:
        """See `sluice.run_gateway.pods.Api`."""
        self.asked.append(path)
        if self.away:
            raise Away("the Kubernetes API does not answer")
        if "/pods?" in path:
            assert not metadata
            return {"items": self.pods}
        assert metadata, "a Workflow can be a megabyte"
        return self.objects.get(path.rpartition("/")[2])


def reference(kind: str, name: str, group: str = "argoproj.io/v1alpha1") -> dict[str, Any]:
    return {"apiVersion": group, "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}


def pod(*owners: Mapping[str, Any], **spec: Any) -> Object:
    return {"metadata": {"name": "a-pod", "ownerReferences": list(owners)}, "spec": spec}


def flow(name: str, run: str = "", *owners: Mapping[str, Any]) -> Object:
    labels = {"pipeline/runid": run} if run else {}
    return {"metadata": {"name": name, "uid": f"uid-{name}", "labels": labels, "ownerReferences": list(owners)}}


PLATFORM = ("sluice", "ml-pipeline")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def look(api: Api, clock: Clock | None = None) -> Pods:
    return Pods(api, "sluice", clock or Clock())


class TestPods:
    def test_a_steps_pod_is_of_its_workflows_run(self) -> None:
        api = Api(pod(reference("Workflow", "w")), w=flow("w", "r"))
        assert look(api).caller("10.0.0.1") == Caller("r", "w", "sluice")
        assert "status.podIP%3D10.0.0.1%2Cstatus.phase%21%3DSucceeded" in api.asked[0], (
            "pods that have ended keep theirs"
        )

    def test_a_worker_is_of_the_run_that_its_trainjob_belongs_to(self) -> None:
        for last in (reference("PodDisruptionBudget", "b", "policy/v1"), reference("Workflow", "w")):
            objects = {
                "j": flow("j", "", reference("JobSet", "s", "jobset.x-k8s.io/v1alpha2")),
                "s": flow("s", "", reference("TrainJob", "t", "trainer.kubeflow.org/v1alpha1")),
                "t": flow("t", "liar", last),
                "b": flow("b", "", reference("Workflow", "w")),
                "w": flow("w", "r"),
            }
            api = Api(pod(reference("Job", "j", "batch/v1")), **objects)
            assert look(api).caller("10.0.0.1").run == "r"

    @pytest.mark.parametrize(
        ("owners", "objects"),
        [
            ((), {}),
            ((reference("ReplicaSet", "x", "apps/v1"),), {"x": flow("x", "r")}),
            ((reference("Workflow", "w", "evil.example.org/v1"),), {"w": flow("w", "r")}),
            ((reference("Workflow", "w"),), {}),
            (
                (reference("Workflow", "w"),),
                {"w": {"metadata": {"name": "w", "uid": "another", "labels": {"pipeline/runid": "r"}}}},
            ),
            ((reference("Workflow", "w"),), {"w": flow("w")}),
            ((reference("Workflow", "w"),), {"w": flow("w", "..")}),
            ((reference("Workflow", "w"), reference("Workflow", "v")), {"w": flow("w", "r"), "v": flow("v", "r")}),
            ((reference("Job", "j", "batch/v1"),), {"j": flow("j", "", reference("Job", "j", "batch/v1"))}),
        ],
        ids=[
            "nobodys",
            "the-platforms",
            "a-group-like-it",
            "gone",
            "another-of-its-name",
            "of-nobody",
            "dots",
            "two",
            "ring",
        ],
    )
    def test_what_is_of_no_run_is_refused(self, owners: tuple[Any, ...], objects: dict[str, Any]) -> None:
        with pytest.raises(Refused, match="a-pod"):
            look(Api(pod(*owners), **objects)).caller("10.0.0.1")

    def test_a_node_is_nobody(self) -> None:
        with pytest.raises(Away):
            look(Api(pod(reference("Workflow", "w"), hostNetwork=True), w=flow("w", "r"))).caller("10.0.0.1")

    def test_two_runs_with_one_address_wait_until_one_has_ended(self) -> None:
        clock = Clock()
        api = Api(pod(reference("Workflow", "w")), pod(reference("Workflow", "v")), w=flow("w", "r"), v=flow("v", "q"))
        pods = look(api, clock)
        with pytest.raises(Away, match="2 pods"):
            pods.caller("10.0.0.1")
        del api.pods[0]
        clock.now += UNKNOWN_SECONDS + 0.1
        assert pods.caller("10.0.0.1").run == "q"

    def test_an_answer_holds_two_seconds(self) -> None:
        clock, api = Clock(), Api(pod(reference("Workflow", "w")), w=flow("w", "r"))
        pods = look(api, clock)
        assert pods.caller("10.0.0.1") == pods.caller("10.0.0.1")
        assert len(api.asked) == 2
        clock.now += KNOWN_SECONDS + 0.1
        api.away = True
        with pytest.raises(Away):
            pods.caller("10.0.0.1")
        api.away = False
        clock.now += UNKNOWN_SECONDS + 0.1
        assert pods.caller("10.0.0.1").run == "r"

    def test_what_is_remembered_is_bounded(self) -> None:
        pods = look(Api(pod(reference("Workflow", "w")), w=flow("w", "r")))
        for number in range(MOST_KNOWN + 10):
            pods.caller(f"10.0.{number // 256}.{number % 256}")
        assert len(pods._known) == MOST_KNOWN


class TestWhose:
    def test_a_pod_of_a_run_is_the_run_s(self) -> None:
        api = Api(pod(reference("Workflow", "w"), serviceAccountName="ml-pipeline"), w=flow("w", "r"))
        assert Pods(api, "sluice", Clock(), PLATFORM).run("10.0.0.1") == "r", "whatever its account is called"

    @pytest.mark.parametrize("owners", [(), (reference("ReplicaSet", "x", "apps/v1"),)])
    def test_kfps_api_server_tells_of_all_runs_and_nobody_else_does(self, owners: tuple[Any, ...]) -> None:
        for account, platform in (("ml-pipeline", PLATFORM), ("default", PLATFORM), ("ml-pipeline", None)):
            pods = Pods(Api(pod(*owners, serviceAccountName=account)), "sluice", Clock(), platform)
            if (account, platform) == ("ml-pipeline", PLATFORM):
                assert pods.run("10.0.0.1") == ""
            else:
                with pytest.raises(Refused):
                    pods.run("10.0.0.1")
            with pytest.raises(Refused):
                pods.caller("10.0.0.1")

    def test_it_is_looked_for_in_the_release_s_namespace(self) -> None:
        api = Api()
        with pytest.raises(Away, match="0 pods"):
            Pods(api, "sluice-runs", Clock(), PLATFORM).run("10.0.0.1")
        assert [path.split("/")[4] for path in api.asked] == ["sluice-runs", "sluice"]

    def test_two_pods_with_its_address_are_not_it(self) -> None:
        api = Api(pod(serviceAccountName="ml-pipeline"), pod(serviceAccountName="runs"))
        with pytest.raises(Refused):
            Pods(api, "sluice", Clock(), PLATFORM).run("10.0.0.1")

    def test_without_kubernetes_it_waits(self) -> None:
        api = Api()
        api.away = True
        with pytest.raises(Away):
            Pods(api, "sluice", Clock(), PLATFORM).run("10.0.0.1")


class TestGate:
    def gate(self, api: Api) -> RequestGate:
        pods = look(api)
        return RequestGate(BUCKETS, pods.caller, pods.look, pods.run)

    def test_reads_ask_nobody(self) -> None:
        api = Api()
        api.away = True
        assert self.gate(api).verdict(Request("GET", "/sluice?list-type=2", {}), "10.0.0.1") == {}
        assert not api.asked

    def test_ready_means_that_the_api_has_answered_once(self) -> None:
        api = Api()
        gate, api.away = self.gate(api), True
        assert not gate.ready()
        api.away = False
        assert gate.ready()
        api.away = True
        assert gate.ready(), "reads pass without it"

    def test_what_is_told_is_printable(self) -> None:
        assert shown("a\r\nX-Sluice-Again: 1\x1b[0m ä" + "x" * 9999).isprintable()
        assert len(shown("x" * 9999)) < 1000


def test_without_its_settings_it_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (GatewayVariables.buckets.name, GatewayVariables.namespace.name, GatewayVariables.socket.name):
        monkeypatch.delenv(name, raising=False)
    assert program.main() == 2
    assert "SLUICE_GATEWAY_BUCKETS must hold 3 words" in capsys.readouterr().err
    monkeypatch.setenv(GatewayVariables.buckets.name, "a b c")
    monkeypatch.setenv(GatewayVariables.namespace.name, "sluice")
    monkeypatch.setenv(GatewayVariables.socket.name, "/x/y")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert program.main() == 1
    assert "no Kubernetes API" in capsys.readouterr().err
