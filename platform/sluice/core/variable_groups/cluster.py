"""The variables of a release of the chart: what commands and compiled pipelines know of it, and what its Jobs do."""

from sluice.core.variable_kinds import duration, folder_or_file, memory_size, text, web, words
from sluice.core.variables import SetBy, VariableGroup

_SLUICE = SetBy.SLUICE


class EngineVariables(VariableGroup):
    """The engine that tables are read with."""

    memory = memory_size(
        "SLUICE_ENGINE_MEMORY",
        meaning="DuckDB's memory limit, e.g. `512MB`; beyond it, it spills to disk.",
        without="DuckDB's own: 80 % of the machine",
    )


class ImageVariables(VariableGroup):
    """The images that steps run in."""

    tabular = text(
        "SLUICE_TABULAR_IMAGE",
        meaning="The step images, whole, with tag or digest; read when a pipeline is compiled.",
        without="of the next two, or the cluster's own",
    )
    torch = text("SLUICE_TORCH_IMAGE")
    place = text(
        "SLUICE_IMAGES",
        meaning="Where a cluster finds the step images, and their tag, where they are not named one by one.",
        without="`sluice`, `0.1.0`",
        default="sluice",
    )
    tag = text("SLUICE_IMAGE_TAG", default="0.1.0")


class ClusterVariables(VariableGroup):
    """How a release is reached, and what its administrator has said of runs; most stand in its ConfigMap."""

    kfp = web(
        "SLUICE_KFP",
        meaning="The URL of a KFP server's API; a user and password in it are sent as HTTP's basic authentication. For "
        "`sluice submit` and its like; with it the stores come from the variables here. `--context` overrides it.",
        without="found through the kubeconfig",
    )
    step_resources = text(
        "SLUICE_STEP_RESOURCES",
        meaning="What the chart's values say of steps (`steps.resourcesByStep`, `steps.maxResources` as JSON; `false` "
        "where `steps.projectCode` is), for who compiles pipelines.",
        by=_SLUICE,
    )
    max_resources = text("SLUICE_MAX_RESOURCES", by=_SLUICE)
    project_code = text("SLUICE_PROJECT_CODE", by=_SLUICE)
    tracking_authority = folder_or_file(
        "MLFLOW_TRACKING_SERVER_CERT_PATH",
        meaning="Where the chart's servers speak TLS: the authority that MLflow's client trusts in place of all "
        "others, for code that calls MLflow itself; and the ConfigMap that commands outside the cluster read "
        "it from.",
        by=_SLUICE,
    )
    authority = text("SLUICE_CA_CONFIGMAP", by=_SLUICE)
    runs_namespace = text(
        "SLUICE_RUNS_NAMESPACE",
        meaning="Where pods of runs live, where that is not the release's namespace (`runs.namespace` in the chart's "
        "values).",
        by=_SLUICE,
    )
    store = text(
        "SLUICE_STORE_ENDPOINT",
        meaning="In the ConfigMap `sluice-steps`: the object store for who is no pod of a run; the chart's jobs and "
        "people's commands go there, past the runs' gateway.",
        by=_SLUICE,
    )
    tracking = text(
        "SLUICE_MLFLOW_ENDPOINT",
        meaning="In the ConfigMap `sluice-steps`: MLflow for the same, past the runs' gateway.",
        by=_SLUICE,
    )


class JobVariables(VariableGroup):
    """What the chart's Jobs are told."""

    buckets = words(
        "SLUICE_SETUP_BUCKETS",
        meaning="For the chart's Jobs: buckets to make, the ConfigMap of TrainingRuntimes, and how long to wait for "
        "each service (300).",
        by=_SLUICE,
    )
    runtimes = text("SLUICE_SETUP_RUNTIMES", by=_SLUICE)
    seconds = duration("SLUICE_SETUP_SECONDS", default=300, by=_SLUICE)
    accounts = folder_or_file(
        "SLUICE_STORE_ACCOUNTS",
        meaning="For the Job that makes MinIO's users: folders with each part's keys, and with each part's policy.",
        by=_SLUICE,
    )
    policies = folder_or_file("SLUICE_STORE_POLICIES", by=_SLUICE)
    versioned = text(
        "SLUICE_STORE_VERSIONED",
        meaning="For the same Job: the bucket that keeps earlier versions, and the prefixes in it that do not.",
        by=_SLUICE,
    )
    passing = text("SLUICE_STORE_PASSING", by=_SLUICE)


class CheckVariables(VariableGroup):
    """What `helm test` is told."""

    seconds = duration(
        "SLUICE_CHECK_SECONDS", default=300, meaning="How long `helm test` waits for its run (300).", by=_SLUICE
    )


class GatewayVariables(VariableGroup):
    """What the program of the runs' gateway is told."""

    socket = text(
        "SLUICE_GATEWAY_SOCKET",
        meaning="For the program of the runs' gateway: where nginx asks, where runs are, the three buckets' names, "
        "the prefixes that steps use as they like, `false` where no step may read projects' code, and "
        "namespace and service account of KFP's API server, which tells MLflow of all runs.",
        by=_SLUICE,
    )
    namespace = text("SLUICE_GATEWAY_NAMESPACE", by=_SLUICE)
    buckets = text("SLUICE_GATEWAY_BUCKETS", by=_SLUICE)
    scratch = text("SLUICE_GATEWAY_SCRATCH", by=_SLUICE)
    project_code = text("SLUICE_GATEWAY_PROJECT_CODE", by=_SLUICE)
    platform = text("SLUICE_GATEWAY_PLATFORM", by=_SLUICE)
