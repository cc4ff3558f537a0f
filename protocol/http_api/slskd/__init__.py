"""slskd's API, so that tools made for it get swarm downloads unchanged. One transfer is one job.

The contract is what its clients rely on: spelled in `formatting` and `schemas`, jobs as transfers in
`transfer_mapping`, searches in `search_state`. The other modules are routes.
"""
