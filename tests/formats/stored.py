"""Made stores: small, with latents that use every field."""

import hashlib
from dataclasses import replace

import numpy as np
from tests.formats.test_latents import make

from plica.formats.store import Store
from plica.formats.store_writing import ShardWriter
from plica.image import Provenance
from plica.latent import CodecIdentity

CODEC = CodecIdentity("linear-4x2-3d", "sha256:abc", {"name": "linear-4x2-3d"})


def key_of(number):
    return hashlib.sha256(str(number).encode()).hexdigest()


def made(number, **changes):
    provenance = Provenance("made", "MR" if number % 2 else "CT", f"sha256:{number}")
    return make(seed=number, codec=CODEC, provenance=provenance, **changes)


def bitstream(number):
    codes = np.random.default_rng(number).integers(0, 256, (1, 5 + number % 7, 1, 1), np.uint8)
    return made(number, codes=codes, kind="bitstream")


def fill(folder, counts=(3, 2), dtype="float32", latent=made):
    """A store with shards s0, s1, … of so many latents, and what each key's latent was seen as."""
    store = Store.create(folder, codec=CODEC, dtype=dtype, settings={"tiling": "auto"})
    seen, number = {}, 0
    for at, count in enumerate(counts):
        with ShardWriter(store, f"s{at}") as writer:
            for _ in range(count):
                row = {"source": f"site/{number}.nii.gz", "source_hash": f"sha256:{number}"}
                seen[key_of(number)] = writer.add(key_of(number), latent(number), row)
                number += 1
    return Store.open(folder), seen


def renamed(latent, name="other"):
    return replace(latent, codec=replace(latent.codec, name=name))
