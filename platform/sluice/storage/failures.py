"""What went wrong with a request to a store in the cloud, read from what obstore raises.

obstore (a binding of the Rust crate object_store) tells most of it in text alone: a sentence, then a dump of its nested
errors. What counts is read from it here and nowhere else: the HTTP status, the service's own code and message, or how
the network failed. `tests/faults` holds this to what real servers and networks do.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import TypeVar
from urllib.parse import urlsplit

from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

from sluice.core.errors import EnvironmentFault
from sluice.storage.interruptible import interruptible

Answer = TypeVar("Answer")

TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})  # HTTP statuses that another try may mend
CONFLICT = 409  # S3 may answer it while another writer of the same key is at work
NOT_FOUND, CONDITION_FAILED = 404, 412
# What may have been lost between two tries of an upload in parts.
_LOST_UPLOAD = frozenset({"NoSuchUpload", "InvalidBlockList"})

_PANIC = "PanicException"  # of Rust: no subclass of Exception, and nowhere to import it from
_DUMP = "\n\nDebug source:"
_OTHER_WRITER = frozenset({"ConditionalRequestConflict", "OperationAborted"})  # of S3, with 409
_STATUS = re.compile(r"Server returned non-2xx status code: (\d{3})[^:\n]*: ?")
_IN_BATCH = re.compile(r"Bulk delete request failed for key .*: ([^:]*) \(code: (\d{3})\)")
_METHOD = re.compile(r"Error performing ([A-Z]+) ")
_URL = re.compile(r"Error performing [A-Z]+ (\S+)")
_CODE = re.compile(r"<Code>([^<]{1,200})</Code>|\"(?:error|code)\"\s*:\s*\"([^\"]{1,200})\"")
_MESSAGE = re.compile(r"<Message>([^<]{1,2000})</Message>|\"(?:error_description|message)\"\s*:\s*\"([^\"]{1,2000})\"")
_SYSTEM = re.compile(r"Os \{\s*code: (\d+),\s*kind: \w+,\s*message: \"([^\"]*)\"")
_CERTIFICATE = re.compile(r"InvalidCertificate\(\s*(?:Other\(\s*OtherError\(\s*)?(\w+)")
_TLS = re.compile(r"\b(InvalidMessage|AlertReceived|PeerIncompatible|PeerMisbehaved|NoCertificatesPresented)\(\s*(\w+)")
_CAUSE = re.compile(r"source: (?:reqwest::Error \{\s*)?kind: (\w+)")
_TRUST = {
    "UnknownIssuer": "self-signed certificate, or one of an authority that is not trusted",
    "CaUsedAsEndEntity": "self-signed certificate of an authority, which no server may use itself",
    "Expired": "certificate has expired",
    "ExpiredContext": "certificate has expired",
    "NotValidYet": "certificate is not valid yet",
    "NotValidYetContext": "certificate is not valid yet",
    "NotValidForName": "certificate is for another host",
    "NotValidForNameContext": "certificate is for another host",
}
_HIDDEN = "REDACTED"  # in place of an address that holds a token
_QUERY = re.compile(r"\?[\w%&=.,:/+~-]+")  # of an address: it may hold a token
_RETRIED = re.compile(r" after \d+ retries?, max_retries: \d+, retry_timeout: \S+ ")


@dataclass
class Failure(Exception):
    """One request that failed.

    Attributes:
        method: Of HTTP, such as `PUT`; empty where no request was made.
        host: Whom it was sent to, with the port; empty where it is not known.
        status: HTTP's status; 0 where there was no answer.
        code: The service's own word for it, such as `NoSuchKey`; empty where it gave none.
        message: The service's sentence, or what obstore says where there is no code.
        network: How the connection failed, in a few words; empty where there was an answer.
        untrusted: Whether the server's certificate is the cause, which no other try mends.
        for_credentials: Whether it asked for credentials, at an address that is not told because a token stands in it.
    """

    method: str
    host: str
    status: int
    code: str
    message: str
    network: str = ""
    untrusted: bool = False
    for_credentials: bool = False

    @property
    def reason(self) -> str:
        """The cause in a few words, for a line of progress."""
        if self.network:
            return self.network
        return f"HTTP status {self.status}" if self.status else self.message

    def may_pass(self, conflict: bool = False) -> bool:
        """Whether another try may succeed.

        Args:
            conflict: Whether a conflict with another writer counts as such.
        """
        if self.network:
            return not self.untrusted
        return self.status in TRANSIENT or self.code in _LOST_UPLOAD or (conflict and self.status == CONFLICT)


def asked(call: Callable[[], Answer]) -> Answer:
    """Make a call of obstore, which a signal may interrupt.

    For an object that is not there obstore raises Python's FileNotFoundError: nothing of it passes as an OSError.

    Raises:
        Failure: The request failed.
        EnvironmentFault: This process was forked from one that had used a store.
    """
    _refuse_forked()
    try:
        return interruptible(call)
    except (BaseError, OSError, ValueError) as error:
        raise failure_of(error) from None
    except BaseException as error:
        if type(error).__name__ != _PANIC:
            raise
        raise Failure("", "", 0, "", f"obstore cannot make the request ({error})") from None


def failure_of(error: Exception) -> Failure:
    """Read an exception of obstore's."""
    said, _, dump = str(error).partition(_DUMP)
    method, url = _METHOD.search(said), _URL.search(said)
    host = urlsplit(url[1]).netloc if url else ""
    found = Failure(method[1] if method else "", host, 0, "", _brief(said))
    found.for_credentials = url is not None and url[1] == _HIDDEN
    refused = isinstance(error, AlreadyExistsError | PreconditionError)
    if status := _STATUS.search(said):
        body = said[status.end() :]
        found.status, found.code, found.message = int(status[1]), _first(_CODE, body), _first(_MESSAGE, body)
        if refused and found.code not in _OTHER_WRITER:
            found.status = CONDITION_FAILED  # Azure says 409 for it
    elif refused:
        found.status = CONDITION_FAILED
    elif each := _IN_BATCH.search(said):
        found.method, found.message, found.status = "DELETE", each[1], int(each[2])
    else:
        found.network, found.untrusted = _network(said, dump)
    return found


