"""HTTP(S) sources: connections, requests, answers and their bodies."""
