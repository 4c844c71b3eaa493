"""Small servers that speak what Sluice needs of Google Cloud Storage and Azure Blob Storage; they keep all in memory.

No emulator of either can be installed here. These hold Sluice to the protocols as documented: whether the services
themselves agree is not shown by them.

Source: Cloud Storage, "XML API" (objects, list objects version 2, multipart uploads, `x-goog-if-generation-match`);
Azure, "Blob service REST API" (Put Blob, Put Block, Put Block List, Get, Delete, List Blobs, Blob Batch).
"""

import hashlib
import http.server
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Collection, Iterator
from email.utils import formatdate
from typing import Any
from xml.sax.saxutils import escape

METADATA = ("/computeMetadata/v1/instance/service-accounts/default/token", "/metadata/identity/oauth2/token")
PAGE = 300  # keys of one answer to a listing: fewer than a real service's, so that tests meet several


class Objects:
    """What a server keeps, and whom it answers.

    Attributes:
        tokens: The bearer tokens that it takes.
        seen: Method, path with query, and headers of each request.
    """

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.parts: dict[str, dict[str, bytes]] = {}
        self.tokens: Collection[str] = set()
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.lock = threading.Lock()

    def page(self, prefix: str, after: str, inclusive: bool = False) -> tuple[list[str], bool]:
        """Names after `after`, and whether there are more."""
        names = sorted(n for n in self.kept if n.startswith(prefix) and (n > after or (inclusive and n == after)))
        return names[:PAGE], len(names) > PAGE


