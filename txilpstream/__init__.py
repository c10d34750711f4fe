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
    from txilpstream.account import Account
    from txilpstream.amounts import Ratio
    from txilpstream.client import StreamClient
    from txilpstream.connection import StreamConnection
    from txilpstream.credentials import Credentials
    from txilpstream.endpoints import StreamClientEndpoint, StreamServerEndpoint
    from txilpstream.errors import (
        ConnectionEnded,
        DecodeError,
        ErrorCode,
        LocalError,
        PaymentError,
        PaymentResult,
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
        NotSent,
        PaymentRequest,
        Refusal,
    )
    from txilpstream.payments import Payment, Quote, pay, quote
    from txilpstream.paymentstate import PaymentState
    from txilpstream.plugins.memory import memoryPair
    from txilpstream.plugins.registry import pluginFromEnvironment, pluginFromString
    from txilpstream.protocol import (
        StreamAddress,
        StreamFactory,
        StreamLost,
        StreamProtocol,
        StreamRefused,
    )
    from txilpstream.receipts import Receipt, decodeReceipt, verifyReceipt
    from txilpstream.receiptverifier import ReceiptVerifier
    from txilpstream.server import StreamServer
    from txilpstream.session.configuration import SessionConfiguration
    from txilpstream.session.congestion import ICongestionControl
    from txilpstream.spsp import resolve
    from txilpstream.spspserver import SPSPResource, SPSPServer
    from txilpstream.stateless import StatelessReceiver
    from txilpstream.stream import Stream
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
    "LocalError",
    "NotSent",
    "Payment",
    "PaymentError",
    "PaymentRequest",
    "PaymentResult",
    "PaymentState",
    "PeerError",
    "Quote",
    "Ratio",
    "Receipt",
    "ReceiptVerifier",
    "Refusal",
    "RejectSeen",
    "SPSPResource",
    "SPSPServer",
    "SessionConfiguration",
    "StatelessReceiver",
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
    "account": "Account",
    "amounts": "Ratio",
    "client": "StreamClient",
    "connection": "StreamConnection",
    "credentials": "Credentials",
    "endpoints": "StreamClientEndpoint StreamServerEndpoint",
    "errors": "ConnectionEnded DecodeError ErrorCode LocalError PaymentError PaymentResult "
    "PeerError RejectSeen StreamError",
    "interfaces": "IMoneyReceiver IMoneyTransport IPaymentPolicy IPlugin IPluginFactory NotSent "
    "PaymentRequest Refusal",
    "payments": "Payment Quote pay quote",
    "paymentstate": "PaymentState",
    "plugins.memory": "memoryPair",
    "plugins.registry": "pluginFromEnvironment pluginFromString",
    "protocol": "StreamAddress StreamFactory StreamLost StreamProtocol StreamRefused",
    "receipts": "Receipt decodeReceipt verifyReceipt",
    "receiptverifier": "ReceiptVerifier",
    "server": "StreamServer",
    "session.configuration": "SessionConfiguration",
    "session.congestion": "ICongestionControl",
    "spsp": "resolve",
    "spspserver": "SPSPResource SPSPServer",
    "stateless": "StatelessReceiver",
    "stream": "Stream",
    "wire.ildcp": "AccountDetails",
}

_WHERE = {name: module for module, names in _MODULES.items() for name in names.split()}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# A type checker sees the imports above; if it saw this too, it would believe in any name.
if not TYPE_CHECKING:

    def __getattr__(name):
        if name not in _WHERE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
        globals()[name] = value
        return value
