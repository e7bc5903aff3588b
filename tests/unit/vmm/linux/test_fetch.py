"""A kernel is fetched once, completely or not at all; what cannot be fetched is one error with its reason."""

import fcntl
import gzip
import shutil
import struct
import threading
from pathlib import Path
from time import sleep

import pytest

from tests.unit.vmm.linux import fake_apt
from vmm.linux.apt import Apt, FetchError, reason_of, run
from vmm.linux.fetch import KEPT, default_cache, fetch, member, plain_image


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if not Path("/bin/sh").exists():
        pytest.skip("there is no /bin/sh")
    folder = tmp_path / "programs"
    folder.mkdir()
    fake_apt.install(folder)
    monkeypatch.setenv("PATH", str(folder))
    return folder


def zboot(method: bytes, payload: bytes) -> bytes:
    return (
        struct.pack("<4s4sII8x32s", b"MZ\0\0", b"zimg", 64, len(payload), method).ljust(64, b"\0") + payload + b"tail"
    )


def test_a_kernel_is_fetched_then_kept(programs: Path, tmp_path: Path) -> None:
    told: list[str] = []
    kernel = fetch(tmp_path / "cache", told.append)
    assert kernel.version == fake_apt.VERSION
    assert kernel.image.read_bytes() == fake_apt.IMAGE
    assert kernel.busybox.read_bytes() == fake_apt.BUSYBOX
    assert kernel.packages == (f"{fake_apt.KERNEL}_1_arm64.deb", "busybox-static_1_arm64.deb")
    assert f"fetching {fake_apt.KERNEL}" in told
    ran = fake_apt.calls(programs)
    assert fetch(tmp_path / "cache") == kernel
    assert fake_apt.calls(programs) == ran, "the second time nothing is run"


def test_nothing_but_the_kernel_stays_in_the_cache(programs: Path, tmp_path: Path) -> None:
    fetch(tmp_path / "cache")
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {KEPT, "lock"}


@pytest.mark.parametrize("lost", ["Image", "busybox", "about.json"])
def test_an_incomplete_kernel_is_fetched_again(programs: Path, tmp_path: Path, lost: str) -> None:
    kernel = fetch(tmp_path / "cache")
    (kernel.image.parent / lost).unlink()
    assert fetch(tmp_path / "cache") == kernel
    assert kernel.image.is_file()


def test_of_two_processes_one_fetches(programs: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    kernel = fetch(cache)
    ran = fake_apt.calls(programs)
    hidden = cache / "hidden"
    (cache / KEPT).rename(hidden)
    told: list[str] = []
    waits = threading.Event()

    def tell(what: str) -> None:
        told.append(what)
        waits.set()

    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=fetch, args=(cache, tell))
        other.start()
        assert waits.wait(20)
        hidden.rename(cache / KEPT)  # the one that has the lock is done
    other.join(20)
    assert told == ["waiting for another process that is fetching"]
    assert fake_apt.calls(programs) == ran
    assert fetch(cache) == kernel


FAILURES = {
    "there is no apt-get": ("rm {0}/apt-get", "apt-get is not installed"),
    "there is no dpkg-deb": ("rm {0}/dpkg-deb", "dpkg-deb is not installed"),
    "there is no such package": ("rm {0}/busybox-static.deb", "Unable to locate package busybox-static"),
    "the metapackage has another dependency": ("echo 'echo Depends: other' >{0}/apt-cache", "does not start"),
    "the package is no package": ("echo >{0}/busybox-static.deb", "busybox-static_1_arm64.deb"),
}


@pytest.mark.parametrize(("harm", "reason"), FAILURES.values(), ids=FAILURES)
def test_what_cannot_be_fetched_is_one_error(programs: Path, tmp_path: Path, harm: str, reason: str) -> None:
    run(["/bin/sh", "-c", "PATH=/usr/bin:/bin; " + harm.format(programs)], 20)
    with pytest.raises(FetchError) as caught:
        fetch(tmp_path / "cache")
    assert reason in caught.value.reason
    assert caught.value.command.split()[0] in {"apt-get", "apt-cache", "dpkg-deb"}
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"lock"}, "nothing half done is left"


def test_without_network_the_reason_is_what_could_not_be_reached(programs: Path, tmp_path: Path) -> None:
    fake_apt.install(programs, update="echo 'W: Failed to fetch http://mirror  Could not resolve' >&2")
    (programs / f"{fake_apt.KERNEL}.deb").unlink()
    with pytest.raises(FetchError) as caught:
        fetch(tmp_path / "cache")
    assert caught.value.reason.startswith("Failed to fetch http://mirror Could not resolve; then: ")


