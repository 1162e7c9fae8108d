"""Errors that are shown to the user.

A message is one or two sentences: what failed, on which file, what was found, what was expected, what to do. Bugs are
assertions, not these errors.
"""


class CllmError(Exception):
    """An error whose message is shown to the user unchanged; the program ends with `exit_code`."""

    exit_code = 1


class UsageError(CllmError):
    """The command line or a configuration file has an invalid option, key or value."""

    exit_code = 2


class CorpusError(CllmError):
    """The repository cannot be read, or contains nothing to train on."""


class ArtifactError(CllmError):
    """A file that CLLM wrote is missing, truncated, altered, or of another version."""


class WorkspaceError(CllmError):
    """The workspace is locked by another process, has no model yet, or cannot be written."""


class TrainingError(CllmError):
    """Training cannot continue: a loss is not finite, workers keep failing, or memory is insufficient."""


class ExportError(CllmError):
    """A model cannot be exported to another program's format, or the export differs from the trained model."""
