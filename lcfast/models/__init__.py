"""Whole models: made by hand or loaded from a file, scored in batches."""

from lcfast.models.loading import load_model, model_from_json
from lcfast.models.model import Model
from lcfast.models.sequential import Sequential

__all__ = ["Model", "Sequential", "load_model", "model_from_json"]
