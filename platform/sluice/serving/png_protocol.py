"""One image as the body of a request: `curl --data-binary @7.png -H 'content-type: image/png'`."""

from collections.abc import Mapping
from typing import Any

from sluice.exporting.served_files import ServedModel
from sluice.serving.exchange import Loaded
from sluice.serving.heads import Head
from sluice.serving.limits import Limits
from sluice.serving.protocols import JSON, Answered, Asked, Plain
from sluice.serving.refusals import Refusal

PNG = "image/png"


class PngProtocol:
    """`POST /v1/predict` with a PNG file as the body: one row; the answer is that of the plain JSON."""

    media_type, quick = JSON, False

    def __init__(self) -> None:
        self._plain = Plain()

    def read(self, body: bytes, head: Head, limits: Limits, loaded: Loaded) -> Asked:  # noqa: ARG002 - see Wire
        """See `Wire`."""
        name = image_field(loaded.judge.served)
        if not name:
            raise Refusal(415, f"{loaded.name} takes no image alone; send rows as JSON, /openapi.json says which")
        return Asked(1, (), {name: [body]})

    def write(self, asked: Asked, answered: Answered) -> bytes:
        """See `Wire`."""
        return self._plain.write(asked, answered)

    def refused(self, refusal: Refusal, request: str, loaded: Loaded | None) -> Mapping[str, Any]:
        """See `Wire`."""
        return self._plain.refused(refusal, request, loaded)


def image_field(served: ServedModel) -> str:
    """The field that holds an image where a row needs nothing else, or empty."""
    needed = [field for field in served.fields if not field.nullable]
    return needed[0].name if len(needed) == 1 and needed[0].type == "image" else ""
