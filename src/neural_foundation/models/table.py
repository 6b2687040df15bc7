"""The kinds of models: one row a kind."""

from __future__ import annotations

from neural_foundation.core.kinds import KindTable, Row

_HERE = "neural_foundation.models"

MODELS = KindTable(
    "models",
    {
        "majority": Row(
            f"{_HERE}.majority:Majority", "the classes' shares in training: the floor of every score", "window"
        ),
        "band_power": Row(f"{_HERE}.band_power:BandPower", "log band power per channel, linear classifier", "window"),
        "tangent_space": Row(
            f"{_HERE}.tangent_space:TangentSpace", "covariances in tangent space, logistic regression", "window"
        ),
        "cca": Row(f"{_HERE}.cca:CCA", "canonical correlation with sinusoids, for SSVEP", "window"),
        "multiscale": Row(f"{_HERE}.multiscale:Multiscale", "causal multi-scale stream network", "stream"),
    },
)
