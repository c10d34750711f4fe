"""
A receiver as a Twisted service: an account, a server on it, payment pointers, and a hub if no
plugin leads anywhere else.

C{twistd txilpstream} and C{txilpstream serve} run the same service. What it is told is read in
C{settings}, what it receives is counted in C{receiver}. Whatever it had opened is closed if it
cannot start; when it stops, packets that came are answered before their plugin goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.usage import Options as UsageOptions
from twisted.python.usage import UsageError

from txilpstream.errors import LocalError
from txilpstream.http.listener import raiseDescriptorLimit
from txilpstream.hub.connector import Hub
from txilpstream.hub.server import LocalHub
from txilpstream.plugins.memory import memoryPair
from txilpstream.plugins.registry import pluginFromString
from txilpstream.service.receiver import DEFAULT_ACCOUNT, Accounts, ReceivingFactory
from txilpstream.service.settings import OPTIONS, Settings, readSecretFile
from txilpstream.spsp.server import SPSPResource, SPSPServer, tagOf
from txilpstream.transport.account import Account
from txilpstream.transport.server import StreamServer
from txilpstream.waiters import Waiters, atMost

__all__ = ["Options", "ReceiverService", "makeService"]

RECEIVER: Final = "receiver"
"""The name of the receiver's own account on its hub."""

CLOSE_TIMEOUT: Final = 5.0
"""Seconds that connections have to close in good order when the service stops."""

FIRST_RETRY: Final = 1.0
LONGEST_RETRY: Final = 30.0
"""Seconds between two tries to reach the plugin's peer: from the first to the second, doubling."""

_serverFromString: Any = serverFromString  # it has no annotations

_FINAL: Final = (LocalError, CancelledError)
"""What trying again does not mend."""

_log = Logger()


class ReceiverService(Service):
    """
    Receives money and data, and tells the log.

    @ivar settings: what it was told.
    @ivar accounts: what it has received.
    @ivar account: its account, None until it is open.
    @ivar server: what makes credentials, None until it listens.
    @ivar local: its own hub, None if it has a plugin.
    @ivar spsp: what answers payment pointers, None if nothing does.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        *,
        isPatient: bool = False,
        onFailure: Callable[[], None] | None = None,
    ) -> None:
        """
        @param isPatient: whether to try again and again if the plugin's peer is not there.
        @param onFailure: called when it cannot start, after all that it had opened is closed.
        """
        self.setName("txilpstream")  # type: ignore[no-untyped-call]
        self.settings = settings
        self.accounts = Accounts(reactor, limits=settings.accounts, limit=settings.limit)
        self.account: Account | None = None
        self.server: StreamServer | None = None
        self.local: LocalHub | None = None
        self.spsp: SPSPServer | None = None
        self._reactor = reactor
        self._isPatient = isPatient
        self._onFailure = onFailure
        self._starting: Deferred[None] | None = None
        self._ready: Waiters[None] = Waiters()
        self._outcome: Any = None

    # --- Start --------------------------------------------------------------------------------

    def startService(self) -> None:
        """Start; L{whenReady} tells how it went."""
        super().startService()  # type: ignore[no-untyped-call]
        self._outcome = None
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._ebStart)
        self._starting.addBoth(self._started)

    def whenReady(self) -> Deferred[None]:
        """Fires when the service can be paid; fails if it cannot be started."""
        ready = self._ready.add()
        if self._outcome is not None:
            self._tellReady()
        return ready

    def _ebStart(self, failure: Failure) -> Deferred[Failure]:
        """Close what was opened, whatever could not be."""
        closed = Deferred.fromCoroutine(self._stop())
        return closed.addCallback(lambda _: failure)

    def _started(self, outcome: Any) -> None:
        self._starting = None
        self._outcome = outcome if isinstance(outcome, Failure) else True
        error = outcome.value if isinstance(outcome, Failure) else None
        hasFailed = error is not None and not isinstance(error, CancelledError)
        if hasFailed and not self._ready:
            _log.critical("the service cannot start: {error}", error=str(error))
        self._tellReady()
        if hasFailed and self._onFailure is not None:
            self._onFailure()  # not for one that was stopped: its reactor may be stopping too

    def _tellReady(self) -> None:
        if isinstance(self._outcome, Failure):
            self._ready.fail(self._outcome)
        else:
            self._ready.fire(None)

    async def _start(self) -> None:
        settings = self.settings
        raiseDescriptorLimit()
        secret = readSecretFile(settings.secretFile)
        plugin = await self._openHub() if not settings.plugin else None
        self.account = await self._openAccount(plugin)
        accounts = self.accounts
        isLimited = settings.limit is not None or any(
            limit is not None for limit in (settings.accounts or {}).values()
        )
        self.server = StreamServer(self.account, secret, policy=accounts if isLimited else None)
        await self.server.listen(ReceivingFactory(accounts))
        if settings.spsp:
            named = None if settings.accounts is None else _arguments(settings.accounts)
            resource = SPSPResource(self.server, named, reactor=self._reactor)
            endpoint = _endpoint(self._reactor, "--spsp", settings.spsp)
            spsp = SPSPServer(self._reactor, endpoint, resource)
            await spsp.start()
            self.spsp = spsp
        _log.info("{address} can be paid", address=self.account.address)

    async def _openHub(self) -> Any:
        """Start the hub; the plugin that is returned leads to it."""
        settings, reactor = self.settings, self._reactor
        self.local = localHubFor(reactor, settings)
        ours, theirs = memoryPair(reactor)
        await ours.connect()
        self.local.addAccount(RECEIVER, settings.own, plugin=theirs)
        await self.local.start()
        return ours

    async def _openAccount(self, plugin: Any) -> Account:
        """Open the account; a patient service waits for whoever is not there yet."""
        delay = FIRST_RETRY
        while True:
            if plugin is None:
                description, isInsecure = self.settings.plugin, self.settings.isInsecure
                plugin = pluginFromString(self._reactor, description, isInsecure=isInsecure)
            try:
                return await Account.open(self._reactor, plugin)
            except BaseException as error:
                await plugin.disconnect()
                isFinal = not isinstance(error, Exception) or isinstance(error, _FINAL)
                if isFinal or not self._isPatient:
                    raise
                _log.warn(
                    "the plugin's peer cannot be reached, next try in {delay} s: {error}",
                    delay=delay,
                    error=str(error),
                )
            plugin = None
            await deferLater(self._reactor, delay)
            delay = min(2 * delay, LONGEST_RETRY)

    # --- Stop ---------------------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """
        Refuse new packets with T99, answer those that came, close connections, and disconnect.

        @return: fires when nothing is left.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        starting = self._starting
        if starting is None:
            return Deferred.fromCoroutine(self._stop())
        stopped: Deferred[None] = Deferred()
        starting.addBoth(lambda _: Deferred.fromCoroutine(self._stop()))
        starting.addBoth(lambda _: stopped.callback(None))
        starting.cancel()
        return stopped

    async def _stop(self) -> None:
        account, server, spsp, local = self.account, self.server, self.spsp, self.local
        self.account = self.server = self.spsp = self.local = None
        if spsp is not None:
            await spsp.stop()
        if account is not None:
            await atMost(CLOSE_TIMEOUT, account.drain(), self._reactor)
        if server is not None:
            await atMost(CLOSE_TIMEOUT, server.stopListening(), self._reactor)
        if local is not None:
            await local.stop()
        if account is not None:
            await atMost(CLOSE_TIMEOUT, account.close(), self._reactor)
        self.accounts.tell()


