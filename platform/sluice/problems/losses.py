"""What families of models make small when they learn: which labels each loss takes, and what its best forecast is."""

from dataclasses import dataclass

LOG_LOSS = "log_loss"
SQUARED, ABSOLUTE, POISSON, GAMMA, QUANTILE = "squared", "absolute", "poisson", "gamma", "quantile"
OF_CLASSES = (LOG_LOSS,)
OF_NUMBERS = (SQUARED, ABSOLUTE, POISSON, GAMMA, QUANTILE)


@dataclass(frozen=True)
class Loss:
    """What Sluice's own families make small when they learn.

    Attributes:
        name: `log_loss` of classes; of numbers `squared`, `absolute`, `poisson` (labels from 0 on, forecasts above 0),
            `gamma` (labels and forecasts above 0) or `quantile`.
        level: That of the quantile, above 0 and below 1.
    """

    name: str
    level: float = 0.5

    @property
    def words(self) -> str:
        """`poisson`, `quantile 0.9`."""
        return f"{self.name} {self.level:g}" if self.name == QUANTILE else self.name

    @property
    def of_mean(self) -> bool:
        """Whether the best forecast by it is the label's mean, so that labels less forecasts are 0 on average.

        T. Gneiting, *Making and Evaluating Point Forecasts*, JASA 106, 2011.
        """
        return self.name not in (ABSOLUTE, QUANTILE)

    @property
    def least_label(self) -> tuple[float, bool] | None:
        """The number that labels must not be below, and whether they may be that number; None for any number."""
        return {POISSON: (0.0, True), GAMMA: (0.0, False)}.get(self.name)

    @property
    def told(self) -> dict[str, str]:
        """Itself among what a model learned with, where it is not the one that the form always has."""
        return {} if self.name in (LOG_LOSS, SQUARED) else {"loss": self.words}
