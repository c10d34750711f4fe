"""The vectors of the manual, as the reference implementation reads them."""

from __future__ import annotations

import json
from pathlib import Path

from processes import HERE, InteropTestCase

FOLDER = HERE.parent / "docs" / "vectors"

NOT_SAID = {"tokens.json": 2}
"""How many of a file it can say nothing about: of tokens those of 24 characters and padded ones."""


class VectorsTests(InteropTestCase):
    """It agrees with each vector that it can say something about."""

    def checked(self, folder: Path) -> dict[str, int]:
        """How many of each file it agrees with."""
        node = self.node("vectors.js", str(folder))
        said = [node.hear("checked") for _ in FOLDER.iterdir()]
        self.assertEqual(node.process.wait(20), 0)
        return {each["file"]: each["count"] for each in said}

    def test_agrees(self) -> None:
        """With all of them."""
        wanted = {}
        for path in FOLDER.iterdir():
            wanted[path.name] = len(json.loads(path.read_text())) - NOT_SAID.get(path.name, 0)
        self.assertEqual(self.checked(FOLDER), wanted)

    def test_notices(self) -> None:
        """A vector that is wrong is found, in each file."""
        changes = [
            ("exchanges.json", 0, "condition", "00" * 32),
            ("tokens.json", 0, "sharedSecret", "00" * 32),
            ("tokens.json", 5, "connectionTag", "invoice-8"),
            ("tokens.json", 6, "receiptSecret", "00" * 32),
            ("tokens.json", 7, "assetCode", "USD"),
            ("receipts.json", 0, "totalReceived", "7"),
            ("malformed.json", 0, "isPacket", True),
            ("malformed.json", 8, "ilpCode", ""),
            ("ilp.json", -1, "packet", "0c"),
        ]
        for name, index, field, value in changes:
            folder = Path(self.mktemp())
            folder.mkdir(parents=True)
            for path in FOLDER.iterdir():
                vectors = json.loads(path.read_text())
                if path.name == name:
                    self.assertNotEqual(vectors[index][field], value)
                    vectors[index][field] = value
                (folder / path.name).write_text(json.dumps(vectors))
            error = self.assertRaises(AssertionError, self.checked, folder.resolve())
            self.assertIn(name, str(error))
