"""Tests of C{txilpstream.plugins.registry}."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.plugin import IPlugin as ITwistedPlugin
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txilpstream.errors import LocalError
from txilpstream.interfaces import IPlugin, IPluginFactory
from txilpstream.plugins import registry
from txilpstream.plugins.memory import MemoryPlugin, MemoryPluginFactory
from txilpstream.plugins.registry import (
    FactoryByName,
    callWithParts,
    pluginFromEnvironment,
    pluginFromString,
    splitDescription,
)


@implementer(IPluginFactory)
class StrangeFactory:
    """Somebody else's kind of plugin."""

    prefix = "strange"

    def __init__(self) -> None:
        self.made: list[tuple[tuple[str, ...], dict[str, str]]] = []
        self.plugin: object = MemoryPlugin(Clock())

    def fromString(self, reactor: IReactorTime, *args: str, **kwargs: str) -> object:
        """Note what is asked for."""
        self.made.append((args, kwargs))
        return self.plugin


class SplitTests(SynchronousTestCase):
    """Descriptions are split as Twisted splits those of endpoints."""

    def test_split(self) -> None:
        for description, arguments, keywords in (
            ("", [""], {}),
            ("memory", ["memory"], {}),
            ("memory:", ["memory", ""], {}),
            ("a:b:d=1:c", ["a", "b", "c"], {"d": "1"}),
            ("a:b=c=d", ["a"], {"b": "c=d"}),
            ("a:b=:c", ["a", "c"], {"b": ""}),
            ("a:=b", ["a"], {"": "b"}),
            ("a:b=1:b=2", ["a"], {"b": "2"}),
            (r"http:https\://x\:1/:token=a\=b\\", ["http", "https://x:1/"], {"token": "a=b\\"}),
            (r"a:b\=c", ["a", "b=c"], {}),
        ):
            self.assertEqual(splitDescription(description), (arguments, keywords), description)

    def test_lastBackslash(self) -> None:
        for description in ("a\\", "a:b=\\", "\\", "a:b\\"):
            error = self.assertRaises(LocalError, splitDescription, description)
            self.assertIn("backslash", str(error))


class CallTests(SynchronousTestCase):
    """What does not take the parts of a description says so."""

    def test_fits(self) -> None:
        def make(reactor: object, name: str, *, colour: str = "red") -> tuple[object, str, str]:
            return reactor, name, colour

        clock = Clock()
        self.assertEqual(
            callWithParts(make, "x", clock, ["a"], {"colour": "blue"}), (clock, "a", "blue")
        )
        for arguments, keywords in (
            ([], {}),
            (["a", "b"], {}),
            (["a"], {"size": "1"}),
            (["a"], {"reactor": "mine"}),
        ):
            error = self.assertRaises(
                LocalError, callWithParts, make, "x", clock, arguments, keywords
            )
            self.assertIn("'x'", str(error))

    def test_ownErrors(self) -> None:
        """A TypeError from inside is not taken for wrong parts."""

        def make(reactor: object) -> None:
            raise TypeError("a bug")

        error = self.assertRaises(TypeError, callWithParts, make, "x", Clock(), [], {})
        self.assertNotIsInstance(error, LocalError)


