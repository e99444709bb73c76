"""Looks for known holes in what is installed: ``python audit.py``; where the database can't be asked it says so and ends well."""

import json
import subprocess
import sys

done = subprocess.run(
    [sys.executable, "-m", "pip_audit", "--format", "json", "--timeout", "20"], capture_output=True, text=True, check=False
)
try:
    packages = json.loads(done.stdout)["dependencies"]
except (ValueError, KeyError):
    print("skipped: the database of known holes can't be reached:", done.stderr.strip().rpartition("\n")[2])
    sys.exit()
known = [package for package in packages if "vulns" in package]
holes = [(package["name"], package["version"], hole["id"]) for package in known for hole in package["vulns"]]
if not known:
    print("skipped: the database of known holes can't be reached: it answers for none of the", len(packages), "packages")
for hole in holes:
    print(*hole)
print(len(holes), "known holes in", len(known), "packages that were looked up")
sys.exit(bool(holes))
