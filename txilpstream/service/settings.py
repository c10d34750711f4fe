"""
What a service is told: by the words of a command, by twistd's options, or by the environment.

Each setting has one name, one text form and one meaning wherever it comes from, and is checked
before anything is started.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkstemp
from typing import Any, Final

from txilpstream.amounts import Asset, Ratio, checkAmount
from txilpstream.errors import LocalError
from txilpstream.http.url import isLoopback
from txilpstream.hub.accounts import AccountOptions
from txilpstream.plugins.registry import readYesNo, splitDescription
from txilpstream.wire.address import isAddress, isSegment

__all__ = [
    "OPTIONS",
    "Option",
    "Peer",
    "Settings",
    "endpointFor",
    "hasBTP",
    "readAmount",
    "readSecretFile",
]

SECRET_LENGTH: Final = 32

_ASSET: Final = re.compile(r"([!-.0-~]{1,100})/(\d{1,3})", re.ASCII)


@dataclass(slots=True, frozen=True)
class Option:
    """
    One setting as people see it.

    @ivar name: such as C{secret-file}; the environment has it as C{TXILPSTREAM_SECRET_FILE}.
    @ivar metavar: what stands for its value in a help text.
    @ivar help: what it means, in a line.
    @ivar default: its text if nobody says anything.
    @ivar isList: whether it may be given more than once; in the environment with spaces between.
    @ivar isHub: whether it is for the hub.
    """

    name: str
    metavar: str
    help: str
    default: str = ""
    isList: bool = False
    isHub: bool = False

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return "TXILPSTREAM_" + self.name.upper().replace("-", "_")


OPTIONS: Final = (
    Option("plugin", "PLUGIN", "what carries packets (ILP_PLUGIN, or else a hub inside)"),
    Option("secret-file", "PATH", "the server's secret; it is made, for its owner's eyes only"),
    Option("spsp", "PORT", "port or endpoint for payment pointers, or 'none'", "7770"),
    Option(
        "account", "NAME[=LIMIT]", "who can be paid, and how much in all (anybody)", isList=True
    ),
    Option("limit", "N", "units that an account without a limit of its own takes in all"),
    Option("http", "PORT", "the hub's port for ILP over HTTP, or 'none'", "7771", isHub=True),
    Option("btp", "PORT", "the hub's port for BTP, or 'none'", "7768", isHub=True),
    Option("address", "ADDRESS", "the hub's own ILP address", "test.hub", isHub=True),
    Option("asset", "CODE/SCALE", "the asset of accounts made on first use", "USD/9", isHub=True),
    Option("own-asset", "CODE/SCALE", "the receiver's own asset on its hub (that of --asset)"),
    Option("price", "CODE=PRICE", "of a whole unit, where assets differ", isList=True, isHub=True),
    Option(
        "peer",
        "NAME:KEY=VALUE:...",
        "an account of the hub's, by token or plugin",
        isList=True,
        isHub=True,
    ),
    Option("open", "yes/no", "whether any token gets an account", "yes", isHub=True),
    Option("insecure", "yes/no", "allow plain connections to other machines", "no", isHub=True),
)
"""Every setting of a service."""


def hasBTP() -> bool:
    """Whether the extra C{btp} is installed."""
    return find_spec("wsproto") is not None


def readAmount(name: str, text: str, *, minimum: int = 0) -> int:
    """
    Read a whole number of base units.

    @param name: of the option, for the error.
    @raise LocalError: if it is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise LocalError(f"{name} is {text[:40]!r}: it must be a whole number of base units")
    return checkAmount(name, int(text), minimum=minimum)


def endpointFor(name: str, text: str) -> str:
    """
    The description of a listening endpoint; empty for none.

    @param text: a port on 127.0.0.1, of which 0 is any that is free; an endpoint's description; or
        C{none}.
    @raise LocalError: if it is nothing of that.
    """
    if text == "none":
        return ""
    if ":" in text:
        return text
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 65536:
        return f"tcp:{int(text)}:interface=127.0.0.1"
    raise LocalError(
        f"{name} is {text[:40]!r}: it must be a port from 0 to 65535, 'none', or an endpoint such "
        "as 'tcp:8080:interface=0.0.0.0'"
    )


def isPlainOutside(endpoint: str) -> bool:
    """Whether other machines may come to an endpoint, of this description, without encryption."""
    kind, *parts = re.split(r"(?<!\\):", endpoint)
    if kind == "haproxy":
        return isPlainOutside(":".join(parts))
    named = dict(part.split("=", 1) for part in parts if "=" in part)
    unnamed = [part for part in parts if "=" not in part]
    host = named.get("interface", unnamed[1] if len(unnamed) > 1 else "")
    isPlain = kind.lower() in ("tcp", "tcp6", "systemd")
    return isPlain and not isLoopback(host.replace("\\", "").strip("[]"))


