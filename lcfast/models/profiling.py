"""Profile scoring: seconds and bytes of each layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from lcfast.models import scoring
from lcfast.models.blocks import weight_bytes
from lcfast.models.model import Model


@dataclass
class LayerCost:
    """Time and memory traffic of one step of a model, summed over all blocks.

    Parameters
    ----------
    layer : str
        Name of the layer.
    kind : str
        Class of the layer.
    seconds : float
        Time in its calls.
    weights_read : int
        Bytes of its weights, counted for each call.
    output_written : int
        Bytes of its outputs.
    """

    layer: str
    kind: str
    seconds: float = 0.0
    weights_read: int = 0
    output_written: int = 0


class Profile:
    """Scores rows as `Model.predict` does, and measures each layer.

    Parameters
    ----------
    model : Model
        The model to profile.

    Examples
    --------
    >>> import numpy as np, lcfast
    >>> from lcfast.models.profiling import Profile
    >>> profile = Profile(lcfast.Sequential([lcfast.Dense(2, name="dense", input_shape=(3,))]))
    >>> profile.predict(np.zeros((4, 3))).shape
    (4, 2)
    >>> [(cost.layer, cost.weights_read, cost.output_written) for cost in profile.costs]
    [('dense', 32, 32)]
    """

    def __init__(self, model: Model) -> None:
        graph, record = model.scoring_graph(model.record())
        layers = [graph.layers[step.layer] for step in graph.steps]
        self.costs = [LayerCost(layer.name, type(layer).__name__) for layer in layers]
        self._model = model
        self._weights = [weight_bytes(record[step.layer]) for step in graph.steps]

    def predict(self, x: Any, **options: Any) -> Any:
        """Score rows as `Model.predict` does, with its options, and add to `costs`."""
        return scoring.predict(self._model, x, **options, observe=self._add)

    def _add(self, step: int, seconds: float, output_bytes: int) -> None:
        cost = self.costs[step]
        cost.seconds += seconds
        cost.weights_read += self._weights[step]
        cost.output_written += output_bytes

    def lines(self) -> Iterator[str]:
        """A table of the costs, one line per step, and their totals."""
        fields = ("seconds", "weights_read", "output_written")
        sums = (sum(getattr(cost, field) for cost in self.costs) for field in fields)
        total = LayerCost("all layers", "", *sums)
        rows = [("Layer (type)", "Time", "Share", "Weights read", "Output written")]
        for cost in [*self.costs, total]:
            title = f"{cost.layer} ({cost.kind})" if cost.kind else cost.layer
            share = f"{cost.seconds / total.seconds:.1%}" if total.seconds else "-"
            size = (f"{cost.weights_read / 1e6:,.3f} MB", f"{cost.output_written / 1e6:,.3f} MB")
            rows.append((title, f"{cost.seconds * 1e3:,.3f} ms", share, *size))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            yield "  ".join(cells)

    def plot(self, file: IO[bytes]) -> None:
        """Write a bar chart of the time of each layer, as PNG.

        Raises
        ------
        ValueError
            If matplotlib is not installed; `check_can_plot` raises the same before scoring.
        """
        check_can_plot()
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        names = [f"{cost.layer} ({cost.kind})" for cost in self.costs]
        milliseconds = np.array([cost.seconds * 1e3 for cost in self.costs])
        figure = Figure(figsize=(8, 1.2 + 0.35 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        bars = axes.barh(range(len(names)), milliseconds)
        axes.bar_label(bars, fmt="{:,.3g} ms", padding=3)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()  # the first layer at the top
        axes.margins(x=0.2)  # space for the numbers beside the bars
        axes.set_xlabel("time in the layer (ms)")
        axes.set_title(f"{self._model.name}: {milliseconds.sum():,.2f} ms in all")
        FigureCanvasAgg(figure).print_png(file)


def check_can_plot() -> None:
    """Raise ValueError if matplotlib, which draws the chart, is not installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise ValueError(
            "A chart needs the package matplotlib, which is not installed; "
            "install it with `pip install matplotlib`"
        ) from None
