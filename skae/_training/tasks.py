"""A training as tasks of scikit-learn's callbacks, of `sklearn.callback`."""

from skorch.callbacks import Callback


class EpochTasks(Callback):
    """Tell scikit-learn's callbacks of a training and its epochs, which are tasks to them.

    A training ends after an epoch where one of the callbacks says so.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        Of the training.
    about : dict
        What the callbacks are told of every task: estimator, X, y and metadata.
    attributes : callable, optional
        Returns the attributes of an estimator that predicts by what a fit returned.
    """

    def __init__(self, context, about, attributes=None):
        self.context = context
        self.about = about
        self.attributes = attributes

    @classmethod
    def of(cls, estimator, X, y, sample_weight, attributes=None):
        """Return the tasks of an estimator's fit."""
        context = estimator._init_callback_context(max_subtasks=None)
        weights = {} if sample_weight is None else {"sample_weight": sample_weight}
        about = {"estimator": estimator, "X": X, "y": y, "metadata": weights}
        return cls(context, about, attributes)

    def fold(self):
        """Return the tasks of the training on a fold, which are a part of these."""
        return EpochTasks(self.context.subcontext("fold", max_subtasks=None), self.about)

    def begin(self, n_parts):
        """Begin what consists of a number of parts: epochs, or folds."""
        self.context.max_subtasks = n_parts
        self.context.call_on_fit_task_begin(**self.about)

    def enter(self, net, fitted_now):
        """Begin a net's training; `fitted_now` returns what a fit would that ends now."""
        self.epoch_, self.fitted_now_ = None, fitted_now
        self.begin(net.max_epochs)
        # What ends the training comes last.
        net.callbacks_.insert(-1, ("tasks", self))

    def on_epoch_begin(self, net, **kwargs):
        self.epoch_ = self.context.subcontext("epoch")
        self.epoch_.call_on_fit_task_begin(**self.about)

    def on_epoch_end(self, net, **kwargs):
        epoch, self.epoch_ = self.epoch_, None
        if self._end(epoch, self.fitted_now_):
            raise KeyboardInterrupt

    def leave(self, net):
        """Leave a net that is trained."""
        net.callbacks_.remove(("tasks", self))
        if self.epoch_ is not None:
            # It was interrupted.
            self._end(self.epoch_, self.fitted_now_)

    def end(self, fitted):
        """End what consists of parts, of which a fit has made what it returns."""
        self._end(self.context, lambda: fitted)

    def _end(self, context, fitted):
        predicting = self.attributes and (lambda: self.attributes(fitted()))
        return context.call_on_fit_task_end(**self.about, reconstruction_attributes=predicting)

    def __getstate__(self):
        # A checkpoint may pickle the net in the middle of a training, which ends for the copy.
        return {}