def test_a_source_that_fails_does_not_matter_if_another_has_the_packages(programs: Path, tmp_path: Path) -> None:
    fake_apt.install(programs, update="echo 'E: The repository has no Release file' >&2; exit 100")
    assert fetch(tmp_path / "cache").version == fake_apt.VERSION


def test_a_command_that_does_not_end_is_ended_with_what_it_started(tmp_path: Path) -> None:
    late = tmp_path / "late"
    with pytest.raises(FetchError, match=r"no end after 0\.2 seconds") as caught:
        run(["/bin/sh", "-c", f"(sleep 1; touch {late}) & wait"], 0.2)
    assert caught.value.command.startswith("/bin/sh -c ")
    sleep(1.2)
    assert not late.exists()


def test_a_cache_that_cannot_be_written_is_the_same_error(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match="file: "):
        fetch(tmp_path / "file")


def test_apt_refuses_a_directory_that_its_settings_cannot_name(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="such a name"):
        Apt(tmp_path / 'with"quote')


def test_the_system_is_left_alone(tmp_path: Path) -> None:
    """apt reads our settings as directories of ours; it would otherwise run hooks, and fetch for this machine."""
    if shutil.which("apt-config") is None:
        pytest.skip("apt-config is not installed")
    Apt(tmp_path / "apt")
    dump = run(["apt-config", "-c", str(tmp_path / "apt/apt.conf"), "dump"], 20).stdout
    settings = dict(line.rstrip(";").split(" ", 1) for line in dump.splitlines() if " " in line)
    own = [name for name, value in settings.items() if str(tmp_path) in value]
    assert {"Dir::State", "Dir::State::lists", "Dir::State::status", "Dir::Cache", "Dir::Cache::archives"} <= set(own)
    assert settings["APT::Architecture"] == '"arm64"'
    assert [line for line in dump.splitlines() if line.startswith("APT::Architectures::")] == [
        'APT::Architectures:: "arm64";'
    ]
    assert not [name for name in settings if name.startswith("APT::Update::") and name.endswith("::")], "no hooks"


def test_the_cache_is_where_xdg_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache() == tmp_path / "vgic/linux"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative paths are to be ignored")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache() == tmp_path / ".cache/vgic/linux"


KERNELS = {
    "plain": fake_apt.IMAGE,
    "gzip": gzip.compress(fake_apt.IMAGE),
    "EFI zboot": zboot(b"gzip", gzip.compress(fake_apt.IMAGE)),
}


@pytest.mark.parametrize("packed", KERNELS.values(), ids=KERNELS)
def test_a_kernel_is_unpacked(packed: bytes) -> None:
    assert plain_image(packed) == fake_apt.IMAGE


BAD_KERNELS = {
    "a cut gzip file": (gzip.compress(fake_apt.IMAGE)[:-9], "damaged"),
    "a damaged gzip file": (b"\x1f\x8b\x08\x00" + bytes(6) + b"\xff" * 20, "damaged"),
    "another compression": (zboot(b"zstd22", b"?"), "compressed by zstd22"),
    "another architecture": (b"MZ".ljust(128, b"\0"), "no arm64 Image"),
    "nothing": (b"", "no arm64 Image"),
}


@pytest.mark.parametrize(("packed", "reason"), BAD_KERNELS.values(), ids=BAD_KERNELS)
def test_what_is_no_kernel_is_refused(packed: bytes, reason: str) -> None:
    with pytest.raises(FetchError, match=reason):
        plain_image(packed)


def test_a_package_without_the_file_is_named(programs: Path) -> None:
    with pytest.raises(FetchError, match=r"busybox-static\.deb has no sbin/init"):
        member(programs / "busybox-static.deb", "sbin/init")


REASONS = {
    "the first errors count": ("W: one\nE: two\nE: three\nE: four\n", "two; three"),
    "warnings if there is no error": ("noise\nW: Failed to fetch x   y\n", "Failed to fetch x y"),
    "else what there is": ("dpkg-deb: error: not a package\n", "dpkg-deb: error: not a package"),
    "nothing was said": ("\n", ""),
}


@pytest.mark.parametrize(("said", "reason"), REASONS.values(), ids=REASONS)
def test_reason_of(said: str, reason: str) -> None:
    assert reason_of(said) == reason
