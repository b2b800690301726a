from simulate import counts

from lstm_jax.analysis.gaps.rates import Rate, rates
from lstm_jax.analysis.gaps.summary import summarise

TUNING = range(100, 104)


def test_the_curve_by_which_a_rate_is_chosen() -> None:
    """Of tuning seeds alone; a gap that a rate was not tried at counts 0."""
    runs = [
        *counts({5: 4, 10: 2, 20: 1}, of=4, rate=0.01, first=100),
        *counts({5: 4, 10: 0}, of=4, rate=0.03, first=100),
        *counts({5: 0, 10: 0, 20: 0}, of=4, rate=0.01),
        *counts({5: 4}, of=4, cell="gru", rate=0.01, first=100),
    ]
    best, other = rates(runs, TUNING)  # a cell of one rate has no curve
    assert best == Rate("lstm", 0.01, 3, 12, 7, (1 + 0.5 + 0.25) / 3, True)
    assert other == Rate("lstm", 0.03, 2, 8, 4, 1 / 3, False)
    assert {row.learning_rate for row in summarise(runs, TUNING)} == {0.01}
