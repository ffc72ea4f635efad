"""The profile of a step: its parts add up, and the functions are their own again."""

import pytest

from benchmarks.costs import profile
from benchmarks.costs._data import low_rank

pytestmark = pytest.mark.extended


def test_the_parts_of_a_step_add_up():
    before = {name: getattr(*place) for name, place in (profile.EPOCH | profile.STEP).items()}
    found = profile.step_times(low_rank(300, 6), 2, (8,), 32, 3, 0)
    whole = found.pop("whole step")
    assert whole == pytest.approx(sum(found.values()))
    # every part is called: a name that is none of skae's any more would say nothing
    assert min(found[name] for name in [*profile.EPOCH, *profile.STEP, "schedule"]) > 0
    for name, place in (profile.EPOCH | profile.STEP).items():
        assert getattr(*place) is before[name]
