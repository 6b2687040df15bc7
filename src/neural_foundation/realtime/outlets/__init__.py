"""Outlets: where decisions go, live. Importing it loads none of their libraries."""

from .base import OpenOutlet, Outlet
from .table import OUTLETS, parse_outlet

__all__ = ["OUTLETS", "OpenOutlet", "Outlet", "parse_outlet"]
