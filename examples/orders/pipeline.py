"""A pipeline of one's own: Sluice's steps, and between them a step of this project."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact

from sluice.components.evaluate.component import evaluate
from sluice.components.ingest.component import ingest
from sluice.components.prepare.component import prepare
from sluice.components.register.component import register
from sluice.components.report.component import report
from sluice.components.split.component import split
from sluice.components.train.component import train
from sluice.components.validate.component import validate
from sluice.core.step_images import TABULAR_IMAGE


class Outputs(NamedTuple):
    """The report and the result that `sluice` shows, and the shop's own page."""

    report: HTML
    result: Artifact
    channels: HTML


@dsl.component(base_image=TABULAR_IMAGE, install_kfp_package=False)
def sent_back(splits: str, page: dsl.Output[HTML]) -> float:
    """Writes how many orders of each channel were sent back, of those learned from; returns the share of all."""
    from pathlib import Path

    from sluice.engine.datasets import read_dataset

    with read_dataset(splits) as (_, tables):
        rows = tables["train"].select("channel", "returned").to_pandas()
    shares = rows.groupby("channel")["returned"].agg(orders="size", share="mean").sort_values("share")
    with Path(page.path).open("w", encoding="utf-8") as stream:
        stream.write(f"<h1>Orders sent back</h1>{shares.to_html(float_format='{:.1%}'.format)}")
    return float(rows["returned"].mean())


@dsl.pipeline(name="judge-returns", description="From a shop's tables to a judged model, and a page for the shop.")
def judge_returns(
    lake: str = "",
    task: dict[str, Any] = {},
    prepare_code: str = "",
    split_strategy: str = "time",
    gap: str = "",
    shares: list[float] = [0.7, 0.15, 0.15],
    candidates: list[str] = [],
    seconds_per_candidate: float = 60.0,
    max_rounds: int = 0,
    train_code: str = "",
    metric: str = "",
    evaluate_code: str = "",
    resamples: int = 1000,
    seed: int = 2013,
) -> Outputs:
    """From a shop's tables to a judged model, and a page for the shop."""
    ingested = ingest(lake=lake).set_caching_options(False)
    validated = validate(tables=ingested.outputs["Output"])
    prepared = prepare(validated=validated.outputs["Output"], task=task, code=prepare_code)
    parts = split(
        sampled=prepared.outputs["Output"], strategy=split_strategy, shares=shares, seed=seed, gap=gap
    ).outputs["Output"]
    own = sent_back(splits=parts)
    trained = train(
        splits=parts,
        candidates=candidates,
        seconds_per_candidate=seconds_per_candidate,
        max_rounds=max_rounds,
        metric=metric,
        code=train_code,
        seed=seed,
    )
    models = trained.outputs["Output"]
    judged = evaluate(splits=parts, models=models, metric=metric, code=evaluate_code, resamples=resamples, seed=seed)
    judged.set_caching_options(False)
    registered = register(splits=parts, models=models, evaluation=judged.outputs["evaluation"])
    registered.set_caching_options(False)
    told = report(
        quality=validated.outputs["quality"],
        curves=trained.outputs["curves"],
        evaluation=judged.outputs["page"],
        result=registered.outputs["result"],
    ).set_caching_options(False)
    return Outputs(told.outputs["report"], registered.outputs["result"], own.outputs["page"])
