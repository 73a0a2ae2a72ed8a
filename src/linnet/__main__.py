"""The command `linnet`, as it is started: `linnet`, or `python -m linnet`."""

import sys


def main() -> int:
    """Run the command line; see `linnet.cli.main`. An interrupt while that is loaded ends it in the same way."""
    try:
        from linnet.cli import main as run

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
