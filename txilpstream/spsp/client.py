"""
SPSP (RFC 9): from a payment pointer to L{Credentials}.

Whoever answers decides who is paid. So a question goes over https, and over plain http on this
machine only, and a redirect never leads from https to http. What a server answers is bounded in
size and time before it is looked at, and no error shows anything of it.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol, cast
from urllib.parse import urljoin

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txilpstream.amounts import checkAmount
from txilpstream.crypto.credentials import Credentials
from txilpstream.errors import ConnectionEnded, DecodeError, LocalError, checkKind, wrongType
from txilpstream.http.client import Answer, AnswerTooLong, FetchError, fetch
from txilpstream.http.url import isInside, isLoopback
from txilpstream.http.web import fetchBy
from txilpstream.interfaces import AnyReactor, Reactor
from txilpstream.spsp.pointers import placeOf, pointerToURL, shown

__all__ = [
    "CONTENT_TYPE",
    "TIMEOUT",
    "SPSPCache",
    "WebAgent",
    "checkPointer",
    "checkTimeout",
    "lifetimeOf",
    "pointerToURL",
    "resolve",
]


CONTENT_TYPE: Final = "application/spsp4+json"

MAXIMUM_SIZE: Final = 65536
"""Octets of an answer; an honest one has some hundreds."""

TIMEOUT: Final = 10.0
"""Seconds for everything, redirects included."""

MOST_REDIRECTS: Final = 5

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CONTENT_TYPES: Final = frozenset({CONTENT_TYPE, "application/json"})


class WebAgent(Protocol):
    """What provides Twisted's C{IAgent}, as a type checker sees it."""

    def request(
        self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None, /
    ) -> Deferred[Any]:
        """As of C{IAgent}."""


def resolve(
    agentOrReactor: WebAgent | AnyReactor,
    pointer: str,
    *,
    timeout: float = TIMEOUT,
    isInsecure: bool = False,
    maximumSize: int = MAXIMUM_SIZE,
    cache: SPSPCache | None = None,
    clock: AnyReactor | None = None,
    mayRedirect: Callable[[str, str], bool] | None = None,
    receiptNonce: bytes = b"",
    receiptSecret: bytes = b"",
) -> Deferred[Credentials]:
    """
    Ask the server of a payment pointer for credentials, which are good for one connection.

    @param agentOrReactor: a reactor; or an C{IAgent} to ask with, as it is.
    @param pointer: as L{pointerToURL <txilpstream.spsp.pointers.pointerToURL>} takes it.
    @param timeout: seconds for everything.
    @param isInsecure: whether to ask other hosts over plain http too, where anybody on the way can
        have himself paid instead.
    @param maximumSize: octets of the answer's body.
    @param cache: keeps answers that may be used again; never those with receipts.
    @param clock: for the time-out where an agent is given; Twisted's own reactor by default.
    @param mayRedirect: is asked with both URLs before a redirect is followed: a payer may want to
        see who is paid in the end (RFC 26). Every safe one is followed by default.
    @param receiptNonce: 16 octets, with C{receiptSecret}: receipts are wanted (RFC 39).
    @param receiptSecret: 32 octets, which are told to the receiver.
    @return: fails with L{ConnectionEnded} if there is no good way to the server or it has no such
        account, with L{DecodeError} if its answer is none. It can be cancelled at any time.
    @raise LocalError: if an argument is not what it should be.
    """
    question = _Question(pointer, isInsecure, maximumSize, mayRedirect)
    question.wantReceipts(receiptNonce, receiptSecret)
    return question.ask(agentOrReactor, checkTimeout(timeout), cache, clock)


def checkPointer(pointer: str, isInsecure: bool = False) -> str:
    """
    The URL that is asked for a pointer.

    @param isInsecure: as of L{resolve}.
    @raise LocalError: if the pointer is none, or leads over plain http.
    """
    url = pointerToURL(pointer)
    place = placeOf(url)
    if place is None or not (isInsecure or place.isPrivate):
        raise LocalError(
            f"{shown(url)} is plain http: anybody on the way could have himself paid; "
            "use https, or --insecure (isInsecure=True) where that does not matter"
        )
    return url


def checkTimeout(seconds: object) -> float:
    """
    @raise LocalError: if it is no number of seconds above 0.
    """
    checkKind("timeout", seconds, int | float, "seconds")
    if not cast("float", seconds) > 0:
        raise LocalError(f"timeout is {seconds}: it must be seconds, more than 0")
    return cast("float", seconds)


