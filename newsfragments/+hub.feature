A hub, an embedded connector: accounts with balances and limits, prefix routing, exchange rates, IL-DCP; its books add up at every moment.
