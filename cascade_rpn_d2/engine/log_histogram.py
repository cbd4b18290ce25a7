"""The distribution of any number of positive values, in memory that does not grow with them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Places on the scale: values are rounded to the nearest of them, by 1.1 per cent at most.
_PER_OCTAVE = 32
_OCTAVES = 16  # on either side of 1


class LogHistogram:
    """Counts values on a logarithmic scale.

    A value is rounded to a 32nd of an octave; what lies beyond 2**-16 or 2**16 counts as these.

    Attributes:
        counts: (k,) of the places from 2**-16 to 2**16.
    """

    places: npt.NDArray[np.float64] = (
        np.arange(-_OCTAVES * _PER_OCTAVE, _OCTAVES * _PER_OCTAVE + 1) / _PER_OCTAVE
    )
    """log2 of the values that are counted, (k,)."""

    def __init__(self) -> None:
        self.counts = np.zeros(len(self.places), np.int64)

    def add(self, values: npt.ArrayLike, times: npt.ArrayLike = 1) -> None:
        """Count values.

        Args:
            values: (n,), not negative.
            times: how often each of them is counted, (n,) or one number for all.
        """
        with np.errstate(divide="ignore"):
            octaves = np.log2(np.asarray(values, np.float64)).clip(-_OCTAVES, _OCTAVES)
        index = np.rint((octaves + _OCTAVES) * _PER_OCTAVE).astype(np.int64)
        np.add.at(self.counts, index, np.asarray(times, np.int64))

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    def quantile(self, share: float) -> float:
        """The least value up to which a share of all lies.

        Args:
            share: from 0 to 1.

        Raises:
            ValueError: if no value was counted.
        """
        index = np.searchsorted(self._cumulative(), max(share * self.total, 1))
        return float(2.0 ** self.places[index])

    def distance(self, other: LogHistogram) -> float:
        """How far, in octaves, values must move on average for this distribution to become another.

        It is the 1-Wasserstein distance of the logarithms.

        Raises:
            ValueError: if no value was counted in one of them.
        """
        shares = [h._cumulative() / h.total for h in (self, other)]
        return float(np.abs(shares[0] - shares[1]).sum() / _PER_OCTAVE)

    def density(self, edges: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Shares of the values per octave in bins.

        Args:
            edges: log2 of the n+1 edges of the bins, ascending; a value on an edge belongs to the
                bin above.

        Returns:
            (n,), whose integral over all values is 1.

        Raises:
            ValueError: if no value was counted.
        """
        below = np.concatenate(([0], self._cumulative()))[np.searchsorted(self.places, edges)]
        return np.diff(below) / self.total / np.diff(np.asarray(edges))

    def _cumulative(self) -> npt.NDArray[np.int64]:
        if not self.total:
            raise ValueError("No value was counted: there is no distribution.")
        return self.counts.cumsum()
