``txilpstream.trace.TraceWriter`` writes what a connection's sender decides as JSON lines, for the option ``trace=``; ``txilpstream plot TRACE -o FILE`` draws a trace.
