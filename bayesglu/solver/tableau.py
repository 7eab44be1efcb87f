"""The coefficients of two explicit Runge-Kutta methods with an estimate of the error of each step."""

from typing import NamedTuple


class Tableau(NamedTuple):
    """A method of six stages whose seventh slope, at the end of a step, is the first of the next.

    times : of the stages, in steps. stages : weights of the earlier slopes at each; the last row is also the
    step itself. error : weights of the slopes in the difference to the embedded method. order : the power of
    the step's size with which that difference grows. stable : how far along the negative real axis it is: a
    rate of decay times the step by which that is still followed without growing.
    """

    times: tuple[float, ...]
    stages: tuple[tuple[float, ...], ...]
    error: tuple[float, ...]
    order: int
    stable: float


DORMAND_PRINCE = Tableau(
    times=(0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    stages=(
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    error=(
        35 / 384 - 5179 / 57600,
        0.0,
        500 / 1113 - 7571 / 16695,
        125 / 192 - 393 / 640,
        -2187 / 6784 + 92097 / 339200,
        11 / 84 - 187 / 2100,
        -1 / 40,
    ),
    order=5,
    stable=3.3,
)
"""Of order 5 with an estimate of order 4 (Dormand and Prince 1980, J Comput Appl Math 6:19)."""

STABILIZED = Tableau(
    times=(
        0.0,
        0.14741411818622976,
        0.4283862081035015,
        0.7230842575076843,
        0.3156366035570063,
        0.8723168491477646,
        1.0,
    ),
    stages=(
        (),
        (0.14741411818622976,),
        (0.01710366312715981, 0.41128254497634165),
        (0.002455375943312462, 0.15820036812845933, 0.5624285134359125),
        (-0.045594020122291516, 0.3254455720907947, -0.031141068823417332, 0.06692612041192042),
        (
            0.1379654992083719,
            -0.055387023285119824,
            0.05622086235088277,
            0.3354754935064557,
            0.39804201736717404,
        ),
        (
            0.08383916878680127,
            0.08225522581753497,
            0.2390166895611378,
            0.10622967276122076,
            0.21124466173273537,
            0.2774145813405697,
        ),
    ),
    error=(
        -0.2980440930857799,
        0.5065875395338919,
        -0.20126822466243216,
        0.022532580919144715,
        -0.007773197478236973,
        -0.15458212263988602,
        0.13254751741329843,
    ),
    order=4,
    stable=9.6,
)
"""Of order 4 with an estimate of order 3, its free coefficients spent on stability: along the negative real
axis to 9.6, where Dormand and Prince's is stable to 3.3."""

LARGEST_GROWTH = 5.0
"""The next step is at most this much longer."""
