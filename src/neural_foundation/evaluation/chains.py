"""Chains of electrodes: bipolar channels that follow each other over the head, as "Fp1-F7", "F7-T7" do."""

from __future__ import annotations

from collections.abc import Sequence


def chains(ch_names: Sequence[str]) -> list[list[int]]:
    """Return bipolar channels by chain: a new one begins where a channel does not go on from the one before."""
    made: list[list[int]] = []
    for i, name in enumerate(ch_names):
        first = name.partition("-")[0]
        goes_on = "-" in name and made and ch_names[made[-1][-1]].partition("-")[2] == first
        if goes_on or (made and "-" not in name and "-" not in ch_names[made[-1][-1]]):
            made[-1].append(i)
        else:
            made.append([i])
    return made


def chain_name(ch_names: Sequence[str], chain: Sequence[int]) -> str:
    """Return the electrodes of a chain, first to last: "Fp1 F7 T7 P7 O1"."""
    names = [ch_names[i] for i in chain]
    if any("-" not in n for n in names):
        return "all channels" if len(chain) > 1 else names[0]
    return " ".join([names[0].partition("-")[0], *[n.partition("-")[2] for n in names]])


def chains_or_channels(ch_names: Sequence[str]) -> list[list[int]]:
    """Return the chains of bipolar channels, and every other channel alone."""
    found = chains(ch_names)
    return [part for c in found for part in ([c] if "-" in ch_names[c[0]] else [[i] for i in c])]
