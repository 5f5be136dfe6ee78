"""Loaded by every Python that has this folder on its path: the clock shows a day in the year after the next.

For builds that must not depend on the day. Replacing the system's clock under a program (libfaketime) breaks its sleep.
"""

import datetime
import time

SHIFT_S = 400 * 86_400

_time, _time_ns = time.time, time.time_ns


def _with_default(function, position):
    """Give the function the shifted time where it would take the clock's."""

    def shifted(*args):
        return function(*args) if len(args) > position else function(*args, *_defaults[function]())

    return shifted


class _Like(type(datetime.datetime)):
    def __instancecheck__(cls, value):
        return isinstance(value, cls.__mro__[1])


class _Datetime(datetime.datetime, metaclass=_Like):
    @classmethod
    def now(cls, tz=None):
        return cls.__mro__[1].fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls):
        return cls.now(datetime.UTC).replace(tzinfo=None)

    @classmethod
    def today(cls):
        return cls.now()


class _Date(datetime.date, metaclass=_Like):
    @classmethod
    def today(cls):
        return cls.__mro__[1].fromtimestamp(time.time())


_defaults = {time.strftime: lambda: (time.localtime(),), time.asctime: lambda: (time.localtime(),)}
_defaults |= {name: lambda: (time.time(),) for name in (time.localtime, time.gmtime, time.ctime)}
for _function in tuple(_defaults):
    setattr(time, _function.__name__, _with_default(_function, int(_function is time.strftime)))
time.time = lambda: _time() + SHIFT_S
time.time_ns = lambda: _time_ns() + SHIFT_S * 10**9
datetime.datetime, datetime.date = _Datetime, _Date
