"""A claim about measured numbers, and whether they bear it out."""

from __future__ import annotations

from typing import NamedTuple

from zoo.comparison.statistics import PairedDifference

STANDARD_ERRORS = 5.0


class Claim(NamedTuple):
    """A statement that could have come out wrong."""

    text: str
    measured: str  # the numbers, with their uncertainty
    holds: bool

    @property
    def sentence(self) -> str:
        """The claim in one line."""
        return f"{'yes' if self.holds else 'NO '}  {self.text}: {self.measured}"

    @classmethod
    def below_zero(
        cls, text: str, difference: PairedDifference, *, unit: str, standard_errors: float = STANDARD_ERRORS
    ) -> Claim:
        """Judges that the mean of paired differences is negative by more than so many standard errors."""
        return cls(
            text=text,
            measured=f"{difference.mean:+.4g} +- {difference.stderr:.2g} {unit} over {difference.n} scenes, "
            f"{abs(difference.t):.1f} standard errors",
            holds=difference.t < -standard_errors,
        )
