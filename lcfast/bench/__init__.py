"""`lcfast bench`: which engine is fastest for the layers of a model, on this machine."""
