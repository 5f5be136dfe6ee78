"""``python -m alphaflops``: the whole command line, or on a bare machine (no click) the part that measures."""

import sys
from importlib.util import find_spec

if find_spec("click") and find_spec("rich"):
    from alphaflops.cli import main
else:
    from alphaflops.bare import main

sys.exit(main())
