"""Finished files on their way to the place of the template."""
