"""The kinds of signal operations a recipe's `signals:` list can name."""

from __future__ import annotations

from ..core.kinds import KindTable, Row

_HERE = "neural_foundation.signals"

SIGNALS = KindTable(
    "signals",
    {
        "align": Row(f"{_HERE}.align:Align", "running Euclidean alignment: whitens the channels", law="stream"),
        "artefacts": Row(f"{_HERE}.artefacts:Artefacts", "marks blinks, muscle, movement and clipping", law="stream"),
        "bad_channels": Row(f"{_HERE}.bad_channels:BadChannels", "finds and repairs bad channels", law="stream"),
        "band_powers": Row(f"{_HERE}.band_powers:BandPowers", "power in frequency bands", law="stream"),
        "bandpass": Row(f"{_HERE}.bandpass:Bandpass", "band-, high- or low-pass filter", law="stream"),
        "bandstop": Row(f"{_HERE}.bandstop:Bandstop", "removes a band of frequencies", law="stream"),
        "bin_spikes": Row(f"{_HERE}.bin_spikes:BinSpikes", "begins a chain with spikes: counts in bins", law="stream"),
        "clip": Row(f"{_HERE}.clip:Clip", "clips artefacts at a multiple of the running scale", law="stream"),
        "connectivity": Row(f"{_HERE}.connectivity:Connectivity", "coherence and phase locking of pairs", law="stream"),
        "crossings": Row(f"{_HERE}.crossings:Crossings", "threshold crossings, counted in bins", law="stream"),
        "drift": Row(f"{_HERE}.drift:Drift", "alarms when band powers change", law="stream"),
        "entropy": Row(f"{_HERE}.entropy:Entropy", "sample, approximate, permutation entropy", law="stream"),
        "firing_rates": Row(f"{_HERE}.firing_rates:FiringRates", "spike counts to rates in Hz", law="stream"),
        "hjorth": Row(f"{_HERE}.hjorth:Hjorth", "activity, mobility and complexity", law="stream"),
        "ica": Row(f"{_HERE}.ica:Ica", "removes fitted independent components", law="stream"),
        "interpolate": Row(f"{_HERE}.interpolate:Interpolate", "any montage onto one, by splines", law="stream"),
        "laplacian": Row(f"{_HERE}.laplacian:Laplacian", "Laplacian: neighbours or spherical splines", law="stream"),
        "lfp_bands": Row(f"{_HERE}.lfp_bands:LfpBands", "power or amplitude of several bands at once", law="stream"),
        "line_length": Row(f"{_HERE}.line_length:LineLength", "length of the curve a second", law="stream"),
        "line_noise": Row(f"{_HERE}.line_noise:LineNoise", "follows the mains and subtracts it", law="stream"),
        "normalise": Row(f"{_HERE}.normalise:Normalise", "running mean 0 and variance 1", law="stream"),
        "notch": Row(f"{_HERE}.notch:Notch", "removes the mains frequency and its harmonics", law="stream"),
        "phase": Row(f"{_HERE}.phase:Phase", "phase and amplitude of a band", law="stream"),
        "pick": Row(f"{_HERE}.pick:Pick", "keeps channels by name or type", law="stream"),
        "reference": Row(f"{_HERE}.reference:Reference", "average, named or bipolar reference, montage", law="stream"),
        "resample": Row(f"{_HERE}.resample:Resample", "another sampling rate, by a polyphase FIR filter", law="stream"),
        "robust_reference": Row(f"{_HERE}.robust_reference:RobustReference", "average of good channels", law="stream"),
        "scale": Row(f"{_HERE}.scale:Scale", "multiplies by a constant", law="stream"),
        "smooth": Row(f"{_HERE}.smooth:Smooth", "moving, exponential or Gaussian mean", law="stream"),
        "spectral": Row(f"{_HERE}.spectral:Spectral", "centroid, edge, entropy ... of the spectrum", law="stream"),
        "spectrogram": Row(f"{_HERE}.spectrogram:Spectrogram", "STFT, multitaper or mel spectrogram", law="stream"),
        "statistics": Row(f"{_HERE}.statistics:Statistics", "moments, crossings, peak to peak", law="stream"),
        "subspace": Row(f"{_HERE}.subspace:Subspace", "rebuilds large components from the rest", law="stream"),
        "wavelet": Row(f"{_HERE}.wavelet:Wavelet", "power, amplitude or phase by Morlet wavelets", law="stream"),
    },
)
