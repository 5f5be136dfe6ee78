"""Build without Python's collector of cyclic garbage.

It walks the trees of all pages again and again, for a quarter of the time of a build. The process ends with the build,
having used 600 MB instead of 400.
"""

import gc


def setup(app):
    """Register with Sphinx."""
    gc.disable()
    return {"parallel_read_safe": True, "parallel_write_safe": True}
