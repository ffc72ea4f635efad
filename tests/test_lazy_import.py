"""The import of skae alone: what it leaves out, and that all names are there as before."""

import pickle
import pydoc
import subprocess
import sys

import pytest

import skae
from tests.processes import run

HEAVY = ("torch", "sklearn", "skorch", "scipy")


def test_the_import_alone_leaves_the_estimators_and_torch_out():
    run(
        f"""
        import sys

        import skae

        assert skae.__version__
        assert "AutoencoderTransformer" in dir(skae) and "losses" in dir(skae)
        assert not {{"_transformer", "losses"}} & set(vars(skae))
        assert not set({HEAVY}) & set(sys.modules)
        skae.AutoencoderTransformer
        assert "torch" in sys.modules
        """
    )


@pytest.mark.extended
def test_each_way_to_the_names_works_in_a_new_process():
    run(
        "import skae; assert skae.losses.LOSSES and skae.drift.DriftMonitor\n"
        "from skae import *; AutoencoderTransformer, AutoencoderAnomalyDetector, __version__\n"
        "from skae import compare; compare.compare_with_pca"
    )
    data = pickle.dumps(skae.AutoencoderTransformer(3))
    run(f"import pickle; assert pickle.loads({data!r}).n_components == 3")


def test_an_estimator_is_one_object_by_all_names():
    from skae._transformer import AutoencoderTransformer

    assert skae.AutoencoderTransformer is AutoencoderTransformer
    assert AutoencoderTransformer is vars(skae)["AutoencoderTransformer"]
    assert pydoc.locate("skae.AutoencoderTransformer") is AutoencoderTransformer
    assert set(skae.__all__) <= set(dir(skae))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'skae' has no attribute 'Autoencoder'"):
        skae.Autoencoder  # noqa: B018  (the attribute is what is tested)
    with pytest.raises(ImportError, match="cannot import name 'Autoencoder'"):
        from skae import Autoencoder  # noqa: F401


@pytest.mark.parametrize("command", ["compare", "detect"])
def test_a_missing_file_is_refused_before_torch_is_imported(command, tmp_path):
    missing = tmp_path / "missing.csv"
    arguments = ["-X", "importtime", "-m", "skae", command, str(missing)]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert len(lines) == 1
    assert lines[0].startswith(f"skae: error: no file '{missing}'")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "skae.cli.detect" in imported
    assert not imported & {*HEAVY, "pandas"}
