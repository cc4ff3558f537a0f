"""Actors: one thread each, with an inbox; their decisions are made in `actors.core`."""
