"""The anomaly score of tables: how likely it is that some cell of a row is wrong."""

import math

import numpy as np
import torch

from ..scorings import Scoring

# A number that follows from the others has no smaller variance: its errors are rounding.
_LEAST_VARIANCE = 1e-6
# Where a wrong number may be: anywhere within four standard deviations on either side.
_RANGE = 8.0
# Indicators of a category sum to one, up to rounding, unless its value is unknown.
_ROUNDING = 1e-3
# So many columns of a row are compared in pairs. With more no more of the right ones are named.
_SUSPECTS = 5


class OddCell(Scoring):
    """How likely it is that one of a row's cells holds a random value.

    For each column it is compared how likely its value is among all others, where any category is
    as likely as another and numbers are within four standard deviations, and how likely it is given
    the row's other columns: the net says the probabilities of categories, and numbers are normal
    around what it expects. The ratios of all columns are added up.

    A wrong value also makes those columns odd that the net reconstructs from it. Which column of a
    row is to blame is therefore asked with two of them hidden at once: by Bayes' rule, one of two
    is the wrong one with odds of the quotient of their ratios given the rest of the row. The column
    with the largest ratio is compared with the next one, the more suspect of the two with the third
    one, and so on.

    Parameters
    ----------
    columns : list of list of int
        The numbers that each column of the table is encoded by.
    categorical : list of bool
        Whether each column holds categories.

    Attributes
    ----------
    variance_ : ndarray of shape (n_columns,)
        The variance of numbers around what the net expects.
    total_ : ndarray of shape (n_columns,)
        The sum of the indicators of a category, as the net sees them.
    floor_ : float
        The least probability of a category: no fewer rows can tell of it.
    """

    def __init__(self, columns, categorical):
        self.columns = columns
        self.categorical = categorical

    @property
    def hidden(self):
        return self.columns

    def fit(self, residuals, weight):
        loss = residuals.loss.numpy()
        weight = weight[:, None] * ~np.isnan(loss)
        mean = (weight * np.nan_to_num(loss)).sum(0) / np.maximum(weight.sum(0), 1e-300)
        # The loss is half the square.
        self.variance_ = np.maximum(2 * mean, _LEAST_VARIANCE)
        self.total_ = self._totals(residuals.row).amax(0).numpy()
        self.floor_ = 1.0 / len(weight)

    def _totals(self, row):
        return torch.stack([row[:, own].sum(1) for own in self.columns], 1)

    def _log_odds(self, loss, row):
        variance = torch.from_numpy(self.variance_)
        numbers = loss / variance + 0.5 * torch.log(2 * math.pi * variance) - math.log(_RANGE)
        several = torch.tensor([len(own) > 1 for own in self.columns])
        missing_sum = torch.from_numpy(self.total_) - self._totals(row) > _ROUNDING
        probability = torch.where(several & missing_sum, 0.0, torch.exp(-loss))
        n_others = torch.tensor([max(len(own) - 1, 1) for own in self.columns]).double()
        categories = -torch.log((probability + self.floor_).clamp(max=1.0)) - torch.log(n_others)
        odds = torch.where(torch.tensor(self.categorical), categories, numbers)
        # What is missing is not odd.
        return torch.where(torch.isnan(loss), -torch.inf, odds)

    def by_group(self, residuals, losses):
        row = residuals.row
        odds = self._log_odds(residuals.loss, row)
        suspects = odds.argsort(dim=1, descending=True, stable=True)[:, :_SUSPECTS].split(1, dim=1)
        leader = suspects[0]
        parts = odds - odds.gather(1, leader)
        for other in suspects[1:]:
            # What the net expects of either must not come from the other, which may be wrong.
            both = torch.cat([leader, other], 1)
            first, second = self._log_odds(losses(both), row).gather(1, both).split(1, dim=1)
            # Of two that are missing neither is odder.
            ahead = (second - first).nan_to_num(0.0)
            parts = parts.scatter(1, other, parts.gather(1, leader) + ahead)
            leader = torch.where(ahead > 0, other, leader)
        parts = torch.exp(parts - parts.amax(1, keepdim=True))
        return torch.where(torch.isneginf(odds), 0.0, parts)

    def distance(self, residuals):
        odds = self._log_odds(residuals.loss, residuals.row)
        # The logarithm of one plus the sum of the ratios, none of which overflows.
        largest = odds.amax(1).clamp(min=0.0)
        return largest + torch.log(torch.exp(odds - largest[:, None]).sum(1) + torch.exp(-largest))
