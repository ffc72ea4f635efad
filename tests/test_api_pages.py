"""The API pages have the names that parameters take. The build checks that no method is missing."""

import inspect
import re

import api_pages
import pytest

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.architectures import ACTIVATIONS, ARCHITECTURES
from skae.corruptions import CORRUPTIONS
from skae.losses import LOSSES
from skae.optimizers import OPTIMIZERS
from skae.penalties import PENALTIES
from skae.schedules import SCHEDULES
from skae.scorings import SCORINGS

REGISTRIES = {
    "architecture": ARCHITECTURES,
    "activation": ACTIVATIONS,
    "penalty": PENALTIES,
    "corruption": CORRUPTIONS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "scoring": SCORINGS,
}


@pytest.mark.parametrize("estimator", [AutoencoderTransformer, AutoencoderAnomalyDetector])
def test_every_name_is_listed_under_its_parameter(estimator):
    lines = inspect.getdoc(estimator).splitlines()
    text = "\n".join(api_pages.with_names(estimator, lines))
    blocks = dict(re.findall(r"^(\w+) : .*\n((?: .*\n|\n)*)", text, re.MULTILINE))
    found = {
        parameter: re.findall(r'^    - ``"(\w+)"``, .*`.+`.*: .+', block, re.MULTILINE)
        for parameter, block in blocks.items()
    }
    taken = {name for name in REGISTRIES if name in estimator._parameter_constraints}
    assert {name for name, listed in found.items() if listed} == taken
    for name in taken:
        assert found[name] == list(REGISTRIES[name])


@pytest.mark.parametrize(
    ("estimator", "names"),
    [
        (AutoencoderTransformer, {"sample", "interpolate", "score_samples", "fit_transform"}),
        (AutoencoderAnomalyDetector, {"predict", "explain", "p_values", "fit_predict"}),
    ],
)
def test_the_check_asks_for_every_method(estimator, names):
    assert names <= set(api_pages.methods(estimator))


def test_links_that_only_scikit_learn_has_are_taken_out():
    text = "See :ref:`the guide <routing>`, :ref:`label` and :term:`meta-estimator`."
    plain = "See the guide, scikit-learn's documentation and meta-estimator."
    assert api_pages.without_roles(text) == plain
