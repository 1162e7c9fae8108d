"""What git has written about a folder, read without running git: where its repository is, the configuration, the index.

Everything here may come from another person: a file is read up to a limit, only if it is a regular one (a FIFO would
block), and is only parsed. Nothing that a configuration names is executed.
"""
