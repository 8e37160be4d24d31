"""`python -m vm`."""

from __future__ import annotations

import sys

from vm import requirements


def main() -> int:
    if packages := requirements.missing():
        print(requirements.complaint(packages), file=sys.stderr)
        return 1
    from vm.cli import main

    return main()


if __name__ == "__main__":
    sys.exit(main())
