"""Ask a server of whole windows what a decision rests on.

neural-foundation serve runs/hms          # in one terminal
python examples/ask_for_evidence.py http://localhost:8080/v2/models/harmful_brain_activity
"""

from __future__ import annotations

import json
import sys
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import NDArray


def evidence(model: str, signal: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """Return the outputs by name for one window (1, n_chans, n_times) of raw signal, in volts."""
    data = [float(f"{v:.5g}") for v in signal.ravel()]  # few digits: a body has 4 MB at most
    given = {"name": "signal", "datatype": "FP32", "shape": list(signal.shape), "data": data}
    body = {"inputs": [given], "parameters": {"evidence": True}}
    request = Request(f"{model}/infer", json.dumps(body).encode(), {"content-type": "application/json"})
    with urlopen(request, timeout=150) as answer:
        told = json.load(answer)
    return {o["name"]: np.reshape(o["data"], o["shape"]) for o in told["outputs"]}


def main(model: str) -> None:
    with urlopen(model) as answer:
        facts = json.load(answer)["parameters"]
    n_times = round(facts["window_s"] * facts["sfreq"])
    signal = np.random.default_rng(0).standard_normal((1, len(facts["ch_names"]), n_times)).astype(np.float32) * 1e-5
    told = evidence(model, signal)
    falls = told["evidence"][0]
    part, second = np.unravel_index(falls.argmax(), falls.shape)
    where = f"{told['evidence_channels'][part]} from {told['evidence_start_s'][second]:g} s"
    print(f"{told['evidence_class'][0]}: {falls.max():.3f} less without {where}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080/v2/models/harmful_brain_activity")
