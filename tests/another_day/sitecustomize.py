"""Loaded by every Python that has this folder on its path: the clock shows a day in the year after the next.

For builds that must not depend on the day. libfaketime, which shifts the clock of any program, breaks Python's sleep.
"""

import ctypes
import datetime
import gc
import time

SHIFT_S = 400 * 86_400

_time, _time_ns = time.time, time.time_ns
_fromtimestamp = datetime.datetime.fromtimestamp
_date = datetime.date.fromtimestamp


def _with_default(function, position, default):
    """Give the function the shifted time where it would take the clock's."""

    def shifted(*args):
        return function(*args) if len(args) > position else function(*args, default())

    return shifted


def _replace(kind, **methods):
    """Replace class methods of a built-in class in place: compiled libraries check that it stays the same class."""
    for name, method in methods.items():
        gc.get_referents(kind.__dict__)[0][name] = classmethod(method)
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


for _function in (time.localtime, time.gmtime, time.ctime):
    setattr(time, _function.__name__, _with_default(_function, 0, lambda: time.time()))
for _position, _function in ((1, time.strftime), (0, time.asctime)):
    setattr(time, _function.__name__, _with_default(_function, _position, lambda: time.localtime()))
time.time = lambda: _time() + SHIFT_S
time.time_ns = lambda: _time_ns() + SHIFT_S * 10**9
_replace(
    datetime.datetime,
    now=lambda cls, tz=None: _fromtimestamp(time.time(), tz),
    utcnow=lambda cls: _fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None),
    today=lambda cls: _fromtimestamp(time.time()),
)
_replace(datetime.date, today=lambda cls: _date(time.time()))
