import pickle

import pytest

from neural_foundation.core.errors import DataError, MissingExtraError, RecordingError, did_you_mean, one_of


def test_message_says_given_allowed_and_remedy() -> None:
    error = DataError("Rate is 0 Hz.", allowed="above 0", remedy="Check the header")
    assert str(error) == "Rate is 0 Hz. Allowed: above 0. Check the header."


def test_message_without_extras_is_one_sentence() -> None:
    assert str(DataError("No events")) == "No events."


@pytest.mark.parametrize(
    "error", [RecordingError("a.edf", "is empty", remedy="Copy it again"), MissingExtraError("mlflow", "tracking")]
)
def test_errors_come_back_whole_from_a_worker(error: Exception) -> None:
    back = pickle.loads(pickle.dumps(error))  # noqa: S301 - what the process pool does with our own errors
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.__dict__ == error.__dict__


def test_did_you_mean() -> None:
    assert did_you_mean("bandpas", ["bandpass", "notch"]) == " Did you mean 'bandpass'?"
    assert did_you_mean("xyz", ["bandpass"]) == ""


@pytest.mark.parametrize(
    ("names", "text"),
    [(["a"], "'a'"), (["a", "b"], "'a' or 'b'"), (["a", "b", "c"], "'a', 'b' or 'c'"), ([], "(none)")],
)
def test_one_of(names: list[str], text: str) -> None:
    assert one_of(names) == text
