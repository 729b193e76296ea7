"""Models: built in Python or loaded from files, scored, converted and saved."""

from lcfast.models.converting import convert
from lcfast.models.folding import FoldedModel, folded
from lcfast.models.from_config import from_config
from lcfast.models.loading import load_model, model_from_json
from lcfast.models.model import Model
from lcfast.models.sequential import Sequential

# Set here, because loading imports Model.
Model.from_config = classmethod(from_config)  # type: ignore[assignment]

__all__ = [
    "FoldedModel",
    "Model",
    "Sequential",
    "convert",
    "folded",
    "load_model",
    "model_from_json",
]
