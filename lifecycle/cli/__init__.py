"""
The command line: what an operator does with event logs and snapshots.

It stands outside the house: it uses the public names of the package, and nothing in the package uses it.  It alone
imports cyclopts and rich, and rich only where something is drawn.

The statuses are part of what it promises: 0 clean, 1 findings, 2 usage, 3 input that cannot be opened, decompressed or
read to its end (or output that cannot be written), 130 interrupted.  Data goes to stdout, talk to stderr.
"""
