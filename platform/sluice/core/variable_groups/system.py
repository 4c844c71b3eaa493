"""Variables that are not Sluice's: of the operating system, of Kubernetes and of libraries."""

from sluice.core.variable_kinds import text
from sluice.core.variables import SetBy, VariableGroup

_SYSTEM = SetBy.SYSTEM


class SystemVariables(VariableGroup):
    """What Sluice asks of, or tells, what is around it."""

    scratch = text(
        "TMPDIR",  # in the order in which Python asks for them
        "TEMP",
        "TMP",
        meaning="The folder of temporary files; the first one set wins. `sluice run` gives its steps one of their own.",
        by=_SYSTEM,
    )
    cache = text(
        "XDG_CACHE_HOME", meaning="Where `sluice doctor` looks for the programs that `make kind` builds.", by=_SYSTEM
    )
    shell = text("SHELL", meaning="What `sluice connect` starts without a command.", by=_SYSTEM, default="/bin/sh")
    bundles = text(
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        meaning="Whose certificates the library `requests` trusts in place of its own list.",
        by=_SYSTEM,
    )
    letters = text(
        "LC_ALL",
        meaning="The locale: text is UTF-8, and letters are large or small as in English, whatever it says; set for "
        "what Sluice starts, as are Python's UTF-8 mode, the encoding of its streams, and that no folder "
        "where a command is typed can stand in for a package.",
        by=_SYSTEM,
    )
    letters_alone = text("LC_CTYPE", by=_SYSTEM)
    utf8 = text("PYTHONUTF8", by=_SYSTEM)
    streams = text("PYTHONIOENCODING", by=_SYSTEM)
    safe_path = text("PYTHONSAFEPATH", by=_SYSTEM)
    user = text(
        "LOGNAME",
        meaning="The user's name; set to `uid-N` where the system has none, and to `sluice` in the steps' pods.",
        by=_SYSTEM,
    )
    pod_user = text("USER", by=_SYSTEM)
    threads = text(
        "OMP_NUM_THREADS",
        meaning="Threads of OpenMP and of BLAS in steps.",
        by=_SYSTEM,
        default="1",
    )
    blas_threads = text("OPENBLAS_NUM_THREADS", by=_SYSTEM, default="1")
    cublas = text(
        "CUBLAS_WORKSPACE_CONFIG",
        meaning="Set to `:4096:8` where it is not set, without which a GPU's sums are not the same each time.",
        by=_SYSTEM,
    )
    graph_reports = text(
        "ORT_DISABLE_TELEMETRY",
        meaning="Set to `1` where it is not set, without which onnxruntime reports its use to its makers.",
        by=_SYSTEM,
    )
    git = text("GIT_PYTHON_REFRESH", meaning="`quiet`: MLflow does not complain that there is no git.", by=_SYSTEM)
    pod = text(
        "KFP_POD_NAME",
        "HOSTNAME",
        meaning="The name of the pod that this runs in; the first one set wins.",
        by=_SYSTEM,
    )
    kubernetes_host = text("KUBERNETES_SERVICE_HOST", meaning="Where a pod finds the Kubernetes API.", by=_SYSTEM)
    kubernetes_port = text("KUBERNETES_SERVICE_PORT", by=_SYSTEM)
