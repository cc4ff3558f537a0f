"""Documents of orders through the API: Metalinks fetched, lists of piece digests kept in the state folder."""

from actors.document_fetch import fetch_document
from protocol.model.job_spec import HttpOptions
from storage.piece_lists import keep_list, lists_folder


class OrderDocuments:
    """`protocol.http_api.gateway.Documents` of the daemon. Its methods block, and may be called in any thread."""

    def fetch(self, url: str, http: HttpOptions, bytes_max: int, *, private_ok: bool) -> bytes:
        """Return the body at an address, redirects followed. Raises `NoDocument`."""
        return fetch_document(url, http, bytes_max, private_ok=private_ok)

    def keep_pieces(self, state: str, digests: bytes) -> str:
        """Write a list and return its path. Raises OSError."""
        return keep_list(lists_folder(state), digests)
