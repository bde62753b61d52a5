#!/usr/bin/env python3
"""Turns the official files of NATS-Bench's topology space (NAS-Bench-201) into what `mixop data import nb201` reads.

    nats_to_csv.py NATS-tss-v1_0-3ffb9-simple nb201.csv nb201_trials.csv
    mixop data import nb201 nb201.csv nb201_trials.csv -o nb201.table

The directory holds one NNNNNN.pickle.pbz2 for each of the 15,625 architectures. Needs Python 3.8 and nothing else:
the records are read without numpy and without running what a pickle could ask to be run.
"""
import argparse
import bz2
import collections
import pathlib
import pickle
import struct
import sys

OPS = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
EDGES = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
ARCHITECTURES = 15625

# Column prefix, data set of the record, parts of evaluation: validation, test, both together.
DATASETS = [
    ("c10", "cifar10-valid", "x-valid", None, None),
    ("c100", "cifar100", "x-valid", "x-test", "ori-test"),
    ("in16", "ImageNet16-120", "x-valid", "x-test", "ori-test"),
]


class NumpyType:
    """What stands for numpy.dtype: only its code is wanted."""

    def __init__(self, code, *_):
        self.code = code

    def __setstate__(self, state):
        pass


def numpy_scalar(dtype, data):
    return struct.unpack("<" + {"f8": "d", "f4": "f", "i8": "q", "i4": "i"}[dtype.code], data)[0]


class RecordReader(pickle.Unpickler):
    KNOWN = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("collections", "defaultdict"): collections.defaultdict,
        ("builtins", "list"): list,
        ("numpy", "dtype"): NumpyType,
        ("numpy.core.multiarray", "scalar"): numpy_scalar,
        ("numpy._core.multiarray", "scalar"): numpy_scalar,
    }

    def find_class(self, module, name):
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"unexpected {module}.{name}")
        return self.KNOWN[module, name]


def mean(values):
    return sum(values) / len(values)


class Record:
    """The runs of one architecture."""

    def __init__(self, path):
        with bz2.open(path) as file:
            self.schedules = RecordReader(file).load()
        self.arch = self.schedules["200"]["arch_str"]

    def runs(self, schedule, dataset):
        """The runs on a data set, in the order of their seeds."""
        found = [(seed, run) for (name, seed), run in self.schedules[schedule]["all_results"].items()
                 if name == dataset]
        if not found:
            raise ValueError(f"no run of {schedule} epochs on {dataset}")
        return [run for _, run in sorted(found, key=lambda item: int(item[0]))]

    def accuracies(self, schedule, dataset, part):
        """In per cent at the end of the schedule, run by run."""
        return [run["eval_acc1es"][f"{part}@{int(run['epochs']) - 1}"] for run in self.runs(schedule, dataset)]

    def seconds_per_epoch(self, dataset):
        return mean([mean(list(run["train_times"].values())) for run in self.runs("200", dataset)])


def code_of(arch):
    terms = [term for node in arch.split("+") for term in node.strip("|").split("|")]
    if [int(term.split("~")[1]) for term in terms] != [source for source, _ in EDGES]:
        raise ValueError(f"{arch} is no cell of four nodes")
    return [OPS.index(term.split("~")[0]) for term in terms]


def canonical(code):
    """The official get_unique_str: equal for cells that are the same network."""
    nodes = ["0"]
    for node in (1, 2, 3):
        terms = []
        for (source, target), op in zip(EDGES, code):
            if target != node:
                continue
            if OPS[op] == "none" or nodes[source] == "#":
                terms.append("#")
            elif OPS[op] == "skip_connect":
                terms.append(nodes[source])
            else:
                terms.append(f"({nodes[source]})@{OPS[op]}")
        nodes.append("+".join(sorted(terms)))
    return nodes[3]


def columns_of(record, index, classes):
    """One line of nb201.csv, by column."""
    code = code_of(record.arch)
    runs = record.runs("200", "cifar10-valid")
    n1x1, n3x3 = code.count(2), code.count(3)
    line = {
        "index": index,
        "code": "".join(map(str, code)),
        "iso_id": classes.setdefault(canonical(code), len(classes)),
        "n_trials200": len(runs),
        "params_M": f"{0.073306 + 0.028 * n1x1 + 0.24304 * n3x3:.6f}",
        "params_recorded_M": f"{runs[0]['params']:.6f}",
        "flops_M": f"{7.78305 + 3.93216 * n1x1 + 35.38944 * n3x3:.5f}",
    }
    for prefix, dataset, *_ in DATASETS:
        column = f"train_s_per_epoch_{prefix}{'v' if prefix == 'c10' else ''}"
        line[column] = f"{record.seconds_per_epoch(dataset):.5f}"
    for schedule in ("12", "200"):
        for prefix, dataset, valid, test, _ in DATASETS:
            tested = (dataset, test) if test else ("cifar10", "ori-test")
            line[f"{prefix}_val_{schedule}"] = f"{mean(record.accuracies(schedule, dataset, valid)):.4f}"
            line[f"{prefix}_test_{schedule}"] = f"{mean(record.accuracies(schedule, *tested)):.4f}"
    line["arch"] = record.arch
    return line


def trials_of(record, index):
    """The lines of nb201_trials.csv."""
    by_dataset = {}
    for prefix, dataset, valid, _, both in DATASETS:
        name = f"{prefix}_{'valtest' if both else 'val'}_200"
        by_dataset[name] = record.accuracies("200", dataset, both or valid)
    if len(set(map(len, by_dataset.values()))) != 1:
        raise ValueError("data sets with different numbers of runs")
    for trial, values in enumerate(zip(*by_dataset.values())):
        yield {"index": index, "trial": trial, **{n: f"{v:.4f}" for n, v in zip(by_dataset, values)}}


def write_line(file, line, first):
    if first:
        file.write(",".join(line) + "\n")
    file.write(",".join(map(str, line.values())) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("directory", type=pathlib.Path, help="NATS-tss-v1_0-*-simple")
    parser.add_argument("table", type=pathlib.Path, help="nb201.csv to write")
    parser.add_argument("trials", type=pathlib.Path, help="nb201_trials.csv to write")
    parser.add_argument("--part", action="store_true", help="do not insist on all 15,625 records")
    arguments = parser.parse_args()
    records = sorted(arguments.directory.glob("[0-9]*.pickle.pbz2"))
    if len(records) != ARCHITECTURES and not arguments.part:
        sys.exit(f"{arguments.directory} has {len(records)} records instead of {ARCHITECTURES}")
    classes = {}
    with open(arguments.table, "w") as table, open(arguments.trials, "w") as trials:
        for done, path in enumerate(records):
            index = int(path.name.split(".")[0])
            try:
                record = Record(path)
                write_line(table, columns_of(record, index, classes), done == 0)
                for line in trials_of(record, index):
                    write_line(trials, line, done == 0 and line["trial"] == 0)
            except (KeyError, ValueError, OSError, EOFError, pickle.UnpicklingError) as error:
                sys.exit(f"{path}: {error}")
            if done % 1000 == 999:
                print(f"{done + 1} of {len(records)}", file=sys.stderr)


if __name__ == "__main__":
    main()
