"""The variables of stores: where they are, and who asks them."""

from sluice.core.addresses import SOURCE_PREFIX
from sluice.core.environment import variables
from sluice.core.variable_kinds import folder_or_file, header, secret, secret_header, text, web, whole
from sluice.core.variables import Secret, SetBy, VariableGroup

MOST_TRIES = 100


class StoreVariables(VariableGroup):
    """Where results live, and how the way there is."""

    address = text(
        "SLUICE_STORE",
        meaning="Where datasets, models, promotion records and reports live: a folder, `s3://bucket/prefix`, "
        "`gs://bucket/prefix` (Google Cloud Storage) or `az://container/prefix` (Azure Blob Storage). In pods of KFP "
        "the same with `sluice+` before it, such as `sluice+s3`, which its launcher leaves alone.",
        without="`store` in the home",
    )
    tries = whole(
        "SLUICE_STORE_TRIES",
        least=1,
        most=MOST_TRIES,
        default=4,
        meaning="How often a request to the store is tried before the store counts as down; pauses double, 8 tries "
        "last two minutes; 1 to 100.",
        without="`4`; `8` in the chart's pods",
    )
    authority = folder_or_file(
        "SLUICE_CA_FILE",
        meaning="A file with authorities, in PEM, that S3's and MLflow's servers are trusted by besides the system's: "
        "a release's own. For `requests` it is put into one file with its own; a `REQUESTS_CA_BUNDLE` of "
        "yours is left as it is.",
        without="set by the chart in pods, and by commands that find the cluster through the kubeconfig",
    )
    https_proxy = text(
        "https_proxy",
        "HTTPS_PROXY",
        meaning="A proxy on the way to the store, in capitals or small letters. This machine itself and the metadata "
        "services are never asked through it; name a cluster's hosts in `NO_PROXY`.",
    )
    http_proxy = text("http_proxy", "HTTP_PROXY")
    all_proxy = text("all_proxy", "ALL_PROXY")
    no_proxy = text("no_proxy", "NO_PROXY")
    scratch = folder_or_file(
        "SLUICE_SCRATCH_STORE",
        meaning="A folder that takes what is written to stores, which stay as they are: `sluice step` sets it.",
        by=SetBy.SLUICE,
    )
    log_salt = secret(
        "SLUICE_LOG_SALT",
        meaning="The key of the masks in the prediction log, at least 16 characters, where it is not to stand in the "
        "store beside the log ([prediction-log.md](prediction-log.md#values-that-tell-of-a-person)). Otherwise it is "
        "made once, in the store.",
    )


class SourceVariables(VariableGroup):
    """Database servers that a lake's contract names; what stands for NAME is the user's choice."""

    address = secret(
        "SLUICE_SOURCE_NAME",
        meaning="The whole URL of a database server that a lake's contract names as `${SLUICE_SOURCE_NAME}`; `NAME` is "
        "yours. Never shown.",
    )

    @classmethod
    def named(cls, name: str) -> Secret:
        """What a variable of such a name holds in this process."""
        if not name.startswith(SOURCE_PREFIX):
            raise ValueError(name)
        return Secret(variables().get(name, ""))


class S3Variables(VariableGroup):
    """Amazon S3, and every server that speaks its protocol."""

    endpoint = text(
        "AWS_ENDPOINT_URL_S3",
        "AWS_ENDPOINT_URL",
        meaning="The S3 endpoint, e.g. of MinIO; the first one set wins.",
        without="Amazon's",
    )
    region = header(
        "AWS_REGION",
        "AWS_DEFAULT_REGION",
        meaning="The bucket's region; the first one set wins.",
        without="`us-east-1`",
    )
    access_key = secret_header(
        "AWS_ACCESS_KEY_ID",
        meaning="Keys for S3. Without them an identity is looked for, in the order of the next rows "
        "([security.md](security.md#identities-instead-of-keys)).",
    )
    secret_key = secret_header("AWS_SECRET_ACCESS_KEY")
    session_token = secret_header("AWS_SESSION_TOKEN")
    role = header(
        "AWS_ROLE_ARN",
        meaning="A role of S3's, and the token that may take it on (IRSA: EKS sets both); the session's name, and "
        "another address of the service that is asked, over https.",
        without="Amazon's of the region",
    )
    role_token = text("AWS_WEB_IDENTITY_TOKEN_FILE")
    role_session = header("AWS_ROLE_SESSION_NAME")
    role_endpoint = web("AWS_ENDPOINT_URL_STS")
    pod_address = web(
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        meaning="Where the credentials of a pod (EKS Pod Identity, the first two) or of a task (ECS, the last) are "
        "given out.",
    )
    pod_token = text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    task_address = header("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    no_metadata = text(
        "AWS_EC2_METADATA_DISABLED",
        meaning="`true`: the machine's instance profile is not asked; and where else its metadata service is.",
        without="`http://169.254.169.254`",
    )
    metadata = web("AWS_EC2_METADATA_SERVICE_ENDPOINT")
    other_authority = text(
        "AWS_CA_BUNDLE",
        meaning="For code that calls boto3 itself: whom it trusts in place of all others, where MinIO speaks TLS, and "
        "that it sends no checksum at an upload's end, which MinIO takes none of.",
        by=SetBy.SLUICE,
    )
    other_checksums = text("AWS_REQUEST_CHECKSUM_CALCULATION", by=SetBy.SLUICE)
    regional_tokens = text(
        "AWS_STS_REGIONAL_ENDPOINTS",
        meaning="`regional`: EKS sets it in pods whose service account has a role.",
        by=SetBy.SYSTEM,
    )


class GoogleVariables(VariableGroup):
    """Google Cloud Storage."""

    credentials = text(
        "GOOGLE_APPLICATION_CREDENTIALS",
        meaning="A file with who asks Google Cloud Storage: a service account's key, a login of gcloud, or an identity "
        "of another cluster (`external_account`).",
        without="gcloud's own file, else the metadata service",
    )
    metadata = text(
        "GCE_METADATA_HOST",
        meaning="Where Google's metadata service is, as `host:port`, and another server that speaks Cloud Storage's "
        "protocol.",
        without="Google's",
    )
    endpoint = web("GOOGLE_BASE_URL")


class AzureVariables(VariableGroup):
    """Azure Blob Storage."""

    account = text(
        "AZURE_STORAGE_ACCOUNT_NAME",
        meaning="The storage account of an `az://` store, required there, and another address of its Blob service.",
        without="`https://ACCOUNT.blob.core.windows.net`",
    )
    endpoint = web("AZURE_STORAGE_ENDPOINT")
    key = secret_header(
        "AZURE_STORAGE_ACCOUNT_KEY",
        meaning="The account's key, or a shared access signature. Without them an identity is looked for.",
    )
    signature = secret_header("AZURE_STORAGE_SAS_TOKEN")
    token_file = text(
        "AZURE_FEDERATED_TOKEN_FILE",
        meaning="The identity of a pod's service account, as the webhook of workload identity sets it; with "
        "`AZURE_CLIENT_ID` alone, which of a machine's managed identities.",
    )
    client = header("AZURE_CLIENT_ID")
    tenant = header("AZURE_TENANT_ID")
    authority = web("AZURE_AUTHORITY_HOST")
    secret = secret_header(
        "AZURE_CLIENT_SECRET",
        meaning="An application's secret, with client and tenant; and another address of the machine's metadata "
        "service.",
    )
    machine = web("AZURE_IDENTITY_ENDPOINT")
