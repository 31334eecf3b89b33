"""The command line: ``python -m lifecycle`` and the script ``lifecycle``. What it does is in `lifecycle.cli`."""

import gc
import sys
from importlib.util import find_spec


def main() -> int:
    """
    Run the command line with the arguments of the process.

    Returns:
        The exit status: 0 clean, 1 findings, 2 usage, 3 input or output that failed, 130 interrupted.
    """
    try:
        if not all(map(find_spec, ("cyclopts", "rich"))):
            if sys.stderr is not None:
                sys.stderr.write("lifecycle: the command line needs more: pip install 'lifecycle[cli]'\n")
            return 2
        gc.disable()  # nothing of what an import leaves is garbage
        from lifecycle.cli.app import run

        gc.enable()
        return run(sys.argv[1:])
    except KeyboardInterrupt:  # while the imports ran
        return 130


if __name__ == "__main__":
    sys.exit(main())
