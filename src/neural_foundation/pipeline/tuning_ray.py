"""The trials of a search as Ray Tune runs them: where there is room, stopped early by ASHA.

Ray keeps no state of ours: trials are drawn and remembered by `tuning`, so nothing is pickled into the store, and a
search goes on under another version of Ray too. Trials that ended in an earlier run tell their rows again, so that
ASHA judges the new ones against them.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import NeuralFoundationError
from .executors_ray import begin, library
from .making import limit_threads
from .tuning import Outcome, Search, Trial, Watch, run_trial


@dataclass(frozen=True)
class _Told:
    """What a worker needs to know of all trials."""

    search: Search
    outcomes: dict[int, Outcome]
    device: str
    command: str
    folder: str


def search_with_ray(
    search: Search, watch: Watch, *, workers: int = 1, device: str = "auto", command: str = "", address: str = ""
) -> None:
    """Run the trials that have not ended yet. The caller holds the lock of the store.

    Raises MissingExtraError where Ray is not installed; KeyboardInterrupt comes through, all trials ended.
    """
    if not watch.todo:
        return
    ray = library()
    gpus = _gpus(search, device)
    mine = begin(address, workers * search.tune.cpus)
    try:
        with tempfile.TemporaryDirectory(prefix="neural-foundation-tune-") as folder:
            there = device.partition(":")[0] if gpus else "cpu"  # Ray shows a trial its own GPUs only
            told = _Told(search, dict(watch.outcomes), there, command, os.getcwd())
            _tuner(told, watch, workers, gpus, Path(folder)).fit()
    finally:
        if mine:
            ray.shutdown()


def _tuner(told: _Told, watch: Watch, workers: int, gpus: float, folder: Path) -> Any:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    spec = told.search.tune
    longest = max(t.max_epochs for t in told.search.trials)
    asha = ASHAScheduler(
        time_attr="epochs",
        max_t=max(longest, spec.grace_epochs),
        grace_period=spec.grace_epochs,
        reduction_factor=spec.reduction,
        stop_last_trials=False,  # at its last epoch a trial is about to write its package
    )
    known = [t.number for t in told.search.trials if t.number in told.outcomes]
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(_run, told=told), {"cpu": spec.cpus, "gpu": gpus}),
        param_space={"number": tune.grid_search([*known, *(t.number for t in watch.todo)])},
        tune_config=tune.TuneConfig(
            metric="value",
            mode=spec.mode,
            scheduler=asha,
            max_concurrent_trials=min(spec.max_concurrent or workers, workers),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(folder),
            verbose=0,
            callbacks=[_callback(watch)],
            failure_config=tune.FailureConfig(max_failures=0),
        ),
    )


def _run(config: dict[str, Any], told: _Told) -> None:
    """Run one trial in a worker of Ray's."""
    from ray import tune

    limit_threads()
    os.chdir(told.folder)
    trial: Trial = told.search.trials[config["number"]]
    before = told.outcomes.get(trial.number)

    def hear(epochs: int, value: float) -> None:
        tune.report({"epochs": epochs, "value": value, "ended": "", "error": ""})

    if before is not None:
        for epochs, value in before.rows:
            hear(int(epochs), value)
        return
    last = [0, 0.0]

    def hear_and_keep(epochs: int, value: float) -> None:
        last[:] = [epochs, value]
        hear(epochs, value)

    ended, error = "finished", ""
    try:
        run_trial(told.search, trial, hear_and_keep, told.device, told.command)
    except NeuralFoundationError as failure:
        ended, error = "failed", str(failure)
    tune.report({"epochs": last[0], "value": last[1], "ended": ended, "error": error})


def _callback(watch: Watch) -> Any:
    from ray.tune import Callback

    class Listener(Callback):  # type: ignore[misc]
        def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            watch.begin(trial.config["number"])

        def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
            number = trial.config["number"]
            if number in watch.outcomes:
                return
            if result.get("ended"):
                watch.end(number, result["ended"], result["error"])
            elif "value" in result:
                watch.tell(number, int(result["epochs"]), float(result["value"]))

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            watch.end(trial.config["number"], "stopped")

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
            said = str(trial.get_error() or "its process ended").strip().splitlines()[-1]
            watch.end(trial.config["number"], "failed", said)

    return Listener()


def _gpus(search: Search, device: str) -> float:
    """Return the GPUs of a trial: as asked for, else one where there is one."""
    if device == "cpu":
        return 0.0
    if search.tune.gpus is not None:
        return search.tune.gpus
    import torch

    return 1.0 if torch.cuda.device_count() else 0.0
