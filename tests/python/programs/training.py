"""A training that saves what it has, and goes on from there.

training.py train | go_on
"""

import os
import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset


class Samples(Dataset):
    def __init__(self):
        self.paths = sorted(Path("samples").iterdir())

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return torch.load(self.paths[index])


def steps(first, last):
    torch.manual_seed(first)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 8))
    optimizer = torch.optim.Adam(model.parameters())
    if first:
        checkpoint = torch.load("last.pt")
        assert checkpoint["step"] == first
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
    loader = DataLoader(Samples(), batch_size=8, shuffle=True, num_workers=2)
    for step in range(first, last):
        total = 0
        for x, y in loader:
            loss = torch.nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        state = {"step": step + 1, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state, "last.pt.tmp")
        os.replace("last.pt.tmp", "last.pt")
        torch.save(model.state_dict(), f"step-{step}.pt")
        if step >= 3:
            os.remove(f"step-{step - 3}.pt")
        print(step, round(total, 3))


def train():
    os.mkdir("samples")
    torch.manual_seed(5)
    for number in range(64):
        torch.save((torch.randn(64), torch.randn(8)), f"samples/{number:03}.pt")
    steps(0, 5)


def go_on():
    steps(5, 8)
    model = torch.load("step-7.pt")
    print(sorted(model), [tuple(tensor.shape) for tensor in model.values()])


if __name__ == "__main__":
    globals()[sys.argv[1]]()