def _readAddress(text: str) -> str:
    if not isAddress(text):
        raise LocalError(f"--address is {text[:80]!r}: it must be an ILP address, like 'test.hub'")
    return text


def _readBTP(text: str) -> str:
    endpoint = endpointFor("--btp", text)
    if endpoint and not hasBTP():
        raise LocalError("--btp needs the extra 'btp': install 'txilpstream[btp]', or say 'none'")
    return endpoint


def _readAsset(name: str, text: str) -> Asset:
    found = _ASSET.fullmatch(text)
    if found is None:
        raise LocalError(f"{name} is {text[:40]!r}: it must be like 'USD/9', a code and its scale")
    return found[1], int(found[2])


def _readPrice(text: str) -> tuple[str, Ratio]:
    code, _, price = text.partition("=")
    try:
        ratio = Ratio.fromString(price)
    except LocalError:
        ratio = Ratio(0)
    if not (code and ratio.numerator):
        raise LocalError(f"--price is {text[:40]!r}: it must be like 'EUR=1.08', and more than 0")
    return code, ratio


@dataclass(slots=True, frozen=True)
class Peer:
    """
    An account of the hub's that its owner names.

    @ivar name: the segment of its address.
    @ivar options: its asset and limits.
    @ivar token: with which it comes; empty if it does not.
    @ivar plugin: the description of a way to it; empty if there is none.
    @ivar routes: prefixes of addresses beyond it.
    """

    name: str
    options: AccountOptions
    token: str = ""
    plugin: str = ""
    routes: tuple[str, ...] = ()

    @classmethod
    def fromString(cls, text: str, asset: Asset) -> Peer:
        """
        Read a description, whose parts are split as those of plugins are.

        @param asset: if it does not say another.
        @raise LocalError: if it is none; a token is not shown.
        """
        names, keys = splitDescription(text)
        name = names[0] if len(names) == 1 else ""
        unknown = set(keys) - _PEER_KEYS
        if not isSegment(name) or unknown:
            raise LocalError(
                f"--peer {name[:40]!r}: it must be a name and parts such as 'alice:token=SECRET', "
                f"with keys of {', '.join(sorted(_PEER_KEYS))}"
            )
        code, scale = _readAsset("--peer's asset", keys["asset"]) if "asset" in keys else asset
        limits: dict[str, Any] = {}
        minimum = keys.get("minimum")
        if minimum is not None:
            sign = -1 if minimum.startswith("-") else 1
            amount = readAmount("--peer's minimum", minimum.removeprefix("-"))
            limits["minimumBalance"] = sign * amount
        for key, field_ in (("most", "maximumPacketAmount"), ("per-minute", "packetsPerMinute")):
            if key in keys:
                limits[field_] = readAmount(f"--peer's {key}", keys[key], minimum=1)
        token, plugin = keys.get("token", ""), keys.get("plugin", "")
        if not (token or plugin):
            raise LocalError(f"--peer {name!r} has neither a token nor a plugin: it could not come")
        routes = tuple(keys["routes"].split(",")) if "routes" in keys else ()
        return cls(name, AccountOptions(code, scale, **limits), token, plugin, routes)


_PEER_KEYS: Final = frozenset(
    ["asset", "minimum", "most", "per-minute", "plugin", "routes", "token"]
)


def _readAccount(text: str) -> tuple[str, int | None]:
    name, _, limit = text.partition("=")
    if not all(isSegment(part) for part in name.split("/")) or len(name) > 100:
        raise LocalError(
            f"--account is {text[:40]!r}: it must be like 'alice' or 'alice=1000', of letters, "
            "digits and the characters _ ~ - /"
        )
    return name, readAmount("--account's limit", limit) if limit else None


