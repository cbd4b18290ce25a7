from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cascade_rpn_lite import detectron2_index_copy
from cascade_rpn_lite.detectron2_index_copy import SHA256, download, make_wheel

DIST_INFO = "sal_detectron2-0.7.2.dist-info"
METADATA = """\
Metadata-Version: 2.1
Name: sal-detectron2
Version: 0.7.2
Requires-Dist: Pillow>=7.1
Requires-Dist: numpy<2
Requires-Dist: numpydoc<3

It needs numpy<2.
"""


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """What an installer unpacks of a copy of three files."""
    folder = tmp_path / "unpacked"
    for name, text in {
        "detectron2/__init__.py": "",
        "detectron2/layers/wrappers.py": "one, two = 1, 2\n",
        "detectron2/_C.cpython-310-x86_64-linux-gnu.so": "\x7fELF",
        "detectron2/__pycache__/__init__.cpython-310.pyc": "",
        f"{DIST_INFO}/LICENSE": "Apache",
        f"{DIST_INFO}/METADATA": METADATA,
        f"{DIST_INFO}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp310-cp310-x\n",
        f"{DIST_INFO}/RECORD": "detectron2/_C.cpython-310-x86_64-linux-gnu.so,,\n",
        f"{DIST_INFO}/INSTALLER": "pip\n",
        f"{DIST_INFO}/REQUESTED": "",
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


@pytest.fixture
def wheel(unpacked, tmp_path):
    with zipfile.ZipFile(make_wheel(unpacked, tmp_path)) as archive:
        yield archive


def test_nothing_compiled_and_nothing_of_the_installer_is_in_the_wheel(wheel):
    assert Path(wheel.filename).name == "sal_detectron2-0.7.2-py3-none-any.whl"
    assert wheel.namelist() == [
        "detectron2/__init__.py",
        "detectron2/layers/wrappers.py",
        f"{DIST_INFO}/LICENSE",
        f"{DIST_INFO}/METADATA",
        f"{DIST_INFO}/WHEEL",
        f"{DIST_INFO}/RECORD",
    ]
    assert wheel.read(f"{DIST_INFO}/WHEEL").decode().splitlines()[-2:] == [
        "Root-Is-Purelib: true",
        "Tag: py3-none-any",
    ]


def test_the_record_holds_every_file_with_its_hash_and_size(wheel):
    rows = list(csv.reader(io.StringIO(wheel.read(f"{DIST_INFO}/RECORD").decode())))
    assert [name for name, _, _ in rows] == wheel.namelist()
    assert rows.pop() == [f"{DIST_INFO}/RECORD", "", ""]
    for name, digest, size in rows:
        content = wheel.read(name)
        assert len(content) == int(size)
        digest = digest.removeprefix("sha256=") + "="
        assert base64.urlsafe_b64decode(digest) == hashlib.sha256(content).digest()


def test_numpy_2_is_allowed(wheel):
    expected = METADATA.replace("Requires-Dist: numpy<2\n", "Requires-Dist: numpy\n")
    assert wheel.read(f"{DIST_INFO}/METADATA").decode() == expected


def test_the_hash_of_the_copy_is_demanded(tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(
        detectron2_index_copy.subprocess, "run", lambda words, check: commands.append(words)
    )
    assert download(["pip", "install"], tmp_path) == tmp_path / "unpacked"
    ((*words, requirements),) = commands
    assert words[:2] == ["pip", "install"]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} < set(words)
    assert SHA256 == "491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561"
    assert Path(requirements).read_text() == f"sal-detectron2==0.7.2 --hash=sha256:{SHA256}\n"


def test_an_installer_takes_the_copy_with_the_right_digest_alone(unpacked, tmp_path, monkeypatch):
    # The copy as an index has it, marked for Python 3.10.
    index = tmp_path / "index"
    index.mkdir()
    file = index / "sal_detectron2-0.7.2-cp310-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(unpacked.rglob("*")):
            name = path.relative_to(unpacked).as_posix()
            if path.is_file() and not name.endswith(("INSTALLER", "REQUESTED", "WHEEL", "RECORD")):
                archive.write(path, name)
        tag = "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp310-none-any\n"
        archive.writestr(f"{DIST_INFO}/WHEEL", tag)
        record = "".join(f"{name},,\n" for name in [*archive.namelist(), f"{DIST_INFO}/RECORD"])
        archive.writestr(f"{DIST_INFO}/RECORD", record)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    (tmp_path / "wrong").mkdir()
    with pytest.raises(subprocess.CalledProcessError):
        download(pip, tmp_path / "wrong")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr(detectron2_index_copy, "SHA256", digest)
    (tmp_path / "right").mkdir()
    wheel = make_wheel(download(pip, tmp_path / "right"), tmp_path / "right")
    target = tmp_path / "site-packages"
    subprocess.run([*pip, "--no-deps", "--target", str(target), str(wheel)], check=True)
    assert (target / "detectron2/layers/wrappers.py").read_text() == "one, two = 1, 2\n"
    assert not list(target.rglob("*.so"))
