"""The Soulseek session: the one login, searches, negotiations with peers, shares and uploads.

aioslsk brings login, connections and uploads; downloads are negotiated here, up to the F connection, which goes to a
fetch process. Private names of aioslsk stand in `aioslsk_patches` only.
"""
