"""
Random mutations of valid packets, at each layer.

    python fuzz/mutate.py --count 1000000 --seed 1

Each layer gets the same share. Whatever happens that is not documented is a finding: an exception,
an error in the log, money credited that was not fulfilled, a value that changes when it is written
and read, memory that grows. The first one ends the run with status 1, and with the octets that did
it.
"""

from __future__ import annotations

import random
from time import monotonic
from typing import Final

from fuzzing import Log, Memory, Watch, mutated, parserFor, report
from layers import CODECS, Layer
from live import LIVE

LAYERS: Final = (*CODECS, *LIVE)
"""All of them."""


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
            again = f"python fuzz/mutate.py --layer {layer.name} --input {octets.hex()}"
            report(f"in layer {layer.name}", error, [octets.hex()], again)
    try:
        memory.check()
    except Exception as error:
        again = f"python fuzz/mutate.py --layer {layer.name} --count {count} --seed {seed}"
        report(f"in layer {layer.name}", error, [], again)
    print(
        f"{layer.name:15} {count:8} mutations, {refused:8} refused, memory {memory.growth:+7} "
        f"octets, peak {memory.peak:8}, {(monotonic() - began) / max(1, count) * 1e6:5.0f} us each",
        flush=True,
    )


def main() -> None:
    """Do what the command line says."""
    parser = parserFor(__doc__ or "", 100_000)
    names = [layer.name for layer in LAYERS]
    parser.add_argument("--layer", choices=names, help="this one only")
    parser.add_argument("--input", help="one input in hex, instead of mutations; with --layer")
    options = parser.parse_args()
    chosen = [layer for layer in LAYERS if options.layer in (None, layer.name)]
    if options.input is not None:
        if options.layer is None:
            parser.error("--input needs --layer")
        # Unlike a run it shows the whole traceback.
        chosen[0].check(bytes.fromhex(options.input))
        Log().check()
        return
    watch, log = Watch(), Log()
    share, rest = divmod(options.count, len(chosen))
    for index, layer in enumerate(chosen):
        fuzz(layer, share + (index < rest), options.seed, log)
    print(f"{options.count} mutations without a finding, seed {options.seed}, in {watch}")


if __name__ == "__main__":
    main()
