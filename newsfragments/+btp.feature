A plugin speaks BTP over WebSocket, as client and as server: ``btp+wss://account:token@host`` or ``btp:listen=...``, with the extra ``btp``.
