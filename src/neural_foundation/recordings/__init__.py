"""Recordings: one lazy `Session` for every file format. Importing it loads neither MNE nor h5py."""

from .checksums import check_checksums, write_checksums
from .edf_write import quantisation_bound, write_edf
from .events import Series, Spikes
from .fif import read_events_fif
from .hdf5_whole import write_whole_session
from .hdf5_write import write_session
from .isolated import probe
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
    "check_checksums",
    "open_all",
    "probe",
    "quantisation_bound",
    "read",
    "read_events_fif",
    "survey",
    "write_checksums",
    "write_edf",
    "write_session",
    "write_whole_session",
]
