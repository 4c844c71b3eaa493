"""Asking a cluster's operator from the command line: the Request, and its answer."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluice.cluster.access import Target
from sluice.core.errors import BadInput
from sluice.core.settings import settings
from sluice.running.terminal import console, plain, print_json

if TYPE_CHECKING:
    from sluice.operator.asking import Asked

TargetName = Annotated[str, typer.Option("--target", help="With --cluster: the ContinuousTraining that is meant.")]
Wait = Annotated[
    float, typer.Option("--wait", min=0, metavar="SECONDS", help="With --cluster: wait so long for the answer.")
]
SECONDS = 60.0


def ask_cluster(
    action: str,
    target: Target,
    *,
    model: str = "",
    training: str = "",
    wait: float = SECONDS,
    as_json: bool = False,
    optional: bool = False,
    **fields: Any,  # noqa: ANN401 - of RequestSpec
) -> bool:
    """Ask a cluster's operator for something and tell its answer.

    Args:
        action: As in a Request.
        target: The cluster.
        model: Whose ContinuousTraining is asked; empty for the only one.
        training: The ContinuousTraining's name, where it is known.
        wait: So many seconds for the answer.
        as_json: Print one JSON document.
        optional: Nobody need be there who is asked.
        fields: The Request's other fields.

    Returns:
        False where nobody keeps this model trained, so that nobody was asked.

    Raises:
        BadInput: There is no kubeconfig or operator, or it refuses.
        EnvironmentFault: The cluster does not answer, or this user may not ask for that.
    """
    from pydantic import ValidationError

    from sluice.operator.asking import ClusterAsker
    from sluice.operator.specs import RequestSpec

    if optional and settings().cluster.kfp and target.context is None:
        return False  # SLUICE_KFP names the cluster's services, and no Kubernetes
    asker = ClusterAsker(target)
    name = training or (asker.training_of(model) if model else asker.only_training())
    if name is None:
        return False
    try:
        spec = RequestSpec.model_validate({"action": action, "target": name, **fields})
    except ValidationError as error:
        told = error.errors()[0]
        raise BadInput(f"{'.'.join(map(str, told['loc'])) or action}: {told['msg']}") from None
    _tell(asker.answered(asker.ask(spec), wait), as_json=as_json)
    return True


def require_training(target: Target, model: str) -> BadInput:
    """Why nobody could be asked about a model."""
    return BadInput(
        f"{target}: no ContinuousTraining keeps {model} trained; `kubectl get continuoustrainings -n "
        f"{target.namespace}` lists them"
    )


def parameters_of(pairs: list[str] | None) -> dict[str, Any]:
    """`KEY=VALUE` words as a Request's parameters; a value that is JSON is taken as that."""
    found: dict[str, Any] = {}
    for pair in pairs or []:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise BadInput(f"--parameter {pair!r} has no value; write KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found


def _tell(asked: "Asked", *, as_json: bool) -> None:
    if as_json:
        print_json({"request": asked.name, "spec": asked.spec, "status": asked.status})
    if asked.accepted is False:
        raise BadInput(f"request {asked.name} is refused: {asked.words}")
    if as_json:
        return
    about = f"{asked.spec['action']} {asked.spec['target']}"
    answer = asked.words if asked.accepted else "not answered yet: `kubectl get requests.sluice.dev` shows the answer"
    console().print(plain(f"{about}, request {asked.name}: {answer}"), highlight=False, soft_wrap=True)
