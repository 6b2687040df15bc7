import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from neural_foundation.cli.serve import settings_of
from neural_foundation.core.errors import PackageError, SpecError, StoreError
from neural_foundation.models.package import Package
from neural_foundation.serving.hello import Hello
from neural_foundation.serving.models import ServedModels, package_folder
from neural_foundation.serving.server import address, check_tls, listening
from neural_foundation.serving.settings import Limits, Served, ServeSettings

DEPLOY = Path(__file__).parents[3] / "deploy"


def settings(port: int = 0) -> ServeSettings:
    return ServeSettings(packages=(Served(folder=Path("none")),), port=port)


def test_answers_are_sent_at_once() -> None:
    """asyncio sets TCP_NODELAY on sockets that say they are TCP; without it an answer can wait 40 ms for the last."""
    with closing(listening(settings())) as made:
        assert made.proto == socket.IPPROTO_TCP


def test_a_port_that_is_taken_is_one_clear_error() -> None:
    with closing(listening(settings())) as made:
        made.listen()
        with pytest.raises(StoreError, match=r"cannot be listened on .*Give another --port"):
            listening(settings(made.getsockname()[1]))


def test_a_server_that_others_can_reach_needs_keys() -> None:
    packages = (Served(folder=Path("x")),)
    with pytest.raises(ValueError, match=r"host '0.0.0.0' is reachable from elsewhere"):
        ServeSettings(packages=packages, host="0.0.0.0")
    assert ServeSettings(packages=packages, host="0.0.0.0", keys=Path("keys.json")).secured
    assert ServeSettings(packages=packages, host="0.0.0.0", open_to_all=True).open_to_all
    with pytest.raises(ValueError, match="TLS needs both"):
        ServeSettings(packages=packages, tls_key=Path("key.pem"))


def test_a_package_is_found_in_the_folder_of_a_run(exported_package: Package, tmp_path: Path) -> None:
    assert package_folder(exported_package.folder) == exported_package.folder
    with pytest.raises(PackageError, match="holds no exported package"):
        package_folder(tmp_path)
    for key in ("a", "b"):
        (tmp_path / "export" / key).mkdir(parents=True)
        (tmp_path / "export" / key / "package.json").write_text("{}")
        if key == "a":
            assert package_folder(tmp_path) == tmp_path / "export" / "a"
    with pytest.raises(PackageError, match="holds 2 exported packages"):
        package_folder(tmp_path)


def test_two_packages_of_one_task_need_names(exported_package: Package, tmp_path: Path) -> None:
    (tmp_path / "other").symlink_to(exported_package.folder)
    one, two = Served(folder=exported_package.folder), Served(folder=tmp_path / "other")
    with pytest.raises(SpecError, match="Two packages decode the task 'hands'"):
        ServedModels([one, two])
    models = ServedModels([one, Served(folder=tmp_path / "other", task="again")])
    assert models.tasks == ("hands", "again")
    assert models["again"].task == "again"


def pair(folder: Path, name: str, password: bytes | None = None) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = x509.CertificateBuilder().subject_name(who).issuer_name(who).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    how = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, how))
    return certificate, private


def tls(certificate: Path, key: Path) -> ServeSettings:
    return ServeSettings(packages=(Served(folder=Path("none")),), tls_certificate=certificate, tls_key=key)


def test_a_certificate_that_does_not_serve_is_one_clear_error_at_start(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path, "a")
    _, other = pair(tmp_path, "b")
    locked, locked_key = pair(tmp_path, "c", b"secret")
    check_tls(tls(certificate, key))
    check_tls(settings())
    wrong = [(certificate, tmp_path / "gone"), (tmp_path, key), (certificate, other), (key, certificate)]
    for given in [*wrong, (locked, locked_key)]:
        with pytest.raises(SpecError, match=r"TLS cannot be served with .*Check both paths"):
            check_tls(tls(*given))


def test_an_address_is_one_that_can_be_typed(tmp_path: Path) -> None:
    with closing(listening(settings())) as made:
        port = made.getsockname()[1]
        assert address(settings(), made) == f"http://127.0.0.1:{port}"
        assert address(settings().model_copy(update={"host": "::1"}), made) == f"http://[::1]:{port}"
        assert address(tls(*pair(tmp_path, "a")), made) == f"https://127.0.0.1:{port}"


def test_keys_in_the_clear_are_warned_of(tmp_path: Path) -> None:
    def clear(**more: Any) -> bool:
        return ServeSettings(packages=(Served(folder=Path("x")),), **more).in_the_clear

    keys, (certificate, key) = Path("keys.json"), pair(tmp_path, "a")
    assert clear(host="0.0.0.0", keys=keys)
    assert not clear(keys=keys), "on this machine alone"
    assert not clear(host="0.0.0.0", open_to_all=True), "there are no keys"
    assert not clear(host="0.0.0.0", keys=keys, tls_certificate=certificate, tls_key=key)


@pytest.mark.parametrize("name", list(Limits.model_fields))
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 1e12])
def test_a_limit_is_a_limit(name: str, value: float) -> None:
    with pytest.raises(ValidationError, match=name):
        Limits.model_validate({name: value})


@pytest.mark.parametrize("step", [1e-13, 1.1, float("inf"), float("nan"), -1e-6])
def test_a_unit_of_samples_is_one_of_an_amplifier(step: float) -> None:
    assert Hello(dtype="int16", step=1e-12).step == 1e-12
    with pytest.raises(ValidationError, match="step"):
        Hello(dtype="int16", step=step)


def test_the_example_of_all_settings_is_one(tmp_path: Path) -> None:
    found = settings_of(DEPLOY / "systemd" / "server.yaml", [], "", {"device": None, "port": 1})
    assert [p.task for p in found.packages] == ["motor_imagery"]
    assert (found.port, found.logs, found.limits.connections) == (1, "json", 30)
    more = tmp_path / "server.yaml"
    more.write_text((DEPLOY / "systemd" / "server.yaml").read_text() + "device: cuda:1\n")
    assert settings_of(more, [], "", {"device": None}).device == "cuda:1"
    assert settings_of(more, [], "", {"device": "cpu"}).device == "cpu", "options win"


def test_what_is_not_given_to_serve_leaves_the_file_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from neural_foundation.cli import app, serve

    seen: list[ServeSettings] = []
    monkeypatch.setattr(serve, "_run", seen.append)
    config = tmp_path / "server.yaml"
    config.write_text("packages:\n  - folder: x\ndevice: cuda:1\n")
    result = CliRunner().invoke(app, ["serve", "--config", str(config)])
    assert result.exit_code == 0, result.output
    assert seen[0].device == "cuda:1"
