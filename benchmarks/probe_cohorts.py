"""The two demonstration cohorts for `plica evaluate probe`, out of a manifest of real images.

    python benchmarks/probe_cohorts.py --data ../shared/data --out cohorts

`chest.csv`: radiographs of the chest, whose manifest says from which side they were taken.
`head.csv`: MR of the head whose file names say T1 or FLAIR. Both keep the manifest's splits.
"""

import argparse
import csv
import re
from pathlib import Path

COLUMNS = ("path", "patient", "split", "class", "source", "licence", "attribution")
VIEWS = {"chest pa": "PA", "chest ap": "AP"}
WEIGHTINGS = {"FLAIR": re.compile(r"FLAIR"), "T1": re.compile(r"T1w", re.IGNORECASE)}


def name_class(row: dict[str, str]) -> tuple[str, str]:
    """The cohort and class of an image; two empty words where it has none."""
    if not row["split"]:
        return "", ""
    if row["category"] == "cxr" and row["anatomy"] in VIEWS:
        return "chest", VIEWS[row["anatomy"]]
    if row["category"] == "brain-mri" and row["path"].endswith(".nii.gz"):
        for name, pattern in WEIGHTINGS.items():
            if pattern.search(Path(row["path"]).name):
                return "head", name
    return "", ""


def main() -> None:
    """Write the tables; paths in them are absolute."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with MANIFEST.csv")
    parser.add_argument("--out", type=Path, default=Path("cohorts"))
    given = parser.parse_args()
    found: dict[str, list[list[str]]] = {"chest": [], "head": []}
    with (given.data / "MANIFEST.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            cohort, label = name_class(row)
            if cohort:
                path = str((given.data / row["path"]).resolve())
                about = [row["source"], row["licence"], row["source_repo"]]
                found[cohort].append([path, row["group_id"], row["split"], label, *about])
    given.out.mkdir(parents=True, exist_ok=True)
    for cohort, rows in found.items():
        with (given.out / f"{cohort}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([COLUMNS, *rows])
        print(f"{given.out / cohort}.csv: {len(rows)} images")


if __name__ == "__main__":
    main()
