"""Old name of `alphaflops.prediction`, for commands and notebooks written with version 0.1."""

import sys

from . import prediction
from .prediction import zoo

sys.modules |= {__name__: prediction, f"{__name__}.zoo": zoo}
