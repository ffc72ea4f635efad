"""The tasks: each yields one row of figures at a time. Adding one is one entry in `TASKS`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from .anomaly import SETS, anomaly, calibration
from .costs import GROWTH, MEMORY, SPEED, runner, summarise_costs, summarise_medians
from .datasets import DATASETS
from .deep import PARTS, deep, summarise_deep
from .imputation import SETS as INCOMPLETE
from .imputation import imputation, summarise_imputation
from .labelled import LABELLED
from .n_components import TABLES as DIMENSIONS
from .n_components import n_components, summarise_n_components
from .never_worse import TABLES, never_worse, summarise_never_worse
from .probability import probability, summarise_probability
from .reconstruction import reconstruction
from .summary import (
    summarise_anomaly,
    summarise_calibration,
    summarise_reconstruction,
    summarise_settings,
    summarise_variants,
)
from .tables import summarise_tables, tables
from .tabular import SETS as TABULAR
from .variants import FAMILIES, variants
from .wide import WIDE


@dataclass(frozen=True)
class Task:
    """What is run, on what, in words and in code, and how its rows are summed up."""

    protocol: str
    run: Callable[..., Iterator[dict]]
    sets: dict
    n_seeds: int
    key: tuple[str, ...]
    summarise: Callable[[list[dict]], dict]
    columns: dict[str, str]


COST_KEY = ("set", "case", "seed", "peer", "metric")

TASKS = {
    "reconstruction": Task(
        "75/25 split, features standardised on the training rows except for images, defaults of "
        "every peer, one thread, one fit at a time. error: mean squared error of a "
        "held-out entry. seconds_to_0.9 and seconds_to_0.7: training seconds until the loss on "
        "skae's own held-out rows is that share of PCA's on the same rows (for the random start "
        "of the PCA-started run's); the other peers record no such loss.",
        reconstruction,
        {name: data for name, data in DATASETS.items() if data.chosen_on},
        3,
        ("set", "k", "seed", "peer"),
        summarise_reconstruction,
        {
            "pairs": "pairs",
            "geometric_mean": "ratio",
            "worst_ratio": "worst",
            "pairs_above_1.01": ">1.01",
            "median_fit_seconds": "seconds",
        },
    ),
    "never_worse": Task(
        "Made and real tables, each drawn anew for a seed, most of them with heavy tails, mixed "
        "scales, outliers or fewer than 60 rows; a random number of components; three quarters to "
        "fit, one thread, defaults otherwise. ratio_to_pca: squared error of held-out rows over "
        "PCA's. rows_at and feature_at: the same of 20 rows in random directions so many standard "
        "deviations from the mean, and of 20 held-out rows with one feature moved by as many. The "
        "rules were chosen on cases of other seeds (0 to 31, 100 to 131, 200 to 231, 300 to 331, "
        "1000 to 1017, 2000 to 2059 and 4000 to 4019) of the same tables; those here are 400 to "
        "431.",
        never_worse,
        TABLES,
        32,
        ("set", "seed"),
        summarise_never_worse,
        {
            "cases": "cases",
            "geometric_mean": "ratio",
            "above_1.01": ">1.01",
            "above_1.1": ">1.1",
            "worst": "worst",
            "rows_at_3_above_1.1": "3sd>1.1",
            "rows_at_10_above_1.1": "10sd>1.1",
            "rows_at_100_above_1.1": "100sd>1.1",
        },
    ),
    "n_components": Task(
        "Made tables, drawn anew for each seed, and at most 2,000 rows of real sets, standardised "
        "except for images; three quarters to fit, one thread, defaults otherwise. k: the number "
        "found. auto, PCA alone: the same with max_iter=0. cross-validation: fits of every width "
        "on three folds, for the first seed of a table and at most eight widths, and the rule of "
        "auto. seconds are of the processor; seconds_over_fit: over those of a fit with the number "
        "found. chosen_on: whether tables of this kind, with other seeds and sizes, and this real "
        "set were looked at before the rule was settled.",
        n_components,
        DIMENSIONS,
        3,
        ("set", "seed", "peer"),
        summarise_n_components,
        {
            "cases": "cases",
            "right": "right",
            "within_one": "within 1",
            "mean_difference": "mean diff",
            "as_cross_validation": "as CV",
            "median_seconds_over_fit": "seconds",
        },
    ),
    "anomaly": Task(
        "Features standardised on the rows to fit, labels not seen in fit, defaults of every "
        "detector, one thread. ADBench and mlbench: at most 4,000 rows, a stratified 70/30 split; "
        "clean: without the anomalies among the 70 %. OddBench: its own split, whose rows to fit "
        "are clean; contaminated: half of the rows to judge are rows to fit instead; at most 3,000 "
        "on each side. roc_auc and average_precision on the rows to judge. chosen_on and "
        "not_chosen_on: means over 20 random halves of the sets; 'the choice' is the skae with the "
        "best mean AUROC over both settings on a half.",
        anomaly,
        SETS,
        5,
        ("set", "setting", "seed", "peer"),
        summarise_anomaly,
        {
            "sets": "sets",
            "roc_auc": "AUROC",
            "average_precision": "AP",
            "mean_rank": "rank",
            "median_fit_seconds": "seconds",
            "not_chosen_on": "not on",
        },
    ),
    "calibration": Task(
        "Rows labelled normal alone, at most 10,000, half to fit and half to count false alarms "
        "on; features standardised on the first half, contamination = alpha, defaults otherwise, "
        "one thread. confidence=0.9: what p_values(X, confidence=0.9) puts at alpha or below.",
        calibration,
        LABELLED,
        10,
        ("set", "seed", "alpha", "peer"),
        summarise_calibration,
        {
            "sets": "sets",
            "false_alarms_0.01": ".01",
            "false_alarms_0.05": ".05",
            "false_alarms_0.1": ".1",
            "above_0.01": ">.01",
            "above_0.05": ">.05",
            "above_0.1": ">.1",
            "above_any": ">any",
        },
    ),
    "probability": Task(
        "All rows of a set, at most 4,000, a stratified 70/30 split, OddBench's too; features "
        "standardised on the rows to fit, anomalies among them, labels not seen in fit, defaults, "
        "one thread. known: contamination is the fraction of anomalies among the rows to fit. "
        "auto: it is 0.05. constant: that fraction for every row. PyOD's two conversions are of "
        "skae's scores. log_loss: with probabilities from .001 to .999. calibration_error: ten "
        "bins of as many rows. chosen_on and not_chosen_on: means over 20 random halves of the "
        "sets, where the choice is the roc_auc with the least log-loss (or Brier score) on a half.",
        probability,
        SETS,
        1,
        ("set", "setting", "seed", "peer"),
        summarise_probability,
        {
            "sets": "sets",
            "log_loss": "log-loss",
            "brier": "Brier",
            "calibration_error": "ECE",
            "better_than_constant": "better",
            "log_loss_not_chosen_on": "not on",
        },
    ),
    "variants": Task(
        "Each family of variants on its own sets, every figure on held-out rows, the same training "
        "rows for all peers of a seed, one thread. error: mean squared error of an entry; psnr in "
        "dB; accuracy: of a linear classifier on the codes, or of tokens.",
        variants,
        FAMILIES,
        2,
        ("family", "set", "k", "seed", "peer", "metric"),
        summarise_variants,
        {},
    ),
    "imputation": Task(
        "75/25 split; features standardised by the complete training rows, images as a whole; "
        "pixels that are constant there left out. A share of the entries is removed, each with the "
        "same chance, from the training rows, which all peers are fitted to, and from the others. "
        "error: root mean squared error of the removed entries, in standard deviations of the "
        "features. Defaults of every peer; skae and its PCA start with a quarter of the features "
        "as components, rounded up; one thread. seconds: to fit and to fill the training rows.",
        imputation,
        INCOMPLETE,
        3,
        ("set", "share", "seed", "peer"),
        summarise_imputation,
        {
            "sets": "sets",
            "error_fitted": "fitted",
            "error_held_out": "held out",
            "median_seconds": "seconds",
        },
    ),
    "tables": Task(
        "At most 2,000 random rows of each table, half of them trained on. Widths of the codes: a "
        "third of the columns. rebuilt: held-out rows, of numbers the root mean squared error in "
        "standard deviations, of categories the fraction of wrong ones, means over the columns; "
        "PCA and FAMD of the same encoding, gaps filled by means. filled: the same of a fifth of "
        "the entries, which were removed from both halves. sampled: how well gradient boosting "
        "tells as many sampled rows from held-out ones, AUROC, five folds; .5 is best. planted: in "
        "a tenth of the held-out rows one cell is swapped for another category, or moved by four "
        "standard deviations; named is the fraction of these rows whose most negative "
        "contribution is the cell's column, flagged that with a p-value of at most .05, and "
        "named_flagged that of the named among the flagged ones. One thread. seconds: to fit, and "
        "to fill or to draw.",
        tables,
        TABULAR,
        1,
        ("set", "case", "seed", "peer"),
        summarise_tables,
        {
            "error_numbers": "numbers",
            "wrong_categories": "wrong",
            "auroc": "AUROC",
            "named": "named",
            "named_flagged": "flagged",
            "seconds": "seconds",
        },
    ),
    "deep": Task(
        "A net of 784-1000-500-250-30 units and back, with the PCA start, fitted to 10,000 random "
        "training images. Each fit is of its own, with a whole one-cycle. error: mean over 5,000 "
        "random test images of the sum over the pixels of the squared error, values clipped to "
        "[0, 1]. seconds: of the processor, one thread; of a fit, or of a step, the median of "
        "three rounds in which all optimizers take ten steps each in turn; other programs used "
        "the machine. Fits to all 60,000 training images are judged by all 10,000 test images, "
        "and their seconds are those of the clock, with all cores.",
        deep,
        PARTS,
        1,
        ("set", "peer", "n_iter", "seed"),
        summarise_deep,
        {
            "error": "error",
            "seconds": "seconds",
            "step_over_adam": "step",
            "seconds_over_adam": "to error",
        },
    ),
    "speed": Task(
        "All peers of a case turn by turn, five times; a ratio is the median of the five turns' "
        "own. One thread except in busy and file. epoch: the same float32 rows, widths and batch "
        "sizes for all, the median of a fit's epochs; skae as the loop (no noise, clipping, "
        "schedule or held-out rows, as many steps) and with its defaults. to_error: defaults of "
        "every peer, 75/25 split; the others' whole fit, and skae's until its error on the same "
        "unseen rows is theirs: all of a fit but its epochs, and as many epochs as that took. "
        "file: a Parquet file of float32, read by pandas and fitted with the defaults; "
        "until_text: until a line says that rows are read; until_bar: until epochs are counted.",
        runner(SPEED),
        SPEED,
        5,
        COST_KEY,
        summarise_costs,
        {},
    ),
    "memory": Task(
        "A process for each fit, X read from a file. beyond_mb: the largest memory of the "
        "process' own (RssAnon), less X and what a first small fit has loaded; peak_mb: the "
        "largest in all (VmHWM), X and packages included; MB of a million bytes.",
        runner(MEMORY),
        MEMORY,
        3,
        COST_KEY,
        summarise_costs,
        {},
    ),
    "growth": Task(
        "Seconds of a fit, PCA's and skae's turn by turn, one thread; the mean of as many fits as "
        "take half a second, which is one for most. rows: "
        "patches of 64 pixels, 8 components. features: 2,000 made rows, 8 components. components: "
        "5,000 images of 784 pixels.",
        runner(GROWTH),
        GROWTH,
        1,
        COST_KEY,
        summarise_medians,
        {},
    ),
}

# The same on tables that no default was chosen on.
TASKS["fresh"] = replace(
    TASKS["reconstruction"],
    sets={name: data for name, data in DATASETS.items() if not data.chosen_on},
)
TASKS["wide"] = replace(
    TASKS["anomaly"],
    protocol="As for anomaly; where more than a tenth of the rows are anomalies, a tenth is kept.",
    sets=WIDE,
    n_seeds=3,
    summarise=summarise_settings,
)
