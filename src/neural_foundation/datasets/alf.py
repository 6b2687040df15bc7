"""Which files of a session in IBL's ALF layout are read, and under which names.

Source: the ALF convention as ONE documents it (int-brain-lab.github.io/ONE, "ALF"): `collection/#revision#/file`. Of a
file with several revisions the newest is taken, the one without a revision being the oldest; revisions are ordered as
words. Of several sorters of a probe the first of SORTERS is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

SORTERS = ("iblsorter", "pykilosort", "")
_PATH = re.compile(
    r"alf/(?:(?P<probe>probe\d\d)/)?(?:(?P<sorter>[A-Za-z]\w*)/)?(?:#(?P<revision>[^#/]+)#/)?(?P<name>[^/]+)"
)
TRIALS = "_ibl_trials.table.pqt"
TRIAL = re.compile(r"_ibl_trials\.(\w+)\.npy")
SPIKES, CLUSTERS = "spikes.times.npy", "spikes.clusters.npy"
_OF_PROBE = re.compile(
    r"spikes\.(times|clusters)\.npy|clusters\.(channels|depths)\.npy|clusters\.metrics\.pqt|clusters\.uuids\.csv|"
    r"(clusters|channels)\.brainLocation(Acronyms|Ids)(_ccf_2017)?\.npy"
)
_OF_SESSION = re.compile(
    r"_ibl_trials\.table\.pqt|_ibl_trials\.(intervals|stimOn_times|choice|probabilityLeft|feedbackType|contrastLeft|"
    r"contrastRight|feedback_times|response_times|goCue_times|firstMovement_times|rewardVolume)\.npy|"
    r"_ibl_wheel\.(position|timestamps)\.npy|(left|right)Camera\.ROIMotionEnergy\.npy|"
    r"_ibl_(left|right)Camera\.times\.npy"
)

Chosen = dict[tuple[str, str], str]  # (probe, or '' for the session; name) -> path below the session
_Found = dict[tuple[str, str, str], tuple[str, str]]  # (probe, sorter, name) -> (revision, path)


def choose(paths: Iterable[str], *, sorter: str | None = None, revision: str | None = None) -> Chosen:
    """Return the files to read out of all paths below a session; empty where no probe has spikes.

    sorter : only this one's folder. revision : nothing newer than this.
    """
    newest: _Found = {}
    for path in paths:
        match = _PATH.fullmatch(path)
        if match is None or not _wanted(match):
            continue
        key, own = (match["probe"] or "", match["sorter"] or "", match["name"]), match["revision"] or ""
        if (revision is None or own <= revision) and own >= newest.get(key, ("", ""))[0]:
            newest[key] = (own, path)
    chosen: Chosen = {}
    for probe in sorted({p for p, _, _ in newest if p}):
        of = _sorter(newest, probe, sorter)
        chosen |= {(p, name): at for (p, s, name), (_, at) in newest.items() if p == probe and s == of}
    if not chosen:
        return {}
    session = {("", name): at for (p, _, name), (_, at) in newest.items() if not p}
    if ("", TRIALS) in session:  # it has all that the files of single columns have
        session = {key: at for key, at in session.items() if not TRIAL.fullmatch(key[1])}
    return dict(sorted((chosen | session).items()))


def revisions(chosen: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Return name (behind its probe) -> revision of the files that have one."""
    found = {key: match["revision"] for key, at in chosen.items() if (match := _PATH.fullmatch(at))}
    return {"/".join(filter(None, key)): own for key, own in found.items() if own}


def _wanted(match: re.Match[str]) -> bool:
    if match["probe"]:
        return _OF_PROBE.fullmatch(match["name"]) is not None
    return match["sorter"] is None and _OF_SESSION.fullmatch(match["name"]) is not None


def _sorter(newest: _Found, probe: str, asked: str | None) -> str | None:
    there = [s for p, s, name in newest if p == probe and name == SPIKES]
    if asked is not None:
        return asked if asked in there else None
    return next((s for s in SORTERS if s in there), None)
