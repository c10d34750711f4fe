STREAM connections over Interledger for Twisted: money and data both ways on many streams, with many packets in flight.
