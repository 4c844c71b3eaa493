"""`python -m sluice.operator SETTINGS.json`: the operator on a cluster, until the pod ends."""

import sys

from sluice.operator.on_cluster.process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
