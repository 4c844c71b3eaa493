"""A pipeline of one step, to see whether a release works; not one of those that are offered."""

from kfp import dsl

from sluice.core.step_images import TABULAR_IMAGE


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def touch_store() -> str:
    """Writes an object to the store, reads it back and deletes it, and asks MLflow for its models."""
    import os

    from sluice.core.settings import settings
    from sluice.registry.mlflow_access import mlflow_module, tracking_faults
    from sluice.steps.step import step
    from sluice.storage.locations import default_store

    with step("check"):
        key = f"check/{settings().run.run or 'local'}/{os.urandom(4).hex()}"
        store, said = default_store(), os.urandom(16)
        store.put_bytes(key, said)
        read = store.get_bytes(key)
        store.delete(key)
        with tracking_faults():
            mlflow_module().MlflowClient().search_registered_models(max_results=1)
        return "whole" if read == said else "changed"


@dsl.pipeline(name="sluice-check", description="Looks whether a step can run and reach the store.")
def sluice_check() -> None:
    """Looks whether a step can run and reach the store."""
    touch_store().set_caching_options(False)
