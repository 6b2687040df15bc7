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
        "simulated_neurofeedback": Row(
            f"{_HERE}.simulated.neurofeedback:SimulatedNeurofeedback",
            "Rest against raised alpha of simulated people, responders and not.",
        ),
        "simulated_seizures": Row(
            f"{_HERE}.simulated.seizures:SimulatedSeizures",
            "Long simulated recordings with seizures of known onset and what comes before.",
        ),
        "simulated_sleep": Row(f"{_HERE}.simulated.sleep:SimulatedSleep", "Simulated nights in five sleep stages."),
        "simulated_sessions": Row(
            f"{_HERE}.simulated.sessions:SimulatedSessions",
            "Mice at a decision task: sorted spikes of known tuning, wheel, cameras; shaped like 'ibl'.",
        ),
        "simulated_hms": Row(
            f"{_HERE}.simulated.icu:SimulatedHMS",
            "Simulated EEG of intensive care with votes of experts; the files and classes of 'hms'.",
        ),
        "recordings": Row(f"{_HERE}.recordings_folder:Recordings", "Your own recordings in a folder."),
        "eegmat": Row(f"{_HERE}.eegmat:EEGMAT", "Rest against mental arithmetic, 36 people, 19 EEG channels."),
        "ssvep_exo": Row(f"{_HERE}.ssvep_exo:SSVEPExo", "Flicker at 13, 17 and 21 Hz, 12 people, 8 EEG channels."),
        "eegmmidb": Row(f"{_HERE}.eegmmidb:EEGMMIDB", "Imagined left and right fist, 109 people, 64 EEG channels."),
        "bci_iv_2a": Row(
            f"{_HERE}.bci_iv_2a:BCICompetitionIV2a", "Imagery of hands, feet and tongue, 9 people, 22 EEG."
        ),
        "bci_iv_2b": Row(
            f"{_HERE}.bci_iv_2b:BCICompetitionIV2b", "Imagery of hands, 9 people, 3 bipolar EEG channels."
        ),
        "sleep_edf": Row(f"{_HERE}.sleep_edf:SleepEDF", "Sleep stages of whole nights, 78 people, 2 EEG channels."),
        "chb_mit": Row(f"{_HERE}.chb_mit:CHBMIT", "Epileptic seizures, 23 children, 22 bipolar EEG channels."),
        "tusz": Row(f"{_HERE}.tusz:TUSZ", "Epileptic seizures in clinical EEG, 675 people; needs an account."),
        "hms": Row(
            f"{_HERE}.hms:HMS", "Seizures, periodic and rhythmic patterns in ICU EEG, 1950 people; Kaggle account."
        ),
        "bonn": Row(
            f"{_HERE}.bonn_delhi:Bonn", "500 segments of one channel, seizure or one of four others; no subject ids."
        ),
        "delhi": Row(
            f"{_HERE}.bonn_delhi:Delhi", "150 segments of one channel, ictal, preictal, interictal; no subject ids."
        ),
        "ibl": Row(f"{_HERE}.ibl:IBL", "Mice at IBL's decision task: sorted spikes, wheel, cameras, by session id."),
        "spykesml": Row(f"{_HERE}.spykesml:SpykesML", "Macaques that reach: binned M1 and S1 spikes, hand velocity."),
        "ratgps": Row(f"{_HERE}.ratgps:RatGPS", "Rats in an arena or on a track: place cells and position."),
        "neural_latents": Row(
            f"{_HERE}.neural_latents:NeuralLatents", "Four monkeys: mc_maze, mc_rtt, area2_bump, dmfc_rsg as NWB."
        ),
        "dandi": Row(f"{_HERE}.dandi:DandiSet", "The NWB files of any dandiset, by its number."),
    },
)
