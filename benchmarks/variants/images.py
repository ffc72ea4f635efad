"""Dense and convolutional nets on images and a table; clusters of their codes."""

from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from skae import AutoencoderTransformer
from skae.architectures import Dense

from ..corpora import fashion_mnist
from ._figures import fitted, mean_psnr, mean_ssim, rebuilt
from ._registry import family

# A minute or more each on one core: a convolutional epoch costs five times a dense one, and the
# dense net has more time.
_CHANNELS, _EPOCHS, _DENSE_EPOCHS = (16, 32, 64, 128), 16, 110


@family("convolutional")
def convolutional(seed):
    train, test, _, _ = fashion_mnist(10_000, 5_000, seed)
    for k in (8, 32):
        nets = {
            "PCA": PCA(k, random_state=seed),
            "dense": AutoencoderTransformer(k, max_iter=_DENSE_EPOCHS, random_state=seed),
            "convolutional": AutoencoderTransformer(
                k,
                architecture="convolutional",
                hidden_layer_sizes=_CHANNELS,
                input_shape=(28, 28),
                max_iter=_EPOCHS,
                random_state=seed,
            ),
        }

        def measure(net):
            model, seconds = fitted(net, train)
            images = rebuilt(model, test)
            return {
                "error": ((test - images) ** 2).mean(),
                "psnr": mean_psnr(test, images),
                "ssim": mean_ssim(test, images),
                "fit_seconds": seconds,
            }

        yield (
            "fashion_mnist_10k",
            k,
            {name: lambda net=net: measure(net) for name, net in nets.items()},
        )


@family("dense")
def dense(seed):
    architectures = {
        "default": Dense(),
        "tied": Dense(tied=True),
        "decoder of 64 units": Dense(decoder_hidden_layer_sizes=(64,)),
        "batch normalisation": Dense(norm="batch"),
        "layer normalisation": Dense(norm="layer"),
        "dropout .1": Dense(dropout=0.1),
    }
    for name, X, k in (
        ("digits", load_digits().data / 16, 8),
        ("breast_cancer", scale(load_breast_cancer().data), 4),
    ):
        train, test = train_test_split(X, test_size=0.25, random_state=seed)

        def measure(architecture, train=train, test=test, k=k):
            model = AutoencoderTransformer(k, architecture=architecture, random_state=seed)
            model, seconds = fitted(model, train)
            return {
                "error": ((test - rebuilt(model, test)) ** 2).mean(),
                "weights": sum(p.numel() for p in model.module_.parameters()),
                "fit_seconds": seconds,
            }

        peers = {
            title: lambda a=architecture, measure=measure: measure(a)
            for title, architecture in architectures.items()
        }

        def pca(train=train, test=test, k=k):
            return {"error": ((test - rebuilt(PCA(k).fit(train), test)) ** 2).mean()}

        yield name, k, {"PCA": pca, **peers}


@family("clustering")
def clustering(seed):
    digits = load_digits()
    images, _, labels, _ = fashion_mnist(10_000, 1, seed)
    for name, X, y in (
        ("digits", digits.data / 16, digits.target),
        ("fashion_mnist_10k", images, labels),
    ):
        for k in (2, 8, 32):
            nets = {
                "PCA": PCA(k, random_state=seed),
                "skae": AutoencoderTransformer(k, max_iter=40, random_state=seed),
                "skae, variational": AutoencoderTransformer(
                    k, penalty="variational", max_iter=40, random_state=seed
                ),
            }

            def measure(net, X=X, y=y):
                codes = net.fit_transform(X)
                found = KMeans(10, n_init=4, random_state=seed).fit_predict(codes)
                return {
                    "nmi": normalized_mutual_info_score(y, found),
                    "ari": adjusted_rand_score(y, found),
                }

            yield name, k, {title: lambda net=net: measure(net) for title, net in nets.items()}
