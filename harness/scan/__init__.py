"""What a checkpoint holds, told without loading any of it: files by content, code, references, weights."""

from harness.scan.finding import Finding, Level, Outcome, ScanReport, Unscanned
from harness.scan.run import scan_checkpoint

__all__ = ["Finding", "Level", "Outcome", "ScanReport", "Unscanned", "scan_checkpoint"]
