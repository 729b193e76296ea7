"""Configs that would run code or read files in a reader that trusts them; all are harmless.

Each would leave a file in the directory `outside`, which the tests watch.
"""

import base64
import marshal
from pathlib import Path

SHAPE = [None, 3]
MODULE = "canary_module"  # importable in the watched process; importing it creates a file


def dense(**changes: object) -> dict[str, object]:
    return layer("Dense", **{"units": 2, **changes})


def layer(kind: str, **config: object) -> dict[str, object]:
    return {"class_name": kind, "config": {"name": "attack", **config}}


def sequential(*layers: dict[str, object]) -> dict[str, object]:
    start = {"class_name": "InputLayer", "config": {"batch_input_shape": SHAPE, "name": "start"}}
    return {"class_name": "Sequential", "config": {"name": "model", "layers": [start, *layers]}}


def functional(*layers: tuple[dict[str, object], list[str]]) -> dict[str, object]:
    """Layers named layer_0, layer_1, ...; each has the names of its input layers."""
    start = {"class_name": "InputLayer", "config": {"batch_input_shape": SHAPE, "name": "start"}}
    entries = [{**start, "name": "start", "inbound_nodes": []}]
    for number, (entry, sources) in enumerate(layers):
        name = f"layer_{number}"
        entry = {**entry, "name": name, "config": {**entry["config"], "name": name}}
        entries.append({**entry, "inbound_nodes": [[[source, 0, 0, {}] for source in sources]]})
    ends = [["start", 0, 0]], [[entries[-1]["name"], 0, 0]]
    config = {"name": "model", "layers": entries, "input_layers": ends[0], "output_layers": ends[1]}
    return {"class_name": "Functional", "config": config}


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def configs(outside: Path) -> dict[str, tuple[dict[str, object], str]]:
    """Every hostile config by name, and a part of its error message."""
    trace = str(outside / "owned")
    code = compile(f"open({trace!r}, 'w').close()", "attack", "exec")
    marshalled = base64.b64encode(marshal.dumps(code)).decode()
    command = f"touch {trace}"
    popen = {"module": "subprocess", "class_name": "Popen", "config": {"args": command}}
    system = {"module": "os", "class_name": "function", "config": "system"}
    foreign = {"module": MODULE, "class_name": "Attack", "config": {}, "registered_name": "Attack"}
    policy = {**foreign, "config": {"name": "attack_policy"}}
    fetch = {"module": "keras.utils", "class_name": "function", "config": "get_file"}
    unsafe = {
        "module": "keras.config",
        "class_name": "function",
        "config": "enable_unsafe_deserialization",
        "registered_name": "enable_unsafe_deserialization",
    }
    lambda_2 = layer("Lambda", function=[marshalled, None, None], function_type="lambda")
    lambda_3 = {"class_name": "__lambda__", "config": {"code": marshalled}}
    call = {"args": [command], "kwargs": {}}
    wrapped = layer("TimeDistributed", layer=lambda_2)
    inside = sequential(lambda_2)
    runs_code = "holds Python code, which lcfast never runs"
    return {
        "CVE-2024-3660 lambda with marshalled code": (sequential(lambda_2), runs_code),
        "CVE-2024-3660 lambda in the form of Keras 3": (
            sequential(layer("Lambda", function=lambda_3)),
            runs_code,
        ),
        "CVE-2024-3660 lambda in a wrapper": (sequential(wrapped), runs_code),
        "CVE-2024-3660 lambda in a model in a model": (sequential(inside), runs_code),
        "CVE-2024-3660 lambda as an activation": (sequential(dense(activation=lambda_3)), "attack"),
        "CVE-2025-1550 class of a foreign module": (sequential(foreign), "no layer 'Attack'"),
        "CVE-2025-1550 function of a module as a layer": (
            sequential({**system, "inbound_nodes": [call]}),
            "is no layer",
        ),
        "CVE-2025-1550 Popen as a layer": (
            sequential({**popen, "config": {"name": "attack", "args": command}}),
            "lcfast has no layer 'Popen'",
        ),
        **{
            f"CVE-2025-1550 Popen as {argument}": (sequential(dense(**{argument: popen})), "attack")
            for argument in (
                "activation",
                "kernel_initializer",
                "kernel_regularizer",
                "kernel_constraint",
                "activity_regularizer",
            )
        },
        "CVE-2025-1550 code as the policy of a layer": (sequential(dense(dtype=policy)), "attack"),
        "CVE-2025-8747 function of Keras that fetches a file": (
            sequential(
                layer("Lambda", function=fetch, arguments={"origin": f"file://{outside}/secret"})
            ),
            runs_code,
        ),
        "CVE-2025-8747 the same as an activation": (
            sequential(dense(activation={**fetch, "registered_name": "get_file"})),
            "attack",
        ),
        "CVE-2025-9906 switching safe mode off first": (
            sequential({**unsafe, "config": {"name": "attack"}}, lambda_2),
            "lcfast has no layer 'function'",
        ),
        "CVE-2025-9906 switching safe mode off in an argument": (
            sequential(dense(kernel_initializer=unsafe), lambda_2),
            runs_code,
        ),
        **{
            f"CVE-2025-12058 {kind} with a file": (
                sequential(layer(kind, vocabulary=str(outside / "secret"))),
                f"lcfast has no layer '{kind}'",
            )
            for kind in ("StringLookup", "IntegerLookup", "TextVectorization")
        },
        "a file as an initial value": (
            sequential(dense(weights=str(outside / "secret"))),
            "attack",
        ),
        "a class of the user's": ({"class_name": MODULE, "config": {"layers": []}}, MODULE),
        "a cyclic graph": (
            functional((dense(), ["layer_1"]), (dense(), ["layer_0"])),
            "form a cycle: layer_0, layer_1",
        ),
        "a layer that is called on itself": (functional((dense(), ["layer_0"])), "form a cycle"),
        "two layers of one name": (
            sequential(dense(), dense()),
            "should have unique names",
        ),
        "lists in lists, 400 deep": (sequential(dense(units=nested(400))), "too deeply"),
        "lists in lists, 100000 deep": (sequential(dense(units="@deep")), "too deep"),
        "a name with NUL and newlines": (
            sequential({"class_name": "Lambda\n\0", "config": {"name": "\0\n../x"}}),
            r"'\x00\n../x'",
        ),
    }


LARGE = {
    "a billion units": sequential(dense(units=10**9)),
    "positions without end": sequential(
        layer("Reshape", target_shape=[3, 1]),
        {
            "class_name": "ZeroPadding1D",
            "config": {"name": "wide", "padding": [10**9, 10**9]},
        },
        {
            "class_name": "LocallyConnected1D",
            "config": {"name": "local", "filters": 1, "kernel_size": [1]},
        },
    ),
}
"""Configs with far more weights than any file holds."""
