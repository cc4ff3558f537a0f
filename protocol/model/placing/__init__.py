"""Places of finished files, by a template."""
