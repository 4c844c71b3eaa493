"""What every family learns about the columns before it learns about the label."""

from sluice.core.errors import BadInput
from sluice.features.encoding import Encoder, feature_column, learn_encoder
from sluice.features.pixels import ImageShape, decode_png, shape_of
from sluice.modeling.parts import Parts


def learn_inputs(parts: Parts) -> Encoder | ImageShape:
    """For tables the vocabularies, for images the shape of the first, which all must have.

    Raises:
        BadInput: The first image cannot be read.
    """
    if parts.task.image is None:
        return learn_encoder(parts.train.rows, parts.task)
    first = feature_column(parts.train.rows, parts.task.image).iloc[0]
    where = f"part 'train', column {parts.task.image!r}, row 0"
    if not isinstance(first, bytes | bytearray):
        raise BadInput(f"{where}: {type(first).__name__} where the bytes of a PNG image are wanted")
    return shape_of(decode_png(bytes(first), where))
