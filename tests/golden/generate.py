"""Write the golden files beside this script: what tf_keras itself computes, for lcfast's tests.

Run it as `python tests/golden/generate.py` in an environment of its own, made with

    pip install tensorflow-cpu==2.21.0 tf_keras==2.21.0

Neither it nor the modules beside it, one a family of files, ever import lcfast: a golden must not
be made by the code it checks. Every case draws from a generator seeded with its own name, so a
second run writes the same arrays, and a new case leaves the others as they are. Nothing in the
files needs `allow_pickle`.

locally_connected.npz   <case>/config, x, y, dy, dx, w0 [w1], dw0 [dw1]: implementation 1
local_grid.npz          the same keys over {1D, 2D} x implementation x padding x data format x
                        strides x kernel, with every activation. Outside the mask w0 of
                        implementation 2 is random, and dw0 is 0. A case named silu says "swish"
                        in its config: tf_keras holds both as one function.
activations.npz         <activation>/<dtype>/x, y, dy, dx
more_activations.npz    the same keys for the other names, and for gelu_approximate, which is
                        gelu(x, approximate=True). In float32 exponential overflows to inf. In
                        float64 tf_keras still rounds three constants to float32: 0.2 of
                        leaky_relu, sqrt(1/2) of gelu, 0.044715 of gelu_approximate.
training.npz            <case>/config, x, target, w0, w1, losses_built, losses_called, loss,
                        w0_after, w1_after: five steps of SGD(0.05) on the mean squared error plus
                        the layer's losses. losses_built is `layer.losses` before any call
                        (kernel, bias), losses_called after one (activity, kernel, bias); loss is
                        the total before each step. Outside the mask implementation 2 holds 0.
model_<name>.h5         a whole model, every weight random
model_<name>.npz        x, y, dy, dx (x0, x1, ... where there are several), dw0, dw1, ... in the
                        order of trainable_weights, summary, params, and losses where there are any
model_sequential_1d_keras_2_3.h5, model_list_config.h5
                        model_sequential_1d in the dialects of Keras 2.3.1 and 2.1.6
containers.npz          <case>/x, y (x0, y0, ... where there are several), of the models below
container_<case>.keras, .weights.h5, .h5
                        sequential and functional by tf_keras, keras_3_<case> by Keras 3
container_manifest.csv, container_weights_network-0.npz
                        json_and_npz as MHCflurry keeps a network: its config; array_0, array_1, ...
unsupported.h5          layers and an argument that the loader has to refuse, all at once
"""

import warnings

import tensorflow as tf
from activations import write_activations, write_more_activations
from containers import write_containers
from local_grid import write_local_grid
from locally_connected import write_locally_connected
from other_files import write_old_dialects, write_unsupported
from training import write_training
from whole_models import MODELS, write_model


def main() -> None:
    # One thread: the order in which several share a sum is not fixed.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.get_logger().setLevel("ERROR")
    warnings.filterwarnings("ignore", message="You are saving your model as an HDF5 file")
    write_locally_connected()
    write_local_grid()
    write_activations()
    write_more_activations()
    write_training()
    for build in MODELS:
        write_model(build)
    write_old_dialects()
    write_unsupported()
    write_containers()


if __name__ == "__main__":
    main()
