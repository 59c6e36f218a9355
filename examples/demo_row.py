#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A line of ./demo's table from a report of `nnr eval --json`; without a
file, the head of the table."""

import json
import sys

HEAD = ("program          task                     n  right       95 %"
        "        most   tokens     s   MB")


def line(report):
    results, cost = report["results"], report["cost"]
    measure = "accuracy" if "accuracy" in results else "exact_match"
    rate, most = results[measure], results["majority"][measure]
    tokens = sum(cost[k] for k in
                 ("prompt_tokens", "shared_tokens", "made_tokens"))
    return (f"{report['program']['name']:<16} {report['data']['file']:<22}"
            f"{rate['n']:>4}  {100 * rate['value']:5.1f}  "
            f"{100 * rate['low']:5.1f} .. {100 * rate['high']:5.1f}  "
            f"{100 * most['value']:5.1f} {tokens:>8} {cost['seconds']:5.1f} "
            f"{cost['peak_bytes'] / 1e6:4.0f}")


def main():
    if len(sys.argv) < 2:
        print(HEAD)
        return
    with open(sys.argv[1], encoding="utf-8") as file:
        print(line(json.load(file)), flush=True)


if __name__ == "__main__":
    main()
