"""For every test: Hypothesis judges what happens, never how long it takes on a busy machine."""

from hypothesis import settings

settings.register_profile("shoal", deadline=None)
settings.load_profile("shoal")
