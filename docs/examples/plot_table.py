"""
A table of orders, from the file to new rows
============================================

Text, dates, ids, gaps, and a few mistakes: what most files hold. Here such a file is written, read,
searched for mistakes and filled in, and new rows are drawn.
"""

# %%
# The file. The price follows from the item, the size and the number, and shops sell different
# items. Entries are missing, and three rows are wrong.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skae import AutoencoderTransformer
from skae.tables import TableAnomalyDetector, TableAutoencoder

rng = np.random.default_rng(0)
n_rows = 600
prices = {"tea": 2.0, "coffee": 3.0, "cake": 4.5, "bread": 3.5}
shop = rng.choice(["harbour", "station"], size=n_rows)
drinks = np.where(shop == "station", 0.4, 0.1)
item = np.array(
    [rng.choice(list(prices), p=[p, p, 0.5 - p, 0.5 - p]) for p in drinks], dtype=object
)
number = rng.integers(1, 7, size=n_rows)
orders = pd.DataFrame(
    {
        "order": [f"A-{i:05d}" for i in range(n_rows)],
        "time": pd.Timestamp("2026-03-02 07:00") + pd.to_timedelta(2 * np.arange(n_rows), unit="h"),
        "shop": shop,
        "item": item,
        "number": number,
        "price": np.round([prices[i] for i in item] * number * rng.normal(1, 0.03, n_rows), 2),
        "card": rng.random(n_rows) < 0.3 + 0.1 * number,
        "currency": "EUR",
    }
)
orders.loc[[100, 300, 500], "price"] *= [10, 0.2, 3]
orders.loc[rng.random(n_rows) < 0.1, "item"] = None
orders.loc[rng.random(n_rows) < 0.1, "number"] = np.nan

folder = Path(tempfile.mkdtemp())
orders.to_csv(folder / "orders.csv", index=False)

# %%
# The mistakes. ``order`` is an id and ``currency`` constant: both are left out, with a warning that
# says so. The columns are named here, so that there is none.

table = pd.read_csv(folder / "orders.csv")
columns = ["time", "shop", "item", "number", "price", "card"]
detector = TableAnomalyDetector(contamination=0.01, random_state=0).fit(table[columns])
odd = table[detector.predict(table) == -1]
print(odd.to_string())

# %%
# The price of ten times what it should be is among them. The other two are not: half of six hundred
# rows teach each net too little of the prices to be sure that a fifth or three times as much is
# wrong, and some rows that are right are thought less likely.
#
# Why, and what was expected.

details = detector.explain(odd, details=True)
print(details[details["fraction"] > 0.2].round(2).to_string(index=False))

# %%
# The gaps, filled by the reconstruction. The true items are known here: a blind guess would be
# right in a third of the cases.

autoencoder = AutoencoderTransformer(max_iter=20)
model = TableAutoencoder(n_components=5, autoencoder=autoencoder, random_state=0)
model.fit(table[columns])
filled = model.impute(table)
print(filled[table.isna().any(axis=1)].head(6).to_string())
missing = table["item"].isna().to_numpy()
print(f"{(filled['item'] == item)[missing].mean():.0%} of the missing items are the true one")

# %%
# New rows, drawn from the model. They follow the table's prices only roughly: those of different
# items overlap.

new = model.sample(600, random_state=0)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
for ax, frame, title in zip(axes, (table, new), ("orders", "new rows"), strict=True):
    for name, own in frame.dropna().groupby("item"):
        ax.scatter(own["number"] + rng.normal(0, 0.08, len(own)), own["price"], s=8, label=name)
    ax.set(xlabel="number", ylabel="price", title=title, yscale="log")
axes[0].legend()
plt.show()

# %%
# ``skae compare orders.csv`` compares PCA of the encoded table with the autoencoder, over the same
# folds and column by column, and writes a page about it. It takes too long to be a part of this
# example.
