"""
Anomalies in one long series
============================

A series is cut into overlapping windows, each window is a row, and the scores of the windows are
mapped back to time.
"""

# %%
# The series is a pulse: a photoplethysmogram of 85 seconds at 117 Hz, with movement artefacts,
# from the package `HeartPy <https://pypi.org/project/heartpy/>`_ (van Gent et al., 2019;
# ``pip install heartpy``). The sensor settles in the first 43 seconds, which are left out.

from importlib.metadata import files

import matplotlib.pyplot as plt
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from skae import AutoencoderAnomalyDetector

(path,) = (file.locate() for file in files("heartpy") if file.name == "data2.csv")
milliseconds, pulse = np.genfromtxt(path, delimiter=",", skip_header=1, unpack=True)
seconds, pulse = milliseconds[5000:] / 1000, pulse[5000:]

# %%
# Windows of half a second, one every four samples. ``sliding_window_view`` copies nothing; the
# detector takes each window as a sample of shape ``(T,)``.

width, step = 58, 4
windows = sliding_window_view(pulse, width)[::step]
detector = AutoencoderAnomalyDetector(contamination=0.05, input_shape=(width,), random_state=0)
detector.fit(windows)

# %%
# A moment belongs to several windows. Its score is the mean of theirs, so that a short artefact
# stands out at its own time rather than in each window that touches it.

total, count = np.zeros(len(pulse)), np.zeros(len(pulse))
scores = detector.score_samples(windows)
for i, score in enumerate(scores):
    part = slice(i * step, i * step + width)
    total[part] += score
    count[part] += 1
moments = np.divide(total, count, out=np.full(len(pulse), np.nan), where=count > 0)

# %%
# The threshold is that of the windows. Neighbouring windows share most of their values, so they
# are not exchangeable, and 5 % is not to be taken at its word here; fit on one recording and judge
# another to have it.

odd = moments < detector.offset_
figure, (top, bottom) = plt.subplots(2, 1, sharex=True, figsize=(9, 5), layout="constrained")
top.plot(seconds, pulse, color="0.4", linewidth=0.8)
top.plot(seconds, np.where(odd, pulse, np.nan), color="C3", linewidth=1.4, label="anomalous")
top.set_ylabel("Sensor value")
bottom.plot(seconds, -moments, color="C0", linewidth=0.8)
bottom.axhline(-detector.offset_, color="C3", linestyle="--", label="threshold")
bottom.set(yscale="log", ylabel="Distance", xlabel="Seconds")
_ = figure.legend(loc="outside upper right", ncols=2)

# %%
# ``explain`` says when within the oddest window: the contributions of its samples.

worst = scores.argmin()
shares = detector.explain(windows[worst : worst + 1], keep_shape=True)[0]
when = seconds[worst * step : worst * step + width]
figure, axes = plt.subplots(figsize=(9, 3), layout="constrained")
axes.plot(when, windows[worst], color="0.4")
axes.set(xlabel="Seconds", ylabel="Sensor value")
other = axes.twinx()
other.bar(when, -shares, width=np.diff(when).mean(), color="C3", alpha=0.5)
_ = other.set_ylabel("Contribution to the distance")
