"""What a loss for each column is good for, on tables of numbers and categories."""

from functools import partial

from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skae import AutoencoderTransformer
from skae.tables import inverse_column_transform

from ..datasets import read_mlbench
from ._figures import fitted, rebuilt
from ._registry import family

# Name, file, columns that are left out, numbers that stand for categories.
_TABLES = (
    ("boston", "BostonHousing2", ["town", "tract"], ["rad"]),
    ("glass", "Glass", [], []),
    # the day of the month, and a temperature that a third of the rows lack
    ("ozone", "Ozone", ["V2", "V9"], []),
    ("pima", "PimaIndiansDiabetes", [], []),
    ("servo", "Servo", [], []),
    ("soybean", "Soybean", [], []),
    ("vehicle", "Vehicle", [], []),
    ("votes", "HouseVotes84", [], []),
    ("zoo", "Zoo", [], ["legs"]),
)


def _table(file, left_out, as_categories):
    """Return a table of floats and strings; a category that is missing is one of its own."""
    frame = read_mlbench(file).drop(columns=left_out)
    numbers = [c for c in frame if frame[c].dtype.kind in "fi" and c not in as_categories]
    categories = [c for c in frame if c not in numbers]
    frame = frame.dropna(subset=numbers).astype(dict.fromkeys(numbers, float))
    frame[categories] = frame[categories].astype(object).fillna("missing").astype(str)
    return frame, numbers, categories


def _figures_of(model, encode, train, test, numbers, categories):
    """Return how well a model of the encoded table rebuilds the table."""
    model, seconds = fitted(model, encode.fit_transform(train))
    found = inverse_column_transform(encode, rebuilt(model, encode.transform(test)))
    wrong = found[categories].to_numpy() != test[categories].to_numpy()
    figures = {"wrong_categories": wrong.mean(), "fit_seconds": seconds}
    if numbers:
        squares = (found[numbers] - test[numbers].to_numpy()) ** 2
        figures["error"] = (squares.mean() / train[numbers].var(ddof=0)).mean()
    return figures


@family("mixed")
def mixed(seed):
    for name, *about in _TABLES:
        frame, numbers, categories = _table(*about)
        train, test = train_test_split(frame, test_size=0.25, random_state=seed)
        encode = make_column_transformer(
            (StandardScaler(), numbers),
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
        )
        for k in (2, 5):
            models = {"PCA": PCA(k, random_state=seed)}
            for loss in ("squared_error", "mixed"):
                models[f'skae, loss="{loss}"'] = AutoencoderTransformer(
                    k, loss=loss, random_state=seed
                )
            rest = (encode, train, test, numbers, categories)
            yield name, k, {p: partial(_figures_of, model, *rest) for p, model in models.items()}
