"""Turkish locales made here, from glibc's sources of locales: the one where a large I is no i, in two encodings."""

import subprocess
from pathlib import Path

ENCODINGS = ("UTF-8", "ISO-8859-9")
SOURCE = Path("/usr/share/i18n/locales/tr_TR")
MISSING = "no sources of locales: on Debian and Ubuntu, `apt install locales`"


def make_locales(folder: Path) -> dict[str, str]:
    """Make the locales in a folder.

    Returns:
        By encoding, the locale's name; LOCPATH has to be the folder.
    """
    for encoding in ENCODINGS:
        # It warns of what the C library's sources lack, and ends with 1 then.
        subprocess.run(["localedef", "-i", "tr_TR", "-f", encoding, str(folder / f"tr_TR.{encoding}")], check=False)
        assert (folder / f"tr_TR.{encoding}/LC_CTYPE").is_file()
    return {encoding: f"tr_TR.{encoding}" for encoding in ENCODINGS}
