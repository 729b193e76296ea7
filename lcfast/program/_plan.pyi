"""Python interface of the extension; _program.pyx is its caller."""

class Plan:
    rows: int
