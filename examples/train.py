#!/usr/bin/env python3
"""Learns to read pictures of digits, from a mounted drive and back to it.

    python3 /content/drive/train.py [--epochs 12]

Reads data/ beside this file by path, saves checkpoints/last.npz after each epoch, and writes what TensorBoard shows to logs/.
If there is a checkpoint, it goes on from there: start it again on another machine and nothing is learnt twice.
"""

import argparse
import os
import struct
import time
from pathlib import Path

import numpy
from PIL import Image

HERE = Path(__file__).resolve().parent
HIDDEN = 32
RATE = 0.05
MOMENTUM = 0.9
BATCH = 50


def load(name):
    """All pictures of a set, by path: one row of grey values each, and what digit it is."""
    rows, digits = [], []
    for path in sorted((HERE / "data" / name).glob("*/*.png")):
        with Image.open(path) as picture:
            rows.append(numpy.asarray(picture, dtype=numpy.float32).ravel() / 255)
        digits.append(int(path.parent.name))
    return numpy.stack(rows), numpy.array(digits)


class Model:
    """Two layers, trained by gradient descent with momentum. Everything it needs to go on is in `state`."""

    def __init__(self, inputs):
        dice = numpy.random.default_rng(1)
        self.state = {
            "w1": dice.normal(0, inputs**-0.5, (inputs, HIDDEN)),
            "b1": numpy.zeros(HIDDEN),
            "w2": dice.normal(0, HIDDEN**-0.5, (HIDDEN, 10)),
            "b2": numpy.zeros(10),
        }
        self.state |= {"v" + name: numpy.zeros_like(value) for name, value in self.state.items()}

    def forward(self, rows):
        hidden = numpy.maximum(rows @ self.state["w1"] + self.state["b1"], 0)
        scores = hidden @ self.state["w2"] + self.state["b2"]
        scores -= scores.max(axis=1, keepdims=True)
        chances = numpy.exp(scores)
        return hidden, chances / chances.sum(axis=1, keepdims=True)

    def step(self, rows, digits):
        """Learns from one batch; says the loss."""
        hidden, chances = self.forward(rows)
        loss = -numpy.log(chances[numpy.arange(len(digits)), digits] + 1e-9).mean()
        error = chances
        error[numpy.arange(len(digits)), digits] -= 1
        error /= len(digits)
        back = (error @ self.state["w2"].T) * (hidden > 0)
        gradients = {"w1": rows.T @ back, "b1": back.sum(0), "w2": hidden.T @ error, "b2": error.sum(0)}
        for name, gradient in gradients.items():
            self.state["v" + name] = MOMENTUM * self.state["v" + name] - RATE * gradient
            self.state[name] = self.state[name] + self.state["v" + name]
        return loss

    def accuracy(self, rows, digits):
        return float((self.forward(rows)[1].argmax(axis=1) == digits).mean())


def save(path, model, epoch, losses):
    """Saves as careful programs do: beside the old checkpoint, to the disk, and then in its place."""
    path.parent.mkdir(exist_ok=True)
    beside = path.with_suffix(".tmp")
    with open(beside, "wb") as file:
        numpy.savez(file, epoch=epoch, losses=losses, **model.state)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


class EventFile:
    """What TensorBoard reads: records of a length, a checksum, an event, a checksum."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        self.file = open(folder / f"events.out.tfevents.{time.time_ns()}.drivemount", "ab")
        self._event(field(3, b"brain.Event:2"))

    def scalars(self, step, **values):
        summary = b"".join(
            field(1, field(1, tag.replace("_", "/").encode()) + b"\x15" + struct.pack("<f", value))
            for tag, value in values.items()
        )
        self._event(b"\x10" + varint(step) + field(5, summary))

    def _event(self, body):
        event = b"\x09" + struct.pack("<d", time.time()) + body
        length = struct.pack("<Q", len(event))
        self.file.write(length + masked_crc(length) + event + masked_crc(event))
        self.file.flush()


def varint(number):
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes(parts) + bytes([number])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def masked_crc(data):
    """CRC-32C, turned as the record format wants it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--epochs", type=int, default=12)
    arguments.add_argument("--pause", type=float, default=0, help="seconds to wait after each epoch")
    arguments = arguments.parse_args()

    rows, digits = load("train")
    test_rows, test_digits = load("test")
    print(f"read {len(rows) + len(test_rows)} pictures by path from {HERE / 'data'}", flush=True)

    model, epoch, losses = Model(rows.shape[1]), 0, []
    checkpoint = HERE / "checkpoints" / "last.npz"
    if checkpoint.exists():
        with numpy.load(checkpoint) as saved:
            model.state = {name: saved[name] for name in model.state}
            epoch, losses = int(saved["epoch"]), list(saved["losses"])
        print(f"going on from the checkpoint of epoch {epoch}", flush=True)

    events = EventFile(HERE / "logs" / f"from-epoch-{epoch}")
    while epoch < arguments.epochs:
        epoch += 1
        order = numpy.random.default_rng(epoch).permutation(len(rows))
        batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
        loss = float(numpy.mean([model.step(rows[batch], digits[batch]) for batch in batches]))
        accuracy = model.accuracy(test_rows, test_digits)
        losses.append(loss)
        save(checkpoint, model, epoch, losses)
        events.scalars(epoch, train_loss=loss, test_accuracy=accuracy)
        print(f"epoch {epoch:2}  loss {loss:.4f}  accuracy {accuracy:.0%}", flush=True)
        time.sleep(arguments.pause)


if __name__ == "__main__":
    main()
