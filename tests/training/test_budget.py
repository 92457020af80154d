import pytest

from voxlex.training.budget import Budget, learning_rate_factor


def test_progress_follows_the_clock_or_the_steps() -> None:
    assert Budget(minutes=2).progress(step=5, elapsed_s=30) == 0.25
    assert Budget(steps=8).progress(step=2, elapsed_s=1e9) == 0.25
    assert Budget(minutes=1).progress(step=5, elapsed_s=90) == 1


@pytest.mark.parametrize("budget", [{}, {"minutes": 1.0, "steps": 1}, {"minutes": 0.0}, {"steps": -1}])
def test_refuses_what_is_no_budget(budget: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(**budget)


def test_the_learning_rate_rises_and_then_falls_to_nothing() -> None:
    factors = [learning_rate_factor(i / 100, warmup=0.1) for i in range(101)]
    assert factors[10] == 1
    assert factors[:11] == sorted(factors[:11])
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0)
    assert factors[55] == pytest.approx(0.5)
    assert factors[0] > 0


def test_without_warm_up_it_starts_at_its_peak() -> None:
    assert learning_rate_factor(0.0, warmup=0.0) == 1
