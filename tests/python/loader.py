"""PyTorch's loader of data sets reads on the mount what it reads on the local disk, and what is saved there is what was saved.

loader.py DIR MOUNT
"""

import hashlib
import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset


class Samples(Dataset):
    def __init__(self, folder):
        self.paths = sorted((folder / "samples").iterdir())

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        content = self.paths[index].read_bytes()
        return (
            index,
            torch.frombuffer(bytearray(content[:20_000]), dtype=torch.uint8),
            hashlib.sha256(content).hexdigest(),
        )


def epochs(folder):
    seen = []
    order = torch.Generator().manual_seed(5)
    loader = DataLoader(
        Samples(folder),
        batch_size=16,
        shuffle=True,
        num_workers=4,
        persistent_workers=True,
        prefetch_factor=2,
        generator=order,
    )
    for _ in range(2):
        for index, pixels, digests in loader:
            seen.append((index.tolist(), pixels.sum(dim=1, dtype=torch.int64).tolist(), digests))
    return seen


def main():
    here, mount = map(Path, sys.argv[1:])
    expected, found = epochs(here), epochs(mount)
    assert len(expected) > 2 and found == expected, f"{found}\n, and not\n{expected}"
    model = torch.nn.Linear(500, 700)
    torch.save(model.state_dict(), mount / "model.pt")
    state = torch.load(mount / "model.pt")
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


if __name__ == "__main__":
    main()