def _arguments(accounts: Iterable[str]) -> dict[str, dict[str, str]]:
    """What the credentials of each account carry, by the paths of payment pointers."""
    paths = ["" if name == DEFAULT_ACCOUNT else name for name in accounts]
    return {path: {"connectionTag": tagOf(path)} for path in paths}


def _endpoint(reactor: Any, name: str, text: str) -> Any:
    """
    The endpoint of a description, None if that is empty.

    @raise LocalError: if it is none.
    """
    if not text:
        return None
    try:
        return _serverFromString(reactor, text)
    except Exception as error:
        raise LocalError(
            f"{name} is {text[:80]!r}, which is no endpoint that can be listened on: {error}"
        ) from None


def localHubFor(reactor: Any, settings: Settings) -> LocalHub:
    """
    The hub that the settings describe, not started yet.

    @raise LocalError: if one of them is not valid.
    """

    local = LocalHub(
        reactor,
        Hub(reactor, settings.address, prices=settings.prices),
        btp=_endpoint(reactor, "--btp", settings.btp),
        http=_endpoint(reactor, "--http", settings.http),
        isOpen=settings.isOpen,
        options=settings.made,
    )
    for peer in settings.peers:
        plugin = None
        if peer.plugin:
            plugin = pluginFromString(reactor, peer.plugin, isInsecure=settings.isInsecure)
        local.addAccount(
            peer.name, peer.options, token=peer.token, plugin=plugin, routes=peer.routes
        )
    return local


class Options(UsageOptions):
    """The options of C{twistd txilpstream}; each may come from the environment too."""

    longdesc = (
        "Receive Interledger payments. Without a plugin it runs a hub of its own. Each option may "
        "be given as an environment variable, such as TXILPSTREAM_SECRET_FILE."
    )
    optParameters = [
        [option.name, None, None, f"{option.help} [{option.default or 'none'}]"]
        for option in OPTIONS
        if not option.isList
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        for option in OPTIONS:
            if option.isList:
                self[option.name] = []
        self.settings = Settings()

    def opt_account(self, text: str) -> None:
        """
        Who can be paid, and how much in all, as NAME or NAME=LIMIT; may be given more than once.
        """
        self["account"].append(text)

    def opt_peer(self, text: str) -> None:
        """
        An account of the hub's, as NAME:KEY=VALUE:...; may be given more than once.
        """
        self["peer"].append(text)

    def opt_price(self, text: str) -> None:
        """
        The price of a whole unit of an asset, as CODE=PRICE; may be given more than once.
        """
        self["price"].append(text)

    def postOptions(self) -> None:
        """
        Read them.

        @raise UsageError: if one is not valid.
        """
        try:
            self.settings = Settings.fromTexts(self)
        except LocalError as error:
            raise UsageError(str(error)) from None


def makeService(options: Options) -> ReceiverService:
    """Make the service for C{twistd}."""
    from twisted.internet import reactor

    real: Any = reactor

    def fail() -> None:
        """A process that serves nobody is no service."""
        real.callWhenRunning(real.stop)

    return ReceiverService(reactor, options.settings, isPatient=True, onFailure=fail)
