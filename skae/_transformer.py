"""The autoencoder as a transformer: PCA's interface."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from . import _data, metrics
from ._base import BaseAutoencoder
from ._coding import CodingMixin
from ._compat import _check_sample_weight, _fit_context
from ._generation import GenerationMixin


class AutoencoderTransformer(
    CodingMixin,
    GenerationMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseAutoencoder,
):
    """Nonlinear dimensionality reduction that starts as PCA and only gets better.

    An encoder maps a sample to a code of `n_components` numbers and a decoder maps the code back.
    Both have a linear path, which starts as PCA's, and a nonlinear path, which starts at zero: the
    net is PCA before the first step. Training changes all of it, and the epoch with the lowest loss
    on held-out rows, the start included, is kept.

    Read more in the :doc:`User Guide </user_guide>`.

    Parameters
    ----------
    n_components : int, float or None, default=2
        Width of the code. A float in (0, 1): as many components as PCA needs for that share of the
        variance. None: ``min(n_samples, n_features)``, as PCA, where equal rows count once. A code
        wider than that is allowed: PCA fills the first components and the rest start at random.
    architecture : str, Architecture, type or tuple, default="dense"
        A name in `skae.architectures.ARCHITECTURES`, or an object with its own parameters. Also a
        ``torch.nn.Module`` class with ``encode`` and ``decode``, which stands for
        `skae.architectures.Module`, and a pair of modules, for `skae.architectures.Pair`.
    hidden_layer_sizes : array-like of int or "auto", default="auto"
        Widths of the encoder's hidden layers, from input to code; the decoder mirrors them. Units,
        channels of a convolutional net, units of a recurrent one. "auto": the architecture's
        ``default_sizes``, (256, 128) for a dense net.
    activation : str, default="silu"
        A name in `skae.architectures.ACTIVATIONS`.
    input_shape : tuple of int or None, default=None
        Shape of one sample: an image's (H, W) or (C, H, W), a sequence's (T,) or (T, F). Where it
        is given, ``fit``, ``transform`` and the
        others also take arrays of shape ``(n_samples, *input_shape)``; what they return is 2-D.
    penalty : str, Penalty or None, default=None
        What is asked of the codes beside a good reconstruction: a name in
        `skae.penalties.PENALTIES`, or an object with its own parameters.
    corruption : str, Corruption or None, default="residual"
        What is done to the input while training; the target stays clean. A name in
        `skae.corruptions.CORRUPTIONS`, an object, or None.
    loss : str or Loss, default="squared_error"
        A name in `skae.losses.LOSSES`, or an object with its own parameters.
    init : {"pca", "random"}, default="pca"
        How the net starts. "pca" needs an architecture with a linear path; "random" leaves it out,
        unless the architecture asks for it.
    optimizer : str or Optimizer, default="adam"
        A name in `skae.optimizers.OPTIMIZERS`, or an object with its own parameters.
    learning_rate : float or "auto", default="auto"
        The largest learning rate. "auto" is the optimizer's ``default_learning_rate`` times
        the architecture's ``rate``. X is scaled inside, so its units do not matter.
    schedule : str, Schedule or None, default="one_cycle"
        How the learning rate changes during ``fit``: a name in `skae.schedules.SCHEDULES`, an
        object, or None for a constant one.
    alpha : float, default=0.0
        Weight decay.
    gradient_clip : float or None, default=1.0
        Largest norm of a step's gradient; None does not clip.
    trim : float, default=0.0
        Share of each step's rows, those with the largest losses, that count a hundredth in the
        step, so that outliers are not learnt.
    batch_size : int, "auto" or None, default="auto"
        Rows of a step. "auto" grows with the number of rows, from 32 to 256. None takes all rows:
        gradient descent proper.
    max_iter : int or "auto", default="auto"
        Largest number of epochs; at 0 the estimator is PCA. "auto" is 200 epochs, or as few as 30
        where X has many rows, for about 16,000 steps.
    tol : float, default=1e-4
        The relative fall of the loss that counts as one.
    early_stopping : bool, default=True
        Whether rows are held out to choose the epoch. Otherwise all rows are trained on, and the
        weights of the last epoch stay.
    validation_fraction : float, default=0.1
        Share of the distinct rows that is held out; at least 30 rows, or a quarter of them where
        that is fewer. The start is PCA of all rows all the same.
    n_iter_no_change : int, default=100
        Epochs without a fall of the loss after which the training ends. With a rising and falling
        learning rate the best epochs come late.
    warm_start : bool, default=False
        Whether ``fit`` goes on from the last fit's weights.
    callbacks : list of skorch callbacks or None, default=None
        Cloned before use. They see the epochs and the batches of the training.
    device : str or torch.device, default="auto"
        "auto" is CUDA where there is one, else the CPU. What is fitted is on the CPU.
    distributed : bool, default=False
        Whether ``fit`` is shared by the processes that ``torchrun`` or ``accelerate launch``
        started, each with the same X; needs accelerate. See :doc:`/distributed`.
    random_state : int, RandomState instance or None, default=None
        Seed of the hidden layers, the held-out rows and the batches. The global generators of NumPy
        and torch are neither read nor changed; None takes a fresh seed from the system.
    verbose : int, default=0
        1: a progress bar. 2: a line an epoch.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        Derivative of the reconstruction by the code, averaged over (at most 256) training rows: the
        loadings. PCA's at ``max_iter=0``.
    mean_ : ndarray of shape (n_features,)
        Mean of the training rows.
    n_components_ : int
        Width of the code.
    n_iter_ : int
        Number of epochs run.
    best_iter_ : int
        The epoch whose weights are kept; 0 is the start.
    history_ : list of dict
        One a epoch, epoch 0 being the start: ``epoch``, ``train_loss``, ``valid_loss`` (with
        `early_stopping`), ``learning_rate`` and ``duration`` in seconds. With a `penalty` also each
        term of the losses, such as ``train_reconstruction`` and ``valid_divergence``.
    loss_ : float
        Loss at the best epoch: on the held-out rows if there are any, else on the training rows.
    architecture_, corruption_, loss_function_, optimizer_, penalty_, schedule_ : strategies
        What the parameters of the same name stand for.
    module_ : torch.nn.Module
        The fitted net, in float64 on the CPU, for centred and scaled rows.
    net_ : skorch.NeuralNet
        The skorch net that trained it.
    n_features_in_ : int
        Number of features of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, where X has names that are all strings.

    See Also
    --------
    sklearn.decomposition.PCA : The start, and the measure of what the training gains.
    skae.compare.compare_with_pca : Both over the same folds.

    Notes
    -----
    Losses in `history_` are in the units inside: X centred and divided by the root of its mean
    variance, so that predicting the mean has a squared error of 1.

    The promise about unseen rows is about the loss that is asked for. A `penalty` is a part of it,
    and a `corruption` that denoises compares reconstructions of corrupted rows.

    With ``loss="categorical_cross_entropy"`` X holds tokens, which the net sees as indicators:
    `mean_` and `components_` have a column for each token at each position, and ``score`` is the
    share of the tokens that are reconstructed.

    Equal rows are merged into one with their summed weight, and the order of the rows is not used:
    a weight of 2 is a row given twice and a weight of 0 a row left out, to the last bit, and a row
    is never trained on and held out at once.

    X may be a NumPy array of any layout, a memory map, a pandas, polars or Arrow frame, a torch
    tensor or dataset, or sparse. It is never copied whole: of an X that takes up more than 128 MiB
    as float32, and of a sparse one, each batch is made when it is needed. ``inverse_transform`` and
    ``reconstruct`` return dense arrays.

    Entries that are NaN are missing. The loss leaves them out, and the net sees its own
    reconstruction in their place, found by three repetitions from the mean on, as PCA imputes; the
    start is the PCA of rows that are completed by it. In training, and to choose the epoch, as
    large a share of the others is hidden, so that the net learns to fill gaps.
    ``inverse_transform(transform(X))`` has a value for each. Only the tails of a recurrent net's
    sequences are left as they are. See :doc:`/missing`.

    ``fit`` runs on one thread. On small nets that is as fast, and the result depends neither on the
    number of cores nor on ``n_jobs``.

    ``partial_fit`` trains on its rows once, at half of `learning_rate`; the mean, the scale and the
    start are those of the first call. What it predicts with is a running mean of the weights, most
    of it over the last tenth of all its steps: it settles as the calls go on. It holds no rows out,
    so the promise about unseen rows is ``fit``'s alone.

    References
    ----------
    G. E. Hinton, R. R. Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
    Science 313, 2006.

    P. Baldi, K. Hornik, "Neural Networks and Principal Component Analysis: Learning from Examples
    Without Local Minima", Neural Networks 2(1), 1989.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.decomposition import PCA
    >>> from skae import AutoencoderTransformer
    >>> from skae.metrics import explained_variance_scorer
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(n_components=1, random_state=0).fit(X)
    >>> autoencoder.transform(X).shape
    (150, 1)
    >>> autoencoder.score(X) > explained_variance_scorer(PCA(1).fit(X), X)
    True
    """

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None) -> "AutoencoderTransformer":
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The training data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts.

        Returns
        -------
        self : AutoencoderTransformer
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is not allowed, or if the training diverges.
        """
        return self._fit(X, sample_weight)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None, sample_weight=None) -> "AutoencoderTransformer":
        """Train on the rows of X once, starting as their PCA on the first call.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The next rows.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts.

        Returns
        -------
        self : AutoencoderTransformer
            The fitted estimator.

        Raises
        ------
        ValueError
            If X or a parameter is not allowed, or if the training diverges.
        """
        return self._fit(X, sample_weight, one_pass=True)

    def score(self, X, y=None, sample_weight=None) -> float:
        """Return the share of the variance of X that its reconstruction explains.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_samples, n_features)
            The data.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            How much each row counts.

        Returns
        -------
        share : float
            At most 1, which is best. Comparable with PCA through
            `skae.metrics.explained_variance_scorer`. With
            ``loss="categorical_cross_entropy"``, the share of the tokens that are reconstructed.
        """
        check_is_fitted(self)
        X = self._check_rows(X)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
        if self.loss_function_.discrete:
            right = np.where(np.isnan(X), np.nan, self._map(self._rebuild, X, X.shape[1]) == X)
            return float(np.average(np.nanmean(right, axis=1), weights=sample_weight))

        def blocks(rebuild):
            for part in _data.row_blocks(*X.shape):
                rows = _data.dense_rows(X, part).astype(np.float64, copy=False)
                weight = None if sample_weight is None else sample_weight[part]
                yield rows, rebuild(_data.dense_rows(X, part)), weight

        return metrics.explained_share(
            lambda: blocks(lambda rows: None), lambda: blocks(self._rebuild)
        )

    # scikit-learn's set_output wraps what stands in the class itself.
    transform = CodingMixin.transform

    @property
    def _autoencoder(self):
        return self

    @property
    def _n_features_out(self):
        return self.n_components_
