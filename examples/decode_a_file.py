"""Decode a recording, chunk by chunk, as if it were live; stop halfway and go on from the saved state.

    python examples/decode_a_file.py [FOLDER]

The decoder is that of the tiny quickstart, made under FOLDER first; it has learned for seconds, so expect little.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tiny_model import tiny_model

from neural_foundation import NeuralDataLoader, NeuralFoundationModel
from neural_foundation.core.stream import load_state, save_state
from neural_foundation.realtime.decoder import StreamDecoder
from neural_foundation.recordings import read


def decode(package: Path, recording: Path) -> None:
    """Print a decision every 10 s of a recording."""
    model = NeuralFoundationModel.from_pretrained(package)
    decoder = model.get_decoder("motor_imagery")
    loader = NeuralDataLoader(data_path=recording, sampling_rate=250, channels=32, temporal_window=0.1)
    for neural_sample in loader.stream():
        decision = decoder.decode(neural_sample)

        if decision is not None and decision.sample % 2500 == 0:
            shares = ", ".join(f"{name} {share:.2f}" for name, share in decision.probability.items())
            print(f"{decision.sample / 250:5.0f} s  {decision.label:<10}  {shares}")


def decode_trials(package: Path, recording: Path) -> None:
    """Decode trial by trial: the model starts anew at each, where the windows of its training began."""
    model = NeuralFoundationModel.from_pretrained(package)
    decoder = model.get_decoder("motor_imagery")
    windows, at, right = model.package.facts.windows, 0, 0
    with read(recording) as session:
        signal, sfreq = session.signal, session.signal.spec.sfreq
        for cue_s, _, label in session.trials:
            begin = round((cue_s + windows.start_s) * sfreq)
            end = begin + round(windows.length_s * sfreq)
            decoder.decode(signal.read(at, begin))  # between trials the cleaning chain goes on
            decoder.reset()
            decision = decoder.decode(signal.read(begin, end))
            right += decision is not None and decision.label == label
            at = end
        print(f"{right} of {len(session.trials)} trials right")


def pause_and_go_on(package: Path, recording: Path) -> None:
    """Decode half a recording, keep the state as bytes, and let another decoder go on from there."""
    chunks = list(NeuralDataLoader(data_path=recording, temporal_window=0.5).chunks())
    half = len(chunks) // 2
    model = NeuralFoundationModel.from_pretrained(package)

    first = StreamDecoder(model.package)
    state = first.start()
    for chunk in chunks[:half]:
        out, state = first.step(chunk, state)
    saved: bytes = save_state(state)  # to a file, another process, another machine

    second = StreamDecoder(model.package)
    state = load_state(saved)
    for chunk in chunks[half:]:
        out, state = second.step(chunk, state)

    last = dict(zip(second.classes, out.values[:, -1].round(3).tolist(), strict=True))
    print(f"{out.start + out.n_times} tokens; the last: {last}")


if __name__ == "__main__":
    package, recording = tiny_model(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples"))
    decode(package, recording)
    decode_trials(package, recording)
    pause_and_go_on(package, recording)