def _network(said: str, dump: str) -> tuple[str, bool]:
    """How the connection failed, and whether the certificate is why; empty where the network is not the cause."""
    if found := _CERTIFICATE.search(dump):
        return _TRUST.get(found[1], f"certificate refused: {found[1]}"), True
    if found := _SYSTEM.search(dump):
        return f"[Errno {found[1]}] {found[2]}", False
    if "dns error" in dump:
        return "the host's name is not known", False
    if found := _TLS.search(dump):
        return f"no TLS is spoken there ({found[1]}: {found[2]})", False
    if "TimedOut" in dump:
        return ("connecting timed out" if "ConnectError" in dump or "Connect," in dump else "Read timed out"), False
    if "HttpError {" in dump or "HTTP error" in said:
        cause = _CAUSE.search(dump)
        return f"the connection broke off{f' ({cause[1]})' if cause else ''}", False
    return "", False


def _brief(said: str) -> str:
    return _QUERY.sub("", _RETRIED.sub(" ", said.removeprefix("Generic "))).strip()


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return unescape(next(filter(None, found.groups()), "")) if found else ""


_first_process = 0


def _refuse_forked() -> None:
    """The threads of obstore do not live on in a forked process: a request would wait there for ever."""
    global _first_process
    here = os.getpid()
    _first_process = _first_process or here
    if _first_process != here:
        raise EnvironmentFault(
            "this process was forked from one that had used the object store; "
            "start it anew instead (in Python's multiprocessing: the method `spawn`)"
        )
