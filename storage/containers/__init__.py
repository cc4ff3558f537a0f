"""Checks that container formats bring along (FLAC, Ogg, zip, gzip, bzip2, xz, zstd, MP3).

Of whole files, and of places where two sources' bytes meet. Pure readers: all bytes come through a `Read` function.
"""
