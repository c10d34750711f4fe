"""Configuration of the manual.  Building it needs no network."""

import re
from importlib.metadata import version as installedVersion

project = "txilpstream"
author = "The txilpstream contributors"
copyright = "the txilpstream contributors"
release = version = installedVersion("txilpstream")

extensions = ["sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Interledger STREAM for Twisted", "page_width": "1000px"}
html_show_sourcelink = False

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"

# Docstrings are epytext, which pydoctor reads as it is; for Sphinx its fields and its inline
# markup become reStructuredText.
FIELDS = {
    "param": "param",
    "return": "returns",
    "returns": "returns",
    "raise": "raises",
    "raises": "raises",
    "ivar": "ivar",
    "cvar": "cvar",
    "type": "type",
    "rtype": "rtype",
    "note": "note",
    "see": "see",
    "since": "since",
}
FIELD = re.compile(r"^@(\w+)(\s+[^:]+)?:")
INLINE = re.compile(r"[CLIB]\{([^{}]*)\}")


def translateEpytext(app, what, name, obj, options, lines):
    """Rewrite a docstring's lines in place."""
    translated = []
    isInFields = False
    for line in lines:
        line = INLINE.sub(r"``\1``", line)
        found = FIELD.match(line)
        if found and found.group(1) in FIELDS:
            if not isInFields and translated and translated[-1]:
                translated.append("")
            isInFields = True
            line = f":{FIELDS[found.group(1)]}{found.group(2) or ''}:{line[found.end() :]}"
        translated.append(line)
    lines[:] = translated


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", translateEpytext)