@dataclass(slots=True, frozen=True)
class Settings:
    """
    What a service is told, read and checked.

    @ivar plugin: a plugin's description; empty for a hub inside.
    @ivar secretFile: where the server's secret is; empty for the user's own place.
    @ivar spsp: the endpoint for payment pointers; empty for none.
    @ivar accounts: who can be paid, and how much in all; None if anybody can.
    @ivar limit: of accounts that have none of their own; None for no limit.
    @ivar http: the hub's endpoint for ILP over HTTP; empty for none.
    @ivar btp: the same for BTP.
    @ivar address: the hub's ILP address.
    @ivar made: the hub's accounts that are made on first use.
    @ivar own: the receiver's own account on its hub.
    @ivar prices: of whole units, by the code of the asset.
    @ivar peers: the hub's accounts that have names.
    @ivar isOpen: whether any token gets an account of the hub's.
    @ivar isInsecure: whether plugins may be plain connections to other machines, and an open hub's
        endpoints plain for them.
    """

    plugin: str = ""
    secretFile: str = ""
    spsp: str = ""
    accounts: Mapping[str, int | None] | None = None
    limit: int | None = None
    http: str = ""
    btp: str = ""
    address: str = "test.hub"
    made: AccountOptions = field(default_factory=AccountOptions)
    own: AccountOptions = field(default_factory=AccountOptions)
    prices: Mapping[str, Ratio] = field(default_factory=dict)
    peers: tuple[Peer, ...] = ()
    isOpen: bool = True
    isInsecure: bool = False

    @classmethod
    def fromTexts(
        cls, texts: Mapping[str, Any], environ: Mapping[str, str] = os.environ
    ) -> Settings:
        """
        Read settings as people write them.

        @param texts: by the names in L{OPTIONS}; what is missing, None or an empty list is taken
            from the environment, then from the defaults.
        @raise LocalError: if one is not valid; it names the option.
        """
        known: dict[str, Any] = {}
        for option in OPTIONS:
            text = texts.get(option.name)
            if text is None or text == []:
                said = environ.get(option.variable)
                text = said or option.default
                if option.name == "btp" and not said and not hasBTP():
                    text = "none"
                if option.isList:
                    text = text.split()
            known[option.name] = text
        asset = _readAsset("--asset", known["asset"])
        own = _readAsset("--own-asset", known["own-asset"]) if known["own-asset"] else asset
        accounts: Sequence[str] = known["account"]
        limit = known["limit"]
        settings = cls(
            known["plugin"] or environ.get("ILP_PLUGIN", ""),
            known["secret-file"],
            endpointFor("--spsp", known["spsp"]),
            dict(map(_readAccount, accounts)) if accounts else None,
            readAmount("--limit", limit) if limit else None,
            endpointFor("--http", known["http"]),
            _readBTP(known["btp"]),
            _readAddress(known["address"]),
            AccountOptions(*asset),
            AccountOptions(*own),
            dict(map(_readPrice, known["price"])),
            tuple(Peer.fromString(text, asset) for text in known["peer"]),
            readYesNo("--open", known["open"]),
            readYesNo("--insecure", known["insecure"]),
        )
        if not settings.plugin:
            settings.checkDoors()
        return settings

    def checkDoors(self) -> None:
        """
        @raise LocalError: if the hub would be open to everybody on the network, in plain text.
        """
        for name, endpoint in (("--http", self.http), ("--btp", self.btp)):
            if self.isOpen and not self.isInsecure and isPlainOutside(endpoint):
                raise LocalError(
                    f"{name} is {endpoint[:80]!r}: without encryption and with --open yes, anybody "
                    "on the network could use the hub, and read all packets; use ssl:, or --open "
                    "no with --peer, or --insecure yes where the network is trusted"
                )


def _ownPlace() -> Path:
    """Where a user's secret is if nobody says anything else."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "txilpstream" / "secret"


def readSecretFile(path: str) -> bytes:
    """
    Read the secret of a server, or make it.

    It is made with mode 0600, so that nobody but its owner reads it.

    @param path: of the file; empty for one in the user's state folder.
    @raise LocalError: if it cannot be read or made, or holds no secret.
    """
    from txilpstream.crypto.credentials import readSecret

    place = Path(path) if path else _ownPlace()
    try:
        if not path:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not place.exists():
            _makeSecretFile(place)
        text = place.read_text(encoding="ascii", errors="replace").strip()
        if not text:
            raise LocalError(f"the secret file {str(place)!r} is empty: remove it")
        return readSecret(text)
    except OSError as error:
        raise LocalError(
            f"the secret file {str(place)!r} cannot be read or made: {error.strerror}; name "
            "another one with --secret-file"
        ) from None


def _makeSecretFile(place: Path, randomBytes: Callable[[int], bytes] = os.urandom) -> None:
    """Make it whole at once: another process may look for it at this moment."""
    handle, name = mkstemp(prefix=".txilpstream-", dir=place.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(randomBytes(SECRET_LENGTH).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, place)
        except FileExistsError:
            pass  # another process was faster, and its secret is as good
    finally:
        os.unlink(name)
