"""Arrays that are made and changed in files, with the locks and maps that these libraries use by themselves.

arrays.py numpy | numpy_again | h5py | h5py_again
"""

import multiprocessing
import sys

import h5py
import numpy


def digest(array):
    return array.shape, int(array.astype("i8").sum()), int(array.ravel()[-1])


def fill(rows):
    array = numpy.memmap("shared.bin", dtype="i4", mode="r+", shape=(1000, 1000))
    array[rows] = numpy.arange(rows.start, rows.stop)[:, None]
    array.flush()


def in_a_process(task, *arguments):
    process = multiprocessing.Process(target=task, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def numpy_():
    array = numpy.lib.format.open_memmap("array.npy", mode="w+", dtype="f8", shape=(500, 400))
    array[:] = numpy.arange(400)
    array[7] = 1.5
    del array
    print(digest(numpy.load("array.npy")), digest(numpy.load("array.npy", mmap_mode="r")[::2]))
    shared = numpy.memmap("shared.bin", dtype="i4", mode="w+", shape=(1000, 1000))
    with multiprocessing.Pool(4) as workers:
        workers.map(fill, [slice(start, start + 125) for start in range(0, 1000, 125)])
    print(digest(shared))
    numpy.savez("arrays.npz", a=numpy.arange(10), b=numpy.eye(200))
    numpy.savez_compressed("small.npz", a=numpy.zeros(100_000))
    numpy.savetxt("text.csv", numpy.arange(3000).reshape(1000, 3), fmt="%d")
    print(digest(numpy.load("arrays.npz")["b"]), digest(numpy.loadtxt("text.csv")))
    numpy.arange(1000).tofile("raw")
    with open("raw", "ab") as file:
        numpy.arange(1000, 2000).tofile(file)
    print(digest(numpy.fromfile("raw", dtype="i8")))
    for name in ("arrays.npz", "small.npz"):  # they tell when they were written
        with numpy.load(name) as arrays:
            print(sorted(arrays))


def numpy_again():
    array = numpy.load("array.npy", mmap_mode="r+")
    print(digest(array))
    array[3:5] = 9
    array.flush()
    shared = numpy.memmap("shared.bin", dtype="i4", mode="c", shape=(1000, 1000))
    shared[:] = 0
    print(digest(numpy.memmap("shared.bin", dtype="i4", mode="r", shape=(1000, 1000))), digest(numpy.load("array.npy")))


def write_more():
    try:
        h5py.File("data.h5", "r+")
        print("opened twice")
    except OSError as error:
        print("lock" in str(error), flush=True)


def read_meanwhile(ready, more):
    with h5py.File("swmr.h5", "r", swmr=True) as file:
        ready.set()
        assert more.wait(60)
        file["grows"].refresh()
        print(digest(file["grows"][:]), flush=True)


def h5py_():
    with h5py.File("data.h5", "w") as file:
        file.create_dataset("chunked", data=numpy.arange(200_000).reshape(400, 500), chunks=(50, 50), compression="gzip")
        file.create_dataset("grows", shape=(0, 100), maxshape=(None, 100), dtype="f4")
        file["chunked"].attrs["unit"] = "apples"
        file.flush()
        in_a_process(write_more)
        for step in range(20):
            file["grows"].resize((step + 1) * 10, axis=0)
            file["grows"][step * 10 :] = step
    with h5py.File("data.h5", "r") as first, h5py.File("data.h5", "r") as second:
        print(digest(first["chunked"][:]), digest(second["grows"][:]))
    with h5py.File("swmr.h5", "w", libver="latest") as file:
        grows = file.create_dataset("grows", shape=(10,), maxshape=(None,), chunks=(100,), dtype="i4")
        file.swmr_mode = True
        ready, more = multiprocessing.Event(), multiprocessing.Event()
        reader = multiprocessing.Process(target=read_meanwhile, args=(ready, more))
        reader.start()
        assert ready.wait(60)
        grows.resize(5000, axis=0)
        grows[:] = 4
        grows.flush()
        more.set()
        reader.join()
        assert reader.exitcode == 0


def h5py_again():
    with h5py.File("data.h5", "r+") as file:
        print(digest(file["chunked"][:]), file["chunked"].attrs["unit"])
        file["chunked"][10:20] = 0
        file["grows"].resize(500, axis=0)
        del file["chunked"].attrs["unit"]
    with h5py.File("data.h5", "r") as file:
        print(digest(file["chunked"][:]), digest(file["grows"][:]))


if __name__ == "__main__":
    {"numpy": numpy_, "numpy_again": numpy_again, "h5py": h5py_, "h5py_again": h5py_again}[sys.argv[1]]()
