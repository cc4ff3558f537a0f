"""Documents of orders through the API: Metalinks fetched, lists of piece digests kept in the state folder.

Made in the front and used in the api process, so nothing that it needs is imported at the top.
"""

from protocol.model.job_spec import HttpOptions


class OrderDocuments:
    """`protocol.http_api.gateway.Documents` of the daemon. Its methods block, and may be called in any thread."""

    def fetch(self, url: str, http: HttpOptions, bytes_max: int, *, private_ok: bool) -> bytes:
        """Return the body at an address, redirects followed. Raises `NoDocument`."""
        from actors.document_fetch import fetch_document

        return fetch_document(url, http, bytes_max, private_ok=private_ok)

    def keep_pieces(self, state: str, digests: bytes) -> str:
        """Write a list and return its path. Raises OSError."""
        from storage.piece_lists import keep_list, lists_folder

        return keep_list(lists_folder(state), digests)
