"""What the checks of a fit found, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

import pandas as pd


@dataclass(frozen=True, repr=False)
class Verdict:
    """What the checks of a fit found.

    Parameters
    ----------
    clean : bool
        Whether nothing failed.
    headline : str
        The verdict in one line.
    sentences : tuple of str
        A sentence for every diagnostic.
    problems : tuple of str
        Those that failed.
    about_model : tuple of str
        Those of the sentences that say whether the model describes the data; the others are of sampling.
    table : pandas.DataFrame
        One row per variable: the worst ``rhat``, ``ess_bulk`` and ``ess_tail`` of its ``values``, and which
        value has the worst R-hat.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> bg.check(fit).clean
    True
    """

    clean: bool
    headline: str
    sentences: tuple[str, ...]
    problems: tuple[str, ...]
    about_model: tuple[str, ...]
    table: pd.DataFrame = field(compare=False)

    @property
    def sections(self) -> dict[str, tuple[str, ...]]:
        """The sentences by the question that they answer.

        Examples
        --------
        >>> import bayesglu as bg
        >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
        >>> list(bg.check(fit).sections)
        ['Did sampling work?', 'Does the model describe the data?']
        """
        of_sampling = tuple(sentence for sentence in self.sentences if sentence not in self.about_model)
        return {"Did sampling work?": of_sampling, "Does the model describe the data?": self.about_model}

    def __repr__(self) -> str:
        lines = [self.headline]
        for question, sentences in self.sections.items():
            lines += ["", f"{question} {self._answer(sentences)}"]
            lines += [f"{'!' if sentence in self.problems else ' '} {sentence}" for sentence in sentences]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        parts = [f"<p><b>{escape(self.headline)}</b></p>"]
        for question, sentences in self.sections.items():
            items = (
                f"<li>{f'<b>{escape(sentence)}</b>' if sentence in self.problems else escape(sentence)}</li>"
                for sentence in sentences
            )
            parts.append(f"<p>{question} {self._answer(sentences)}</p><ul>{''.join(items)}</ul>")
        return "".join(parts)

    def _answer(self, sentences: tuple[str, ...]) -> str:
        """In a word."""
        if not sentences:
            return "Not judged: the fit holds no samples and no prior."
        return "No." if set(sentences) & set(self.problems) else "Yes, as far as was checked."
