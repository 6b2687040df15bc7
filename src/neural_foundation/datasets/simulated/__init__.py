"""Simulated recordings whose truth is known."""

from .ground_truth import Ceiling, Truth, ceiling, truth

__all__ = ["Ceiling", "Truth", "ceiling", "truth"]
