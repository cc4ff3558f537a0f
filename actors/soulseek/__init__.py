"""The one login: search, places in peers' queues, turns, and the connections that are handed to the fetch processes.

aioslsk brings login, peers and uploads; the download flow is ours. Its private names stand in `aioslsk_private` only.
"""
