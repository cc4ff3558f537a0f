"""What is said of a configuration that cannot be used."""

from protocol.terminal.options import BadUsage


class BadConfig(BadUsage):
    """One line: the file and its line, or the variable, the key, and what is expected. Never a value: secrets stand
    among them."""
