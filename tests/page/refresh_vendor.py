"""Refresh of the vendored libraries from npm: ``python -m tests.page.refresh_vendor``. Needs npm.

The bare import of preact is rewritten, as inline import maps are forbidden by the page's policy; nothing else changes.
"""

import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

FILES: Final = {
    "preact@11": {
        "dist/preact.mjs": "preact.mjs",
        "hooks/dist/hooks.mjs": "hooks.mjs",
        "LICENSE": "preact.LICENSE.txt",
    },
    "htm@3": {"dist/htm.mjs": "htm.mjs", "LICENSE": "htm.LICENSE.txt"},
}


def main() -> None:
    """Fetch each package, take its files, say its version in VERSIONS.txt."""
    here = Path(__file__).parents[2] / "protocol" / "http_api" / "page" / "vendor"
    versions = []
    with tempfile.TemporaryDirectory() as folder:
        for package, files in FILES.items():
            said = subprocess.run(["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True)
            archive = said.stdout.decode().split()[-1]
            versions.append(archive.removesuffix(".tgz"))
            with tarfile.open(Path(folder, archive)) as tar:
                for inside, name in files.items():
                    member = tar.extractfile(f"package/{inside}")
                    assert member is not None, inside
                    text = member.read().decode().replace('from"preact"', 'from"./preact.mjs"')
                    lines = [line for line in text.splitlines() if not line.startswith("//# sourceMappingURL")]
                    (here / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (here / "VERSIONS.txt").write_text("\n".join(versions) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
