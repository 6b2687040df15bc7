"""Specs, kinds, errors, streams, stores: what every room stands on. Imports nothing of ours, nor torch."""
