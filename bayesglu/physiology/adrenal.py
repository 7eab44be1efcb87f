"""The adrenal medulla: adrenaline, which makes the liver give glucose and keeps muscle from taking it where
glucose is low.

Adrenaline rises within minutes of a fall of glucose and is gone as fast, so it needs no state: what it does
follows glucose.
"""

from bayesglu.physiology.quantities import Fraction, Glucose, Ratio


def adrenergic_response(glucose: Glucose, adrenergic_half_glucose: Glucose) -> Fraction:
    r"""How much of its greatest effect adrenaline has: next to nothing at the glucose of a fast, steep below
    about 68 mg/dL (Mitrakou 1991, Am J Physiol 260:E67).

    .. math:: \eta = \frac{1}{1 + (G / G_A)^{16}}
    """
    return 1 / (1 + (glucose / adrenergic_half_glucose) ** 16)


def basal_adrenergic_response(basal_glucose: Glucose, adrenergic_half_glucose: Glucose) -> Fraction:
    """How much of its greatest effect adrenaline has at basal glucose."""
    return adrenergic_response(basal_glucose, adrenergic_half_glucose)


def adrenergic_restraint(
    adrenergic_response: Fraction, basal_adrenergic_response: Fraction, adrenergic_resistance: Fraction
) -> Ratio:
    """Factor of the insulin-dependent uptake of glucose that adrenaline leaves: 1 at basal glucose, less
    below (Deibert 1980, J Clin Invest 65:717)."""
    return (1 - adrenergic_resistance * adrenergic_response) / (
        1 - adrenergic_resistance * basal_adrenergic_response
    )


def counterregulated(
    drive: Ratio, response: Fraction, basal_response: Fraction, adrenergic_production: Ratio
) -> Ratio:
    r"""The drive to make glucose where adrenaline takes over from insulin and glucagon: 1 in the basal state.

    .. math:: R' = \frac{(1 - \eta)\,R + \eta\,A_P}{1 - \eta_b + \eta_b\,A_P}

    With basal insulin and little glucagon, production fell to half and was back at its baseline when glucose
    had come to 66 mg/dL; with adrenergic blockade glucose went on falling (Rosen 1984, J Clin Invest 73:405).
    """
    taken_over = (1 - response) * drive + response * adrenergic_production
    return taken_over / (1 - basal_response + basal_response * adrenergic_production)
