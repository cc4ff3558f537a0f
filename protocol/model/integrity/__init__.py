"""Expected digests of files as the world writes them: checksum files, fields of HTTP, Metalink documents."""
