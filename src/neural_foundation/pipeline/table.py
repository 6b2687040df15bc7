"""The kinds of stages."""

from ..core.kinds import KindTable, Row

_HERE = "neural_foundation.pipeline.stages"

STAGES = KindTable(
    "stages",
    {
        "prepare": Row(f"{_HERE}.prepare:Prepare", "recordings -> cleaned, continuous recordings"),
        "split": Row(f"{_HERE}.split:Split", "who is held out, before anything learns"),
        "bin": Row(f"{_HERE}.bin:Bin", "recordings -> spikes and behaviour in the bins of their trials"),
        "split_trials": Row(f"{_HERE}.split_trials:SplitTrials", "which trials are held out, before anything learns"),
        "fit": Row(f"{_HERE}.fit:Fit", "model + learner + data -> package"),
        "package": Row(f"{_HERE}.package:GivenPackage", "a package of binned sessions from elsewhere"),
        "calibrate": Row(f"{_HERE}.calibrate:Calibrate", "package -> package that knows how sure it may be"),
        "evaluate": Row(f"{_HERE}.evaluate:Evaluate", "packages on held-out people -> scores"),
        "fit_trials": Row(f"{_HERE}.fit_trials:FitTrials", "model + learner + binned sessions -> package"),
        "evaluate_trials": Row(
            f"{_HERE}.evaluate_trials:EvaluateTrials", "packages on held-out trials, encoding and decoding -> scores"
        ),
        "ensemble": Row(f"{_HERE}.ensemble:Ensemble", "packages on held-out people and experts' votes -> one ensemble"),
        "export": Row(f"{_HERE}.export:Export", "package -> package with an ONNX step graph"),
        "export_trials": Row(
            f"{_HERE}.export_trials:ExportTrials", "package of binned sessions -> package with an ONNX graph of one"
        ),
        "export_ensemble": Row(
            f"{_HERE}.export_ensemble:ExportEnsemble", "an ensemble and its members' packages -> one that is served"
        ),
        "replay": Row(f"{_HERE}.replay:Replay", "a held-out recording, live, through the exported decoder"),
        "report": Row(f"{_HERE}.report:Report", "one HTML page with figures and where they come from"),
        "report_votes": Row(f"{_HERE}.report_votes:ReportVotes", "one HTML page of models beside experts' votes"),
        "report_trials": Row(f"{_HERE}.report_trials:ReportTrials", "one HTML page of encoding and decoding"),
    },
)
