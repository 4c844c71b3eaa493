"""A cluster's stores in place of this machine's, for a notebook."""

from collections.abc import Iterator
from contextlib import contextmanager

from sluice.cluster.access import NAMESPACE, Target
from sluice.core.environment import changed_variables


@contextmanager
def on_cluster(namespace: str = NAMESPACE, context: str | None = None) -> Iterator[None]:
    """Open datasets and load models of a cluster, for the time of the `with` block; for the whole process.

    Args:
        namespace: That Sluice is installed in.
        context: Of the kubeconfig; by default the current one.

    Raises:
        BadInput: There is no kubeconfig, no such context, or no release of Sluice in the namespace.
        EnvironmentFault: The cluster does not answer or denies access.
    """
    from sluice.cluster.connection import connected

    with connected(Target(namespace, context), kfp=False) as found, changed_variables(found.variables):
        yield
