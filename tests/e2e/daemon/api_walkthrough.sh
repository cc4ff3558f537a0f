# A walk through the native API, for bash with curl. The daemon runs; run by `test_api_walkthrough.py`.

# The key that the daemon made for itself.
KEY=$(cat ~/.local/state/shoal/api-key)
api() { curl -sS --fail-with-body -H "X-API-Key: $KEY" -H 'Content-Type: application/json' "http://127.0.0.1:5030/api/v0/multisource$1" "${@:2}"; echo; }
job() { python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])'; }

# A job from sources that are known. The same Idempotency-Key with the same body is the same job.
ID=$(api /download -H 'Idempotency-Key: order-17' -d '{"filename": "tide.flac", "fileSize": 21721524, "sources": [{"url": "https://mirror-a.example/tide.flac"}, {"username": "ann", "fullPath": "music\\tide.flac"}]}' | job)
api /jobs/$ID
api /jobs/$ID/why

# While it runs: slower, paused, more sources, rid of one.
api /jobs/$ID -X PATCH -d '{"limit": 500000, "priority": 5}'
api /jobs/$ID/sources -d '{"sources": [{"url": "https://mirror-b.example/tide.flac"}]}'
api "/jobs/$ID/sources?source=1&banned=true" -X DELETE
api /jobs/$ID/pause -X POST
api /jobs/$ID/resume -X POST
api /limit -X PUT -d '{"limit": 0}'

# `wait=true` holds the answer until the job has ended. Afterwards the manifest says which source sent which bytes.
api '/download?wait=true&waitS=60' -d '{"filename": "shore.flac", "fileSize": 21721524, "sources": [{"url": "https://mirror-a.example/tide.flac"}]}'
api '/jobs?state=sealed&state=active&text=tide&limit=10'
api /jobs/$ID/timeline
api /jobs/$ID/manifest
api /jobs/$ID -X DELETE
