"""Libraries that read and write data sets, on the mount and on the local disk: both must give the same.

libraries.py make DIR           makes one file, or folder, for each library
libraries.py compare DIR MOUNT  reads them in both places
libraries.py epochs DIR MOUNT   the same with the many small ones alone
libraries.py change DIR         changes them in place, the way these libraries do; the same each time
libraries.py huge FILE          makes a model of 5 GiB that takes no room
libraries.py header FILE        opens it, and reads what it says of itself
libraries.py row FILE           opens it, and reads a little of the rest
"""

import hashlib
import io
import json
import mmap
import multiprocessing
import random
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy
import safetensors.numpy

MEMBERS = 200
SAMPLES = 160


def make(folder):
    """Contents that no read can give by chance."""
    some = numpy.random.default_rng(1)
    tensors = {f"layer {number}": some.standard_normal((96, 4096), dtype="f4") for number in range(10)}
    safetensors.numpy.save_file(tensors, folder / "model.safetensors", metadata={"format": "np"})
    numpy.save(folder / "array.npy", some.integers(0, 1 << 60, (2000, 1000)))
    (folder / "raw.bin").write_bytes(some.bytes(9_000_000))
    with h5py.File(folder / "data.h5", "w") as file:
        file.create_dataset("chunked", data=some.integers(0, 99, (3000, 500)), chunks=(100, 50), compression="gzip")
        file.create_dataset("contiguous", data=some.standard_normal((1000, 700)))
        file["chunked"].attrs["unit"] = "apples"
    with zipfile.ZipFile(folder / "members.zip", "w") as archive:
        for number in range(MEMBERS):
            kind = zipfile.ZIP_DEFLATED if number % 2 else zipfile.ZIP_STORED
            archive.writestr(f"{number % 7}/{number}.bin", some.bytes(40_000), compress_type=kind)
    for name, mode in (("members.tar", "w"), ("members.tar.gz", "w:gz")):
        with tarfile.open(folder / name, mode) as archive:
            for number in range(MEMBERS):
                member = tarfile.TarInfo(f"{number}.bin")
                member.size = 30_000 + number
                archive.addfile(member, io.BytesIO(some.bytes(member.size)))
    (folder / "samples").mkdir()
    for number in range(SAMPLES):
        (folder / "samples" / f"{number:05}.bin").write_bytes(some.bytes(20_000 + number))


def huge(path):
    tensors = {}
    for number in range(640):
        offsets = [number << 23, number + 1 << 23]
        tensors[f"layer {number}"] = {"dtype": "F32", "shape": [2048, 1024], "data_offsets": offsets}
    header = json.dumps(tensors).encode()
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + (640 << 23))


def header(path):
    with safetensors.safe_open(path, framework="numpy") as file:
        assert len(list(file.keys())) == 640
        assert file.get_slice("layer 77").get_shape() == [2048, 1024]


def row(path):
    with safetensors.safe_open(path, framework="numpy") as file:
        assert not file.get_slice("layer 639")[2000:2001].any()


def digest(content):
    return hashlib.sha256(content).hexdigest()


def of_array(array):
    return array.dtype.str, array.shape, digest(numpy.ascontiguousarray(array).tobytes())


def safetensors_at_once(folder):
    return {
        name: of_array(tensor) for name, tensor in safetensors.numpy.load_file(folder / "model.safetensors").items()
    }


def safetensors_in_slices(folder):
    with safetensors.safe_open(folder / "model.safetensors", framework="numpy") as file:
        return file.metadata(), [
            of_array(file.get_slice(name)[3:50, 100:900]) for name in reversed(sorted(file.keys()))
        ]


def numpy_memmap(folder):
    array = numpy.load(folder / "array.npy", mmap_mode="r")
    raw = numpy.memmap(folder / "raw.bin", dtype="u1", mode="r")
    places = random.Random(2).sample(range(len(raw)), 300)
    return [
        of_array(array[::-3, 7]),
        of_array(array[1990:]),
        of_array(array[:, 400:600]),
        of_array(raw[places]),
        of_array(raw),
    ]


