"""`python -m sluice.serving SETTINGS`: a server by itself, as `sluice serve` and a chart start it.

SETTINGS is a JSON file, or the document itself (`sluice.serving.settings.Settings`). Nothing here needs MLflow, pandas
or the libraries that the model was trained with.
"""

import sys

from sluice.core.addresses import show_defect
from sluice.core.errors import BadInput, SluiceError
from sluice.serving.server import serve
from sluice.serving.settings import read_settings
from sluice.serving.telling import tell


def main(words: list[str]) -> int:
    """Serve until the end is asked for.

    Returns:
        The exit code: 0 after SIGTERM or SIGINT, 2 for wrong settings or a wrong model, 1 where the machine failed.
    """
    try:
        if len(words) != 1:
            raise BadInput("give one word: a JSON file with the server's settings, or the document itself")
        settings = read_settings(words[0])
        serve(settings, lambda server, port: tell(settings, server, port))
    except SluiceError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the last line of the pod's log
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a defect of ours
        show_defect(type(error), error, error.__traceback__)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
