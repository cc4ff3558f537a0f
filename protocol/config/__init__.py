"""Configuration: files, environment, schema, settings."""
