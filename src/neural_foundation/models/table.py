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
        "window_statistics": Row(
            f"{_HERE}.window_statistics:WindowStatistics",
            "a few statistics of each channel's samples, logistic regression",
            "window",
        ),
        "tangent_space": Row(
            f"{_HERE}.tangent_space:TangentSpace", "covariances in tangent space, logistic regression", "window"
        ),
        "boosted_trees": Row(
            f"{_HERE}.boosted_trees:BoostedTrees", "gradient-boosted trees on features of the window", "window"
        ),
        "cca": Row(f"{_HERE}.cca:CCA", "canonical correlation with sinusoids, for SSVEP", "window"),
        "neds": Row(f"{_HERE}.neds:Neds", "masked transformer over spikes and behaviour of many sessions", "window"),
        "resnet_gru": Row(
            f"{_HERE}.resnet_gru:ResNetGRU", "residual convolutions and a GRU over a whole window", "window"
        ),
        "squeezeformer": Row(
            f"{_HERE}.squeezeformer:Squeezeformer", "convolutions and attention over a whole window", "window"
        ),
        "spectrogram_efficientnet": Row(
            f"{_HERE}.spectrogram_efficientnet:SpectrogramEfficientNet",
            "EfficientNet on the spectrograms of a whole window",
            "window",
        ),
        "multiscale": Row(f"{_HERE}.multiscale:Multiscale", "causal multi-scale stream network", "stream"),
        "ridge": Row(
            f"{_HERE}.ridge:Ridge", "binned sessions: behaviour from spikes by ridge regression on lagged counts"
        ),
        "wiener": Row(f"{_HERE}.wiener:Wiener", "binned sessions: behaviour from spikes by the Wiener filter"),
        "reduced_rank": Row(
            f"{_HERE}.reduced_rank:ReducedRank",
            "binned sessions: spikes and behaviour from each other, through few patterns",
        ),
        "poisson_glm": Row(
            f"{_HERE}.poisson_glm:PoissonGLM", "binned sessions: spikes from behaviour, a Poisson regression a unit"
        ),
        "psth": Row(f"{_HERE}.psth:PSTH", "binned sessions: spikes from time and classes, the mean response"),
        "gru": Row(f"{_HERE}.gru_decoder:GRU", "binned sessions: behaviour from spikes by a small recurrent network"),
        "naive_bayes": Row(
            f"{_HERE}.naive_bayes:NaiveBayes", "binned sessions: a position from spikes by Bayes' rule on rate maps"
        ),
    },
)
