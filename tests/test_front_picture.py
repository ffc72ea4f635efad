"""The front page's picture can be drawn anew, and what it says is computed."""

import front_picture
import numpy as np
import pytest
from matplotlib import image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

pytestmark = pytest.mark.extended


@pytest.fixture(scope="module")
def content():
    return front_picture.fitted_content(max_iter=2)


def test_titles_have_the_explained_variance_of_unseen_rows(content):
    train, test = train_test_split(load_digits().data, random_state=0)
    centred = test - train.mean(0)
    axes = np.linalg.svd(train - train.mean(0), full_matrices=False)[2][:8]
    kept = 1 - ((centred - centred @ axes.T @ axes) ** 2).sum() / ((test - test.mean(0)) ** 2).sum()
    texts = [text.get_text() for text in front_picture.draw(content, "dark").texts]
    assert texts[1] == f"PCA, 8 numbers each: {100 * kept:.0f} % of the variance"
    assert texts[2].startswith("skae, 8 numbers each: ")
    rows, odd, contributions, p_value = content
    assert [images.shape for images in rows.values()] == [(10, 64)] * 3
    assert np.flatnonzero(odd[0] != test[0]).tolist() == [14, 15, 22, 23]
    assert contributions.shape == (1, 64)
    assert texts[-1].endswith(f"p = {p_value:.3f}")


def test_pictures_are_written(content, tmp_path, monkeypatch):
    monkeypatch.setattr(front_picture, "fitted_content", lambda: content)
    front_picture.main(tmp_path)
    for theme in front_picture.THEMES:
        for folder in (tmp_path, front_picture.FOLDER):
            path = folder / f"front-{theme}.png"
            # twice the 700 pixels that a page shows, and transparent
            assert image.imread(path).shape == (550, 1400, 4)
            assert path.stat().st_size < 150_000
