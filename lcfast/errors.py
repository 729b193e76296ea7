"""The errors that are lcfast's own."""


class ModelFileError(ValueError):
    """A model file that cannot be used: damaged, refused for safety, or of a kind not supported.

    The message is one sentence that names the file, the place inside it, what was found there,
    and what to do. Where the system fails to give the file at all (it does not exist, it may
    not be read), its own OSError is raised instead.

    Examples
    --------
    >>> from lcfast.errors import ModelFileError
    >>> issubclass(ModelFileError, ValueError)
    True
    """
