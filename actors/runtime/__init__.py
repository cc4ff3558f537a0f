"""Actors, messages and processes: what an actor system needs, without knowing of downloads."""
