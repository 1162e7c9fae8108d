"""The command line: one module per command, with its options, its call and its output.

Other packages are imported inside functions, which is done only here, so that a command that needs no model starts in a
fraction of a second.
"""
