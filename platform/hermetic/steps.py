"""Which steps a request takes: what is there with its key is left out, and with it all that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import container_images
import node
import programs as go
from keys import Keys, baked
from machine import Cache
from schedule import Step
from table import Image, Program, Table, programs_of


class Steps:
    """The steps of one table on one machine."""

    def __init__(self, table: Table, keys: Keys, cache: Cache) -> None:
        self.table = table
        self.keys = keys
        self.cache = cache

    def needed(self, images: Sequence[str] = (), programs: Sequence[str] = ()) -> list[Step]:
        """Return the steps that make images and programs, each once, and none for what is there.

        An image's step has its name; a program's is called `go <name>`.
        """
        found: dict[str, Step] = {}
        for name in images:
            self._image(self.table.images[name], found)
        for name in programs:
            self._program(self.table.programs[name], found)
        return list(found.values())

    def folder(self, program: str) -> Path:
        """Return the folder that holds the binaries of a program of this key."""
        return self.cache.programs / f"{program}-{self.keys.program(program)}"

    def _program(self, program: Program, found: dict[str, Step]) -> None:
        label = f"go {program.name}"
        if label in found or self.folder(program.name).is_dir():
            return
        generator = None
        if program.protobufs:
            self._program(self.table.programs["protoc-gen-go"], found)
            generator = self.folder("protoc-gen-go")
        beside = self.table.beside(program)
        make = partial(go.build, program, self.folder(program.name), self.cache, generator, beside)
        # one after the other, so that each finds what those before it compiled
        after = [f"go {other.name}" for other in beside if f"go {other.name}" in found]
        found[label] = Step(label, program.version, make, [*after, *(["go protoc-gen-go"] if generator else [])])

    def _image(self, image: Image, found: dict[str, Step]) -> None:
        key = self.keys.image(image.name)
        if image.name in found or container_images.key_in_docker(image.reference) == key:
            return
        needs = [image.base] if image.base in self.table.images else []
        needs += baked(self.table) if image.name == "node" else []
        for name in programs_of(image):
            self._program(self.table.programs[name], found)
        for name in needs:
            self._image(self.table.images[name], found)
        build = node.build if image.name == "node" else container_images.build
        make = partial(build, image, key, self.table, self.cache, self.folder)
        after = [*needs, *(f"go {name}" for name in programs_of(image))]
        found[image.name] = Step(image.name, image.reference, make, after)
