"""
Random mutations of valid packets, at each layer.

    python fuzz/mutate.py --count 1000000 --seed 1

So many are made at each layer. Whatever happens that is not documented is a finding: an exception,
an error in the log, money credited that was not fulfilled, a value that changes when it is written
and read, memory that grows. The first one ends the run with status 1, and with the octets that did
it.
"""

from __future__ import annotations

import random
from time import monotonic
from typing import Final

from fuzzing import Log, Memory, mutated, parserFor, playAll, report
from httplayers import HTTP
from layers import CODECS, Layer
from live import LIVE
from statelesslayers import STATELESS
from tokenlayers import TOKEN_LAYERS

LAYERS: Final = {each.name: each for each in (*CODECS, *TOKEN_LAYERS, *LIVE, *HTTP, *STATELESS)}
"""All of them, by name."""


def fuzz(layer: Layer, count: int, seed: int, log: Log) -> None:
    """
    Mutate the packets of one layer, and print how many it took and how many it refused.

    @raise SystemExit: with status 1 at a finding.
    """
    rng = random.Random(f"{seed} {layer.name}")
    memory = Memory()
    refused = 0
    began = monotonic()
    for number in range(count):
        octets = mutated(rng, rng.choice(layer.seeds), rng.choice(layer.seeds))
        if number == count * 3 // 4:
            memory.begin()
        try:
            try:
                layer.check(octets)
            except layer.allowed:
                refused += 1
            log.check()
        except Exception as error:
            again = f"python fuzz/mutate.py --only {layer.name} --input {octets.hex()}"
            report(f"in layer {layer.name}", error, [octets.hex()], again)
    try:
        memory.check()
    except Exception as error:
        again = f"python fuzz/mutate.py --only {layer.name} --count {count} --seed {seed}"
        report(f"in layer {layer.name}", error, [], again)
    print(
        f"{layer.name:19} {count:8} mutations, {refused:8} refused, memory {memory.growth:+7} "
        f"octets, peak {memory.peak:8}, {(monotonic() - began) / max(1, count) * 1e6:5.0f} us each",
        flush=True,
    )


def main() -> None:
    """Do what the command line says."""
    parser = parserFor(__doc__ or "", 5_000, list(LAYERS), "at each layer")
    parser.add_argument("--input", help="one input in hex, instead of mutations; with --only")
    options = parser.parse_args()
    if options.input is None:
        if options.only is None:
            options.count *= len(LAYERS)
        playAll(
            options,
            dict.fromkeys(LAYERS, 1),
            "mutations",
            lambda name, count, log: fuzz(LAYERS[name], count, options.seed, log),
        )
        return
    if options.only is None:
        parser.error("--input needs --only")
    # Unlike a run it shows the whole traceback of a finding.
    layer, log = LAYERS[options.only], Log()
    try:
        layer.check(bytes.fromhex(options.input))
    except layer.allowed as error:
        print(f"refused, as it is documented: {error!r}")
    log.check()


if __name__ == "__main__":
    main()
