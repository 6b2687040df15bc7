#!/usr/bin/env bash
# Each extra in a virtual environment of its own: it installs, its libraries import, the tests that need it pass.
# Usage: tests/each_extra.sh [PYTHON [EXTRA ...]]; all extras of pyproject.toml when none is named.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
shift || true

declare -A libraries=(
  [tracking]="tensorboard mlflow wandb" [hub]="huggingface_hub" [brain]="temporaldata" [tables]="pyarrow" [hms]="pyarrow transformers skl2onnx" [remote]="fsspec" [serve]="fastapi uvicorn websockets" [traces]="opentelemetry" [lsl]="pylsl" [brainflow]="brainflow"
  [ray]="ray ray.tune" [slurm]="submitit"
  [test]="pytest xdist pytest_cov hypothesis jsonschema" [dev]="mypy" [docs]="sphinx myst_parser numpydoc"
)
check() { # EXTRA BIN: what only this extra makes possible
  case $1 in
    tracking) "$2/pytest" -q tests/unit/learning/test_tracking.py ;;
    hub) "$2/pytest" -q tests/unit/api/test_hub.py ;;
    brain) "$2/pytest" -q tests/unit/recordings/test_hdf5.py ;;
    tables) "$2/pytest" -q tests/unit/recordings/test_tables.py ;;
    hms) "$2/pytest" -q tests/unit/datasets/test_simulated_hms.py tests/unit/export/test_tree_graph.py ;;
    remote) "$2/pytest" -q tests/unit/sampling -k remote ;;
    serve) "$2/pytest" -q --ignore tests/unit/serving/test_tracing.py tests/unit/serving tests/integration/test_serving.py -m "not slow" ;;
    traces) "$2/pytest" -q tests/unit/serving/test_tracing.py ;;
    lsl) "$2/pytest" -q tests/unit/realtime/test_lsl_source.py ;;
    brainflow) "$2/pytest" -q tests/unit/realtime/test_brainflow_source.py ;;
    ray) "$2/pytest" -q tests/integration/test_tune.py tests/integration/test_executor_ray.py ;;
    slurm) "$2/pytest" -q tests/integration/test_executor_slurm.py ;;
    test) "$2/pytest" -q tests/unit/core tests/unit/cli ;;
    dev) "$2/ruff" check . && "$2/mypy" ;;
    docs) "$2/pytest" -q tests/unit/test_docs.py -k build ;;
    *) echo "extra '$1' has no check: add one to $0" >&2 && return 1 ;;
  esac
}

extras=("$@")
if [ ${#extras[@]} -eq 0 ]; then
  list='import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"])'
  read -ra extras <<<"$("$python" -c "$list")"
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for extra in "${extras[@]}"; do
  echo "== $extra"
  "$python" -m venv "$work/$extra"
  bin=$work/$extra/bin
  "$bin/pip" install --quiet --constraint constraints.txt torch==2.13.0
  with=$extra
  [ "$extra" != dev ] || with=test,dev # types are checked with the libraries that the tests need
  "$bin/pip" install --quiet --constraint constraints.txt --editable ".[$with]" pytest hypothesis httpx # of the tests
  for library in ${libraries[$extra]:-}; do "$bin/python" -W ignore -c "import $library"; done
  check "$extra" "$bin"
  rm -rf "${work:?}/$extra"
done
