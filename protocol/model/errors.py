"""Errors in what a person wrote: the command line and the configuration."""


class BadUsage(ValueError):  # noqa: N818  (says whose fault, like the other faults)
    """The command cannot be understood. The text is one line for people."""


class NoDocument(Exception):  # noqa: N818
    """A Metalink or a checksum file cannot be fetched. The text is one line for people."""


class BadConfig(BadUsage):
    """The configuration cannot be used.

    The text is one line: the file and its line, or the variable, then the key and what is expected. It never holds a
    value, because secrets stand among them.
    """
