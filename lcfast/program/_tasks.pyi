"""The extension has nothing for Python; _program.pyx calls it."""
