"""What txilpstream adds to Twisted's plugin system.

Twisted imports this module whenever it looks for any plugin, so it imports nothing heavy: each
object here names the module that does the work, which is imported when the plugin is used.
"""

from twisted.application.service import ServiceMaker

from txilpstream.plugins.registry import FactoryByName
from txilpstream.transport.endpointstrings import ClientParser, ServerParser

__all__ = [
    "btpPlugin",
    "clientParser",
    "httpPlugin",
    "memoryPlugin",
    "receiverService",
    "serverParser",
]

btpPlugin = FactoryByName("btp", "txilpstream.plugins.btp.plugin.BTPPluginFactory", extra="btp")
httpPlugin = FactoryByName("http", "txilpstream.plugins.http.plugin.HTTPPluginFactory")
memoryPlugin = FactoryByName("memory", "txilpstream.plugins.memory.MemoryPluginFactory")
clientParser = ClientParser()
serverParser = ServerParser()
receiverService = ServiceMaker(
    "txilpstream",
    "txilpstream.service.service",
    "Receive Interledger payments over STREAM.",
    "txilpstream",
)
