"""What the command reads and writes is UTF-8, and letters are large or small as in English, in whatever locale.

Python takes its default encoding from the locale, and so do the libraries that a run needs: in a Turkish one
(ISO-8859-9) a run broke when it wrote its results. Python's UTF-8 mode ends that; it can only be chosen at the start.

C's tolower() follows the locale too. In every Turkish or Azerbaijani one, of UTF-8 as well, a large I is no i: Python's
sqlite3 then takes `INSERT` for a word that it does not know, and opens no transaction, so that each row of a database
was written to the disk for itself, and what failed half-way could not be taken back.
"""

import locale
import os
import sys
from collections.abc import Iterable, Mapping
from io import TextIOWrapper

from sluice.core.environment import set_variables, unset_variables, variables
from sluice.core.errors import BadInput
from sluice.core.plain_text import is_unicode
from sluice.core.settings import settings
from sluice.core.variable_groups.system import SystemVariables

_STREAMS = SystemVariables.streams.name
_OURS = "SLUICE_"


def use_utf8() -> None:
    """Start this process anew in UTF-8 mode, where the locale has another encoding; the terminal keeps the locale's.

    This process, and those that it starts, treat letters as C.UTF-8 does.
    """
    encoding = locale.getencoding()
    _treat_letters_alike()
    if sys.flags.utf8_mode or encoding.lower() in ("utf-8", "utf8"):
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # not where a test stands in for it
                stream.reconfigure(errors="backslashreplace")
        unset_variables(_STREAMS)  # the steps' words are read as UTF-8
        return
    terminal = settings().system.streams or f"{encoding}:backslashreplace"
    environment = variables() | {SystemVariables.utf8.name: "1", _STREAMS: terminal}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)  # noqa: S606 - itself


def _treat_letters_alike() -> None:
    """Choose the locale C.UTF-8 for letters alone; where a system lacks it, C, which Python knows how to live with."""
    for name in ("C.UTF-8", "C"):
        try:
            locale.setlocale(locale.LC_CTYPE, name)
        except locale.Error:
            continue
        wins = SystemVariables.letters if settings().system.letters else SystemVariables.letters_alone
        set_variables({wins.name: name})
        return


def check_words(words: Iterable[str], environment: Mapping[str, str]) -> None:
    """Refuse what no file of ours can record.

    Args:
        words: The command line's.
        environment: Its variables; those that are not Sluice's own may hold anything.

    Raises:
        BadInput: A word, or a variable of Sluice's, is not UTF-8.
    """
    for word in words:
        if not is_unicode(word):
            raise BadInput(f"argument {word} is not UTF-8; rename the file that it names, or type it in UTF-8")
    for name, value in environment.items():
        if name.startswith(_OURS) and not is_unicode(value):
            raise BadInput(f"{name}={value} is not UTF-8; set it in UTF-8")
