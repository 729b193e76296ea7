"""`lcfast bench`: find the fastest engine for each layer of a model on this machine."""
