"""Simulated HTTP mirrors."""
