"""Behaviour of real servers, replayed by small ones on loopback: what each must come to."""
