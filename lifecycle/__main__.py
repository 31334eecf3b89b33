"""The command line: ``python -m lifecycle`` and the script ``lifecycle``. What it does is in `lifecycle.cli`."""

import sys


def main() -> int:
    """
    Run the command line with the arguments of the process.

    Returns:
        The exit status: 0 clean, 1 findings, 2 usage, 3 input or output that failed, 130 interrupted.
    """
    try:
        try:
            import cyclopts
            import rich  # noqa: F401 -- the command line needs it later, and only where it draws
        except ModuleNotFoundError as error:
            if error.name not in ("cyclopts", "rich"):
                raise
            if sys.stderr is not None:
                sys.stderr.write(
                    "lifecycle: the command line needs cyclopts and rich; install them with: "
                    "pip install 'lifecycle[cli]'\n"
                )
            return 2
        del cyclopts
        from lifecycle.cli.app import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # while the imports ran
        return 130


if __name__ == "__main__":
    sys.exit(main())
