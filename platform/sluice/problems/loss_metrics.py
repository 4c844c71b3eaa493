"""The metric that goes with each loss: a problem that names a loss and no metric is judged by what it learns by."""

import numpy as np

from sluice.problems.losses import ABSOLUTE, GAMMA, POISSON, QUANTILE, SQUARED, Loss
from sluice.problems.metrics import BUILT_IN, Floats, Labels, Metric, pinball
from sluice.problems.task import REGRESSION

LEAST_FORECAST = 1e-9
"""A forecast of 0 or less counts as so much: by a deviance itself it would cost infinitely much, and no interval could
be told. As the log loss has a least probability."""


def poisson_deviances(label: Labels, forecast: Floats) -> Floats:
    """Each row's deviance of a Poisson distribution, shape (rows,): 2 (y log(y / m) - y + m) for y counted and m said.

    P. McCullagh and J. A. Nelder, *Generalized Linear Models*, 1989, section 2.3; scikit-learn's mean_poisson_deviance
    is the reference in the tests.
    """
    said = np.maximum(forecast, LEAST_FORECAST)
    logs = np.log(np.where(label > 0, label, said) / said)  # 0 where the label is 0: y log y goes to 0 there
    return np.asarray(2 * (label * logs - label + said))


def gamma_deviances(label: Labels, forecast: Floats) -> Floats:
    """Each row's deviance of a gamma distribution, shape (rows,): 2 (y / m - 1 - log(y / m)); source as above."""
    share = label / np.maximum(forecast, LEAST_FORECAST)
    return np.asarray(2 * (share - 1 - np.log(share)))


_NUMBER = (REGRESSION,)
_DEVIANCES = {
    POISSON: Metric(
        "poisson_deviance",
        "Poisson deviance",
        "less",
        _NUMBER,
        rows=poisson_deviances,
        in_label_units=True,  # twice the counts have twice the deviance
    ),
    GAMMA: Metric("gamma_deviance", "Gamma deviance", "less", _NUMBER, rows=gamma_deviances),
}


def loss_metric(loss: Loss) -> Metric:
    """The metric that a loss of numbers makes small: RMSE, MAE, a pinball loss, or a deviance."""
    if loss.name == QUANTILE:
        name = f"pinball_{100 * loss.level:.10g}".replace(".", "_")
        made = Metric(
            name, f"Pinball loss at {loss.level:g}", "less", _NUMBER, rows=pinball(loss.level), in_label_units=True
        )
        return BUILT_IN.get(name, made)
    return _DEVIANCES.get(loss.name) or BUILT_IN[{SQUARED: "rmse", ABSOLUTE: "mae"}[loss.name]]
