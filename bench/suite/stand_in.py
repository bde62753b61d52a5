"""Stands in for a peer of step_bench in its self-test: takes turns like bench/peers/*.py --serve and computes nothing."""
import json
import sys

HALF = {"forward": 0.001, "backward": 0.002, "update": 0.0005}


def option(name, default=""):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else default


def main():
    # Of the networks of the self-test: step_bench refuses a peer with another number.
    parameters = 2858 if "--genotype" in sys.argv else 25224
    record = {"peer": "stand-in", "version": "0", "variant": option("--variant"), "parameters": parameters}
    print("a line that is no JSON")
    print(json.dumps({"ready": True, **record}), flush=True)
    seconds = []
    for line in sys.stdin:
        assert line == "step\n", line
        seconds.append(0.0035)
        print(json.dumps({"seconds": seconds[-1], "halves": {"weight": HALF}}), flush=True)
    record.update({"seconds": seconds, "peak_rss_bytes": 1e6, **{f"{k}_s": v for k, v in HALF.items()}})
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
