"""What a deleted download leaves goes, and nothing that is somebody else's."""

__all__: list[str] = []
