#!/usr/bin/env python3
"""Trains a small network to read pictures of digits, from a mounted drive and back to it, with PyTorch.

    python /content/drive/train.py [--epochs 6]

Put it on the drive as train.py, beside data/train/DIGIT/*.png and data/test/DIGIT/*.png (`drivemount demo --sample DIR` draws
such pictures). It saves checkpoints/last.pt after each epoch and writes what TensorBoard shows to logs/. If there is a
checkpoint it goes on from there: run it again, on this machine or on another one with a GPU, and it trains so many epochs more.
"""

import argparse
import os
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter

HERE = Path(__file__).resolve().parent
CHECKPOINT = HERE / "checkpoints" / "last.pt"


class Digits(Dataset):
    """Pictures in folders named after what they show, read by path."""

    def __init__(self, folder):
        self.paths = sorted(folder.glob("*/*.png"))
        if not self.paths:
            raise SystemExit(f"there are no pictures in {folder}")

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        path = self.paths[index]
        with Image.open(path) as picture:
            grey = numpy.array(picture.convert("L"), dtype=numpy.float32) / 255
        return torch.from_numpy(grey).unsqueeze(0), int(path.parent.name)


def network():
    """Two layers that look for shapes, and one that decides. The pictures are 20 x 20."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * 5 * 5, 10),
    )  # fmt: skip


def save(state):
    """Saves beside the old checkpoint, and then puts it in its place: whoever reads it finds a whole one."""
    CHECKPOINT.parent.mkdir(exist_ok=True)
    beside = CHECKPOINT.with_suffix(".tmp")
    with open(beside, "wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, CHECKPOINT)


def train(model, optimiser, pictures, device):
    """Learns from every picture once; returns the mean loss."""
    total = 0.0
    for batch, digits in pictures:
        batch, digits = batch.to(device), digits.to(device)
        loss = nn.functional.cross_entropy(model(batch), digits)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += loss.item() * len(digits)
    return total / len(pictures.dataset)


@torch.no_grad()
def accuracy(model, pictures, device):
    """The share of pictures that are read rightly."""
    right = sum((model(batch.to(device)).argmax(1) == digits.to(device)).sum().item() for batch, digits in pictures)
    return right / len(pictures.dataset)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=6, help="how many epochs to train, beyond those of the checkpoint")
    arguments = arguments.parse_args()

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(1)
    model = network().to(device)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    done = 0
    if CHECKPOINT.exists():
        # What a GPU saved can go on without one, and the other way round.
        saved = torch.load(CHECKPOINT, map_location=device)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        done = saved["epoch"]
        print(f"going on from the checkpoint of epoch {done}, on {device}", flush=True)
    else:
        print(f"starting anew, on {device}", flush=True)

    learning = DataLoader(Digits(HERE / "data" / "train"), batch_size=50, shuffle=True)
    testing = DataLoader(Digits(HERE / "data" / "test"), batch_size=100)
    # A line of its own in TensorBoard for each session.
    with SummaryWriter(HERE / "logs" / f"from-epoch-{done}") as events:
        for epoch in range(done + 1, done + arguments.epochs + 1):
            loss = train(model, optimiser, learning, device)
            right = accuracy(model, testing, device)
            events.add_scalar("train/loss", loss, epoch)
            events.add_scalar("test/accuracy", right, epoch)
            events.flush()
            save({"epoch": epoch, "model": model.state_dict(), "optimiser": optimiser.state_dict()})
            print(f"epoch {epoch:2}  loss {loss:.4f}  accuracy {right:.0%}", flush=True)


if __name__ == "__main__":
    main()
