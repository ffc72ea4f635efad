"""Every estimator with every registered strategy passes scikit-learn's own checks."""

import pytest
from sklearn.utils.estimator_checks import (
    check_estimator,
    estimator_checks_generator,
    parametrize_with_checks,
)
from torch import nn

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.architectures import (
    ACTIVATIONS,
    ARCHITECTURES,
    Convolutional,
    Dense,
    Module,
    Recurrent,
)
from skae.corruptions import CORRUPTIONS
from skae.losses import LOSSES, BinaryCrossEntropy
from skae.optimizers import OPTIMIZERS
from skae.penalties import PENALTIES
from skae.schedules import SCHEDULES
from skae.scorings import SCORINGS

# scikit-learn's checks have flat tables only.
pytestmark = pytest.mark.filterwarnings("ignore:Without input_shape each row is taken")


class Net(nn.Module):
    """A module of a user's own."""

    def __init__(self, n_features, n_components):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(n_features, 8), nn.Tanh(), nn.Linear(8, n_components))
        self.decode = nn.Linear(n_components, n_features)


def make(estimator=AutoencoderTransformer, **params):
    params = {"hidden_layer_sizes": (8,), "max_iter": 3} | params
    if params.get("loss") == "binary_cross_entropy":
        # scikit-learn's data are not in [0, 1]
        params["loss"] = BinaryCrossEntropy(feature_range=None)
    return estimator(**params)


def make_detector(**params):
    return make(AutoencoderAnomalyDetector, **{"n_folds": 2, "max_iter": 1} | params)


def side_by_side(make, **registries):
    """Return as many estimators as the longest registry has names, with every name in one."""
    return [
        make(**{name: list(names)[i % len(names)] for name, names in registries.items()})
        for i in range(max(map(len, registries.values())))
    ]


# scikit-learn's checks of detectors have negative data, whatever the tags say of counts, and
# numbers that are all distinct, which are no tokens.
OF_ANY_NUMBERS = [
    name for name, loss in LOSSES.items() if not (loss.positive_only or loss.discrete)
]
EVERY_STRATEGY = [
    *side_by_side(
        make,
        loss=LOSSES,
        optimizer=OPTIMIZERS,
        schedule=[*SCHEDULES, None],
        penalty=[None, *PENALTIES],
        architecture=ARCHITECTURES,
        corruption=[*CORRUPTIONS, None],
    ),
    make(architecture=Dense(linear_path=True), init="random"),
    make(architecture=Dense(norm="batch", dropout=0.1, decoder_hidden_layer_sizes=(5,))),
    # more components than features cannot be tied: some checks have one feature
    make(architecture=Dense(tied=True), n_components=1),
    make(architecture=Convolutional(norm="batch", n_residual_blocks=1)),
    make(architecture=Recurrent("lstm", bidirectional=True)),
    make(architecture=Net),
    make(architecture=Module(Net), penalty="contractive", init="random"),
    make(batch_size=None, optimizer="sgd", schedule="plateau", early_stopping=False),
    make(n_components="auto"),
    make(n_components=None, alpha=0.01, gradient_clip=None, activation="tanh"),
    # with steps too small to matter: check_pipeline_consistency fits twice, a warm start goes on
    make(warm_start=True, learning_rate=1e-12),
    *side_by_side(
        make_detector,
        scoring=SCORINGS,
        loss=OF_ANY_NUMBERS,
        architecture=[*ARCHITECTURES, Net],
        penalty=[None, None, "adversarial"],
    ),
    make_detector(init="pca", early_stopping=True, corruption="residual", trim=0.0),
    make_detector(n_folds=5, contamination=0.1, n_components=None),
    make_detector(batch_size=None, optimizer="sgd", schedule=None),
]
# Most names of a default are the default once more.
EVERY_STRATEGY = list({repr(estimator): estimator for estimator in EVERY_STRATEGY}.values())
PRODUCT = [
    make(loss=loss, optimizer=optimizer, schedule=schedule, init=init, early_stopping=stopping)
    for loss in LOSSES
    for optimizer in OPTIMIZERS
    for schedule in [*SCHEDULES, None]
    for init in ("pca", "random")
    for stopping in (True, False)
] + [
    make_detector(scoring=scoring, architecture=architecture)
    for scoring in SCORINGS
    for architecture in ARCHITECTURES
]
PRODUCT += [make_detector(penalty=name) for name in PENALTIES]


@parametrize_with_checks([AutoencoderTransformer(max_iter=5), AutoencoderAnomalyDetector()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# What these try is done before a strategy sees a row: how rows and weights are held in memory, and
# how parameters are set. The checks of the defaults, above, have them.
OF_ANY_STRATEGY = {
    "check_all_zero_sample_weights_error",
    "check_classifier_data_not_an_array",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_dtype_object",
    "check_estimator_repr",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_estimator_tags_renamed",
    "check_estimators_empty_data_messages",
    "check_estimators_unfitted",
    "check_f_contiguous_array_estimator",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_readonly_memmap_input",
    "check_sample_weights_list",
    "check_sample_weights_not_an_array",
    "check_sample_weights_not_overwritten",
    "check_sample_weights_pandas_series",
    "check_sample_weights_shape",
    "check_transformer_data_not_an_array",
}


def checks_of_strategies():
    """Return pairs of a strategy's estimator and a check, less those that try no strategy."""
    pairs = []
    for estimator in EVERY_STRATEGY:
        for one, check in estimator_checks_generator(estimator):
            name = getattr(check, "func", check).__name__
            twin = getattr(check, "keywords", {}).get("readonly_memmap")
            if name not in OF_ANY_STRATEGY and not twin:
                pairs.append(pytest.param(one, check, id=f"{estimator!r}-{name}"))
    return pairs


@pytest.mark.extended
@pytest.mark.parametrize(("estimator", "check"), checks_of_strategies())
def test_scikit_learn_checks_on_every_strategy(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", PRODUCT, ids=repr)
def test_scikit_learn_checks_on_the_product(estimator):
    check_estimator(estimator, on_skip=None)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_fits(activation, iris):
    model = make(activation=activation, random_state=0).fit(iris)
    assert model.score(iris) > 0.97
