"""The order of the examples: the quick start, then by name."""


def quick_start_first(filename):
    """Return the key by which sphinx-gallery sorts the files of the gallery."""
    return filename != "plot_quick_start.py", filename
