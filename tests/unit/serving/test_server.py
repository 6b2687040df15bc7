import socket
from contextlib import closing
from pathlib import Path

import pytest

from neural_foundation.core.errors import PackageError, SpecError, StoreError
from neural_foundation.models.package import Package
from neural_foundation.serving.models import ServedModels, package_folder
from neural_foundation.serving.server import listening
from neural_foundation.serving.settings import Served, ServeSettings


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
