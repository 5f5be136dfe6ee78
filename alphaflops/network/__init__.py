"""Networks as lists of operators: which layers one call runs, what they multiply and what they move."""

from .operations import Network, Operation, unknown_warning
from .trace import trace

__all__ = ["Network", "Operation", "trace", "unknown_warning"]
