"""
STREAM for Twisted: encrypted, multiplexed streams of money and data over Interledger.

The package offers the names that an application needs; each is also in the module that defines it.
Twisted imports this package whenever it looks for plugins, so a name brings its module in only when
it is first asked for (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from txilpstream._version import __version__

if TYPE_CHECKING:
    from txilpstream.amounts import Ratio
    from txilpstream.crypto.credentials import Credentials
    from txilpstream.crypto.receipts import Receipt, ReceiptVerifier, decodeReceipt, verifyReceipt
    from txilpstream.errors import (
        ConnectionEnded,
        DecodeError,
        ErrorCode,
        LocalError,
        PeerError,
        RejectSeen,
        StreamError,
    )
    from txilpstream.interfaces import (
        IMoneyReceiver,
        IMoneyTransport,
        IPaymentPolicy,
        IPlugin,
        IPluginFactory,
        ListeningPort,
        NotSent,
        PaymentError,
        PaymentPolicy,
        PaymentRequest,
        PaymentResult,
        Plugin,
        ProtocolFactory,
        Reactor,
        Refusal,
    )
    from txilpstream.payments.payment import Payment, pay
    from txilpstream.payments.quote import Quote, quote
    from txilpstream.payments.state import PaymentState
    from txilpstream.plugins.memory import memoryPair
    from txilpstream.plugins.registry import pluginFromEnvironment, pluginFromString
    from txilpstream.session.configuration import SessionConfiguration
    from txilpstream.session.congestion.interface import ICongestionControl
    from txilpstream.spsp.client import resolve
    from txilpstream.spsp.server import SPSPResource, SPSPServer
    from txilpstream.transport.account import Account
    from txilpstream.transport.client import StreamClient
    from txilpstream.transport.connection import StreamConnection
    from txilpstream.transport.endpoints import StreamClientEndpoint, StreamServerEndpoint
    from txilpstream.transport.protocol import StreamFactory, StreamProtocol
    from txilpstream.transport.server import StreamServer
    from txilpstream.transport.stateless import StatelessReceiver, StatelessRequest
    from txilpstream.transport.stream import Stream, StreamAddress, StreamLost, StreamRefused
    from txilpstream.wire.ildcp import AccountDetails

__all__ = [
    "Account",
    "AccountDetails",
    "ConnectionEnded",
    "Credentials",
    "DecodeError",
    "ErrorCode",
    "ICongestionControl",
    "IMoneyReceiver",
    "IMoneyTransport",
    "IPaymentPolicy",
    "IPlugin",
    "IPluginFactory",
    "ListeningPort",
    "LocalError",
    "NotSent",
    "Payment",
    "PaymentError",
    "PaymentPolicy",
    "PaymentRequest",
    "PaymentResult",
    "PaymentState",
    "PeerError",
    "Plugin",
    "ProtocolFactory",
    "Quote",
    "Ratio",
    "Reactor",
    "Receipt",
    "ReceiptVerifier",
    "Refusal",
    "RejectSeen",
    "SPSPResource",
    "SPSPServer",
    "SessionConfiguration",
    "StatelessReceiver",
    "StatelessRequest",
    "Stream",
    "StreamAddress",
    "StreamClient",
    "StreamClientEndpoint",
    "StreamConnection",
    "StreamError",
    "StreamFactory",
    "StreamLost",
    "StreamProtocol",
    "StreamRefused",
    "StreamServer",
    "StreamServerEndpoint",
    "__version__",
    "decodeReceipt",
    "memoryPair",
    "pay",
    "pluginFromEnvironment",
    "pluginFromString",
    "quote",
    "resolve",
    "verifyReceipt",
]

_MODULES = {
    "amounts": "Ratio",
    "crypto.credentials": "Credentials",
    "crypto.receipts": "Receipt ReceiptVerifier decodeReceipt verifyReceipt",
    "errors": "ConnectionEnded DecodeError ErrorCode LocalError PeerError RejectSeen StreamError",
    "interfaces": "IMoneyReceiver IMoneyTransport IPaymentPolicy IPlugin IPluginFactory "
    "ListeningPort NotSent PaymentError PaymentPolicy PaymentRequest PaymentResult Plugin "
    "ProtocolFactory Reactor Refusal",
    "payments.payment": "Payment pay",
    "payments.quote": "Quote quote",
    "payments.state": "PaymentState",
    "plugins.memory": "memoryPair",
    "plugins.registry": "pluginFromEnvironment pluginFromString",
    "session.configuration": "SessionConfiguration",
    "session.congestion.interface": "ICongestionControl",
    "spsp.client": "resolve",
    "spsp.server": "SPSPResource SPSPServer",
    "transport.account": "Account",
    "transport.client": "StreamClient",
    "transport.connection": "StreamConnection",
    "transport.endpoints": "StreamClientEndpoint StreamServerEndpoint",
    "transport.protocol": "StreamFactory StreamProtocol",
    "transport.server": "StreamServer",
    "transport.stateless": "StatelessReceiver StatelessRequest",
    "transport.stream": "Stream StreamAddress StreamLost StreamRefused",
    "wire.ildcp": "AccountDetails",
}

_WHERE = {name: module for module, names in _MODULES.items() for name in names.split()}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__} - {"TYPE_CHECKING", "import_module", "_MODULES", "_WHERE"})


# A type checker sees the imports above; if it saw this too, it would believe in any name.
if not TYPE_CHECKING:

    def __getattr__(name):
        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
