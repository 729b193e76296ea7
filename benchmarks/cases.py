"""Shapes of layers in real models: (input shape channels_last, filters, kernel, strides)."""

CASES = {
    "docs_lc2d_a": ((32, 32, 3), 64, (3, 3), (1, 1)),
    "docs_lc2d_b": ((30, 30, 64), 32, (3, 3), (1, 1)),
    "docs_lc1d_a": ((10, 32), 64, (3,), (1,)),
    "mhcflurry": ((15, 21), 8, (3,), (1,)),
    "adapt": ((47, 238), 4, (2,), (1,)),
    "deepface_L5": ((55, 55, 16), 16, (7, 7), (2, 2)),
    "deepface_L6": ((25, 25, 16), 16, (5, 5), (1, 1)),
    "gpnet_k3": ((44314, 1), 1, (3,), (1,)),
    "eir": ((64000, 1), 4, (32,), (32,)),
}
BATCHES = (1, 32)