class RegistryTests(SynchronousTestCase):
    """Finding the factory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.strange = StrangeFactory()

    def install(self, *factories: IPluginFactory) -> None:
        """Let Twisted find these factories only."""

        def find(interface: object) -> Iterable[IPluginFactory]:
            self.assertIs(interface, IPluginFactory)
            return factories

        self.patch(registry, "getPlugins", find)

    def test_dropin(self) -> None:
        """The memory plugin is found through Twisted's plugin system."""
        (found,) = [each for each in getPlugins(IPluginFactory) if each.prefix == "memory"]
        verifyObject(IPluginFactory, found)
        self.assertTrue(ITwistedPlugin.providedBy(found))

    def test_memory(self) -> None:
        left = pluginFromString(self.clock, "memory:registry")
        right = pluginFromString(self.clock, "memory:registry:address=test.bob:assetScale=2")
        verifyObject(IPlugin, left)
        left.connect()
        right.connect()
        right.registerDataHandler(lambda data: b"pong")
        waiting = left.sendData(b"ping")
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(waiting), b"pong")

    def test_thirdParty(self) -> None:
        self.install(FactoryByName("other", "nowhere.at.all"), self.strange)
        plugin = pluginFromString(self.clock, r"strange:a\:b:c=d")
        self.assertIs(plugin, self.strange.plugin)
        self.assertEqual(self.strange.made, [(("a:b",), {"c": "d"})])

    def test_noPlugin(self) -> None:
        """A factory that makes something else is found out."""
        self.strange.plugin = object()
        self.install(self.strange)
        self.assertRaises(TypeError, pluginFromString, self.clock, "strange:")

    def test_unknown(self) -> None:
        """The error names the known prefixes, and of the description only its own."""
        self.install(FactoryByName("zebra", ""), self.strange)
        error = self.assertRaises(LocalError, pluginFromString, self.clock, "htp:secret:token=x")
        self.assertIn("'htp'", str(error))
        self.assertIn("strange, zebra", str(error))
        self.assertNotIn("secret", str(error))
        error = self.assertRaises(LocalError, pluginFromString, self.clock, "x" * 1000)
        self.assertLess(len(str(error)), 200)

    def test_noPrefix(self) -> None:
        self.install()
        error = self.assertRaises(LocalError, pluginFromString, self.clock, "a=b")
        self.assertIn("none is installed", str(error))

    def test_wrongType(self) -> None:
        """What is no text is told apart from a text that is no description."""
        for given, shown in (
            (5, "5"),
            (b"memory:x", "8 octets"),
            (None, "None"),
            (cast(Any, MemoryPlugin(self.clock)), "of type MemoryPlugin"),
        ):
            error = self.assertRaises(LocalError, pluginFromString, self.clock, given)
            self.assertIn(f"is {shown}: it takes a str", str(error))
            factory = MemoryPluginFactory()
            for parts, keys in (((given,), {}), ((), {"name": given})):
                error = self.assertRaises(
                    LocalError, factory.fromString, self.clock, *parts, **keys
                )
                self.assertIn(f"is {shown}: it takes a str", str(error))

    def test_wrongParts(self) -> None:
        error = self.assertRaises(LocalError, pluginFromString, self.clock, "memory")
        self.assertIn("'memory'", str(error))
        self.assertIn("name", str(error))

    def test_byName(self) -> None:
        """The factory is imported when a plugin is made."""
        factory = FactoryByName("memory", "txilpstream.plugins.memory.MemoryPluginFactory")
        verifyObject(IPluginFactory, factory)
        verifyObject(IPlugin, factory.fromString(self.clock, "byname"))

    def test_environment(self) -> None:
        environ = {"ILP_PLUGIN": "memory:environment"}
        verifyObject(IPlugin, pluginFromEnvironment(self.clock, environ))

    def test_emptyEnvironment(self) -> None:
        for environ in ({}, {"ILP_PLUGIN": ""}):
            error = self.assertRaises(LocalError, pluginFromEnvironment, self.clock, environ)
            self.assertIn("ILP_PLUGIN", str(error))


class URLTests(SynchronousTestCase):
    """Plain URLs, as other implementations write plugins."""

    def test_handedOver(self) -> None:
        """The whole URL goes to the plugin of its scheme's first part."""
        made: list[tuple[tuple[str, ...], dict[str, str]]] = []

        class Factory(StrangeFactory):
            """One of a scheme of ours."""

            def fromString(self, reactor: IReactorTime, *args: str, **kwargs: str) -> object:
                """Note what is asked for."""
                made.append((args, kwargs))
                return self.plugin

        factories = [Factory(), Factory()]
        factories[1].prefix = "http"
        self.patch(registry, "getPlugins", lambda _: factories)
        for url in ("strange://:a=b:c@host:1", "strange+ws://x", "http://x/", "https://x/"):
            pluginFromString(Clock(), url)
            self.assertEqual(made[-1], ((url,), {}))
        pluginFromString(Clock(), "strange://x", isInsecure=True)
        self.assertEqual(made[-1], (("strange://x",), {"insecure": "yes"}))

    def test_unknown(self) -> None:
        with self.assertRaisesRegex(LocalError, "no plugin has the prefix 'ftp'"):
            pluginFromString(Clock(), "ftp://:secret@host")


class ExtraTests(SynchronousTestCase):
    """A plugin whose library is not there."""

    def test_missing(self) -> None:
        factory = FactoryByName("x", "there_is_no_such_module.Factory", extra="fancy")
        with self.assertRaisesRegex(LocalError, r"needs the extra 'fancy'.*txilpstream\[fancy\]"):
            factory.fromString(Clock())

    def test_ourOwn(self) -> None:
        """A module of this package that is missing is a fault, and not an extra."""
        for factory in (
            FactoryByName("x", "txilpstream.nothing.Factory", extra="fancy"),
            FactoryByName("x", "there_is_no_such_module.Factory"),
        ):
            with self.assertRaises(ModuleNotFoundError):
                factory.fromString(Clock())
