"""Telling a pickle by its content, whatever its name and wrapping.

Reading a pickle runs whatever code its writer chose, so Sluice reads none. This module only looks at bytes: it names
what it finds, so that the person who offers such a file learns why it is refused and what to do.
"""

import bz2
import io
import json
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from sluice.core.errors import BadInput
from sluice.core.files import inside
from sluice.modeling.array_headers import array_header

_HEAD = 2**20
_MOST_NESTED = 3
_ENOUGH_OPCODES = 10_000
_OPCODES = {ord(opcode.code) for opcode in pickletools.opcodes}
_PROTOCOL = 0x80
_LONGEST_HEADER = 100_000_000
"""Bytes; safetensors itself refuses a longer one."""
_UNREADABLE = ((b"\x04\x22\x4d\x18", "LZ4"), (b"\x28\xb5\x2f\xfd", "Zstandard"), (b"ZF0x", "joblib's old"))
"""Compressions that joblib writes and the standard library does not read: nothing of ours uses them."""


def refuse_pickles(folder: Path) -> None:
    """Refuse a folder that holds a pickle under any name, or a link that leads out of it.

    Raises:
        BadInput: It does; the message names the file.
    """
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with inside(folder, str(path.relative_to(folder))).open("rb") as stream:
            found = pickle_in(stream.read(_HEAD), path)
        if found:
            raise BadInput(
                f"{path} holds {found}: reading it could run any code, so Sluice takes no pickles; "
                "save the model with sluice.modeling.model_files.save_model (skops or safetensors)"
            )


def pickle_in(head: bytes, path: Path | None = None, depth: int = 0) -> str:
    """Say what kind of pickle some bytes hold, or nothing.

    Args:
        head: The content, or its first MiB.
        path: The file, for archives larger than that.
        depth: How many wrappings were opened already.

    Returns:
        Such as `a pickle (protocol 4) inside gzip`; empty for anything else.
    """
    for magic, name in _UNREADABLE:
        if head.startswith(magic):
            return f"data in {name} compression, as joblib writes its pickles"
    if head[:4] == b"PK\x03\x04":
        return _in_zip(path or io.BytesIO(head), depth)
    if head[:6] == b"\x93NUMPY":
        return "an array of Python objects, which NumPy pickles" if _has_objects(head) else ""
    for magic, name, unwrap in _WRAPPINGS:
        if head.startswith(magic):
            inner = pickle_in(unwrap(head), None, depth + 1) if depth < _MOST_NESTED else "too many wrappings"
            return f"{inner} inside {name}" if inner else ""
    return "" if _is_safetensors(head) else _as_pickle(head)


def _as_pickle(head: bytes) -> str:
    """Protocols from 2 on start with their number; the first two are plain text, so their opcodes are read."""
    if len(head) > 2 and head[0] == _PROTOCOL:
        return f"a pickle (protocol {head[1]})" if head[2] in _OPCODES else ""
    count = 0
    try:
        for opcode, _, _ in pickletools.genops(head):
            count += 1
            if (opcode.code == "." and count > 1) or count >= _ENOUGH_OPCODES:
                return "a pickle (protocol 0 or 1)"
    except Exception:  # noqa: BLE001 - pickletools raises nearly anything on bytes that are no pickle
        return ""
    return ""


def _in_zip(source: Path | io.BytesIO, depth: int) -> str:
    if depth >= _MOST_NESTED:
        return "too many wrappings"
    try:
        with zipfile.ZipFile(source) as archive:
            for member in archive.infolist():
                with archive.open(member) as stream:
                    found = pickle_in(stream.read(_HEAD), None, depth + 1)
                if found:
                    return f"{found} inside a zip archive ({member.filename!r})"
    except Exception:  # noqa: BLE001 - a damaged archive is the reader's to report
        return ""
    return ""


def _has_objects(head: bytes) -> bool:
    try:
        return bool(array_header(io.BytesIO(head))[1].hasobject)
    except ValueError:
        return True  # numpy itself would not read it


def _is_safetensors(head: bytes) -> bool:
    """Eight bytes with the header's length, then a JSON object: the length's bytes can look like opcodes by chance."""
    length = int.from_bytes(head[:8], "little")
    try:
        if length > _HEAD:
            return length <= _LONGEST_HEADER and head[8:10] == b'{"'
        return head[8:9] == b"{" and isinstance(json.loads(head[8 : 8 + length]), dict)
    except (ValueError, RecursionError):
        return False


def _inflated(head: bytes) -> bytes:
    return zlib.decompressobj(wbits=47).decompress(head, _HEAD)  # 47: zlib or gzip, whichever it is


def _lzma(head: bytes) -> bytes:
    return lzma.LZMADecompressor().decompress(head, _HEAD)


def _bz2(head: bytes) -> bytes:
    return bz2.BZ2Decompressor().decompress(head, _HEAD)


def _or_nothing(unwrap: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def tolerant(head: bytes) -> bytes:
        try:
            return unwrap(head)
        except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
            return b""

    return tolerant


_WRAPPINGS = (
    (b"\x1f\x8b", "gzip", _or_nothing(_inflated)),
    (b"\x78\x01", "zlib", _or_nothing(_inflated)),
    (b"\x78\x5e", "zlib", _or_nothing(_inflated)),
    (b"\x78\x9c", "zlib", _or_nothing(_inflated)),
    (b"\x78\xda", "zlib", _or_nothing(_inflated)),
    (b"BZh", "bzip2", _or_nothing(_bz2)),
    (b"\xfd7zXZ\x00", "xz", _or_nothing(_lzma)),
    (b"\x5d\x00\x00", "lzma", _or_nothing(_lzma)),
)
