"""The variables of the workers of a distributed training; all but two are torchrun's."""

from sluice.core.variable_kinds import one_of, text, whole
from sluice.core.variables import SetBy, VariableGroup

_MOST = 2**31 - 1


class TrainingVariables(VariableGroup):
    """What a worker is to do, and where it stands among the others."""

    job = text(
        "SLUICE_TRAINING_JOB",
        meaning="What a worker of `train_distributed` is to do, as JSON: dataset, settings, its place in the store.",
        by=SetBy.SLUICE,
    )
    device = one_of(
        "SLUICE_DEVICE",
        offered=("auto", "cpu", "cuda"),
        default="auto",
        meaning="Where such a worker trains: `cpu`, `cuda` or `auto`; a TrainingRuntime sets it.",
        by=SetBy.SLUICE,
    )
    rank = whole(
        "RANK",
        least=0,
        most=_MOST,
        default=0,
        meaning="A worker's number among all and on its machine, and how many there are: torchrun says so.",
        by=SetBy.SYSTEM,
    )
    local_rank = whole("LOCAL_RANK", least=0, most=_MOST, default=0, by=SetBy.SYSTEM)
    size = whole("WORLD_SIZE", least=1, most=_MOST, default=1, by=SetBy.SYSTEM)
    host = text(
        "MASTER_ADDR",
        meaning="Where the workers find each other, whether torchrun itself answers there, how often it started them, "
        "and `1` where torch shall use libuv for it.",
        by=SetBy.SYSTEM,
    )
    port = whole("MASTER_PORT", least=0, most=65535, default=0, by=SetBy.SYSTEM)
    agent_store = text("TORCHELASTIC_USE_AGENT_STORE", by=SetBy.SYSTEM)
    restarts = text("TORCHELASTIC_RESTART_COUNT", default="0", by=SetBy.SYSTEM)
    libuv = text("USE_LIBUV", default="1", by=SetBy.SYSTEM)
    interface = text(
        "GLOO_SOCKET_IFNAME",
        meaning="Over which network such processes of one machine talk, and that rank 0 keeps their store: set for "
        "them by Sluice.",
        by=SetBy.SYSTEM,
    )
    own_store = text("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", by=SetBy.SYSTEM)
