"""Recordings: one lazy `Session` for every file format. Importing it loads neither MNE nor h5py."""

from .edf_write import quantisation_bound, write_edf
from .events import Series, Spikes
from .fif import read_events_fif
from .hdf5_write import write_session
from .quarantine import Survey, open_all, survey
from .reader import Reader
from .session import ArraySignal, Intervals, Session, Signal
from .table import READERS, read

__all__ = [
    "READERS",
    "ArraySignal",
    "Intervals",
    "Reader",
    "Series",
    "Session",
    "Signal",
    "Spikes",
    "Survey",
    "open_all",
    "quantisation_bound",
    "read",
    "read_events_fif",
    "survey",
    "write_edf",
    "write_session",
]