class _Question:
    """One question and where it leads."""

    def __init__(
        self,
        pointer: str,
        isInsecure: bool,
        maximumSize: int,
        mayRedirect: Callable[[str, str], bool] | None,
    ) -> None:
        """
        @raise LocalError: if the pointer is none, or leads over plain http.
        """
        self._url = checkPointer(pointer, isInsecure)
        self._maximumSize = checkAmount("maximumSize", maximumSize, minimum=1)
        self._isInsecure = isInsecure
        self._mayRedirect = mayRedirect
        self._headers = {"Accept": CONTENT_TYPE}
        self._hasReceipts = False
        self._mayBeInside = True  # until it is known where the first answer comes from
        self._lifetime = SPSPCache.LONGEST

    def wantReceipts(self, nonce: bytes, secret: bytes) -> None:
        """
        @raise LocalError: if there is one of them, or they have not their lengths.
        """
        lengths = len(nonce), len(secret)
        if lengths == (0, 0):
            return
        if lengths != (16, 32):
            raise LocalError(
                "receipts need a receiptNonce of 16 octets and a receiptSecret of 32, not of "
                f"{lengths[0]} and {lengths[1]}"
            )
        self._hasReceipts = True
        for name, octets in (("Receipt-Nonce", nonce), ("Receipt-Secret", secret)):
            self._headers[name] = urlsafe_b64encode(octets).decode("ascii")

    def ask(
        self,
        agentOrReactor: Any,
        timeout: float,
        cache: SPSPCache | None,
        reactor: AnyReactor | None,
    ) -> Deferred[Credentials]:
        """Ask, unless the answer is known."""
        if callable(getattr(agentOrReactor, "request", None)):
            ask = partial(fetchBy, agentOrReactor, headers=self._headers, limit=self._maximumSize)
            if reactor is None:
                from twisted.internet import reactor as installed

                reactor = cast("Reactor", installed)
        else:
            if not callable(getattr(agentOrReactor, "connectTCP", None)):
                wanted = "it takes a reactor, or an IAgent such as twisted.web.client.Agent"
                raise wrongType("agentOrReactor", agentOrReactor, wanted)
            ask = partial(fetch, agentOrReactor, headers=self._headers, limit=self._maximumSize)
            reactor = cast("Reactor", agentOrReactor) if reactor is None else reactor
        clock = cast("IReactorTime", reactor)
        usable = None if self._hasReceipts else cache
        if usable is not None:
            known = usable.get(self._url, self._isInsecure, now=clock.seconds())
            if known is not None:
                return succeed(known)
        asked = Deferred.fromCoroutine(self._fetch(ask))
        asked.addTimeout(timeout, clock, self._ebLate)
        if usable is not None:
            asked.addCallback(self._cbKeep, usable, clock)
        return _whole(asked)

    def _ebLate(self, _: object, timeout: float) -> Credentials:
        raise ConnectionEnded(f"{shown(self._url)} did not answer within {timeout:g} s")

    def _cbKeep(
        self, credentials: Credentials, cache: SPSPCache, clock: IReactorTime
    ) -> Credentials:
        now = clock.seconds()
        cache.put(self._url, credentials, self._lifetime, self._isInsecure, now=now)
        return credentials

    async def _fetch(self, ask: Callable[..., Deferred[Answer]]) -> Credentials:
        """Ask, and ask elsewhere where one is sent elsewhere."""
        url = self._url
        for number in range(MOST_REDIRECTS + 1):
            answer = await self._ask(ask, url)
            if number == 0:
                self._mayBeInside = answer.isInside
            self._lifetime = min(self._lifetime, lifetimeOf(answer))
            if answer.status not in _REDIRECTS:
                return self._read(url, answer)
            url = self._follow(url, answer)
        raise ConnectionEnded(
            f"{shown(self._url)}: there were more than {MOST_REDIRECTS} redirects"
        )

    async def _ask(self, ask: Callable[..., Deferred[Answer]], url: str) -> Answer:
        place = placeOf(url)
        assert place is not None
        try:
            return await ask(place, mayBeInside=self._mayBeInside)
        except AnswerTooLong:
            reason = ""
        except FetchError as error:
            reason = str(error)
        if not reason:
            raise DecodeError(f"{shown(url)} answered with more than {self._maximumSize} octets")
        raise ConnectionEnded(f"{shown(url)} cannot be asked: {reason}")

    def _follow(self, url: str, answer: Answer) -> str:
        """
        The URL that a redirect leads to.

        A server elsewhere cannot send us to what listens on this machine in plain text either, nor
        to an address that only this network knows.
        """
        target: str
        try:
            (location,) = answer.texts("location")
            target = urljoin(url, location)
        except ValueError:
            target = ""
        here, there = placeOf(url), placeOf(target)
        if here is None or there is None:
            raise ConnectionEnded(f"{shown(url)} redirects to what is no URL, or one with a login")
        isSafe = there.scheme == "https" or (
            here.scheme == "http"
            and (isLoopback(here.host) if isLoopback(there.host) else self._isInsecure)
        )
        if not isSafe:
            raise ConnectionEnded(
                f"{shown(url)} redirects to {shown(target)}: it is not followed to plain http, "
                "where others could answer"
            )
        if isInside(there.host) and not self._mayBeInside:
            raise ConnectionEnded(
                f"{shown(url)} redirects to {shown(target)}: it is not followed to an address that "
                "only this network knows"
            )
        if self._mayRedirect is not None and not self._mayRedirect(url, target):
            raise ConnectionEnded(f"the redirect to {shown(target)} was not wanted")
        return target

    def _read(self, url: str, answer: Answer) -> Credentials:
        """Take an answer for what it is."""
        if answer.status == 404:
            raise ConnectionEnded(f"{shown(url)}: there is no such account")
        if answer.status != 200:
            raise ConnectionEnded(f"{shown(url)} answered with status {answer.status}")
        kinds = {value.partition(";")[0].strip().lower() for value in answer.texts("content-type")}
        if len(kinds) != 1 or not kinds <= _CONTENT_TYPES:
            raise DecodeError(
                f"{shown(url)} answered with another content type than {CONTENT_TYPE}: it is not "
                "where money can be sent to"
            )
        try:
            return Credentials.fromJSON(answer.body)
        except DecodeError as bad:
            error = DecodeError(f"{shown(url)} answered badly: {bad}")
        raise error


