"""The dataset kinds."""

from __future__ import annotations

from ..core.kinds import KindTable, Row

_HERE = "neural_foundation.datasets"

DATASETS = KindTable(
    "datasets",
    {
        "simulated_motor_imagery": Row(
            f"{_HERE}.simulated.motor_imagery:SimulatedMotorImagery",
            "Left and right hand imagery of simulated subjects, with the true sources known.",
        ),
        "recordings": Row(f"{_HERE}.recordings_folder:Recordings", "Your own recordings in a folder."),
        "eegmat": Row(f"{_HERE}.eegmat:EEGMAT", "Rest against mental arithmetic, 36 people, 19 EEG channels."),
        "ssvep_exo": Row(f"{_HERE}.ssvep_exo:SSVEPExo", "Flicker at 13, 17 and 21 Hz, 12 people, 8 EEG channels."),
        "eegmmidb": Row(f"{_HERE}.eegmmidb:EEGMMIDB", "Imagined left and right fist, 109 people, 64 EEG channels."),
    },
)
