"""KFP component: register the winner, and let it become champion if the gate allows."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Markdown, Model, Output

from sluice.core.step_images import TORCH_IMAGE


@dsl.component(base_image=TORCH_IMAGE, install_kfp_package=False)
def register(
    splits: str,
    models: str,
    evaluation: Input[Artifact],
    model: Output[Model],
    result: Output[Artifact],
    card: Output[Markdown],
    promotion: str = "gate",
    served: str = "each",
) -> None:
    """Registers the winner with MLflow as challenger, and as champion if the gate let it pass.

    Args:
        splits: The address of the dataset that the winner learned from.
        models: The address of the trained candidates and baselines.
        evaluation: What evaluate found.
        model: The registered version.
        result: Candidates, winner, decision and ids, as JSON.
        card: The model card.
        promotion: Whether a model that passed the gate becomes champion at once (gate), or waits for a
            person (approval).
        served: Of which versions a folder to serve is made at once: of each, or of those that the gate let pass
            (passed); of another one it is made when somebody serves or exports it.
    """
    from pathlib import Path

    from sluice.components.register.run import run
    from sluice.steps.step import step

    with step("register", locals()):
        files = {"result": Path(result.path), "card": Path(card.path)}
        done = run(splits, models, Path(evaluation.path), **files, promotion=promotion, served=served)
        model.uri = f"models:/{done.version.model}/{done.version.version}"
        model.metadata.update({"digest": done.version.digest, "decision": done.record.decision})
