"""A program for two processes under torchrun: is DDP's gradient that of one process that sees all the rows?"""

import copy
from dataclasses import replace

import numpy as np
import torch
from sklearn.metrics import log_loss
from torch import nn

from sluice.modeling.distributed.groups import ProcessGroup, joined
from sluice.modeling.distributed.job_settings import Learning
from sluice.modeling.distributed.learning import Learner
from sluice.modeling.network_fitting import table_model
from sluice.modeling.networks import NetworkModel, build_network
from sluice.modeling.parts import Part, Parts
from tests.unit.model_world import table_parts

ROWS = 203  # odd, and no multiple of the batch: the last step of an epoch has fewer rows, on one rank one fewer still


def without_dropout(model: NetworkModel) -> NetworkModel:
    sizes = replace(model.sizes, dropout=0.0)
    network = build_network(sizes)
    network.load_state_dict(model.network.state_dict())
    return replace(model, network=network, sizes=sizes)


def rows_of(learner: Learner, place: int) -> torch.Tensor:
    """The places in the whole table of the rows that this rank took in a step."""
    chosen = learner._order[place * learner.batch : (place + 1) * learner.batch]
    return chosen * learner._group.size + learner._group.rank


def weighed(part: Part) -> Part:
    weights = np.random.default_rng(0).choice([0.25, 1.0, 4.0], len(part.labels))
    return replace(part, weights=weights / weights.mean())


def check(learner: Learner, parts: Parts, model: NetworkModel, group: ProcessGroup, number: int) -> None:
    before = copy.deepcopy(model.network)
    learner.step(number)
    mine = rows_of(learner, number)
    padded = torch.full((learner.batch,), -1)
    padded[: len(mine)] = mine
    gathered = [torch.empty_like(padded) for _ in range(group.size)]
    torch.distributed.all_gather(gathered, padded)
    rows = torch.cat(gathered)
    rows = rows[rows >= 0]
    inputs, labels = model.tensors(parts.train.rows), torch.from_numpy(parts.train.labels)
    weights = np.ones(ROWS) if parts.train.weights is None else parts.train.weights
    before.train()
    before.zero_grad(set_to_none=True)
    losses = nn.functional.cross_entropy(before(*(part[rows] for part in inputs)), labels[rows], reduction="none")
    (losses * torch.from_numpy(weights)[rows]).mean().backward()
    pairs = zip(before.parameters(), model.network.parameters(), strict=True)
    worst = max(float((alone.grad - together.grad).abs().max()) for alone, together in pairs)
    print(f"rank {group.rank} step {number} rows {len(rows)} difference {worst:.1e}", flush=True)
    assert worst < 1e-6


def check_losses(learner: Learner, parts: Parts) -> None:
    learner.keep()
    found, alone = learner.losses(), learner.model()
    for loss, part in zip(found, (parts.sample, parts.validation), strict=True):
        wanted = log_loss(part.labels, alone.predict_proba(part.rows), sample_weight=part.weights)
        assert abs(loss - wanted) < 1e-6, (loss, wanted)


def main() -> None:
    with joined() as group:
        plain = table_parts(ROWS)
        train = weighed(plain.train)
        for parts in (plain, replace(plain, train=train, sample=train, validation=weighed(plain.validation))):
            model = without_dropout(table_model(parts, 1))
            learner = Learner(model, parts, Learning(batch_rows=64, seed=1), group)
            for number in range(learner.steps_an_epoch):
                check(learner, parts, model, group, number)
            check_losses(learner, parts)
        assert group.share(b"word" if group.first else b"") == b"word"
        assert group.share(b"") == b""
        assert group.total(1.0, float(group.rank)) == [2.0, 1.0]


if __name__ == "__main__":
    main()
