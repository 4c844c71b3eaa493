"""A process that answers requests of one row without end and logs them: FOLDER of what waits, STORE, settings as JSON.

Standard output: `ready`, and at SIGTERM one line of JSON with what it answered and what the log says of itself.
"""

import json
import signal
import sys
import time
from pathlib import Path

from sluice.serving.prediction_log import LogSettings, PredictionLog
from sluice.storage.stores import open_store
from tests.unit.served_rule import Rule, exchange

if __name__ == "__main__":
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    log = PredictionLog(LogSettings(spool=Path(sys.argv[1]), **json.loads(sys.argv[3])), open_store(sys.argv[2]))
    log.start()
    rule, answered, longest = Rule(), 0, 0.0
    counter = Path(sys.argv[1]).with_name("answered").open("wb", buffering=0)
    while not ended:
        made = exchange([{"amount": 1.5, "order": answered}], time.time(), rule)
        begun = time.perf_counter()
        log.observed(made)
        longest = max(longest, time.perf_counter() - begun)
        answered += 1
        counter.seek(0)
        counter.write(f"{answered:012d}".encode())
        if answered == 100:
            print("ready", flush=True)
        time.sleep(0.0002)
    done = log.stop()
    state = log.state()
    told = {"answered": answered, "done": done, "dropped": state.dropped, "longest": longest, "stored": state.stored}
    print(json.dumps(told), flush=True)
