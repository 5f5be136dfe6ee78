"""``python -m alphaflops``: the command line."""

import sys

from alphaflops.cli import main

sys.exit(main())
