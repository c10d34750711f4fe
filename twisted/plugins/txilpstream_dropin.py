"""What txilpstream adds to Twisted's plugin system.

Twisted imports this module whenever it looks for any plugin, so it imports nothing heavy: each
object here names the module that does the work, which is imported when the plugin is used.
"""

from txilpstream.plugins.registry import FactoryByName
from txilpstream.strings import ClientParser, ServerParser

__all__ = ["clientParser", "memoryPlugin", "serverParser"]

memoryPlugin = FactoryByName("memory", "txilpstream.plugins.memory.MemoryPluginFactory")
clientParser = ClientParser()
serverParser = ServerParser()
