"""Fill what is known of an sdist into a template of its port.

python fill.py SDIST TEMPLATE RESULT

@VERSION@, @SHA256@ and @SIZE@ stand for the sdist's, @TIMESTAMP@ for the time of this, unless
SOURCE_DATE_EPOCH says another.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from pathlib import Path


def main() -> None:
    """Write the result, or end with what is wrong."""
    sdist, template, result = map(Path, sys.argv[1:])
    named = re.fullmatch(r"(?:mogpoll|mogstored)-(\d[\w.]*)\.tar\.gz", sdist.name)
    if named is None:
        raise SystemExit(f"{sdist} is not named like an sdist of ours")
    content = sdist.read_bytes()
    known = {
        "VERSION": named[1],
        "SHA256": hashlib.sha256(content).hexdigest(),
        "SIZE": str(len(content)),
        "TIMESTAMP": os.environ.get("SOURCE_DATE_EPOCH") or str(int(time.time())),
    }
    text = template.read_text()
    result.write_text(re.sub("@([A-Z0-9]+)@", lambda found: known[found[1]], text))


if __name__ == "__main__":
    main()
