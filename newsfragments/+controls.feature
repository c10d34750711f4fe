The sender finds what a path takes with three separate controls: nearly all of a limit is used with few rejects, money in flight
is limited by a window after T04, and connections that share a path come to equal shares.
