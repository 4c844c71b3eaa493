"""Azure Blob Storage: `az://container/prefix` of the account in AZURE_STORAGE_ACCOUNT_NAME.

Who asks is the first that is set of: the account's key in AZURE_STORAGE_ACCOUNT_KEY; a shared access signature in
AZURE_STORAGE_SAS_TOKEN; the identity of the pod's service account (AZURE_FEDERATED_TOKEN_FILE, AZURE_CLIENT_ID,
AZURE_TENANT_ID: workload identity, as its webhook sets them); an application's secret (AZURE_CLIENT_SECRET with the
same two); the machine's managed identity (AZURE_CLIENT_ID where it has several).

Source: Azure's documentation, "Authorize access to blobs", "Microsoft Entra Workload ID", "Managed identities".
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.core.variable_groups.stores import AzureVariables
from sluice.storage.object_store import ObjectStore
from sluice.storage.s3 import checked_prefix
from sluice.storage.services import Advice, ObjectService

_CLIENT, _TENANT = AzureVariables.client, AzureVariables.tenant
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}", re.ASCII)
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root", re.ASCII)


@dataclass(frozen=True)
class AzureIdentity:
    """Who asks Azure.

    Attributes:
        options: What obstore is told of it; never shown.
        keys: What to check where Azure does not know the asker.
        source: What to check where nobody gives out a token.
    """

    options: dict[str, Any] = field(repr=False)
    keys: str
    source: str = ""


def open_azure(uri: str) -> ObjectStore:
    """Open a store at `az://container/prefix` or `sluice+az://container/prefix`; nothing is sent yet.

    Raises:
        BadInput: The address, the account or the credentials are missing or malformed.
    """
    from obstore.store import AzureStore

    container, _, prefix = uri.partition("://")[2].partition("/")
    if not _CONTAINER.fullmatch(container) or len(container) > 63:
        raise BadInput("the store's address names no container of Azure Blob Storage; give az://container/prefix")
    given = settings().azure
    prefix, account = checked_prefix(prefix), _account(given)
    place, asker = given.endpoint or f"https://{account}.blob.core.windows.net", identity(given)
    options = {
        "account_name": account,
        "endpoint": place,
        "use_emulator": False,
        "skip_signature": False,
        "use_azure_cli": False,
        **asker.options,
    }
    advice = Advice(
        keys=asker.keys,
        rights=f"that {asker.keys} has the role Storage Blob Data Contributor",
        identity=asker.source,
        region=AzureVariables.endpoint.name,
        address=f"{AzureVariables.endpoint} and {AzureVariables.account}",
        bucket="container",
    )
    service = ObjectService(
        "Azure Blob Storage",
        place,
        "az",
        container,
        advice,
        sorts=False,
        client=lambda client, retry: AzureStore(container, client_options=client, retry_config=retry, **options),
    )
    return ObjectStore(uri, service, prefix)


def identity(given: AzureVariables) -> AzureIdentity:
    """Who asks.

    Raises:
        BadInput: An identity is named by half, or its file is not there.
    """
    if key := given.key.reveal():
        return AzureIdentity({"account_key": key, "credential_type": "access_key"}, AzureVariables.key.name)
    if signature := given.signature.reveal():
        return AzureIdentity({"sas_key": signature, "credential_type": "sas_token"}, AzureVariables.signature.name)
    if path := given.token_file:
        name = AzureVariables.token_file.name
        if not Path(path).is_file():
            raise BadInput(f"{name}={path!r} is no file; it holds a token that the cluster writes there")
        options = {"federated_token_file": path, "credential_type": "workload_identity", **_application(given, name)}
        source = f"check {_CLIENT}, {_TENANT}, and that the identity trusts the service account"
        return AzureIdentity(options, f"the workload's identity ({_CLIENT})", source)
    if secret := given.secret.reveal():
        name = AzureVariables.secret.name
        options = {"client_secret": secret, "credential_type": "client_secret", **_application(given, name)}
        return AzureIdentity(options, f"the application ({_CLIENT})", f"check {_CLIENT}, {_TENANT} and {name}")
    options = {"credential_type": "managed_identity"}
    if given.client:
        options["client_id"] = given.client
    if given.machine:
        options["msi_endpoint"] = given.machine
    source = f"give the machine a managed identity, or set {AzureVariables.token_file} or {AzureVariables.key}"
    return AzureIdentity(options, "the machine's managed identity", source)


def _account(given: AzureVariables) -> str:
    account = given.account
    if not _ACCOUNT.fullmatch(account):
        form = "3 to 24 small letters and digits"
        raise BadInput(
            f"az:// wants the storage account: set {AzureVariables.account} to its name ({form}), not {account!r}"
        )
    return account


def _application(given: AzureVariables, with_what: str) -> dict[str, str]:
    lacking = [field.name for field in (_CLIENT, _TENANT) if not given.is_set(field)]
    if lacking:
        raise BadInput(f"{with_what} wants {' and '.join(lacking)} too; workload identity's webhook sets both")
    told = {"client_id": given.client, "tenant_id": given.tenant}
    if place := given.authority:
        if not place.startswith("https:"):
            raise BadInput(f"{AzureVariables.authority} must be https: a token is sent there")
        told["authority_host"] = place
    return told
