"""Packages of another architecture by apt-get, from directories of our own.

Room:    below fetch; the only module that runs the package manager.
Never:   writes to the system's package directories, runs its hooks, or needs to be root.
Holds:   the system's sources, keys and proxy are the ones used; every failure is a FetchError.
"""

import os
import shlex
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final, final

ARCHITECTURE: Final = "arm64"

_QUERY_SECONDS: Final = 60
_UPDATE_SECONDS: Final = 300
_DOWNLOAD_SECONDS: Final = 900
_REASON_LINES: Final = 2

_SETTINGS: Final = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
#clear Acquire::IndexTargets;
#clear Acquire::Languages;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Default-Release "";
Acquire::IndexTargets::deb::Packages {{
    MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages";
    flatMetaKey "Packages";
    ShortDescription "Packages";
    Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages";
    Optional "0";
}};
Acquire::Languages {{ "none"; }};
Acquire::GzipIndexes "true";
Acquire::Retries "1";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Dir::State "{folder}/state";
Dir::State::lists "{folder}/state/lists";
Dir::State::status "{folder}/state/status";
Dir::Cache "{folder}/cache";
Dir::Cache::archives "{folder}/cache/archives";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Dir::Etc::preferences "{folder}/none";
Dir::Etc::preferencesparts "{folder}/none";
Dir::Log "{folder}/log";
"""
"""Sandbox: the directories are in somebody's home, where the user _apt that root's apt becomes cannot read."""


@final
class FetchError(Exception):
    """The packages cannot be had: `reason`, and the `command` that failed ("" if none was run)."""

    def __init__(self, reason: str, command: Sequence[str] = ()) -> None:
        self.reason = reason
        self.command = shlex.join(command)
        super().__init__(f"{reason} (command: {self.command})" if command else reason)


@final
class Apt:
    """apt-get with its state, cache and settings in `folder`, which the caller made and removes."""

    __slots__ = ("_complaint", "_folder", "_settings")

    def __init__(self, folder: Path) -> None:
        """Write the settings.  Errors: FetchError if the path cannot be written in them."""
        if set(str(folder)) & set('"\n\\'):
            raise FetchError(f"apt cannot work in a directory with such a name: {folder}")
        self._folder = folder
        self._complaint = ""
        for name in ("state/lists/partial", "cache/archives/partial", "log"):
            (folder / name).mkdir(parents=True)
        (folder / "state/status").touch()
        self._settings = folder / "apt.conf"
        self._settings.write_text(_SETTINGS.format(architecture=ARCHITECTURE, folder=folder))

    def update(self) -> None:
        """Fetch the lists.  One source that cannot be reached does not matter if another has the packages."""
        command = self._command("apt-get", "-q", "update")
        ran = run(command, _UPDATE_SECONDS)
        self._complaint = reason_of(ran.stderr) if ran.returncode or "Failed to fetch" in ran.stderr else ""

    def dependency(self, metapackage: str, prefix: str) -> str:
        """Return the package beginning with `prefix` that `metapackage` depends on."""
        command = self._command("apt-cache", "depends", "--important", metapackage)
        for line in self._ask(command).splitlines():
            kind, _, name = line.strip().partition(": ")
            if kind.endswith("Depends") and name.startswith(prefix):
                return name
        raise FetchError(self._missing(f"{metapackage} depends on no {prefix}..."), command)

    def download(self, package: str) -> Path:
        """Fetch `package`, checked against the signed lists, and return the file."""
        into = self._folder / "packages" / package
        into.mkdir(parents=True)
        command = self._command("apt-get", "-q", "download", package)
        self._ask(command, _DOWNLOAD_SECONDS, into)
        found = sorted(into.glob("*.deb"))
        if not found:
            raise FetchError(f"apt-get left no package file of {package}", command)
        return found[0]

    def _command(self, program: str, *arguments: str) -> tuple[str, ...]:
        """Our settings are read after the system's, and so override them."""
        return (program, "-c", str(self._settings), *arguments)

    def _ask(self, command: Sequence[str], seconds: float = _QUERY_SECONDS, cwd: Path | None = None) -> str:
        ran = run(command, seconds, cwd=cwd)
        if ran.returncode:
            raise FetchError(self._missing(reason_of(ran.stderr) or f"exit status {ran.returncode}"), command)
        return ran.stdout

    def _missing(self, reason: str) -> str:
        """Return `reason`, after what `update` could not do, which may explain it."""
        return f"{self._complaint}; then: {reason}" if self._complaint else reason


def run(
    command: Sequence[str],
    seconds: float,
    *,
    cwd: Path | None = None,
    stdout: BinaryIO | int = subprocess.PIPE,
) -> subprocess.CompletedProcess[str]:
    """Run `command` to its end; whatever it started ends with it.  Errors: FetchError if it cannot, or takes longer."""
    try:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=os.environ | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            process_group=0,
        )
    except FileNotFoundError:
        raise FetchError(f"{command[0]} is not installed", command) from None
    except OSError as error:
        raise FetchError(f"{command[0]} does not start: {error.strerror}", command) from None
    with process:
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise FetchError(f"no end after {seconds:g} seconds", command) from None
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out or "", err)


def reason_of(complaint: str) -> str:
    """Return the first errors among apt's messages, or else warnings, or else lines, as one line."""
    lines = [line.strip() for line in complaint.splitlines() if line.strip()]
    for sign in ("E: ", "W: ", ""):
        if chosen := [line.removeprefix(sign) for line in lines if line.startswith(sign)]:
            return "; ".join(" ".join(line.split()) for line in chosen[:_REASON_LINES])
    return ""
