"""
Compression of images, beside JPEG
==================================

Codes that are rounded and written to a file make a compressor. JPEG is better at photographs. In
small files, the autoencoder is better at images of one kind, which it has learnt.
"""

# %%
# An image is cut into blocks of 8 x 8 pixels, and each block is a row. A model, PCA or the
# autoencoder, turns a row into codes.
#
# A code is rounded to a multiple of ``step``, which is the same for all codes: a larger step makes
# a smaller file and a worse image. bzip2 makes the file of the integers short. The step and the
# shape go along; the model does not, so whoever reads the file needs the same one.

import bz2
import io
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.datasets import load_digits, load_sample_image
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer


def to_blocks(image):
    height, width = image.shape
    blocks = image.reshape(height // 8, 8, width // 8, 8).swapaxes(1, 2)
    return blocks.reshape(-1, 64).astype(float)


def to_image(blocks, shape):
    height, width = shape
    blocks = blocks.reshape(height // 8, width // 8, 8, 8).swapaxes(1, 2)
    return np.clip(np.round(blocks.reshape(shape)), 0, 255).astype(np.uint8)


def compress(model, image, step=16.0):
    codes = np.round(model.transform(to_blocks(image)) / step).astype(np.int16)
    # 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4, so that the high byte is nearly always zero
    unsigned = ((codes << 1) ^ (codes >> 15)).view(np.uint16).T
    integers = np.concatenate([unsigned & 255, unsigned >> 8]).astype(np.uint8)
    header = np.array([step, *image.shape], dtype=np.float32)
    return header.tobytes() + bz2.compress(integers.tobytes())


def decompress(model, data):
    step, height, width = np.frombuffer(data[:12], dtype=np.float32)
    shape = int(height), int(width)
    integers = np.frombuffer(bz2.decompress(data[12:]), dtype=np.uint8).astype(np.int32)
    low, high = integers.reshape(2, -1, shape[0] * shape[1] // 64)
    unsigned = low + 256 * high
    codes = (unsigned >> 1) ^ -(unsigned & 1)
    return to_image(model.inverse_transform(codes.T * float(step)), shape)


# %%
# Two tasks, and what is reported are always images that the models have not seen. One photograph
# in grey is learnt, and another one compressed. Three quarters of the handwritten digits are
# learnt, and the others, laid side by side in one image, compressed.


def load(name):
    image = np.asarray(Image.fromarray(load_sample_image(name)).convert("L"))
    return image[: image.shape[0] // 8 * 8, : image.shape[1] // 8 * 8]


blocks = extract_patches_2d(load("china.jpg"), (8, 8), max_patches=5000, random_state=0)
digits = np.round(load_digits().data * 255 / 16)
train, test = train_test_split(digits, random_state=0)
tasks = {
    "a photograph": (blocks.reshape(-1, 64).astype(float), load("flower.jpg"), 10),
    "handwritten digits": (train, to_image(test, (8 * 18, 8 * 25)), 60),
}
fitted = {}
for task, (rows, _, max_iter) in tasks.items():
    fitted[task] = {
        "PCA, 64 codes": PCA(64).fit(rows),
        "PCA, 16 codes": PCA(16).fit(rows),
        "skae, 16 codes": AutoencoderTransformer(16, max_iter=max_iter, random_state=0).fit(rows),
    }
    print(f"{task}: epoch {fitted[task]['skae, 16 codes'].best_iter_} is kept")

# %%
# Epoch 0 is PCA: where it is kept, these few epochs made the net no better on rows held out, and
# the two compress alike.
#
# Through a file on disk and back. What comes out is the image that the rounded codes stand for.

image, model = tasks["a photograph"][1], fitted["a photograph"]["skae, 16 codes"]
path = Path(tempfile.mkdtemp()) / "flower.skae"
path.write_bytes(compress(model, image))
codes = np.round(model.transform(to_blocks(image)) / 16) * 16
expected = to_image(model.inverse_transform(codes), image.shape)
np.testing.assert_array_equal(decompress(model, path.read_bytes()), expected)
print(f"{image.nbytes:,} bytes became {path.stat().st_size:,}, and came back as they should")

# %%
# Bits per pixel against the peak signal-to-noise ratio, over steps, and over qualities of JPEG.
# PNG loses nothing, so it has a size only.


def through_pillow(image, **options):
    file = io.BytesIO()
    Image.fromarray(image).save(file, optimize=True, **options)
    return file.getvalue(), np.asarray(Image.open(file))


def measure(image, data, back):
    error = np.mean((back.astype(float) - image) ** 2)
    return 8 * len(data) / image.size, 10 * np.log10(255**2 / error), back


curves = {}
figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharex=True, layout="constrained")
for ax, (task, (_, image, _)) in zip(axes, tasks.items(), strict=True):
    curves[task] = {}
    for name, model in fitted[task].items():
        files = [compress(model, image, step) for step in 2.0 ** np.arange(1, 9, 0.5)]
        curves[task][name] = [measure(image, data, decompress(model, data)) for data in files]
    curves[task]["JPEG"] = [
        measure(image, *through_pillow(image, format="JPEG", quality=quality))
        for quality in (5, 10, 20, 35, 50, 65, 80, 90, 95)
    ]
    for name, points in curves[task].items():
        rate, quality, _ = zip(*points, strict=True)
        ax.plot(rate, quality, "o-", ms=7 if name == "PCA, 16 codes" else 4, label=name)
    png, _ = through_pillow(image, format="PNG")
    ax.axvline(8 * len(png) / image.size, color="0.4", linestyle="--", label="PNG, nothing lost")
    ax.set(title=task, xscale="log", xlabel="bits per pixel", ylabel="PSNR in dB")
    ax.set_xticks([0.03, 0.1, 0.3, 1, 3], ["0.03", "0.1", "0.3", "1", "3"])
    ax.tick_params(axis="x", which="minor", labelbottom=False)
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
plt.show()

# %%
# JPEG is ahead on the photograph at every size that both reach, although it has learnt nothing.
# The photograph was stored as a JPEG once, which helps JPEG most where it is nearly exact.
#
# On the digits the autoencoder is ahead of PCA between half a bit and one and a half bits per
# pixel. JPEG is behind PCA with all 64 codes at every size: strokes of one pixel are hard for it,
# and its tables are a larger part of a small file. Sixteen codes cannot be exact, so beyond their
# ceiling PCA with all 64 is better, and PNG is exact for less than JPEG needs to be nearly so. The
# defaults of skae were chosen on sets that include the digits.

# %%
# Parts of both, each at the size that is nearest to half a bit per pixel. JPEG cannot make the
# image of the digits that small.

parts = {"a photograph": np.s_[120:264, 220:420], "handwritten digits": np.s_[:24, :40]}
figure, axes = plt.subplots(2, 4, figsize=(11, 5), layout="constrained")
for line, (task, part) in zip(axes, parts.items(), strict=True):
    line[0].imshow(tasks[task][1][part], cmap="gray", vmin=0, vmax=255)
    line[0].set_title("original\n8 bits")
    for ax, name in zip(line[1:], ("PCA, 16 codes", "skae, 16 codes", "JPEG"), strict=True):
        rate, quality, back = min(curves[task][name], key=lambda p: abs(np.log(p[0] / 0.5)))
        ax.imshow(back[part], cmap="gray", vmin=0, vmax=255)
        ax.set_title(f"{name}\n{rate:.2f} bits, {quality:.1f} dB")
        print(f"{task}, {name}: {rate:.2f} bits per pixel, {quality:.1f} dB")
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax in axes[1]:
    ax.hlines([7.5, 15.5], -0.5, 39.5, color="C0")
    ax.vlines(np.arange(7.5, 39, 8), -0.5, 23.5, color="C0")
plt.show()
