"""The kinds of learners, of objectives, of samplers and of trackers: one row a kind."""

from __future__ import annotations

from ..core.kinds import KindTable, Row

_HERE = "neural_foundation.learning"

LEARNERS = KindTable(
    "learners",
    {
        "gradient": Row(f"{_HERE}.gradient:Gradient", "networks, by gradient descent on an objective"),
        "estimator": Row(f"{_HERE}.estimator:EstimatorLearner", "estimators, which fit themselves once"),
    },
)

OBJECTIVES = KindTable(
    "objectives",
    {
        "masked": Row(f"{_HERE}.objectives.masked:Masked", "predict hidden band power from what came before"),
        "contrastive": Row(f"{_HERE}.objectives.contrastive:Contrastive", "recognise a window under change (InfoNCE)"),
        "classify": Row(f"{_HERE}.objectives.classify:Classify", "cross-entropy, optionally blind to the subject"),
        "votes": Row(f"{_HERE}.objectives.votes:Votes", "divergence from the shares of several experts' votes"),
        "regress": Row(f"{_HERE}.objectives.regress:Regress", "squared or Huber error of the outputs"),
        "multimodal": Row(f"{_HERE}.objectives.multimodal:Multimodal", "spikes from behaviour and the reverse, masked"),
    },
)

SAMPLERS = KindTable(
    "samplers",
    {
        "shuffled": Row(f"{_HERE}.samplers.shuffled:Shuffled", "windows at random, each from the start state"),
        "ordered": Row(f"{_HERE}.samplers.ordered:Ordered", "windows in time order, the state carried on"),
    },
)

TRACKERS = KindTable(
    "trackers",
    {
        "tensorboard": Row(f"{_HERE}.trackers.tensorboard:TensorBoard", "event files beside what is fitted"),
        "mlflow": Row(f"{_HERE}.trackers.mlflow:MLflow", "SQLite beside what is fitted, or a server"),
        "wandb": Row(f"{_HERE}.trackers.wandb:WeightsAndBiases", "Weights & Biases, offline or online"),
    },
)