def shared_map(folder):
    """What C does: a shared map, with the flags that `mmap` has by default."""
    with open(folder / "raw.bin", "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        backwards = hashlib.sha256()
        for start in range(len(view) - 4096, 0, -65_536):
            backwards.update(view[start : start + 4096])
        return len(view), backwards.hexdigest(), digest(view)


def h5py_parts(folder):
    with h5py.File(folder / "data.h5", "r") as file:
        chunked, contiguous = file["chunked"], file["contiguous"]
        return [
            chunked.attrs["unit"],
            [of_array(chunked[row : row + 3, 40:61]) for row in random.Random(3).sample(range(2990), 20)],
            of_array(contiguous[::17]),
            [of_array(chunked[slices]) for slices in chunked.iter_chunks()],
            of_array(chunked[...]),
        ]


def zip_members(folder):
    with zipfile.ZipFile(folder / "members.zip") as archive:
        names = random.Random(4).sample(archive.namelist(), 60)
        alone = [digest(archive.read(name)) for name in names]
        with ThreadPoolExecutor(8) as threads:
            together = list(threads.map(lambda name: digest(archive.read(name)), names))
        return alone, alone == together, archive.testzip()


def tar_streams(folder):
    def stream(name, mode):
        with tarfile.open(folder / name, mode) as archive:
            return [(member.name, member.size, digest(archive.extractfile(member).read())) for member in archive]

    return stream("members.tar", "r|"), stream("members.tar.gz", "r|gz")


def sample(path):
    return path.name, digest(path.read_bytes())


def shuffled_by_processes(folder):
    """What the loaders of data sets do: each epoch in another order, by processes that were forked."""
    paths = sorted((folder / "samples").iterdir())
    epochs = []
    with multiprocessing.get_context("fork").Pool(4) as workers:
        for epoch in range(2):
            random.Random(epoch).shuffle(paths)
            epochs.append(workers.map(sample, paths, chunksize=8))
    return epochs


READS = [
    safetensors_at_once,
    safetensors_in_slices,
    numpy_memmap,
    shared_map,
    h5py_parts,
    zip_members,
    tar_streams,
    shuffled_by_processes,
]


def epochs(here, mount):
    compare(here, mount, [shuffled_by_processes])


def compare(here, mount, reads=READS):
    for read in reads:
        expected, found = read(here), read(mount)
        assert found == expected, f"{read.__name__}: {found}\n, and not\n{expected}"


def write_half(path, half):
    """Writes every third byte of its half, and waits until that is in the file."""
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        middle = len(view) // 2
        start, end = (0, middle) if half == 0 else (middle, len(view))
        for at in range(start, end, 3):
            view[at] = (at + half) % 251
        view.flush()


def change(folder):
    raw = folder / "raw.bin"
    processes = [multiprocessing.Process(target=write_half, args=(raw, half)) for half in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0

    array = numpy.load(folder / "array.npy", mmap_mode="r+")
    before = array[1500:1502].copy()
    array[10:20] = array[30:40]
    array[:, 5] += 1
    array.flush()
    assert (numpy.load(folder / "array.npy", mmap_mode="r")[10:20] == array[10:20]).all()
    array[1999] = 7
    del array
    assert (numpy.load(folder / "array.npy")[1500:1502, 6:] == before[:, 6:]).all()

    with h5py.File(folder / "data.h5", "a") as file:
        file["chunked"][250:260] = 5
        file["contiguous"][3, 3:9] = 0.5
        file.create_dataset("added", data=numpy.arange(100_000))
    tensors = safetensors.numpy.load_file(folder / "model.safetensors")
    safetensors.numpy.save_file({name: tensor + 1 for name, tensor in tensors.items()}, folder / "tuned.safetensors")
    with zipfile.ZipFile(folder / "members.zip", "a") as archive:
        archive.writestr(zipfile.ZipInfo("added.bin"), b"added" * 10_000)


def main():
    name, *paths = sys.argv[1:]
    commands = {command.__name__: command for command in (make, compare, epochs, change, huge, header, row)}
    commands[name](*map(Path, paths))


if __name__ == "__main__":
    main()
