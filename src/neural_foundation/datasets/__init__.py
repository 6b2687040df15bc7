"""Datasets: which recordings there are, whose they are, and what the labels in them mean."""

from .base import Dataset, DatasetInfo, Files, Item
from .simulated.ground_truth import Ceiling, Truth, ceiling, truth
from .table import DATASETS

__all__ = ["DATASETS", "Ceiling", "Dataset", "DatasetInfo", "Files", "Item", "Truth", "ceiling", "truth"]
