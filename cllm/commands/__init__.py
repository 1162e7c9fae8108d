"""The command line: a file for each command, with its options, what it calls and what it prints.

Imports of other rooms stand inside the functions here, and nowhere else in the package, so that a command that needs no
model starts in a fraction of a second.
"""
