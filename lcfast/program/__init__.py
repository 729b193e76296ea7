"""A model compiled to a flat list of C steps, which run without Python; it knows no layers."""
