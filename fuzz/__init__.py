"""Coverage-guided fuzzing of every reader, with atheris; `python -m fuzz --help` says how."""
