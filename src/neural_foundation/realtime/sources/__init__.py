"""Sources: where samples come from, live. Importing it loads none of their libraries."""

from .base import Counts, OpenSource, Source, Trial
from .table import SOURCES, parse_source

__all__ = ["SOURCES", "Counts", "OpenSource", "Source", "Trial", "parse_source"]
