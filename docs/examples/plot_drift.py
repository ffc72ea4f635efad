"""
A camera that fades
===================

A detector judges images one by one, and no single one of them need look odd while all of them
slowly change. A drift monitor bets that new rows rank differently among the old ones, and gives an
alarm when its capital has grown a hundredfold.
"""

# %%
# Half of the digits are to fit. The other half comes as a stream, twice: as it is, and with images
# that are a tenth darker from the 300th on.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skae import AutoencoderAnomalyDetector
from skae.drift import DriftMonitor

train, stream = train_test_split(load_digits().data, test_size=0.5, random_state=0)
faded = stream.copy()
faded[300:] *= 0.9
detector = AutoencoderAnomalyDetector(contamination=0.01, random_state=0).fit(train)

_, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
for name, rows in (("as it is", stream), ("a tenth darker", faded)):
    monitor = DriftMonitor(detector, random_state=0).fit(train)
    ax.plot(monitor.update(rows) / np.log(10), label=name)
    flagged = (detector.predict(rows[300:]) == -1).mean()
    print(f"{name}: alarm at row {monitor.alarm_at_}; {flagged:.1%} of the later images flagged")
ax.axhline(2, color="black", linestyle="--", label="alarm")
ax.axvline(300, color="0.7")
ax.set(xlabel="image", ylabel="evidence, powers of ten", title="Evidence for a change")
_ = ax.legend(loc="upper left")

# %%
# ``log_martingales_`` has the evidence of each feature, too, and shows what has changed: here the
# brightest pixels, which are the ones that fade.

figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
image = ax.imshow(monitor.log_martingales_[1:].reshape(8, 8) / np.log(10), cmap="viridis")
figure.colorbar(image, ax=ax, label="evidence, powers of ten")
ax.set(title="Evidence of each pixel", xticks=[], yticks=[])
plt.show()
