"""Paths that try to leave their folder, as they stand in the target of a request, and filters that try to be SQL."""

TRAVERSALS = [
    f"{step * depth}{goal}"
    for step in (
        "../", "..\\", "%2e%2e/", "..%2f", "%2e%2e%2f", "%252e%252e%252f", "..%c0%af", "%c0%ae%c0%ae/", "....//",
    )
    for depth in (1, 6)
    for goal in ("keys.json", "catalogue/keys.json", "etc/passwd")
] + [
    "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "file:%2f%2f%2fetc%2fpasswd", "C:%5cWindows%5cwin.ini", "%00",
    "a%00/../keys.json", "keys.json%00.png", "..;/keys.json", "%ff%fe", "%f0%82%82%ac", "%u002e%u002e/", ".", "..", "~",
    "%0d%0aSet-Cookie:a=b", "%e2%80%a8", "x" * 8000, "%2e" * 3000,
    "aux", "nul", "-rf", "/items", "$(id)", "`id`", "'; DROP TABLE items;--",
]  # fmt: skip

FILTERS = [
    "1; DROP TABLE items", "id == '' OR 1=1 --", "id == 'a' UNION SELECT * FROM meta", "(" * 5000, "not " * 5000,
    "load_extension('x')", "id == char(0)", "id == '\0'", "[id] == readfile('/etc/passwd')", "genus == '%s%s%n'",
    "é == 1", "id in (" + ",".join(["'a'"] * 5000) + ")", "year > 1e999", "year > " + "9" * 5000, "a.b == 1",
    "'a' == 'a'", "\ud7ff",
    " and ".join(["genus == 'Rubra'"] * 1000), "contains(id, '" + "%_" * 4000 + "')", "startswith(id, '*?[')",
]  # fmt: skip
