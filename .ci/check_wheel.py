"""Check what a wheel of txilpstream would install.

Usage: python .ci/check_wheel.py WHEEL

Of Twisted's own folder it may bring the drop-in and nothing else.
"""

import sys
import zipfile

DROP_IN = "twisted/plugins/txilpstream_dropin.py"
REQUIRED = {DROP_IN, "txilpstream/__init__.py", "txilpstream/py.typed"}


def findFaults(names: list[str]) -> list[str]:
    """Return a sentence for each name that is missing or that does not belong in the wheel."""
    faults = [f"{name} is missing" for name in sorted(REQUIRED - set(names))]
    for name in names:
        root = name.split("/")[0]
        isOurs = root == "txilpstream" or (
            root.startswith("txilpstream-") and root.endswith(".dist-info")
        )
        if not isOurs and name != DROP_IN:
            faults.append(f"{name} does not belong in the wheel")
    return faults


def main(arguments: list[str]) -> int:
    """Print the faults of the wheel; 1 if there are any."""
    if len(arguments) != 1:
        print("usage: check_wheel.py WHEEL", file=sys.stderr)
        return 2
    with zipfile.ZipFile(arguments[0]) as wheel:
        faults = findFaults(wheel.namelist())
    for fault in faults:
        print(fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
