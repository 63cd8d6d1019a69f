"""Names of files that are not UTF-8: Python carries their bytes as half surrogate pairs, which no database holds."""


def is_text(name: str) -> bool:
    """Whether a name can be stored and printed as it is."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def printable(name: str) -> str:
    r"""The name with every byte that is not UTF-8 written out, as `\udcff`."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
