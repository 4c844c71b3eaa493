"""MLflow's own accounts, kept at what the Secrets say: the administrator's, and those of steps and model servers."""

from typing import Any

from sluice.core.environment import set_variables
from sluice.core.progress import progress
from sluice.mlflow_server.server_settings import MlflowAccount, ServerSettings
from sluice.mlflow_server.serving import CONFIG_PATH, write_configuration

# What they may do with anybody's experiments and models; what an account made itself it may manage, within `limits`.
STEPS = {"experiment": "EDIT", "registered_model": "READ"}
REGISTER = {"experiment": "EDIT", "registered_model": "MANAGE"}  # MLflow asks for it to take an alias or a tag back

SERVING = {"experiment": "READ", "registered_model": "READ"}


def load_mlflow(settings: ServerSettings) -> None:
    """Import what a migration needs of MLflow, which reads its file on accounts at that moment."""
    set_variables({CONFIG_PATH: str(write_configuration(settings))})
    import mlflow.server.auth.sqlalchemy_store  # noqa: F401 - kept by Python for those who import it next


def keep_accounts(settings: ServerSettings) -> None:
    """Bring the schema of accounts up to date, then make or correct the accounts; after `load_mlflow`.

    A password is written only where it differs, so that a new Secret takes effect with the next upgrade of the release.
    """
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(settings.auth_database)  # upgrades the schema too
    _keep(store, settings.admin, is_admin=True)
    for account, permissions in (
        (settings.steps, STEPS),
        (settings.register, REGISTER),
        (settings.serving, SERVING),
    ):
        if account:
            _keep(store, account, is_admin=False)
            for resource, permission in permissions.items():
                store.grant_user_permission(account.username, resource, "*", permission)
    store.engine.dispose()


def _keep(store: Any, account: MlflowAccount, *, is_admin: bool) -> None:  # noqa: ANN401 - MLflow's, which has no types
    if not store.has_user(account.username):
        store.create_user(account.username, account.password, is_admin=is_admin)
        progress(f"made the account {account.username}")
    elif not store.authenticate_user(account.username, account.password):
        store.update_user(account.username, password=account.password)
        progress(f"gave the account {account.username} the Secret's password")
    store.update_user(account.username, is_admin=is_admin)
