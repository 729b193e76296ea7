"""What `import lcfast` imports, how long it takes, and the public names."""

import inspect
import os
import re
import subprocess
import sys

import pytest

import lcfast

UNWANTED = {"tensorflow", "keras", "tf_keras", "torch", "scipy.sparse", "click", "tqdm"}
MODULES = {"activations", "constraints", "initializers", "regularizers"}


def python(code, **environment):
    """The output of `code` in a new interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_importing_lcfast_imports_none_of_the_heavy_packages():
    imported = set(python("import sys, lcfast; print('\\n'.join(sys.modules))").splitlines())
    assert "lcfast" in imported
    assert imported & UNWANTED == set()


@pytest.mark.thorough
def test_importing_lcfast_takes_little_time_beyond_numpy_and_h5py():
    # A ratio, because processors differ: 1.1 was measured on one where lcfast takes 0.32 s.
    code = (
        "import time; start = time.process_time(); import numpy, h5py; "
        "middle = time.process_time(); import lcfast; "
        "print((time.process_time() - middle) / (middle - start))"
    )
    best = min(float(python(code)) for _ in range(5))  # others had cold caches
    assert best < 1.3


def test_importing_lcfast_leaves_the_settings_of_numpy_and_warnings_alone():
    code = (
        "import numpy, warnings; before = numpy.geterr(), list(warnings.filters), "
        "numpy.get_printoptions(); import lcfast; "
        "print(before == (numpy.geterr(), list(warnings.filters), numpy.get_printoptions()))"
    )
    assert python(code) == "True"


def test_importing_lcfast_writes_and_reads_no_file_of_keras(tmp_path):
    code = "import lcfast; print(lcfast.LocallyConnected1D(1, 1).data_format)"
    home = tmp_path / "home"
    assert python(code, HOME=str(home), KERAS_HOME="") == "channels_last"
    assert not home.exists()


@pytest.mark.parametrize("name", lcfast.__all__)
def test_a_public_name_exists_and_has_examples(name):
    thing = getattr(lcfast, name)
    assert thing.__doc__
    if name in MODULES:
        assert inspect.ismodule(thing)
    else:
        assert inspect.isclass(thing) or inspect.isfunction(thing)
        assert re.search(r"^ *Examples\n *-{8}\n", thing.__doc__, re.MULTILINE), "no Examples"
        assert ">>> " in thing.__doc__
        assert "lcfast" in thing.__module__


def test_public_names_are_sorted_and_complete():
    # ruff sorts each list: names in capitals come first
    names = lcfast.layers.__all__
    assert names == sorted(names, key=lambda name: (not name.isupper(), name))
    own = lcfast.__all__[: -len(names)]
    assert lcfast.__all__ == sorted(own) + names
    assert len(set(lcfast.__all__)) == len(lcfast.__all__)
    public = {
        name
        for name, thing in vars(lcfast).items()
        if not name.startswith("_") and not inspect.ismodule(thing)
    }
    assert public | MODULES == set(lcfast.__all__)


def test_every_layer_class_is_exported_at_the_top():
    classes = {
        name
        for name, thing in vars(lcfast.layers).items()
        if inspect.isclass(thing) and issubclass(thing, lcfast.Layer)
    }
    assert len(classes) >= 18
    assert classes <= set(lcfast.__all__)


def test_the_version_is_a_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", lcfast.__version__)
