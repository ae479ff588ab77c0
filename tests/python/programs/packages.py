"""Makes packages that pip can install without a network: one that is built, and one that brings what builds it.

packages.py DIR
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

MODULE = """import sys


def main():
    print("{name} runs in", sys.prefix)
"""

BUILD = '''"""Builds itself."""

import packages


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return packages.wheel(wheel_directory, "tiny-source")
'''

PROJECT = """[build-system]
requires = []
build-backend = "build_me"
backend-path = ["."]

[project]
name = "tiny-source"
version = "1.0"
"""


def wheel(folder, name):
    module = name.replace("-", "_")
    about = f"{module}-1.0.dist-info"
    files = {
        f"{module}/__init__.py": MODULE.format(name=name),
        f"{module}/data/numbers.txt": "\n".join(map(str, range(5000))),
        **{f"{module}/part{number}.py": f"VALUE = {number}\n" * 20 for number in range(30)},
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": f"[console_scripts]\n{name} = {module}:main\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
    path = f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / path, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return path


def source(folder):
    with tarfile.open(folder / "tiny_source-1.0.tar.gz", "w:gz") as archive:
        for name, content in {
            "pyproject.toml": PROJECT,
            "build_me.py": BUILD,
            "packages.py": Path(__file__).read_text(encoding="utf-8"),
            "PKG-INFO": "Metadata-Version: 2.1\nName: tiny-source\nVersion: 1.0\n",
        }.items():
            member = tarfile.TarInfo(f"tiny_source-1.0/{name}")
            content = content.encode()
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


if __name__ == "__main__":
    packages = Path(sys.argv[1])
    packages.mkdir()
    wheel(packages, "tiny-wheel")
    source(packages)
