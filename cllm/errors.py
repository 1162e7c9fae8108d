"""The failures a user can meet.

Each message is one clear sentence or two: what failed, on which file, what was found, what was expected, what to do.
Our own bugs are assertions, never these.
"""


class CllmError(Exception):
    """A failure to be shown to the user as it stands; the program ends with `exit_code`."""

    exit_code = 1


class UsageError(CllmError):
    """The command line or a configuration file asks for something that does not exist."""

    exit_code = 2


class CorpusError(CllmError):
    """The repository cannot be read, or holds nothing to learn from."""


class ArtifactError(CllmError):
    """A file that CLLM wrote is missing, truncated, altered, or of another version."""


class WorkspaceError(CllmError):
    """The workspace is held by another run, or cannot be written."""


class TrainingError(CllmError):
    """Training cannot go on: a loss that is not finite, or workers that do not stay alive."""


class ExportError(CllmError):
    """A model cannot be written in another program's format, or what was written is not what was learned."""
