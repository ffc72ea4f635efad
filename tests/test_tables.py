"""Tables: every kind of column there and back, autoencoders and detectors of them, and refusals."""

import datetime
import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skae import AutoencoderAnomalyDetector, AutoencoderTransformer
from skae.drift import DriftMonitor
from skae.losses import Mixed
from skae.plotting import AnomalyExplanationDisplay
from skae.tables import KINDS, TableAnomalyDetector, TableAutoencoder, TableEncoder

SMALL = AutoencoderTransformer(hidden_layer_sizes=(16,), max_iter=20)


def shop(n_rows=400, seed=0):
    """Return sales whose columns depend on each other, of all kinds, without gaps."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["bread", "cake", "tea"], size=n_rows, p=[0.5, 0.3, 0.2])
    price = pd.Series(kind).map({"bread": 3.0, "cake": 6.0, "tea": 1.5}).to_numpy()
    price = price + 0.2 * rng.normal(size=n_rows)
    number = rng.poisson(4, size=n_rows) + 1
    hour = rng.integers(0, 24 * 90, size=n_rows)
    return pd.DataFrame(
        {
            "kind": kind,
            "price": price,
            "number": number,
            "total": price * number,
            "card": price * number > 14,
            "sold": pd.Timestamp("2024-01-05") + pd.to_timedelta(hour, unit="h"),
            "size": pd.Categorical(
                np.where(number > 5, "large", "small"), ["small", "large"], ordered=True
            ),
        }
    )


def every_dtype():
    n_rows = 30
    count = np.arange(n_rows)
    text = np.array(["a", "b", "c"], dtype=object)[count % 3]
    frame = pd.DataFrame(
        {
            "float": np.sqrt(count),
            "float32": (count / 4).astype(np.float32),
            "int": count**2,
            "int8": (count % 7 - 3).astype(np.int8),
            "nullable": pd.array(count**2, dtype="Int64"),
            "Float64": pd.array(count / 8, dtype="Float64"),
            "bool": count % 2 == 0,
            "boolean": pd.array(count % 2 == 0, dtype="boolean"),
            "bits": count % 2,
            "object": text,
            "string": pd.array(text, dtype="string"),
            "category": pd.Categorical(text, categories=["c", "a", "b", "unused"]),
            "numbers": pd.Categorical(count % 4),
            "date": pd.Timestamp("2020-02-01") + pd.to_timedelta(count, unit="D"),
            "zone": pd.date_range("2020-03-01", periods=n_rows, freq="7h", tz="Europe/Paris"),
            "written": [f"{1 + i % 28:02d}/{1 + i % 12:02d}/2021" for i in count],
            "zulu": [f"2021-05-{1 + i % 28:02d}T{i % 24:02d}:30:00Z" for i in count],
            "date only": [datetime.date(2020, 1, 1 + i) for i in count],
            "duration": pd.to_timedelta(count * 90, unit="s"),
        }
    )
    return frame


def encoded_again(frame, **params):
    encoder = TableEncoder(columns=list(frame), **params).fit(frame)
    return encoder, encoder.inverse_transform(encoder.transform(frame))


# -- there and back --------------------------------------------------------------------------------


def test_every_dtype_comes_back():
    frame = every_dtype()
    encoder, back = encoded_again(frame)
    pd.testing.assert_frame_equal(back, frame, rtol=1e-9)
    assert np.isfinite(encoder.transform(frame)).all()


@pytest.mark.parametrize("name", every_dtype())
def test_gaps_come_back(name):
    frame = every_dtype()
    column = frame[name]
    kinds = {"int": float, "int8": float, "bits": float, "bool": object}
    frame[name] = column.astype(kinds.get(name, column.dtype)).where(np.arange(30) != 4)
    encoder, back = encoded_again(frame)
    encoded = encoder.transform(frame)
    own = [n.startswith(f"{name}_") or n == name for n in encoder.get_feature_names_out()]
    assert back[name].isna().tolist() == [i == 4 for i in range(30)]
    assert np.isnan(encoded[4]).any()
    assert np.isnan(encoded[4])[own].any()
    own, other = (f[name].mask(f[name].isna(), None) for f in (frame, back))
    pd.testing.assert_series_equal(own, other, rtol=1e-9)


@pytest.mark.parametrize("library", [pl.from_pandas, pa.Table.from_pandas])
def test_other_libraries_get_their_own_frames(library):
    frame = shop(50)
    table = library(frame)
    encoder = TableEncoder().fit(table)
    back = encoder.inverse_transform(encoder.transform(table))
    assert type(back) is type(table)
    assert back.schema == table.schema or list(back.schema) == list(table.schema)
    pd.testing.assert_frame_equal(back.to_pandas(), table.to_pandas(), rtol=1e-9, check_dtype=False)
    assert_allclose(encoder.transform(table), encoder.transform(frame))


def test_the_encoding_is_that_of_scikit_learn():
    frame = shop()
    encoded = pd.DataFrame(
        TableEncoder().fit_transform(frame),
        columns=TableEncoder().fit(frame).get_feature_names_out(),
    )
    numbers = ["price", "number", "total"]
    assert_allclose(encoded[numbers], StandardScaler().fit_transform(frame[numbers]))
    own = OneHotEncoder(sparse_output=False).fit(frame[["kind"]])
    assert_array_equal(encoded[own.get_feature_names_out()], own.transform(frame[["kind"]]))


def test_heavy_tails_are_bent_and_come_back():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"heavy": np.exp(3 * rng.normal(size=300)), "b": rng.normal(size=300)})
    encoder, back = encoded_again(frame)
    standard = StandardScaler().fit_transform(frame)
    assert abs(encoder.transform(frame)).max() < 8 < abs(standard).max()
    assert_allclose(back, frame, rtol=1e-9)
    assert_allclose(TableEncoder(numbers="standard").fit_transform(frame), standard)


values = st.one_of(
    st.lists(st.integers(-(2**40), 2**40), min_size=6, max_size=6),
    st.lists(st.floats(-(2.0**40), 2.0**40, width=32), min_size=6, max_size=6),
    st.lists(st.one_of(st.none(), st.text(max_size=4)), min_size=6, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.lists(
        st.datetimes(datetime.datetime(1900, 1, 1), datetime.datetime(2200, 1, 1)),
        min_size=6,
        max_size=6,
    ),
    st.lists(st.one_of(st.integers(0, 3), st.sampled_from(["x", "y"])), min_size=6, max_size=6),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(values, min_size=1, max_size=4))
def test_random_tables_come_back(columns):
    frame = pd.DataFrame({f"c{i}": column for i, column in enumerate(columns)})
    if frame.isna().all().any():
        return
    _, back = encoded_again(frame)
    for name in frame:
        own, other = frame[name], back[name]
        assert other.isna().tolist() == own.isna().tolist()
        if own.dtype.kind == "f":
            unit = abs(own).max()
            assert_allclose(other, own, rtol=1e-6, atol=1e-9 * unit)
        elif own.dtype.kind == "M":
            assert (abs(other - own).dropna() <= pd.Timedelta(milliseconds=1)).all()
        else:
            assert other.dropna().tolist() == own.dropna().tolist()


# -- which columns ---------------------------------------------------------------------------------


def test_what_is_left_out_is_said():
    frame = shop(60).assign(
        Index=range(60),
        shop="here",
        note=[f"note {i}" for i in range(60)],
        nothing=np.nan,
    )
    with pytest.warns(UserWarning, match=r"'Index' \(id\), 'shop' \(constant\), 'note' \(id\)"):
        encoder = TableEncoder().fit(frame)
    assert list(encoder.left_out_) == ["Index", "shop", "note", "nothing"]
    back = encoder.inverse_transform(encoder.transform(frame))
    # what is constant is known
    assert (back["shop"] == "here").all()
    assert list(back) == [*shop(60), "shop"]


def test_parameters_decide_otherwise():
    frame = shop(60).assign(Index=range(60), shop="here")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = TableEncoder(columns=["Index", "price"]).fit(frame)
        assert list(encoder.columns_) == ["price", "Index"]
        encoder = TableEncoder(exclude=["shop", "total"], id_columns=["Index"]).fit(frame)
        assert "total" not in encoder.columns_
        assert encoder.left_out_["Index"] == "id"
        encoder = TableEncoder(exclude=["shop"], id_columns=[]).fit(frame)
        assert "Index" in encoder.columns_
        encoder = TableEncoder(kinds={"number": "category"}, exclude=["shop", "Index"]).fit(frame)
        assert encoder.columns_["number"].loss == "multinomial"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_loss_of_the_mixed_loss(kind):
    values = {"date": pd.date_range("2020-01-01", periods=40), "boolean": [0, 1] * 20}
    frame = pd.DataFrame({"a": values.get(kind, [1, 2, 3, 4] * 10), "b": np.arange(40) ** 2})
    encoder = TableEncoder(kinds={"a": kind}).fit(frame)
    model = AutoencoderTransformer(1, loss=Mixed(encoder.blocks_), max_iter=1, random_state=0)
    model.fit(encoder.transform(frame))


def test_columns_are_found_by_name():
    frame = shop(60)
    encoder = TableEncoder().fit(frame)
    other = frame[list(frame)[::-1]].assign(more=1)
    assert_array_equal(encoder.transform(other), encoder.transform(frame))


@pytest.mark.parametrize("treatment", ["frequent", "hash", "drop"])
def test_text_of_many_values(treatment):
    rng = np.random.default_rng(0)
    many = np.array([f"v{i}" for i in range(100)])[rng.zipf(1.5, size=800).clip(max=100) - 1]
    frame = pd.DataFrame({"many": many, "x": rng.normal(size=800)})
    encoder = TableEncoder(max_categories=10, high_cardinality=treatment)
    if treatment == "drop":
        with pytest.warns(UserWarning, match="'many'.*text of .* values"):
            encoder.fit(frame)
        assert list(encoder.columns_) == ["x"]
        return
    encoder.fit(frame)
    assert len(encoder.columns_["many"].suffixes) == 10
    back = encoder.inverse_transform(encoder.transform(frame))
    frequent = pd.Series(many).value_counts().index[:9]
    if treatment == "frequent":
        kept = np.isin(many, frequent)
        assert (back["many"] == many)[kept].all()
        # the others come back as the most frequent of them
        assert back["many"][~kept].nunique() == 1
    assert back["many"].isin(set(many)).all()
    unseen = encoder.transform(pd.DataFrame({"many": ["never seen"], "x": [0.0]}))
    assert_array_equal(unseen[0, 1:].sum(), 1.0)


def test_an_unseen_value_without_others_has_no_indicator():
    encoder = TableEncoder().fit(shop())
    frame = shop(5)
    frame.loc[0, "kind"] = "fish"
    encoded = pd.DataFrame(encoder.transform(frame), columns=encoder.get_feature_names_out())
    assert encoded.filter(like="kind_").sum(axis=1).tolist() == [0, 1, 1, 1, 1]
    assert encoder.inverse_transform(encoded)["kind"].isna().tolist() == [True] + 4 * [False]


# -- refusals --------------------------------------------------------------------------------------


def changed(**cells):
    frame = shop(30).astype({"price": object, "sold": object, "card": object})
    for name, value in cells.items():
        frame.loc[3, name] = value
    return frame


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"price": "dear"}, r"Column 'price' holds numbers, but row 3 has 'dear'"),
        ({"price": np.inf}, r"Column 'price' holds finite numbers, but row 3 has inf"),
        ({"sold": "never"}, r"Column 'sold' holds dates, but row 3 has 'never'"),
        ({"card": "perhaps"}, r"Column 'card' holds False and True, but row 3 has 'perhaps'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(cells, message):
    encoder = TableEncoder().fit(shop(30))
    with pytest.raises(ValueError, match=message):
        encoder.transform(changed(**cells))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"columns": ["prise"]}, "'columns' parameter of TableEncoder names 'prise'"),
        ({"exclude": ["prise"]}, "'exclude' parameter of TableEncoder names 'prise'"),
        ({"kinds": {"price": "colour"}}, "got 'colour' for the column 'price'"),
        ({"max_categories": 1}, "max_categories"),
        ({"numbers": "log"}, "numbers"),
        ({"exclude": list(shop(3))}, "No column of X is left"),
    ],
)
def test_parameters_that_are_not_allowed(params, message):
    with pytest.raises(ValueError, match=message):
        TableEncoder(**params).fit(shop(30))


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"a": [[1], [2]], "b": [1, 2]}), "Column 'a' holds values that are no text"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), "several columns called 'a'"),
        (pd.DataFrame({"a": []}), "0 sample"),
    ],
)
def test_tables_that_are_none(frame, message):
    with pytest.raises(ValueError, match=message):
        TableEncoder().fit(frame)


def test_a_column_that_is_not_there_is_named():
    encoder = TableEncoder().fit(shop(30))
    with pytest.raises(ValueError, match="X has no column 'price'"):
        encoder.transform(shop(30).drop(columns="price"))
    with pytest.raises(ValueError, match=r"X has shape \(3, 2\), but the encoded table has"):
        encoder.inverse_transform(np.zeros((3, 2)))


def test_an_error_leaves_the_old_fit():
    for model in (TableAutoencoder(1, autoencoder=SMALL, random_state=0), TableAnomalyDetector()):
        model.fit(shop(60))
        before = model.encoder_
        with pytest.raises(ValueError, match="no text"):
            model.fit(pd.DataFrame({"a": [[1], [2]], "b": [1, 2]}))
        assert model.encoder_ is before


# -- the autoencoder -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def split():
    return train_test_split(shop(600), test_size=200, random_state=0)


@pytest.fixture(scope="module")
def model(split):
    # Wide enough for what the columns have in common: kind, number, total and time. On these 400
    # rows the steps of small batches find the kind more often than those of the default.
    autoencoder = AutoencoderTransformer(batch_size=32)
    return TableAutoencoder(4, autoencoder=autoencoder, random_state=0).fit(split[0])


def test_without_training_numbers_are_those_of_pca():
    frame = shop()[["price", "number", "total"]]
    start = AutoencoderTransformer(max_iter=0)
    codes = TableAutoencoder(2, autoencoder=start, random_state=0).fit_transform(frame)
    expected = PCA(2).fit_transform(StandardScaler().fit_transform(frame))
    assert_allclose(codes / codes.std(0), expected / expected.std(0), atol=1e-9)


@pytest.mark.extended
def test_training_improves_the_columns_of_unseen_rows(split, model):
    train, test = split
    start = AutoencoderTransformer(max_iter=0)
    pca = TableAutoencoder(4, autoencoder=start, random_state=0).fit(train)
    own, before = model.column_errors(test), pca.column_errors(test)
    assert own["loss"].mean() < 0.7 * before["loss"].mean()
    assert (own["wrong"].dropna() <= before["wrong"].dropna()).all()
    # by the reconstructed table itself
    back = model.reconstruct(test).set_axis(test.index)
    assert_allclose((back["kind"] != test["kind"]).mean(), own.loc["kind", "wrong"])
    assert back.dtypes.equals(test.dtypes)


def test_gaps_are_filled_and_nothing_else_changes(split, model):
    gaps = split[1].copy()
    gaps["kind"] = gaps["kind"].where(np.arange(200) % 4 > 0)
    gaps["number"] = gaps["number"].astype(float).where(np.arange(200) % 4 != 1)
    filled = model.impute(gaps)
    assert not filled.isna().any().any()
    assert (filled["kind"] == gaps["kind"])[gaps["kind"].notna()].all()
    assert (filled["number"] == gaps["number"])[gaps["number"].notna()].all()
    # what the price says of the kind
    assert (filled["kind"] == split[1]["kind"])[gaps["kind"].isna()].mean() > 0.95
    # whole numbers, although gaps have made them floats
    assert (filled["number"] == filled["number"].round()).all()
    error = (filled["number"] - split[1]["number"])[gaps["number"].isna()]
    assert (error**2).mean() < 0.5 * split[1]["number"].var()
    assert list(filled) == list(gaps)


def test_samples_look_like_the_table(split, model):
    train = split[0]
    sample = model.sample(500, random_state=1)
    assert sample.dtypes.equals(train.dtypes)
    assert set(sample["kind"]) == set(train["kind"])
    for name in ("price", "number", "total"):
        assert train[name].min() <= sample[name].min()
        assert sample[name].max() <= train[name].max()
        assert ks_2samp(sample[name], train[name]).statistic < 0.12
    # the kinds keep their prices
    means = sample.groupby("kind")["price"].mean()
    assert_allclose(means.loc[["bread", "cake"]], [3, 6], atol=0.6)
    pd.testing.assert_frame_equal(sample, model.sample(500, random_state=1))


def test_the_loss_is_that_of_the_columns(split, model):
    test = split[1]
    errors = model.column_errors(test)
    encoded = model.encoder_.transform(test)
    rebuilt = model.autoencoder_.reconstruct(encoded)
    names = model.encoder_.get_feature_names_out()
    own = [str(n).startswith("kind_") for n in names]
    entropy = -np.log((encoded[:, own] * rebuilt[:, own]).sum(1)).mean()
    assert_allclose(errors.loc["kind", "loss"], entropy)
    price = list(names).index("price")
    assert_allclose(errors.loc["price", "loss"], ((encoded - rebuilt)[:, price] ** 2).mean())


def test_searches_clones_pickles_and_set_output(split):
    train = split[0]
    model = TableAutoencoder(autoencoder=SMALL, encoder=TableEncoder(), random_state=0)
    grid = {"n_components": [1, 2], "encoder__numbers": ["standard"], "autoencoder__alpha": [0.1]}
    search = GridSearchCV(model, grid, cv=2).fit(train)
    assert search.best_params_["n_components"] == 2
    best = search.best_estimator_
    again = pickle.loads(pickle.dumps(best))
    assert_array_equal(again.transform(train), best.transform(train))
    assert clone(best).get_params()["autoencoder__alpha"] == 0.1
    codes = clone(best).set_output(transform="pandas").fit(train).transform(train)
    assert list(codes) == ["tableautoencoder0", "tableautoencoder1"]


# -- the detector ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def detector(split):
    return TableAnomalyDetector(random_state=0).fit(split[0])


def planted(frame):
    """Return a table whose first rows each have an odd cell, and the name of its column."""
    frame, names = frame.reset_index(drop=True), []
    others = {"bread": "tea", "cake": "tea", "tea": "cake"}
    for row in range(60):
        name = ["kind", "total", "size"][row % 3]
        if name == "total":
            frame.loc[row, name] += 40
        elif name == "size":
            frame.loc[row, name] = "small" if frame.loc[row, name] == "large" else "large"
        else:
            frame.loc[row, name] = others[frame.loc[row, name]]
        names.append(name)
    return frame, np.array(names)


def test_odd_cells_are_found_and_named(split, detector):
    frame, names = planted(split[1])
    odd = np.arange(len(frame)) < len(names)
    auroc = roc_auc_score(odd, -detector.score_samples(frame))
    encoder = detector.encoder_
    forest = IsolationForest(random_state=0).fit(encoder.transform(split[0]))
    assert auroc > 0.9
    assert auroc > roc_auc_score(odd, -forest.score_samples(encoder.transform(frame)))
    contributions = detector.explain(frame)
    assert_allclose(contributions.sum(axis=1), detector.score_samples(frame), atol=1e-9)
    # Without a comparison of the suspects it is .72: a wrong total makes what follows from it odd.
    assert (contributions.idxmin(axis=1)[odd] == names).mean() > 0.8


@pytest.mark.extended
def test_of_columns_that_say_the_same_the_wrong_one_is_named():
    """Each column tells the other two, so that a wrong one makes all three look odd."""

    def zones(n_rows, seed):
        rng = np.random.default_rng(seed)
        longitude = rng.uniform(-180, 180, n_rows)
        zone = np.round(longitude / 60).astype(int)
        offset = 4.0 * zone + 0.1 * rng.normal(size=n_rows)
        names = np.array(list("abcdefg"))[zone + 3]
        return pd.DataFrame({"longitude": longitude, "offset": offset, "zone": names})

    train, test = zones(400, 0), zones(180, 1)
    detector = TableAnomalyDetector(random_state=0).fit(train)
    odd = np.array(["longitude", "offset", "zone"])[np.arange(len(test)) % 3]
    for row, name in enumerate(odd):
        if name == "zone":
            test.loc[row, name] = "g" if test.loc[row, name] in "abc" else "a"
        else:
            test.loc[row, name] += np.sign(-test.loc[row, name]) * 2 * train[name].std()
    contributions = detector.explain(test)
    assert_allclose(contributions.sum(axis=1), detector.score_samples(test), atol=1e-9)
    named = pd.Series(contributions.idxmin(axis=1) == odd)
    assert (named.groupby(odd).mean() > 0.5).all()
    assert named.mean() > 0.8


def test_details_tell_values_and_what_was_expected(split, detector):
    frame, _ = planted(split[1])
    details = detector.explain(frame[:60], details=True)
    assert list(details) == ["row", "column", "value", "expected", "contribution", "fraction"]
    assert len(details) == 60 * len(detector.encoder_.columns_)
    by_row = details.groupby("row", sort=False)
    assert_allclose(by_row["contribution"].sum(), detector.score_samples(frame[:60]), atol=1e-9)
    assert_allclose(by_row["fraction"].sum(), 1)
    for _, line in details.groupby("row").head(1).iterrows():
        assert line["value"] == frame.loc[line["row"], line["column"]]
    swapped = details[(details["column"] == "kind") & (details["row"] % 3 == 0)]
    true = split[1].reset_index(drop=True)["kind"][swapped["row"]]
    assert np.mean([t in e for t, e in zip(true, swapped["expected"], strict=True)]) > 0.5


def test_a_cell_is_judged_by_the_others_alone(split, detector):
    """What is expected of a column does not depend on its own value."""
    frame = split[1][:30]
    other = frame.assign(total=frame["total"] + 40, kind=np.roll(frame["kind"], 1))
    for name in ("total", "kind"):
        changed = frame.assign(**{name: other[name]})
        expected = []
        for table in (frame, changed):
            details = detector.explain(table, details=True)
            own = details[details["column"] == name].set_index("row")
            expected.append(own.loc[frame.index, "expected"].tolist())
        assert expected[0] == expected[1]


def test_a_value_that_was_never_seen_is_odd_and_a_missing_one_is_not(split, detector):
    frame = split[1][:50]
    plain = detector.score_samples(frame)
    unseen = frame.assign(kind="shoes")
    assert (detector.score_samples(unseen) < plain).mean() > 0.95
    assert (detector.explain(unseen).idxmin(axis=1) == "kind").mean() > 0.8
    gaps = frame.assign(kind=None, price=np.nan)
    assert_allclose(detector.explain(gaps)[["kind", "price"]], 0, atol=1e-9)
    empty = frame.mask(np.ones(frame.shape, dtype=bool))
    assert_allclose(detector.score_samples(empty), 0, atol=1e-9)


def test_new_rows_are_flagged_as_often_as_promised(detector):
    new = shop(3000, seed=5)
    error = np.sqrt(0.05 * 0.95 * (1 / 400 + 1 / 3000))
    assert abs((detector.predict(new) == -1).mean() - 0.05) < 3 * error
    p_values, scores = detector.p_values(new, return_scores=True)
    assert abs((p_values <= 0.5).mean() - 0.5) < 3 * np.sqrt(0.25 / 400)
    assert_allclose(scores, detector.score_samples(new), rtol=1e-12)


@pytest.mark.extended
def test_what_the_judgements_of_a_table_promise(split, detector):
    """Bounds and probabilities of tables with categories, by many draws of new rows."""
    held = []
    for seed in range(20):
        new, names = planted(shop(200, seed=100 + seed))
        odd = np.arange(len(new)) < len(names)
        order = np.argsort(detector.score_samples(new), kind="stable")
        true = np.cumsum(odd[order]) / np.arange(1, len(new) + 1)
        held.append((detector.precision_bound(new, confidence=0.8)[order] <= true + 1e-12).all())
    # with probability 0.8 or more, up to three standard errors
    assert np.mean(held) >= 0.8 - 3 * np.sqrt(0.16 / 20)
    new, names = planted(shop(600, seed=6))
    odd = np.arange(len(new)) < len(names)
    found = detector.predict(new, fdr=0.2) == -1
    assert found[odd].mean() > 0.5
    assert (found & ~odd).sum() / found.sum() < 0.4
    bound = detector.precision_bound(new)
    assert bound[odd].mean() > 0.5 > bound[~odd].mean()
    assert (detector.p_values(new, confidence=0.9) >= detector.p_values(new)).all()
    probability = detector.predict_proba(new, roc_auc=0.9)[:, list(detector.classes_).index(-1)]
    assert probability[odd].mean() > 3 * probability[~odd].mean()
    clean = detector.predict_proba(shop(2000, seed=7), roc_auc=0.9)
    assert_allclose(clean.sum(1), 1)
    assert_allclose(clean[:, 0].mean(), 0.05, atol=0.02)


def test_training_rows_are_scored_by_the_net_that_has_not_seen_them(split, detector):
    """Flagged exactly as often as asked for, and as typical as rows that are new."""
    assert (detector.predict(split[0]) == -1).sum() == int(0.05 * len(split[0]))
    new = shop(2000, seed=8)
    assert ks_2samp(detector.score_samples(split[0]), detector.score_samples(new)).pvalue > 1e-3


@pytest.mark.extended
def test_a_table_comes_in_chunks():
    model, rows = TableAnomalyDetector(random_state=0), shop(1600, seed=3)
    for _ in range(3):
        for start in range(0, len(rows), 200):
            model.partial_fit(rows[start : start + 200])
    new, names = planted(shop(400, seed=4))
    odd = np.arange(len(new)) < len(names)
    assert roc_auc_score(odd, -model.score_samples(new)) > 0.9
    assert abs((model.predict(shop(2000, seed=5)) == -1).mean() - 0.05) < 0.03
    before = model.encoder_, model.score_samples(new)
    with pytest.raises(ValueError, match="no column 'price'"):
        model.partial_fit(rows.drop(columns="price"))
    assert model.encoder_ is before[0]
    assert_allclose(model.score_samples(new), before[1])


def test_a_stream_of_tables_is_watched(split, detector):
    monitor = DriftMonitor(detector, random_state=0).fit(split[0])
    monitor.update(shop(100, seed=9))
    assert monitor.alarm_at_ is None
    monitor.update(shop(150, seed=10).assign(kind="tea"))
    assert monitor.alarm_at_ >= 100
    names = detector.encoder_.get_feature_names_out()
    assert names[monitor.log_martingales_[1:].argmax()].startswith("kind_")


def test_the_odd_cell_of_a_table_is_drawn(split, detector):
    frame, _ = planted(split[1])
    display = AnomalyExplanationDisplay.from_estimator(detector, frame, row=3, max_features=4)
    labels = [label.get_text() for label in display.ax_.get_yticklabels()]
    details = detector.explain(frame[3:4], details=True)
    assert [label.split("\n")[0] for label in labels] == details["column"][:4].tolist()
    assert any(str(frame.loc[3, "kind"]) in label for label in labels)
    display.figure_.clf()


def test_the_detector_is_a_parameter(split):
    own = AutoencoderAnomalyDetector(1, scoring="mahalanobis", max_iter=2)
    model = TableAnomalyDetector(0.1, detector=own, random_state=0).fit(split[0])
    assert model.detector_.scoring == "mahalanobis"
    assert model.detector_.contamination == 0.1
    assert_allclose((model.predict(split[0]) == -1).mean(), 0.1, atol=0.01)
    with pytest.raises(ValueError, match="contamination"):
        TableAnomalyDetector(0.7).fit(split[0])


@parametrize_with_checks(
    [
        TableEncoder(),
        TableAutoencoder(1, autoencoder=SMALL, random_state=0),
        TableAnomalyDetector(detector=AutoencoderAnomalyDetector(1, max_iter=2), random_state=0),
    ]
)
def test_scikit_learn_s_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([TableAnomalyDetector(random_state=0)])
def test_scikit_learn_s_checks_of_the_default_detector(estimator, check):
    check(estimator)
