"""Fitted estimators as files of skops, which run no code when they are loaded."""

import io
import zipfile
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ._utils.files import written_whole

__all__ = ["load", "save", "trusted_types"]


def save(estimator: Any, path: str | PathLike[str]) -> None:
    """Save an estimator, or a Pipeline or a search with one, in a file of skops.

    The file is written whole or not at all: an error leaves the one that was there.

    Read more in the :doc:`User Guide </saving>`.

    Parameters
    ----------
    estimator : estimator
        Fitted or not; one of skae, or one of scikit-learn that holds some.
    path : str or Path
        The file to write, by convention one that ends in ``.skops``.

    Raises
    ------
    ImportError
        If skops is not installed.
    OSError
        If the file cannot be written.
    TypeError
        If the estimator holds something that skops cannot store, such as torch modules of your own.

    See Also
    --------
    load : Load the file.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoencoderTransformer
    >>> from skae.io import load, save
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2, max_iter=5, random_state=0).fit(X)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(autoencoder, folder + "/iris.skops")
    ...     again = load(folder + "/iris.skops")
    >>> bool((again.transform(X) == autoencoder.transform(X)).all())
    True
    """
    skops = import_skops()
    try:
        data = skops.dumps(estimator, compression=zipfile.ZIP_DEFLATED)
    except Exception as error:  # each of skops' parts raises its own
        raise TypeError(
            f"{type(estimator).__name__} holds something that skops cannot store ({error}). A "
            "pickle may have it."
        ) from error
    with written_whole(path) as unfinished:
        unfinished.write_bytes(data)


def load(path: str | PathLike[str], *, trusted: Sequence[str | type] = ()) -> Any:
    """Load what `save` has saved.

    No code runs that comes from the file: objects are made only of types that skops trusts (of
    NumPy, SciPy and scikit-learn), of scikit-learn's splits, which a search holds, of skae's own
    (`trusted_types`), and of those named here.

    Parameters
    ----------
    path : str or Path
        The file.
    trusted : sequence of str or type, default=()
        Further types to trust: those of other packages and your own that a Pipeline has, such as
        ``["my_package.MyScaler"]``. An error names those that are missing.

    Returns
    -------
    estimator : estimator
        What was saved; its results are the same to the last bit on the same machine.

    Raises
    ------
    ImportError
        If skops is not installed.
    OSError
        If the file cannot be read.
    ValueError
        If the file is no model, is truncated or damaged, or holds types that are not trusted.

    Warns
    -----
    InconsistentVersionWarning
        If another version of skae or of scikit-learn saved it.

    See Also
    --------
    save : Save an estimator.

    Examples
    --------
    >>> import tempfile
    >>> from skae import AutoencoderTransformer
    >>> from skae.io import load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(AutoencoderTransformer(3), folder + "/model.skops")
    ...     load(folder + "/model.skops")
    AutoencoderTransformer(n_components=3)
    """
    data = Path(path).read_bytes()
    # torch is not waited for where the file is something else
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.getinfo("schema.json")
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path}: not a model that skae.io.save has written, or a part") from error
    skops = import_skops()
    trusted = [*trusted_types(), *_search_types(), *trusted]
    try:
        return skops.loads(data, trusted=trusted)
    except (ImportError, Warning):  # a package is missing, or warnings are errors
        raise
    except skops.exceptions.UntrustedTypesFoundException as error:
        raise ValueError(
            f"{path}: {error} Nothing was loaded. Pass their names as trusted= only if you know "
            "who made the file."
        ) from error
    except Exception as error:  # a changed file may fail anywhere
        raise ValueError(f"{path}: not a whole model ({type(error).__name__}: {error})") from error


def trusted_types() -> list[str]:
    """Return the names of skae's types that a saved model may hold.

    They are for skops itself, ``skops.io.load(path, trusted=trusted_types())``, and for what calls
    it, such as MLflow. `load` trusts them anyway.

    Returns
    -------
    names : list of str
        The estimators, the strategies, the parts of a fitted state, and the functions of
        `skae.metrics`: names of skae only, so that a strategy of your own is not among them.

    See Also
    --------
    load : Load a model.

    Examples
    --------
    >>> from skae.io import trusted_types
    >>> "skae._transformer.AutoencoderTransformer" in trusted_types()
    True
    """
    from . import _detector, _transformer, drift, metrics, optimizers, tables  # noqa: F401
    from ._utils.stored import stored_types

    # A search may hold a function that scores, and files of earlier versions have optimizers by
    # the names that they are imported by.
    modules = metrics, optimizers
    public = [f"{module.__name__}.{name}" for module in modules for name in module.__all__]
    return sorted({*stored_types(), *public} - {f"{optimizers.__name__}.OPTIMIZERS"})


def _search_types():
    """Return the types of scikit-learn that a search holds and skops does not know."""
    from sklearn import model_selection
    from sklearn.decomposition import PCA
    from sklearn.metrics import check_scoring

    found = [thing for thing in vars(model_selection).values() if isinstance(thing, type)]
    splits = [cls for cls in found if hasattr(cls, "split")]
    return [*splits, type(check_scoring(PCA()))]


def import_skops():
    """Return skops.io, or say how to install it."""
    try:
        import skops.io
    except ImportError:
        raise ImportError(
            "Saved models need skops: install it with pip install 'skae[save]'."
        ) from None
    return skops.io
