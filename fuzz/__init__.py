"""Coverage-guided fuzzing of every reader with atheris; see `python -m fuzz --help`."""