def _whole(asked: Deferred[Credentials]) -> Deferred[Credentials]:
    """The same, but whoever cancels it is told just that, whatever was going on."""
    isCancelled = False

    def cancel(_: Deferred[Credentials]) -> None:
        nonlocal isCancelled
        isCancelled = True
        asked.cancel()

    def settle(result: Credentials | Failure) -> None:
        if not isCancelled:
            whole.callback(result)

    whole: Deferred[Credentials] = Deferred(cancel)
    asked.addBoth(settle)
    return whole


class SPSPCache:
    """
    Answers that may be used again, for as long as their servers say (RFC 9).

    A second connection with the same credentials takes the place of the first at the server: use
    a cache only where no two payments run to one receiver at a time.
    """

    LONGEST: Final = 86400.0
    """Seconds that an answer is kept at most, whatever its server says."""

    def __init__(self, maximumEntries: int = 1000) -> None:
        """
        @param maximumEntries: 1 or more; when there are more, the oldest is forgotten.
        @raise LocalError: if it is something else.
        """
        self._maximumEntries = checkAmount("maximumEntries", maximumEntries, minimum=1)
        self._entries: OrderedDict[tuple[str, bool], tuple[float, Credentials]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, url: str, isInsecure: bool = False, *, now: float) -> Credentials | None:
        """What was answered, if it is still good; if it is not, it is forgotten."""
        entry = self._entries.get((url, isInsecure))
        if entry is None:
            return None
        expiresAt, credentials = entry
        if now < expiresAt:
            return credentials
        del self._entries[url, isInsecure]
        return None

    def put(
        self,
        url: str,
        credentials: Credentials,
        lifetime: float,
        isInsecure: bool = False,
        *,
        now: float,
    ) -> None:
        """
        Keep an answer in the place of an older one.

        @param lifetime: seconds; nothing is kept for 0.
        @param isInsecure: whether it may have come over plain http: it is none for whoever does
            not want that.
        """
        key = url, isInsecure
        self._entries.pop(key, None)
        if lifetime <= 0:
            return
        self._entries[key] = now + min(lifetime, self.LONGEST), credentials
        if len(self._entries) > self._maximumEntries:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()


def lifetimeOf(answer: Answer) -> float:
    """Seconds for which an answer may be used again: 0 unless its server says more."""
    ages = []
    for line in answer.texts("cache-control"):
        for directive in line.lower().split(","):
            name, _, value = directive.strip().partition("=")
            if name in ("no-store", "no-cache"):
                return 0.0
            if name == "max-age":
                ages.append(_secondsOf(value))
    spent = [_secondsOf(value) for value in answer.texts("age")]
    return max(0.0, min(ages, default=0.0) - max(spent, default=0.0))


def _secondsOf(text: str) -> float:
    return float(text) if re.fullmatch("[0-9]{1,9}", text, re.ASCII) else 0.0
