"""The way back through a ColumnTransformer, alone and with an autoencoder in between."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from sklearn.compose import ColumnTransformer, make_column_selector, make_column_transformer
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from skae import AutoencoderTransformer
from skae.tables import inverse_column_transform


@pytest.fixture(scope="module")
def wine():
    """A real table with a column of text, one of whole numbers, and one that is true or false."""
    data = load_wine(as_frame=True)
    table = data.data[["alcohol", "malic_acid", "flavanoids", "color_intensity", "proline"]].copy()
    table["proline"] = table["proline"].astype(int)
    table["cultivar"] = np.array(["Barolo", "Grignolino", "Barbera"])[data.target]
    table["size"] = pd.cut(data.data["ash"], 4, labels=False)
    table["pale"] = data.data["hue"] > 1
    return table.set_index(np.arange(1000, 1000 + len(table)))


NUMBERS = ["alcohol", "malic_acid", "flavanoids", "color_intensity", "proline"]
CATEGORIES = ["cultivar", "size", "pale"]


def encoder(**params):
    return make_column_transformer(
        (StandardScaler(), NUMBERS), (OneHotEncoder(**params), CATEGORIES)
    )


def check_same(found, table):
    """Compare tables; numbers may have become floats, and text may have another type of text."""
    assert list(found) == list(table)
    for name in table:
        if table[name].dtype.kind in "fi":
            assert_allclose(found[name], table[name])
        else:
            assert found[name].tolist() == table[name].tolist()


def test_a_table_goes_through_the_autoencoder_and_back(wine):
    encode = encoder(sparse_output=False)
    model = AutoencoderTransformer(4, loss="mixed", max_iter=60, random_state=0)
    pipe = make_pipeline(encode, model).fit(wine)
    codes = pipe.transform(wine)
    assert codes.shape == (len(wine), 4)
    found = inverse_column_transform(encode, model.inverse_transform(codes)).set_index(wine.index)
    assert list(found) == list(wine)
    assert found["alcohol"].dtype == float
    assert found["size"].dtype.kind == "i"
    assert found["pale"].dtype == bool
    assert (found["cultivar"] == wine["cultivar"]).mean() > 0.95
    assert (found[CATEGORIES] == wine[CATEGORIES]).to_numpy().mean() > 0.8
    errors = ((found[NUMBERS] - wine[NUMBERS]) ** 2).mean() / wine[NUMBERS].var()
    assert errors.mean() < 0.3
    # and it is more often right about the categories than PCA
    X = encode.transform(wine)
    linear = PCA(4).fit(X)
    linear = inverse_column_transform(encode, linear.inverse_transform(linear.transform(X)))
    wrong = linear[CATEGORIES].to_numpy() != wine[CATEGORIES].to_numpy()
    assert (found[CATEGORIES] != wine[CATEGORIES]).to_numpy().mean() < 0.7 * wrong.mean()


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("drop", [None, "first", "if_binary"])
def test_what_was_encoded_comes_back(wine, drop, sparse):
    encode = encoder(drop=drop).set_params(sparse_threshold=float(sparse))
    found = inverse_column_transform(encode, encode.fit_transform(wine))
    check_same(found, wine.reset_index(drop=True))


def test_the_index_of_a_frame_is_kept(wine):
    encode = encoder(sparse_output=False).set_output(transform="pandas").fit(wine)
    found = inverse_column_transform(encode, encode.transform(wine))
    assert_array_equal(found.index, wine.index)


@pytest.mark.parametrize(
    "columns",
    [
        slice("alcohol", "flavanoids"),
        slice(None, "flavanoids"),
        slice(0, 3),
        slice(-7, -4),
        [0, 1, 2],
        [True, True, True, False, False, False, False],
        make_column_selector("alcohol|malic|flava"),
        ["flavanoids", "alcohol", "malic_acid"],
    ],
    ids=lambda columns: "selector" if callable(columns) else str(columns),
)
def test_columns_are_told_in_any_way(wine, columns):
    encode = make_column_transformer((StandardScaler(), columns), remainder="passthrough")
    found = inverse_column_transform(encode, encode.fit_transform(wine.drop(columns="cultivar")))
    check_same(found, wine.drop(columns="cultivar"))


def test_the_last_columns_by_name(wine):
    encode = ColumnTransformer(
        [
            ("one", FunctionTransformer(), ["alcohol"]),
            ("rest", OneHotEncoder(), slice("cultivar", None)),
        ]
    )
    found = inverse_column_transform(encode, encode.fit_transform(wine))
    assert_array_equal(found["pale"], wine["pale"])
    assert_array_equal(found["alcohol"], wine["alcohol"])
    assert found["proline"].isna().all()


def test_dropped_columns_are_nan(wine):
    encode = ColumnTransformer(
        [
            ("kept", StandardScaler(), ["alcohol"]),
            ("none", OneHotEncoder(), []),
            ("no", "drop", [1]),
        ]
    )
    found = inverse_column_transform(encode, encode.fit_transform(wine))
    assert list(found) == list(wine)
    assert_allclose(found["alcohol"], wine["alcohol"])
    assert found.drop(columns="alcohol").isna().to_numpy().all()


def test_an_array_comes_back_as_one(wine):
    X = wine[NUMBERS].to_numpy()
    encode = ColumnTransformer([("a", StandardScaler(), [3, 1])], remainder="passthrough")
    assert_allclose(inverse_column_transform(encode, encode.fit_transform(X)), X)


def test_an_array_of_numbers_and_text_comes_back_as_objects(wine):
    X = wine[["alcohol", "cultivar"]].to_numpy(dtype=object)
    encode = ColumnTransformer([("a", StandardScaler(), [0]), ("b", OneHotEncoder(), [1])])
    found = inverse_column_transform(encode, encode.fit_transform(X))
    assert found.dtype == object
    assert_allclose(found[:, 0].astype(float), wine["alcohol"])
    assert found[:, 1].tolist() == wine["cultivar"].tolist()


def test_pipelines_with_imputers_and_nested_transformers(wine):
    table = wine.copy()
    table.loc[table.index[:5], "alcohol"] = np.nan
    numbers = make_pipeline(
        SimpleImputer(), FunctionTransformer(np.log1p, np.expm1), "passthrough", StandardScaler()
    )
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    inner = make_column_transformer((numbers, NUMBERS), (OrdinalEncoder(), ["size"]))
    encode = make_column_transformer((inner, [*NUMBERS, "size"]), (text, ["cultivar", "pale"]))
    found = inverse_column_transform(encode, encode.fit_transform(table))
    filled = table["alcohol"].fillna(table["alcohol"].mean())
    check_same(found, table.assign(alcohol=filled))


def test_the_likeliest_category_wins():
    table = pd.DataFrame({"a": list("xyzx"), "b": list("uvuu")})
    encode = make_column_transformer(
        (OneHotEncoder(drop="first"), ["a"]), (OneHotEncoder(drop="if_binary"), ["b"])
    ).fit(table)
    # the first category has what the others leave
    X = np.array([[0.2, 0.3, 0.4], [0.4, 0.3, 0.6], [0.1, 0.9, 0.5], [0.5, 0.1, 0.0]])
    found = inverse_column_transform(encode, X)
    assert found["a"].tolist() == list("xyzy")
    assert found["b"].tolist() == list("uvvu")


def test_rare_categories_come_back_as_the_encoder_names_them():
    table = pd.DataFrame({"a": list("xxxyyyzw"), "b": list("uvuvuvuv")})
    encode = make_column_transformer((OneHotEncoder(min_frequency=2, drop="first"), ["a", "b"]))
    found = inverse_column_transform(encode, encode.fit_transform(table))
    assert found["a"].tolist() == [*"xxxyyy", "infrequent_sklearn", "infrequent_sklearn"]
    assert found["b"].tolist() == table["b"].tolist()


def test_ordinal_numbers_are_rounded_into_their_range():
    table = pd.DataFrame({"a": list("xyz")})
    encode = make_column_transformer((OrdinalEncoder(), ["a"])).fit(table)
    found = inverse_column_transform(encode, [[-0.7], [0.6], [4.0]])
    assert found["a"].tolist() == list("xyz")


def test_an_unknown_category_is_none():
    table = pd.DataFrame({"a": list("xyz"), "b": [1.0, 2.0, 3.0]})
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["a"]), ("passthrough", ["b"])
    ).fit(table)
    found = inverse_column_transform(encode, encode.transform(table.assign(a=list("xqz"))))
    assert_frame_equal(found, pd.DataFrame({"a": ["x", None, "z"], "b": table["b"]}))


@pytest.mark.parametrize(
    ("transformer", "message"),
    [
        (Normalizer(), "'part' cannot be inverted.*Normalizer.* has no inverse_transform"),
        (FunctionTransformer(np.log1p), "'part' cannot be inverted.*log1p.* has no inverse_func"),
        (make_pipeline(StandardScaler(), Normalizer()), "Normalizer.* has no inverse_transform"),
        (MissingIndicator(features="all"), "MissingIndicator.* has no inverse_transform"),
    ],
)
def test_a_transformer_without_a_way_back_is_named(wine, transformer, message):
    encode = ColumnTransformer([("part", transformer, ["alcohol", "proline"])])
    X = encode.fit_transform(wine)
    with pytest.raises(ValueError, match=message):
        inverse_column_transform(encode, X)


def test_another_number_of_columns_is_refused(wine):
    encode = encoder().fit(wine)
    with pytest.raises(ValueError, match="X has 3 columns, but the ColumnTransformer returned 14"):
        inverse_column_transform(encode, np.zeros((2, 3)))
