"""The same contracts on images: PNG files in a lake, learned by a convolutional network."""

from kfp import dsl

from sluice.components.ingest_images.component import ingest_images
from sluice.components.split.component import split
from sluice.pipelines._learning import JUDGING, SEED, TRAINING, Outputs, address, learn
from sluice.pipelines._parameters import Given, takes, to

_IMAGES = {"lake": to("ingest_images.lake"), "task": to("ingest_images.task"), "shares": to("split.shares")}


@dsl.pipeline(name="supervised-images", description="Trains, judges and registers a model from a folder of images.")
@takes(_IMAGES, TRAINING, JUDGING, SEED)
def supervised_images(given: Given) -> Outputs:
    """Trains, judges and registers a model from a folder of images."""
    ingested = ingest_images(**given.of("ingest_images")).set_caching_options(False)
    parts = split(sampled=address(ingested), strategy="stratified", **given.of("split"))
    return learn(address(parts), ingested.outputs["page"], given)
