"""The one place where the server's parts are put together: who answers, who looks on, and who may ask.

Each part is built by its own module and given here to `Server`:

- a *traffic* (`exchange.Traffic`) says which version answers a request: `OneVersion` for a folder, `Followed` for a
  registered model, whose aliases and canaries it follows. It is built by `_traffic`.
- *observers* (`exchange.Observer`) see each answer after it was sent, in the order in which they are told: the
  prediction log, then what the traffic counts and compares.
- any of them may be `exchange.Started` (`start` before the server is ready, `stop` after the last answer) and
  `exchange.Measured` (numbers for Prometheus). The traffic is stopped first: what its shadow still compares is logged.

A setting of a new part is a field of `sluice.serving.settings.Settings`; `sluice serve` has an option for it, and a
cluster's server reads the same document.
"""

from collections.abc import Sequence
from functools import partial

from sluice.serving.app import Server
from sluice.serving.doors import Doors
from sluice.serving.exchange import Loaded, Measured, Observer, OneVersion, Traffic
from sluice.serving.feedback import FeedbackDesk
from sluice.serving.judges import open_judge
from sluice.serving.prediction_log import LogSettings, PredictionLog, prediction_log
from sluice.serving.settings import LogOptions, Settings
from sluice.serving.tokens import Tokens
from sluice.storage.locations import default_store


def assembled(settings: Settings, port: int = 0, metrics_port: int | None = None) -> Server:
    """A server with all its parts. A folder's model is loaded and warm; one that is followed is loaded by `start`.

    Args:
        settings: What it is told.
        port: Where it listens; the settings' own may be 0.
        metrics_port: Where health and metrics are, if they have a port of their own.

    Raises:
        BadInput: The folder holds no served model, or one that was changed; the registry cannot be followed; a
            variable of the store is wrong; or there is no token in the file.
    """
    tokens = Tokens(settings.token_file) if settings.token_file else None
    doors = Doors(tokens, None if tokens else _own_names(settings, port), metrics_port)
    log = _log(settings.log) if settings.log else None
    logs = (log,) if log else ()
    traffic, counting = _traffic(settings, logs)
    desk = FeedbackDesk(default_store()) if settings.takes_feedback else None
    return Server(traffic, (*logs, *counting), settings.limits, doors, settings.threads, desk, _beside(settings))


def _traffic(settings: Settings, logs: Sequence[Observer]) -> tuple[Traffic, Sequence[Observer]]:
    """Who answers, and what of it looks on."""
    if settings.folder:
        return OneVersion(Loaded(settings.name, open_judge(settings.folder, threads=settings.threads))), ()
    from sluice.serving.aliases import CHAMPION
    from sluice.serving.followed import Followed
    from sluice.serving.registered import open_registry
    from sluice.serving.served_versions import open_registered

    model, alias = settings.followed
    followed = Followed(
        model,
        open_registry(),
        partial(open_registered, threads=settings.threads),
        default_store(),
        roles={CHAMPION: alias} if alias else None,
        slices=settings.slices,
        shadow=settings.shadow,
        shadowed=logs,
    )
    return followed, followed.observers


def _beside(settings: Settings) -> Sequence[Measured]:
    """What sees no answer and has numbers to tell."""
    if settings.folder:
        return ()
    from sluice.serving.watched_numbers import WatchedNumbers

    return (WatchedNumbers(default_store(), settings.followed[0]),)


def _log(options: LogOptions) -> PredictionLog:
    return prediction_log(LogSettings(**dict(options)))


def _own_names(settings: Settings, port: int) -> frozenset[str] | None:
    """The names by which this machine's own programs reach a server without tokens; None where it has other callers."""
    if not settings.local:
        return None
    ports = (f":{port}", "") if port == 80 else (f":{port}",)
    return frozenset(f"{name}{end}" for name in ("localhost", "127.0.0.1", "[::1]") for end in ports)