class Handler(http.server.BaseHTTPRequestHandler):
    """What both have in common."""

    protocol_version = "HTTP/1.1"
    objects: Objects
    bucket = "lake"
    no_bucket, no_object, not_known = "NoSuchBucket", "NoSuchKey", "AccessDenied"

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def answer(self, status: int = 200, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", formatdate(usegmt=True))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status: int, code: str, message: str = "told by a test") -> None:
        self.answer(status, f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode())

    def handle_one(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        self.query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        self.content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        bucket, _, self.name = urllib.parse.unquote(url.path).removeprefix("/").partition("/")
        with self.objects.lock:
            self.objects.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            if url.path in METADATA:
                self.give_token()
            elif token not in self.objects.tokens:
                self.refuse(403, self.not_known)
            elif bucket != self.bucket:
                self.refuse(404, self.no_bucket)
            elif not self.name:
                self.about_bucket()
            else:
                self.about_object()

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_one  # noqa: N815 - as http.server calls them

    def give_token(self) -> None:
        """What a metadata service gives to whoever asks on the machine, and in the way that no web page can."""
        asked_well = self.headers.get("Metadata-Flavor") == "Google" or self.headers.get("Metadata") == "true"
        if not asked_well or not self.objects.tokens:
            self.refuse(403, "Forbidden")
            return
        told = {"access_token": min(self.objects.tokens), "token_type": "Bearer"}
        google = "Metadata-Flavor" in self.headers
        told |= {"expires_in": 3600} if google else {"expires_on": str(int(time.time()) + 3600), "resource": "x"}
        self.answer(200, json.dumps(told).encode(), Content_Type="application/json")

    def about_bucket(self) -> None:
        raise NotImplementedError

    def about_object(self) -> None:
        raise NotImplementedError

    def read(self) -> None:
        if self.name not in self.objects.kept:
            self.refuse(404, self.no_object)
            return
        data = self.objects.kept[self.name]
        self.answer(200, data, ETag=f'"{hashlib.md5(data).hexdigest()}"')


class GoogleHandler(Handler):
    """Cloud Storage's XML API."""

    def about_bucket(self) -> None:
        prefix, token = self.query.get("prefix", ""), self.query.get("continuation-token")
        start = token or self.query.get("start-after") or self.query.get("start-offset") or ""
        names, more = self.objects.page(prefix, start)
        entries = "".join(
            f"<Contents><Key>{escape(n)}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>"
            f"<Size>{len(self.objects.kept[n])}</Size><ETag>x</ETag></Contents>"
            for n in names
        )
        after = f"<NextContinuationToken>{escape(names[-1])}</NextContinuationToken>" if more else ""
        told = f"<ListBucketResult>{after}<IsTruncated>{str(more).lower()}</IsTruncated>{entries}</ListBucketResult>"
        self.answer(200, told.encode())

    def about_object(self) -> None:
        kept, parts = self.objects.kept, self.objects.parts
        upload = self.query.get("uploadId", "")
        match self.command:
            case "GET" | "HEAD":
                self.read()
            case "PUT" if upload:
                parts[upload][self.query["partNumber"]] = self.content
                self.answer(200, ETag=f'"{self.query["partNumber"]}"')
            case "PUT" if self.headers.get("x-goog-if-generation-match") == "0" and self.name in kept:
                self.refuse(412, "PreconditionFailed")
            case "PUT":
                kept[self.name] = self.content
                self.answer(200, ETag='"1"', x_goog_generation="1")
            case "POST" if upload:
                numbers = re.findall(r"<PartNumber>(\d+)</PartNumber>", self.content.decode())
                mine = parts.pop(upload)
                kept[self.name] = b"".join(mine[number] for number in numbers)
                self.answer(200, b"<CompleteMultipartUploadResult><ETag>1</ETag></CompleteMultipartUploadResult>")
            case "POST":
                upload = f"upload-{len(self.objects.seen)}"
                parts[upload] = {}
                told = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                self.answer(200, told.encode())
            case "DELETE" if upload:
                parts.pop(upload, None)
                self.answer(204)
            case "DELETE" if kept.pop(self.name, None) is None:
                self.refuse(404, self.no_object)
            case "DELETE":
                self.answer(204)


class AzureHandler(Handler):
    """The Blob service's REST API."""

    no_bucket, no_object, not_known = "ContainerNotFound", "BlobNotFound", "InvalidAuthenticationInfo"

    def about_bucket(self) -> None:
        if self.query.get("comp") == "batch":
            self.batch()
            return
        names, more = self.objects.page(self.query.get("prefix", ""), self.query.get("marker", ""))
        entries = "".join(
            f"<Blob><Name>{escape(n)}</Name><Properties><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT</Last-Modified>"
            f"<Content-Length>{len(self.objects.kept[n])}</Content-Length><Content-Type>x</Content-Type>"
            "<Etag>x</Etag></Properties></Blob>"
            for n in names
        )
        marker = escape(names[-1]) if more else ""
        told = f"<EnumerationResults><Blobs>{entries}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
        self.answer(200, told.encode())

    def batch(self) -> None:
        """Each deletion of a batch, answered as a part of its own."""
        boundary = "batch-of-answers"
        answers = []
        for number, path in enumerate(re.findall(rb"DELETE (\S+) HTTP/1.1", self.content)):
            name = urllib.parse.unquote(path.decode()).removeprefix(f"/{self.bucket}/")
            there = self.objects.kept.pop(name, None) is not None
            status = "202 Accepted" if there else "404 The specified blob does not exist."
            code = "" if there else "x-ms-error-code: BlobNotFound\r\n"
            answers.append(
                f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
                f"HTTP/1.1 {status}\r\n{code}x-ms-request-id: 1\r\n\r\n"
            )
        body = "".join(answers) + f"--{boundary}--"
        self.answer(202, body.encode(), Content_Type=f"multipart/mixed; boundary={boundary}")

    def about_object(self) -> None:
        kept, parts = self.objects.kept, self.objects.parts
        match self.command, self.query.get("comp"):
            case "GET" | "HEAD", _:
                self.read()
            case "PUT", "block":
                parts.setdefault(self.name, {})[self.query["blockid"]] = self.content
                self.answer(201)
            case "PUT", "blocklist":
                blocks = re.findall(r"<(?:Latest|Uncommitted)>([^<]+)<", self.content.decode())
                mine = parts.pop(self.name, {})
                kept[self.name] = b"".join(mine[block] for block in blocks)
                self.answer(201, ETag='"1"')
            case "PUT", _ if self.headers.get("If-None-Match") == "*" and self.name in kept:
                self.refuse(409, "BlobAlreadyExists")
            case "PUT", _:
                kept[self.name] = self.content
                self.answer(201, ETag='"1"')
            case "DELETE", _ if kept.pop(self.name, None) is None:
                self.refuse(404, self.no_object)
            case "DELETE", _:
                self.answer(202)


def serving(handler: type[Handler], objects: Objects) -> Iterator[str]:
    """A server for the time of a generator; its address."""
    bound = type("Bound", (handler,), {"objects": objects})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), bound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def cloud_settings(scheme: str, address: str) -> dict[str, str]:
    """The variables that lead to such a server, asked by the identity that the same server gives to its machine."""
    if scheme == "gs":
        metadata = address.replace("http://127.0.0.1", "localhost")  # another host than the store, as it is in truth
        return {"GOOGLE_BASE_URL": address, "GCE_METADATA_HOST": metadata, "GCE_METADATA_IP": metadata}
    return {
        "AZURE_STORAGE_ACCOUNT_NAME": "account",
        "AZURE_STORAGE_ENDPOINT": address,
        "AZURE_IDENTITY_ENDPOINT": f"{address}{METADATA[1]}",
    }
