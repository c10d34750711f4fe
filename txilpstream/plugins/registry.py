"""
How a plugin is found from a string, the way Twisted finds endpoints.

Twisted's plugin system is asked for the factories, and none is imported here. Errors name only a
description's prefix: what follows may hold secrets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Final, TypeVar, cast

from twisted.internet.interfaces import IReactorTime
from twisted.plugin import getPlugins
from zope.interface import implementer

from txilpstream.errors import LocalError, wrongType
from txilpstream.interfaces import AnyReactor, IPlugin, IPluginFactory, Plugin

if TYPE_CHECKING:
    from twisted.internet.interfaces import IStreamServerEndpoint

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "FactoryByName",
    "callWithParts",
    "listeningEndpoint",
    "pluginFromEnvironment",
    "pluginFromString",
    "readYesNo",
    "splitDescription",
]

ENVIRONMENT_VARIABLE: Final = "ILP_PLUGIN"
"""Where L{pluginFromEnvironment} looks; the name that other implementations use too."""

_URL: Final = re.compile(r"([a-z]+)(?:\+[a-z]+)?://")

_SHOWN: Final = 40
"""So many characters of a prefix are shown in an error."""

_T = TypeVar("_T")


def splitDescription(description: str) -> tuple[list[str], dict[str, str]]:
    """
    Split a description as Twisted splits those of endpoints.

    Parts stand between colons. A part with an equals sign is a key and a value; in the value more
    equals signs are ordinary characters. A backslash takes its meaning from the next character.

    @return: the parts without a key in their order, and the others; the last of one key holds.
    @raise LocalError: if the description ends in a single backslash.
    """
    arguments: list[str] = []
    keywords: dict[str, str] = {}
    key: str | None = None
    current = ""
    characters = iter(description + ":")
    for character in characters:
        if character == "\\":
            current += next(characters)
        elif character == ":":
            if key is None:
                arguments.append(current)
            else:
                keywords[key] = current
            key, current = None, ""
        elif character == "=" and key is None:
            key, current = current, ""
        else:
            current += character
    if current or key is not None:
        raise LocalError(
            "a description ends in a backslash, which must stand before another character; "
            "write two for one"
        )
    return arguments, keywords


def callWithParts(
    function: Callable[..., _T],
    prefix: str,
    reactor: AnyReactor,
    arguments: Sequence[str],
    keywords: Mapping[str, str],
) -> _T:
    """
    Call what makes a plugin with the parts of a description.

    @param function: takes the reactor, then the parts.
    @raise LocalError: if the function does not take these parts, or one is no text.
    """
    parts: list[object] = [*arguments, *keywords.values()]
    for part in parts:
        if not isinstance(part, str):
            raise wrongType(f"a part of a {prefix!r} plugin's description", part, "it takes a str")
    try:
        bound = signature(function).bind(reactor, *arguments, **keywords)
    except TypeError as error:
        raise LocalError(f"a description of a {prefix!r} plugin has wrong parts: {error}") from None
    return function(*bound.args, **bound.kwargs)


def listeningEndpoint(reactor: IReactorTime, description: str) -> IStreamServerEndpoint:
    """
    Make the endpoint of a C{listen=} part; its description may name files, and stays out of errors.

    @raise LocalError: if it is none.
    """
    # Twisted imports this module, by way of its drop-in, whenever it looks for any plugin.
    from twisted.internet.endpoints import serverFromString

    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)  # type: ignore[no-untyped-call]
    except Exception as error:
        raise LocalError(
            "listen is no description of a server endpoint, such as tcp:8080: "
            f"{type(error).__name__}"
        ) from None
    return endpoint


def readYesNo(name: str, text: str) -> bool:
    """
    Read C{yes} or C{no}; anything else is not shown, for it may be a secret in the wrong place.

    @param name: of the part or option, for the error.
    @raise LocalError: if it is neither.
    """
    if text not in ("yes", "no"):
        raise LocalError(f"{name} must be yes or no")
    return text == "yes"


@implementer(IPluginFactory)
class FactoryByName:
    """
    Stands for a factory whose module is imported only when it is used.

    Twisted imports every drop-in whenever it looks for any plugin, so a drop-in holds these.
    """

    def __init__(self, prefix: str, name: str, extra: str = "") -> None:
        """
        @param name: the full name of the factory's class, which takes no arguments.
        @param extra: of this package, without which the module cannot be imported.
        """
        self.prefix = prefix
        self.name = name
        self.extra = extra

    def fromString(self, reactor: IReactorTime, *args: str, **kwargs: str) -> object:
        """
        Import the factory and let it make the plugin.

        @raise LocalError: if the parts are not what this kind of plugin takes, or an extra of this
            package is not installed.
        """
        module, _, name = self.name.rpartition(".")
        try:
            factory = IPluginFactory(getattr(import_module(module), name)())
        except ModuleNotFoundError as error:
            if not self.extra or (error.name or "").startswith("txilpstream"):
                raise
            raise LocalError(
                f"a {self.prefix!r} plugin needs the extra {self.extra!r}: install "
                f"'txilpstream[{self.extra}]'"
            ) from None
        return factory.fromString(reactor, *args, **kwargs)


def pluginFromString(reactor: AnyReactor, description: str, *, isInsecure: bool = False) -> Plugin:
    """
    Make a plugin from a description such as C{"memory:name"}.

    @param description: a prefix, which says what kind of plugin it is, and the parts that this
        kind takes; see L{splitDescription}. Or a plain URL, such as C{"btp+ws://:token@host:7768"},
        whose scheme begins with the prefix.
    @param isInsecure: whether a plain URL may be one without encryption to another machine.
    @raise LocalError: if it is no text, no plugin has the prefix, or the parts are not what it
        takes.
    """
    given: object = description
    if not isinstance(given, str):
        raise wrongType("the description", given, "it takes a str such as 'memory:name'")
    isURL = _URL.match(description)
    if isURL:
        prefix = "http" if isURL[1] == "https" else isURL[1]
        arguments, keywords = [description], {"insecure": "yes"} if isInsecure else {}
    else:
        arguments, keywords = splitDescription(description)
        prefix = arguments.pop(0) if arguments else ""
    known = []
    for factory in getPlugins(IPluginFactory):
        if factory.prefix == prefix:
            made = callWithParts(factory.fromString, prefix, reactor, arguments, keywords)
            return cast("Plugin", IPlugin(made))
        known.append(factory.prefix)
    raise LocalError(
        f"no plugin has the prefix {prefix[:_SHOWN]!r}: a description begins with one of "
        f"{', '.join(sorted(known)) or '(none is installed)'} and a colon"
    )


def pluginFromEnvironment(reactor: AnyReactor, environ: Mapping[str, str] = os.environ) -> Plugin:
    """
    Make the plugin that the environment variable C{ILP_PLUGIN} describes.

    @raise LocalError: if the variable is not set or empty, or as L{pluginFromString} does.
    """
    description = environ.get(ENVIRONMENT_VARIABLE, "")
    if not description:
        raise LocalError(
            f"the environment variable {ENVIRONMENT_VARIABLE} is not set: it must describe a "
            "plugin, such as 'memory:name'"
        )
    return pluginFromString(reactor, description)
