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
convolutions.npz        the same keys for Conv and its kin; an array of weights may be w2, dw2
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
recurrent.npz           <case>/config, x, y, dy, dx, w0, ..., dw0, ...: recurrent layers and
                        wrappers; dw in the order of trainable_weights
model_inner_<name>.h5, model_recurrent_<name>.h5
                        models inside of models, recurrent layers; as below, and w0, w1, ... in the
                        order of get_weights()
model_<name>.h5         a whole model, every weight random
model_<name>.npz        x, y, dy, dx (x0, x1, ... where there are several), dw0, dw1, ... in the
                        order of trainable_weights, summary, params, and losses where there are any
model_sequential_1d_keras_2_3.h5, model_list_config.h5
                        model_sequential_1d in the dialects of Keras 2.3.1 and 2.1.6
companions.npz          <case>/config, x, y, dy, dx (numbered where there are several inputs), w0,
                        w1, ..., dw0, dw1, ...: layers that other models hold. Integers have no dx;
                        losses where there are any.
companions_<name>.h5, companions_<name>.npz
                        as model_<name>, models with integer inputs
containers.npz          <case>/x, y (x0, y0, ... where there are several), of the models below
container_<case>.keras, .weights.h5, .h5
                        sequential and functional by tf_keras, keras_3_<case> by Keras 3
container_<name>.keras, .weights.h5, _weights.h5, saved_model_<name>/, checkpoint_<name>/
                        companions_<name>, model_<name> and container_activations.h5 in every other
                        container of tf_keras; keras_3_layers in Keras 3's
container_activations.npz, container_keras_3_layers.npz
                        x0, x1, y of these two
container_manifest.csv, container_weights_network-0.npz
                        json_and_npz as MHCflurry keeps a network: its config; array_0, array_1, ...
custom_objects.h5, .keras, .npz
                        x, y of a model with layers, functions and a class of its author's, and a
                        Lambda
wrapped.h5, .keras, .weights.h5, .npz, wrapped_checkpoint
                        x, y of a model in TimeDistributed whose weights have one shape
unsupported.h5          layers and an argument that the loader has to refuse, all at once
checkpoints.npz         <model>/x, y (x0, x1, ... where there are several), <model>/weight/<name>
saved_model_<model>/, checkpoint_<model>/
                        the same models as SavedModels and checkpoints. saved_model_older is
                        saved_model_sequential as TensorFlow before 2.5 wrote it; of every
                        saved_model.pb only what a reader reads is left.
adapt.npz               x, classify, regress: what ADAPT's two SavedModels say (MIT licence,
                        Copyright (c) 2021 Broad Institute, Inc. and Massachusetts Institute of
                        Technology); written where LCFAST_ADAPT names the unpacked wheel of
                        adapt-diagnostics 1.6.0
"""

import warnings

import tensorflow as tf
from activations import write_activations, write_more_activations
from checkpoints import write_adapt, write_checkpoints
from companions import write_companions
from containers import write_containers
from convolutions import write_convolutions
from custom_objects import write_custom_objects
from every_container import write_every_container
from local_grid import write_local_grid
from locally_connected import write_locally_connected
from other_files import write_old_dialects, write_unsupported
from recurrent import write_recurrent
from training import write_training
from whole_models import MODELS, write_model
from wrapped import write_wrapped


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
    write_recurrent()
    for build in MODELS:
        write_model(build)
    write_companions()
    write_convolutions()
    write_old_dialects()
    write_unsupported()
    write_checkpoints()
    write_adapt()
    write_containers()
    write_every_container()
    write_custom_objects()
    write_wrapped()


if __name__ == "__main__":
    main()
