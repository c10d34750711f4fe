"""
A hub with doors: it listens for its accounts over BTP and over ILP over HTTP.

An account is known by its token. Where it is open, whoever comes with a token that nobody has gets
an account of his own, as C{moneyd local} does it; its name is the one that he gives, or made from
the token, so that he is the same after a restart.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.internet.interfaces import (
    IDelayedCall,
    IListeningPort,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txilpstream.errors import LocalError
from txilpstream.hub.accounts import AccountOptions, HubAccount
from txilpstream.hub.connector import Hub
from txilpstream.interfaces import AnyPlugin, IPlugin, NotSent, Plugin
from txilpstream.plugins.base import PluginBase
from txilpstream.waiters import Waiters
from txilpstream.wire.address import isSegment

if TYPE_CHECKING:
    from txilpstream.http.server import HTTPServer
    from txilpstream.plugins.btp.server import BTPServer, BTPServerPlugin

__all__ = ["LocalHub"]

MOST_MADE: Final = 1000
"""Accounts that are made on first use; for another one an idle one must go."""

FIRST_RETRY: Final = 1.0
LONGEST_RETRY: Final = 30.0
"""Seconds between two tries to connect a plugin: the first, and the most, doubling."""

DISCONNECT_TIMEOUT: Final = 5.0
"""Seconds that the end of plugins is waited for."""

_NAME_OCTETS: Final = 15
_LONGEST_TOKEN: Final = 1000

_log = Logger()


@implementer(IPlugin)
class _Inward(PluginBase):
    """The way in for an account that sends its packets by HTTP; there is no way back."""

    def connect(self) -> Deferred[None]:
        """There is nothing to be connected."""
        return succeed(None)

    disconnect = connect

    def isConnected(self) -> bool:
        """Nothing can be sent."""
        return False

    def sendData(self, data: bytes) -> Deferred[bytes]:
        """Fail."""
        return fail(NotSent("this account only sends"))

    def isFull(self) -> bool:
        """Nothing waits."""
        return False


class _Doors:
    """
    The ways of one account into the hub.

    @ivar btp: its end of the connection that it makes; None until it makes one.
    @ivar http: where its HTTP requests go; None until there is one.
    """

    __slots__ = ("account", "btp", "http")

    def __init__(self, account: HubAccount) -> None:
        self.account = account
        self.btp: BTPServerPlugin | None = None
        self.http: _Inward | None = None


class LocalHub:
    """
    Listens, and admits accounts.

    @ivar hub: the L{Hub}.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        hub: Hub,
        *,
        btp: IStreamServerEndpoint | None = None,
        http: IStreamServerEndpoint | None = None,
        isOpen: bool = True,
        options: AccountOptions | None = None,
    ) -> None:
        """
        @param btp: where to listen for BTP; it needs the extra C{btp}.
        @param http: where to listen for ILP over HTTP.
        @param isOpen: whether an account is made for any token.
        @param options: of accounts that are made so.
        """
        self.hub = hub
        self._reactor = reactor
        self._isOpen = isOpen
        self._options = options or AccountOptions()
        self._known: dict[bytes, _Doors] = {}
        self._made: dict[bytes, None] = {}
        self._plugins: list[Plugin] = []
        self._retries: dict[Plugin, IDelayedCall] = {}
        self._isOver = self._isStarted = self._isStopping = False
        self._stopped: Waiters[None] = Waiters()
        self._btp: BTPServer | None = None
        self._http: HTTPServer | None = None
        if btp is not None:
            from txilpstream.plugins.btp.server import BTPServer

            self._btp = BTPServer(reactor, btp, self.admitBTP)
        if http is not None:
            from txilpstream.plugins.http.server import PrepareServer

            self._http = PrepareServer(reactor, http, self.admitHTTP)

    @property
    def btpPort(self) -> IListeningPort | None:
        """What listens for BTP; None if nothing does."""
        return None if self._btp is None else self._btp.port

    @property
    def httpPort(self) -> IListeningPort | None:
        """What listens for ILP over HTTP; None if nothing does."""
        return None if self._http is None else self._http.port

    # --- Accounts -----------------------------------------------------------------------------

    def addAccount(
        self,
        name: str,
        options: AccountOptions | None = None,
        *,
        token: str = "",
        plugin: AnyPlugin | None = None,
        routes: tuple[str, ...] = (),
    ) -> HubAccount:
        """
        Make an account.

        @param token: with which it may come; without one it cannot.
        @param plugin: a way to it that this side opens; L{start} connects it.
        @param routes: prefixes of addresses beyond it.
        @raise LocalError: if the name or the token is taken, or something is not valid.
        """
        digest = _digest(token)
        if token and digest in self._known:
            raise LocalError(f"the token of the account {name!r} is another account's too")
        account = self.hub.addAccount(name, options, routes=routes)
        if token:
            self._known[digest] = _Doors(account)
        if plugin is not None:
            self.hub.attach(account, plugin)
            self._plugins.append(plugin)
        return account

    def _find(self, name: str, token: str) -> _Doors | None:
        """Whose token it is; where the hub is open, that of a new account."""
        digest = _digest(token)
        doors = self._known.get(digest)
        if doors is not None:
            return doors
        if not self._isOpen or not token or len(token) > _LONGEST_TOKEN:
            return None
        if not (name and isSegment(name)):
            name = urlsafe_b64encode(digest[:_NAME_OCTETS]).decode("ascii")
        if name in self.hub.accounts or not self._makeRoom():
            return None
        try:
            account = self.hub.addAccount(name, self._options, isMade=True)
        except LocalError:  # a name that is too long
            return None
        doors = self._known[digest] = _Doors(account)
        self._made[digest] = None
        return doors

    def _makeRoom(self) -> bool:
        """Forget an account that is idle if there are too many."""
        if len(self._made) < MOST_MADE:
            return True
        for digest in self._made:
            account = self._known[digest].account
            if account.isIdle:
                self.hub.removeAccount(account)
                del self._made[digest], self._known[digest]
                return True
        return False

    def admitBTP(self, name: str, token: str) -> BTPServerPlugin | None:
        """Whose end of a connection it is; None for nobody's."""
        doors = self._find(name, token)
        if doors is None:
            return None
        if doors.btp is None:
            from txilpstream.plugins.btp.server import BTPServerPlugin

            doors.btp = BTPServerPlugin(self._reactor)
            self.hub.attach(doors.account, doors.btp)
        return doors.btp

    def admitHTTP(self, token: str) -> PluginBase | None:
        """Who answers the packets in a request; None for nobody."""
        doors = self._find("", token)
        if doors is None:
            return None
        if doors.http is None:
            doors.http = _Inward("")
            self.hub.attach(doors.account, doors.http)
        return doors.http

    # --- The whole ----------------------------------------------------------------------------

    def start(self) -> Deferred[None]:
        """
        Open the doors, and the ways that this side opens.

        @return: fires when all listen; fails if one cannot, and then none does. A plugin that
            cannot connect is logged and tried again; until then its account is not reached. It
            fails with L{LocalError} if this hub was started and not stopped.
        """
        if self._isStarted:
            return fail(LocalError("this hub was started already: stop it first"))
        self._isOver, self._isStarted = False, True
        for plugin in self._plugins:
            self._connect(plugin, FIRST_RETRY)
        starting: Deferred[None] = Deferred.fromCoroutine(self._start())
        return starting.addErrback(self._ebStart)

    async def _start(self) -> None:
        if self._btp is not None:
            await self._btp.start()
        if self._http is not None:
            await self._http.start()

    def _connect(self, plugin: AnyPlugin, delay: float) -> None:
        """Connect a plugin; if it cannot be, try again after so many seconds."""
        connected: Deferred[None] = plugin.connect()
        connected.addErrback(self._ebConnect, plugin, delay)

    def _ebConnect(self, failure: Failure, plugin: AnyPlugin, delay: float) -> None:
        if self._isOver:
            return
        _log.error(
            "a plugin of the hub cannot connect, next try in {delay} s: {error}",
            delay=delay,
            error=failure.getErrorMessage(),
        )
        later = min(2 * delay, LONGEST_RETRY)
        self._retries[plugin] = self._reactor.callLater(delay, self._connect, plugin, later)

    def _ebStart(self, failure: Failure) -> Deferred[Any]:
        return self._close().addCallback(lambda _: failure)

    def stop(self) -> Deferred[None]:
        """
        Refuse packets with T99, wait until those under way are answered, and close everything.

        @return: fires when nothing is left.
        """
        stopped = self._stopped.add()  # who cancels it waits no more; it stops all the same
        if not self._isStopping:
            self._isStopping = True
            ending: Deferred[Any] = self.hub.drain().addCallback(lambda _: self._close())
            ending.addBoth(self._cbEnded).addCallbacks(self._stopped.fire, self._stopped.fail)
        return stopped

    def _cbEnded(self, result: Any) -> Any:
        self._isStopping = False
        return result

    def _close(self) -> Deferred[None]:
        """Close everything now, whatever waits for an answer."""
        self._isOver, self._isStarted = True, False
        for retry in self._retries.values():
            if retry.active():
                retry.cancel()
        self._retries.clear()
        self.hub.close()
        ending = [server.stop() for server in (self._btp, self._http) if server is not None]
        ending += [plugin.disconnect() for plugin in self._plugins]
        done: Deferred[Any] = DeferredList(ending, consumeErrors=True)
        done.addTimeout(DISCONNECT_TIMEOUT, self._reactor)
        return done.addBoth(lambda _: None)


def _digest(token: str) -> bytes:
    """What a token is known by: to look for this in a table tells nothing of the token."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
