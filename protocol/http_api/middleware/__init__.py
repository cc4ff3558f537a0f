"""ASGI middleware of the API, in the order of a request: guard, path normalization, authorization."""
