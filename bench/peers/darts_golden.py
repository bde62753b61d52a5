"""Is the peer the same supernet? Compares it with a recorded case of tests/golden in float64."""
import json
import pathlib
import sys

import numpy as np
import torch
from torch import nn

from darts_supernet import Supernet


def check_golden(folder, start_search, device):
    """Compares outputs, gradients and five search steps with the case in `folder`; returns whether all agree to 1e-9.

    start_search(net, clip) returns the Search to check; torch's default type must be float64.
    """
    folder, agree = pathlib.Path(folder), True
    manifest = json.loads((folder / "manifest.json").read_text())
    p = manifest["params"]

    def load(name):
        return torch.from_numpy(np.load(folder / f"{name}.npy"))

    def compare(name, got):
        nonlocal agree
        want, got = load(name), torch.as_tensor(got).detach().cpu()
        error = float((got - want.reshape(got.shape)).abs().max() / want.abs().max())
        agree = agree and error < 1e-9  # false for NaN too
        print(f"  {name:28s} {error:.1e} {'' if error < 1e-9 else 'DIFFERS'}")

    def start(clip):
        net = Supernet(p["C"], p["layers"], p["classes"], p["image"][0])
        net.alphas = [load("alphas_normal"), load("alphas_reduce")]
        recorded = load("weights")
        for w, entry in zip(net.parameters(), manifest["weight_layout"], strict=True):
            if list(w.shape) != entry["shape"]:
                sys.exit(f"{folder}: {entry['name']} has shape {entry['shape']}, the peer's {list(w.shape)}")
            w.data.copy_(recorded[entry["offset"]:entry["offset"] + entry["size"]].reshape(w.shape))
        return start_search(net, clip)

    def flat(tensors):
        return torch.cat([t.detach().flatten() for t in tensors])

    print(f"{manifest['case']} on {device}: largest difference over largest magnitude")
    search = start(clip=5.0)
    x, y, xv, yv = (load(name) for name in ("x_train", "y_train", "x_val", "y_val"))
    images, labels = search.batch(x[0], y[0])
    logits = search.model(images)
    loss = nn.functional.cross_entropy(logits, labels)
    grads = torch.autograd.grad(loss, search.net.alphas + search.weights)
    for name, got in (("logits", logits), ("loss", loss), ("grad_alphas_normal", grads[0]),
                      ("grad_alphas_reduce", grads[1]), ("grad_weights", flat(grads[2:]))):
        compare(name, got)

    for clip, prefix in ((5.0, "steps"), (3.0, "clip3_steps")):
        search = start(clip)
        rows = [[float(v) for v in search.step(search.batch(x[i], y[i]), search.batch(xv[i], yv[i]))]
                for i in range(len(x))]
        for name, got in zip(("val_loss", "train_loss", "grad_norm"), zip(*rows)):
            compare(f"{prefix}_{name}", got)
        if clip == 5.0:
            compare("weights_after_5", flat(search.weights))
    # 5.0 never clips in this case, 3.0 always does
    compare("clip3_weight_norms", [float(w.detach().norm()) for w in search.weights])
    for name, alphas in zip(("normal", "reduce"), search.net.alphas):
        compare(f"clip3_alphas_{name}", alphas)
    return agree
